package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Client is an application of the cluster: it produces and consumes as any other would,
// on ways that have nothing to do with those of a backup.
type Client struct {
	addrs    []string
	producer *kgo.Client
	admin    *kadm.Client
}

// NewClient makes a client of the cluster; the caller closes it.
func (c *Cluster) NewClient() (*Client, error) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return &Client{addrs: c.Addrs(), producer: producer, admin: kadm.NewClient(producer)}, nil
}

// Close ends the client's connections.
func (c *Client) Close() { c.producer.Close() }

// Record is what an application produces. A nil Value is null.
type Record struct {
	Topic  string
	Key    string
	Value  []byte
	Source string // the header "source"
	Time   time.Time
}

// Produce writes records and waits until the cluster has them. Records with the same key
// stay in order.
func (c *Client) Produce(ctx context.Context, records []Record) error {
	out := make([]*kgo.Record, len(records))
	for i, r := range records {
		out[i] = &kgo.Record{
			Topic: r.Topic, Key: []byte(r.Key), Value: r.Value, Timestamp: r.Time,
			Headers: []kgo.RecordHeader{{Key: "source", Value: []byte(r.Source)}},
		}
	}
	if err := c.producer.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return nil
}

// Consume reads at most limit records of a topic as a member of a consumer group,
// commits how far it came, and leaves the group.
func (c *Client) Consume(ctx context.Context, group, topic string, limit int) error {
	member, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return fmt.Errorf("join group %s: %w", group, err)
	}
	defer member.Close()
	for read := 0; read < limit; {
		fetches := member.PollRecords(ctx, limit-read)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return fmt.Errorf("consume topic %s: %w", topic, err)
		}
		read += fetches.NumRecords()
	}
	if err := member.CommitUncommittedOffsets(ctx); err != nil {
		return fmt.Errorf("commit group %s: %w", group, err)
	}
	return nil
}

// Position is how far a group came in a topic, over all partitions.
type Position struct {
	Read int64 // records before the committed offsets
	Lag  int64 // records from there on
}

// Position asks for a group's position in a topic whose partitions begin at offset 0.
func (c *Client) Position(ctx context.Context, group, topic string) (Position, error) {
	var p Position
	ends, err := c.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return p, fmt.Errorf("list end offsets of %s: %w", topic, err)
	}
	committed, err := c.admin.FetchOffsetsForTopics(ctx, group, topic)
	if err != nil {
		return p, fmt.Errorf("fetch offsets of group %s: %w", group, err)
	}
	for id, end := range ends[topic] {
		if end.Err != nil {
			return p, fmt.Errorf("list end offset of %s-%d: %w", topic, id, end.Err)
		}
		at, ok := committed.Lookup(topic, id)
		if ok && at.Err != nil {
			return p, fmt.Errorf("fetch offset of group %s in %s-%d: %w", group, topic, id, at.Err)
		}
		read := int64(0)
		if ok {
			read = max(0, at.At)
		}
		p.Read += read
		p.Lag += end.Offset - read
	}
	return p, nil
}

// DeleteTopic deletes a topic with all its records.
func (c *Client) DeleteTopic(ctx context.Context, topic string) error {
	if _, err := c.admin.DeleteTopic(ctx, topic); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// Content is the number of records of a topic, and the SHA-256 of all that a consumer
// sees of them: partition, offset, timestamp, key, value and headers, in order.
type Content struct {
	Records int64
	SHA256  string
}

// Content reads a topic to the ends it has now, partition by partition.
func (c *Client) Content(ctx context.Context, topic string) (Content, error) {
	ends, err := c.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return Content{}, fmt.Errorf("list end offsets of %s: %w", topic, err)
	}
	content, sum := Content{}, sha256.New()
	for id := range int32(len(ends[topic])) {
		end, ok := ends.Lookup(topic, id)
		if !ok {
			return Content{}, fmt.Errorf("list end offsets of %s: no partition %d", topic, id)
		}
		n, err := c.readPartition(ctx, end, sum)
		if err != nil {
			return Content{}, fmt.Errorf("read %s-%d: %w", topic, id, err)
		}
		content.Records += n
	}
	content.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return content, nil
}

// readPartition feeds the records of one partition, up to its end, into the sum.
func (c *Client) readPartition(ctx context.Context, end kadm.ListedOffset, sum hash.Hash) (int64, error) {
	consumer, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{end.Topic: {end.Partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return 0, err
	}
	defer consumer.Close()
	var records int64
	for next := int64(0); next < end.Offset; {
		fetches := consumer.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return records, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < end.Offset {
				sum.Write(appendRecord(nil, r))
				records++
			}
			next = r.Offset + 1
		})
	}
	return records, nil
}

// appendRecord writes all of a record so that no two different ones are written alike.
func appendRecord(dst []byte, r *kgo.Record) []byte {
	field := func(b []byte) {
		length := int64(len(b))
		if b == nil {
			length = -1 // null is not empty
		}
		dst = binary.BigEndian.AppendUint64(dst, uint64(length))
		dst = append(dst, b...)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Partition))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Offset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Timestamp.UnixMilli()))
	field(r.Key)
	field(r.Value)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Headers)))
	for _, h := range r.Headers {
		field([]byte(h.Key))
		field(h.Value)
	}
	return dst
}
