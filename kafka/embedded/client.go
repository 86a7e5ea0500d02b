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
	producer, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
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
	if err := c.producer.ProduceSync(ctx, toSend(records)...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return nil
}

func toSend(records []Record) []*kgo.Record {
	out := make([]*kgo.Record, len(records))
	for i, r := range records {
		out[i] = &kgo.Record{
			Topic: r.Topic, Key: []byte(r.Key), Value: r.Value, Timestamp: r.Time,
			Headers: []kgo.RecordHeader{{Key: "source", Value: []byte(r.Source)}},
		}
	}
	return out
}

// Transactor is an application that produces in transactions.
type Transactor struct{ producer *kgo.Client }

// NewTransactor makes one with a transactional ID; the caller closes it.
func (c *Client) NewTransactor(id string) (*Transactor, error) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.TransactionalID(id), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return nil, fmt.Errorf("make transactional client: %w", err)
	}
	return &Transactor{producer}, nil
}

// Close ends its connections.
func (t *Transactor) Close() { t.producer.Close() }

// Commit produces records in a transaction of their own.
func (t *Transactor) Commit(ctx context.Context, records []Record) error {
	return t.transact(ctx, records, kgo.TryCommit)
}

// Abort produces records in a transaction that is aborted then: brokers have them, and
// consumers of committed records do not see them.
func (t *Transactor) Abort(ctx context.Context, records []Record) error {
	return t.transact(ctx, records, kgo.TryAbort)
}

func (t *Transactor) transact(ctx context.Context, records []Record, end kgo.TransactionEndTry) error {
	if err := t.producer.BeginTransaction(); err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if err := t.producer.ProduceSync(ctx, toSend(records)...).FirstErr(); err != nil {
		return fmt.Errorf("produce in a transaction: %w", err)
	}
	if err := t.producer.EndTransaction(ctx, end); err != nil {
		return fmt.Errorf("end a transaction: %w", err)
	}
	return nil
}

// Consume reads at most limit records of a topic as a member of a consumer group,
// commits how far it came, and leaves the group.
func (c *Client) Consume(ctx context.Context, group, topic string, limit int) error {
	member, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
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

// DeleteTopic deletes a topic with all its records.
func (c *Client) DeleteTopic(ctx context.Context, topic string) error {
	if _, err := c.admin.DeleteTopic(ctx, topic); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// Content is what a consumer of committed records sees of a topic. The sums are SHA-256 over
// partition, timestamp, key, value and headers of each record, in order.
type Content struct {
	Records int64
	SHA256  string
	// WithOffsets is the sum over the offsets too.
	WithOffsets string
	// Read are the records before a group's committed offsets; Rest is the sum over the
	// others, with which the group goes on.
	Read int64
	Rest string
}

// Content reads a topic to the ends it has now, partition by partition, beside the offsets
// that a group has committed.
func (c *Client) Content(ctx context.Context, topic, group string) (Content, error) {
	ends, err := c.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return Content{}, fmt.Errorf("list end offsets of %s: %w", topic, err)
	}
	committed, err := c.admin.FetchOffsetsForTopics(ctx, group, topic)
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return Content{}, fmt.Errorf("fetch offsets of group %s: %w", group, err)
	}
	sums := contentSums{all: sha256.New(), withOffsets: sha256.New(), rest: sha256.New()}
	for id := range int32(len(ends[topic])) {
		end, ok := ends.Lookup(topic, id)
		if !ok {
			return Content{}, fmt.Errorf("list end offsets of %s: no partition %d", topic, id)
		}
		at := int64(0)
		if o, ok := committed.Lookup(topic, id); ok {
			at = o.At
		}
		if err := c.readPartition(ctx, end, func(r *kgo.Record) { sums.add(r, at) }); err != nil {
			return Content{}, fmt.Errorf("read %s-%d: %w", topic, id, err)
		}
	}
	sums.content.SHA256 = hex.EncodeToString(sums.all.Sum(nil))
	sums.content.WithOffsets = hex.EncodeToString(sums.withOffsets.Sum(nil))
	sums.content.Rest = hex.EncodeToString(sums.rest.Sum(nil))
	return sums.content, nil
}

type contentSums struct {
	content                Content
	all, withOffsets, rest hash.Hash
}

// add takes a record of a partition in which a group has committed an offset.
func (s *contentSums) add(r *kgo.Record, committed int64) {
	s.withOffsets.Write(appendRecord(nil, r))
	placeless := *r
	placeless.Offset = 0
	b := appendRecord(nil, &placeless)
	s.all.Write(b)
	s.content.Records++
	if r.Offset < committed {
		s.content.Read++
	} else {
		s.rest.Write(b)
	}
}

// readPartition hands the committed records of one partition on, up to its end.
func (c *Client) readPartition(ctx context.Context, end kadm.ListedOffset, take func(*kgo.Record)) error {
	if end.Offset == 0 {
		return nil
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // which may be the last ones
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{end.Topic: {end.Partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return err
	}
	defer consumer.Close()
	for next := int64(0); next < end.Offset; {
		fetches := consumer.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < end.Offset && !r.Attrs.IsControl() {
				take(r)
			}
			next = r.Offset + 1
		})
	}
	return nil
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
