package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

const (
	fetchConnections  = 2
	answerBytes       = 16 << 20
	leastPerPartition = 16 << 10
)

// Take is given whole batches whose checksums are right, in order for each partition, and
// by several goroutines for different ones.
type Take func(partition int32, batches []byte) error

// ReadAll fetches a topic up to the ends that it has now, with two connections and answers
// of 16 MiB.
func ReadAll(ctx context.Context, addr string, topic Topic, take Take) error {
	group, ctx := errgroup.WithContext(ctx)
	for n := range int32(fetchConnections) {
		group.Go(func() error {
			client, err := connect(addr)
			if err != nil {
				return err
			}
			defer client.Close()
			ends, err := lastOffsets(ctx, client, topic)
			if err != nil {
				return err
			}
			r := &reader{client: client, topic: topic, take: take, next: make([]int64, topic.Partitions), ends: ends, castagnoli: crc32.MakeTable(crc32.Castagnoli)}
			for p := n; p < topic.Partitions; p += fetchConnections {
				if ends[p] > 0 {
					r.open = append(r.open, p)
				}
			}
			return r.run(ctx)
		})
	}
	return group.Wait()
}

// reader is one connection with the partitions that it reads.
type reader struct {
	client     *kgo.Client
	topic      Topic
	take       Take
	next, ends []int64
	open       []int32
	castagnoli *crc32.Table
}

func (r *reader) run(ctx context.Context) error {
	for len(r.open) > 0 {
		answer, err := r.client.Broker(r.topic.broker).Request(ctx, r.request())
		if err != nil {
			return fmt.Errorf("fetch %s: %w", r.topic.Name, err)
		}
		resp := answer.(*kmsg.FetchResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return fmt.Errorf("fetch %s: %w", r.topic.Name, err)
		}
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				if err := r.partition(&resp.Topics[i].Partitions[j]); err != nil {
					return err
				}
			}
		}
		r.rotate()
	}
	return nil
}

// request asks for all that is open, as much of each as fits into one answer.
func (r *reader) request() *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 500, 1, answerBytes, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = r.topic.Name, r.topic.ID
	for _, p := range r.open {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset = p, r.next[p]
		rp.PartitionMaxBytes = int32(max(leastPerPartition, answerBytes/len(r.open)))
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func (r *reader) partition(p *kmsg.FetchResponseTopicPartition) error {
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return fmt.Errorf("fetch %s-%d: %w", r.topic.Name, p.Partition, err)
	}
	whole := 0
	for {
		b, ok := cut(p.RecordBatches[whole:])
		if !ok {
			break
		}
		if crc32.Checksum(b[21:], r.castagnoli) != binary.BigEndian.Uint32(b[17:]) {
			return fmt.Errorf("fetch %s-%d: bad checksum at offset %d", r.topic.Name, p.Partition, r.next[p.Partition])
		}
		r.next[p.Partition] = int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:])) + 1
		whole += len(b)
	}
	if whole == 0 {
		return nil
	}
	return r.take(p.Partition, p.RecordBatches[:whole])
}

const (
	lengthAt   = 8
	headerSize = 61
)

// cut takes the first whole batch.
func cut(buf []byte) ([]byte, bool) {
	if len(buf) < headerSize {
		return nil, false
	}
	size := int(binary.BigEndian.Uint32(buf[lengthAt:])) + lengthAt + 4
	if size < headerSize || size > len(buf) {
		return nil, false
	}
	return buf[:size], true
}

// rotate drops what is done, and lets others be first: a broker fills an answer in order.
func (r *reader) rotate() {
	var open []int32
	for _, p := range r.open {
		if r.next[p] < r.ends[p] {
			open = append(open, p)
		}
	}
	if n := len(open); n > 1 {
		open = append(open[n/2:], open[:n/2]...)
	}
	r.open = open
}
