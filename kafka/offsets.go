package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// The timestamps that ask ListOffsets for the log start, and for the first offset that is
// not in remote storage only.
const (
	earliestOffset      = -2
	earliestLocalOffset = -4
)

// listRound asks each leader once for both ends of its partitions, fills in out, and
// returns the partitions that are worth another try.
func (c *Client) listRound(ctx context.Context, partitions []coldstream.TopicPartition, leaders map[coldstream.TopicPartition]partitionLeader, out map[coldstream.TopicPartition]coldstream.LogOffsets) []coldstream.TopicPartition {
	var again []coldstream.TopicPartition
	byLeader := map[int32][]coldstream.TopicPartition{}
	for _, tp := range partitions {
		l := leaders[tp]
		if l.err != nil {
			out[tp] = coldstream.LogOffsets{Err: l.err}
			if isTemporary(l.err) || isUnknownTopic(l.err) {
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
		o := logOffsets(tp, starts, ends)
		if err := cmp.Or(startErr, endErr); err != nil {
			o = coldstream.LogOffsets{Err: err}
		}
		out[tp] = o
		if isTemporary(o.Err) {
			again = append(again, tp)
		}
	}
	return again
}

// logOffsets joins the two answers for a partition. What is not in them is not 0: an end
// that is too low hides records.
func logOffsets(tp coldstream.TopicPartition, starts, ends map[coldstream.TopicPartition]offsetOrError) coldstream.LogOffsets {
	start, hasStart := starts[tp]
	end, hasEnd := ends[tp]
	switch {
	case start.err != nil:
		return coldstream.LogOffsets{Err: start.err}
	case end.err != nil:
		return coldstream.LogOffsets{Err: end.err}
	case !hasStart || !hasEnd:
		return coldstream.LogOffsets{Err: temporary(errNotInAnswer)}
	case start.offset < 0 || end.offset < start.offset:
		return coldstream.LogOffsets{Err: temporary(fmt.Errorf("the broker says that the log is [%d, %d)", start.offset, end.offset))}
	}
	return coldstream.LogOffsets{LogStartOffset: start.offset, HighWatermark: end.offset}
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
			out[tp] = offsetOrError{p.Offset, c.lacksOnTopic(expected(brokerError(p.ErrorCode, nil)), "Describe", t.Topic)}
		}
	}
	return out, nil
}
