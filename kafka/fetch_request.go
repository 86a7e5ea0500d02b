package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// fetchAnswer is one broker's answer, by partition.
type fetchAnswer struct {
	partitions map[coldstream.TopicPartition]*kmsg.FetchResponseTopicPartition
	first      *fetchPartition // first in the request: it cannot have been crowded out
	sizeBytes  int             // of all batches in it
}

// fetchOnce sends a fetch without a session, at isolation 0: all up to the high
// watermark, control batches and undecided transactions included.
func fetchOnce(ctx context.Context, client *kgo.Client, broker int32, chosen []*fetchPartition) (*fetchAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout+time.Minute)
	defer cancel()
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(fetchMaxWait.Milliseconds()), 1, fetchMaxBytes
	req.SessionEpoch = -1
	index := map[string]int{}
	names := map[[16]byte]string{}
	for _, p := range chosen {
		i, ok := index[p.Topic]
		if !ok {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = p.Topic, p.TopicID
			i = len(req.Topics)
			index[p.Topic], names[p.TopicID] = i, p.Topic
			req.Topics = append(req.Topics, t)
		}
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.Partition, p.NextOffset, p.maxBytes
		rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = p.leaderEpoch, p.lastEpoch()
		if p.noEpoch {
			rp.LastFetchedEpoch = -1
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
		req.MaxBytes = max(req.MaxBytes, p.maxBytes)
	}
	kresp, err := client.Broker(int(broker)).Request(ctx, req)
	if err != nil {
		return nil, requestError(err)
	}
	resp, ok := kresp.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("answer of type %T", kresp)
	}
	if err := brokerError(resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	return newFetchAnswer(resp, names, chosen[0]), nil
}

func newFetchAnswer(resp *kmsg.FetchResponse, names map[[16]byte]string, first *fetchPartition) *fetchAnswer {
	a := &fetchAnswer{partitions: map[coldstream.TopicPartition]*kmsg.FetchResponseTopicPartition{}, first: first}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name := t.Topic
		if resp.Version >= 13 { // from here on topics are named by their IDs
			name = names[t.TopicID]
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			a.partitions[coldstream.TopicPartition{Topic: name, Partition: p.Partition}] = p
			a.sizeBytes += len(p.RecordBatches)
		}
	}
	return a
}
