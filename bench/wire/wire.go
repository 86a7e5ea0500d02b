// Package wire hides the least that raw requests to a one-node Kafka take: batches as the
// broker has them, in and out, and nothing decoded. It is what a backup tool could be at
// best, and so shares no code with the one that is measured.
package wire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	pollInterval   = 50 * time.Millisecond // asking about a thousand partitions is not for nothing
	requestTimeout = 5 * time.Minute       // for a thousand partitions on a busy machine
	topicsAtOnce   = 10                    // in one request: a controller takes only so many partitions
)

// Topic is a topic as requests name it.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
	broker     int
}

// NewTopic says which topic to make.
type NewTopic struct {
	Name       string
	Partitions int32
	// Configs are besides those that all have.
	Configs map[string]string
	// Keep takes a topic that is there already as it is.
	Keep bool
}

func connect(addr string) (*kgo.Client, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(addr),
		kgo.ClientID("limit"),
		kgo.BrokerMaxReadBytes(1<<30),
		kgo.RequestTimeoutOverhead(requestTimeout),
	)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", addr, err)
	}
	return client, nil
}

// Create makes a topic that keeps everything as it is sent, and waits until all its
// partitions have a leader.
func Create(ctx context.Context, addr string, t NewTopic) (Topic, error) {
	topics, err := CreateAll(ctx, addr, []NewTopic{t})
	if err != nil {
		return Topic{}, err
	}
	return topics[0], nil
}

// CreateAll is Create for many, some at a time.
func CreateAll(ctx context.Context, addr string, all []NewTopic) ([]Topic, error) {
	client, err := connect(addr)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var topics []Topic
	for some := range slices.Chunk(all, topicsAtOnce) {
		if err := create(ctx, client, some); err != nil {
			return nil, err
		}
		for _, t := range some {
			topic, err := await(ctx, client, t)
			if err != nil {
				return nil, err
			}
			topics = append(topics, topic)
		}
	}
	return topics, nil
}

func create(ctx context.Context, client *kgo.Client, topics []NewTopic) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(requestTimeout.Milliseconds())
	kept := map[string]bool{}
	for _, t := range topics {
		kept[t.Name] = t.Keep
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.Name, t.Partitions, 1
		configs := map[string]string{"retention.ms": "-1", "compression.type": "producer"}
		maps.Copy(configs, t.Configs)
		for name, value := range configs {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = name, &value
			topic.Configs = append(topic.Configs, c)
		}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("make topic %s and others: %w", topics[0].Name, err)
	}
	for _, t := range resp.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		if err != nil && (!kept[t.Topic] || !errors.Is(err, kerr.TopicAlreadyExists)) {
			return fmt.Errorf("make topic %s: %w", t.Topic, err)
		}
	}
	return nil
}

// await waits until all partitions of a topic have a leader.
func await(ctx context.Context, client *kgo.Client, t NewTopic) (Topic, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		topic, err := lookup(ctx, client, t.Name)
		if err == nil && topic.Partitions == t.Partitions {
			if _, err = lastOffsets(ctx, client, topic); err == nil {
				return topic, nil
			}
		}
		select {
		case <-ctx.Done():
			return Topic{}, fmt.Errorf("wait for topic %s: %w", t.Name, err)
		case <-tick.C:
		}
	}
}

// Delete removes a topic.
func Delete(ctx context.Context, addr, name string) error {
	client, err := connect(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(requestTimeout.Milliseconds())
	req.TopicNames = []string{name}
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	return nil
}

// Lookup asks for a topic.
func Lookup(ctx context.Context, addr, name string) (Topic, error) {
	client, err := connect(addr)
	if err != nil {
		return Topic{}, err
	}
	defer client.Close()
	return lookup(ctx, client, name)
}

func lookup(ctx context.Context, client *kgo.Client, name string) (Topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		return Topic{}, fmt.Errorf("look up topic %s: %w", name, err)
	}
	topic := Topic{Name: name, ID: resp.Topics[0].TopicID, Partitions: int32(len(resp.Topics[0].Partitions)), broker: -1}
	for _, p := range resp.Topics[0].Partitions {
		if p.Leader < 0 {
			return Topic{}, fmt.Errorf("look up topic %s: partition %d has no leader", name, p.Partition)
		}
		topic.broker = int(p.Leader)
	}
	return topic, nil
}

// lastOffsets asks where each partition ends.
func lastOffsets(ctx context.Context, client *kgo.Client, topic Topic) ([]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic.Name
	for p := range topic.Partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = append(req.Topics, t)
	answer, err := client.Broker(topic.broker).Request(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask for the ends of %s: %w", topic.Name, err)
	}
	ends := make([]int64, topic.Partitions)
	for _, p := range answer.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return nil, fmt.Errorf("ask for the end of %s-%d: %w", topic.Name, p.Partition, err)
		}
		ends[p.Partition] = p.Offset
	}
	return ends, nil
}
