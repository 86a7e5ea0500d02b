package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// earliestOffset is the timestamp that asks ListOffsets for the log start.
const earliestOffset = -2

// listRound asks each leader once for both ends of its partitions, fills in out, and
// returns the partitions that are worth another try.
func (c *Client) listRound(ctx context.Context, partitions []coldstream.TopicPartition, leaders map[coldstream.TopicPartition]partitionLeader, out map[coldstream.TopicPartition]coldstream.LogOffsets) []coldstream.TopicPartition {
	var again []coldstream.TopicPartition
	byLeader := map[int32][]coldstream.TopicPartition{}
	for _, tp := range partitions {
		l := leaders[tp]
		if l.err != nil {
			out[tp] = coldstream.LogOffsets{Err: l.err}
			if isTemporary(l.err) {
				again = append(again, tp)
			}
			continue
		}
		byLeader[l.id] = append(byLeader[l.id], tp)
	}
	for id, all := range byLeader {
		for chunk := range slices.Chunk(all, listOffsetsChunk) {
			again = append(again, c.listChunk(ctx, id, chunk, leaders, out)...)
		}
	}
	return again
}

func (c *Client) listChunk(ctx context.Context, broker int32, chunk []coldstream.TopicPartition, leaders map[coldstream.TopicPartition]partitionLeader, out map[coldstream.TopicPartition]coldstream.LogOffsets) []coldstream.TopicPartition {
	starts, startErr := c.listOffsets(ctx, broker, listOffsetsRequest(chunk, leaders, earliestOffset))
	ends, endErr := c.listOffsets(ctx, broker, listOffsetsRequest(chunk, leaders, latestOffset))
	var again []coldstream.TopicPartition
	for _, tp := range chunk {
		start, end := starts[tp], ends[tp]
		o := coldstream.LogOffsets{LogStartOffset: start.offset, HighWatermark: end.offset}
		for _, err := range []error{startErr, endErr, start.err, end.err} {
			if o.Err == nil {
				o.Err = err
			}
		}
		if _, ok := starts[tp]; o.Err == nil && !ok {
			o.Err = temporary(errNoLeader)
		}
		out[tp] = o
		if isTemporary(o.Err) {
			again = append(again, tp)
		}
	}
	return again
}

func listOffsetsRequest(chunk []coldstream.TopicPartition, leaders map[coldstream.TopicPartition]partitionLeader, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	index := map[string]int{}
	for _, tp := range chunk {
		i, ok := index[tp.Topic]
		if !ok {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = tp.Topic
			i = len(req.Topics)
			index[tp.Topic] = i
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = tp.Partition, timestamp, leaders[tp].epoch
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}

type offsetOrError struct {
	offset int64
	err    error
}

// listOffsets sends a request to one broker. Its error is of the request as a whole.
func (c *Client) listOffsets(ctx context.Context, broker int32, req *kmsg.ListOffsetsRequest) (map[coldstream.TopicPartition]offsetOrError, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	kresp, err := c.kgo.Broker(int(broker)).Request(ctx, req)
	if err != nil {
		return nil, requestError(err)
	}
	out := map[coldstream.TopicPartition]offsetOrError{}
	for _, t := range kresp.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			tp := coldstream.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			out[tp] = offsetOrError{p.Offset, expected(brokerError(p.ErrorCode, nil))}
		}
	}
	return out, nil
}
