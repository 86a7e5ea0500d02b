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
	byName     bool            // topics were asked for by name: it may be another with that name
	throttled  bool
}

// The versions of a fetch that name topics by their IDs begin behind this one.
const lastFetchByName = 12

// fetchByName is a fetch whose topics are named: for brokers that speak newer versions,
// but give no topic IDs while their cluster is upgraded.
type fetchByName struct{ *kmsg.FetchRequest }

// MaxVersion is for franz-go.
func (fetchByName) MaxVersion() int16 { return lastFetchByName }

// fetchOnce sends a fetch without a session, at isolation 0: all up to the high
// watermark, control batches and undecided transactions included.
func fetchOnce(ctx context.Context, client *kgo.Client, turn fetchTurn) (*fetchAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout+time.Minute)
	defer cancel()
	req, names := newFetchRequest(turn)
	var kreq kmsg.Request = req
	if _, ok := names[coldstream.TopicID{}]; ok {
		kreq = fetchByName{req}
	}
	kresp, err := client.Broker(int(turn.broker)).Request(ctx, kreq)
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
	answer := newFetchAnswer(resp, names)
	answer.first = turn.partitions[0]
	return answer, nil
}

// newFetchRequest returns the request and the names of its topics by their IDs.
func newFetchRequest(turn fetchTurn) (*kmsg.FetchRequest, map[coldstream.TopicID]string) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(turn.maxWait.Milliseconds()), 1, turn.maxBytes
	req.SessionEpoch = -1
	index := map[string]int{}
	names := map[coldstream.TopicID]string{}
	for _, p := range turn.partitions {
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
		if p.alone {
			req.MaxBytes = max(req.MaxBytes, p.maxBytes)
		} else {
			rp.PartitionMaxBytes = min(p.maxBytes, turn.maxBytes)
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	return req, names
}

func newFetchAnswer(resp *kmsg.FetchResponse, names map[coldstream.TopicID]string) *fetchAnswer {
	a := &fetchAnswer{
		partitions: map[coldstream.TopicPartition]*kmsg.FetchResponseTopicPartition{},
		byName:     resp.Version <= lastFetchByName,
		throttled:  resp.ThrottleMillis > 0 && len(resp.Topics) == 0,
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name := t.Topic
		if !a.byName {
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

// checkIncarnations looks, after an answer that named topics by name, whether the broker
// still means those we asked for. A topic that was deleted and made again between two of
// our requests would else go on as if it were the one before.
func (e *fetchEngine) checkIncarnations(ctx context.Context, client *kgo.Client, turn fetchTurn, answer *fetchAnswer) error {
	if !answer.byName {
		return nil
	}
	req := kmsg.NewPtrMetadataRequest()
	want := map[string]coldstream.TopicID{}
	for _, p := range turn.partitions {
		if _, asked := want[p.Topic]; asked || p.TopicID.IsZero() {
			continue
		}
		want[p.Topic] = p.TopicID
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &p.Topic
		req.Topics = append(req.Topics, t)
	}
	if len(req.Topics) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	kresp, err := client.Broker(int(turn.broker)).Request(ctx, req)
	if err != nil {
		return requestError(err)
	}
	for _, t := range kresp.(*kmsg.MetadataResponse).Topics {
		if t.Topic != nil && want[*t.Topic] == t.TopicID {
			delete(want, *t.Topic)
		}
	}
	for name, id := range want {
		return temporary(fmt.Errorf("topic %s with ID %s is not known to the broker any more", name, id))
	}
	return nil
}
