package wire

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

const (
	// LaneCount is the number of connections that produce: on one the broker does a
	// request after the other.
	LaneCount = 4
	// RequestBytes is the size of a request: larger ones were slower, smaller ones too.
	RequestBytes = 1 << 20
)

// Batch is one batch for a partition.
type Batch struct {
	Partition int32
	Bytes     []byte
}

// Send produces batches, at most one for each partition, in one request, and waits for
// the answer.
type Send func(ctx context.Context, topic Topic, batches []Batch) error

// Lanes calls run once for each lane, with a connection of its own.
func Lanes(ctx context.Context, addr string, run func(ctx context.Context, lane int, send Send) error) error {
	return LanesOf(ctx, addr, LaneCount, run)
}

// LanesOf is Lanes with another number of them.
func LanesOf(ctx context.Context, addr string, count int, run func(ctx context.Context, lane int, send Send) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for lane := range count {
		group.Go(func() error {
			client, err := connect(addr)
			if err != nil {
				return err
			}
			defer client.Close()
			return run(ctx, lane, func(ctx context.Context, topic Topic, batches []Batch) error {
				answer, err := client.Broker(topic.broker).Request(ctx, produceRequest(topic, batches))
				if err != nil {
					return fmt.Errorf("produce to %s: %w", topic.Name, err)
				}
				return produceError(topic, answer.(*kmsg.ProduceResponse))
			})
		})
	}
	return group.Wait()
}

func produceRequest(topic Topic, batches []Batch) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic.Name, topic.ID
	for _, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = b.Partition, b.Bytes
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func produceError(topic Topic, resp *kmsg.ProduceResponse) error {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("produce to %s-%d: %w", topic.Name, p.Partition, err)
			}
		}
	}
	return nil
}

// Split cuts whole batches, as a fetch brought them, and makes each ready to produce: a
// base offset of 0 is all that it takes, and no checksum is over that.
func Split(batches []byte) [][]byte {
	var out [][]byte
	for {
		b, ok := cut(batches)
		if !ok {
			return out
		}
		binary.BigEndian.PutUint64(b, 0)
		binary.BigEndian.PutUint32(b[12:], ^uint32(0)) // leader epoch
		out = append(out, b)
		batches = batches[len(b):]
	}
}
