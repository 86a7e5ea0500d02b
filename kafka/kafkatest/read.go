package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Record is a record as a consumer sees it. In Key, Value and the values of Headers null
// is nil, and empty is not nil.
type Record struct {
	Topic         string
	Partition     int32
	Offset        int64
	TimestampMs   int64
	TimestampType int8 // 0 is CreateTime, 1 LogAppendTime, -1 none (message format v0)
	Key, Value    []byte
	Headers       []kgo.RecordHeader // in their order
}

const (
	silence     = 500 * time.Millisecond // then we look what the rest of a partition is
	maxSilences = 120                    // in a row without any progress
	emptyLooks  = 3                      // one empty answer may be a broker's quota
	maxReadSize = 128 << 20
	maxLookSize = 16 << 20
)

// ReadAll reads every partition of a topic with an ordinary consumer, from its log start
// to the end that it has now: the high watermark, or with kgo.ReadCommitted the last
// stable offset. It returns the records in the order of partition and offset. An end is
// reached by position, also where control records, aborted records or compacted holes
// stand before it; control records are left out.
func ReadAll(ctx context.Context, addrs []string, topic string, isolation kgo.IsolationLevel) ([]Record, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(maxReadSize), kgo.FetchMaxPartitionBytes(maxReadSize/2), kgo.BrokerMaxReadBytes(4*maxReadSize),
		kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	defer client.Close()
	r := &reader{client: client, topic: topic, isolation: isolation, rest: map[int32]*span{}}
	if err := r.start(ctx); err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	slices.SortStableFunc(r.records, func(a, b Record) int { return int(a.Partition) - int(b.Partition) })
	return r.records, nil
}

// span is what is left to read of a partition: [firstOffset, nextOffset).
type span struct {
	firstOffset, nextOffset int64
	emptyLooks              int
}

type reader struct {
	client    *kgo.Client
	topic     string
	isolation kgo.IsolationLevel
	rest      map[int32]*span // the partitions that have not reached their ends
	records   []Record
}

// start finds what there is to read, and begins.
func (r *reader) start(ctx context.Context) error {
	adm := kadm.NewClient(r.client)
	starts, err := adm.ListStartOffsets(ctx, r.topic)
	if err != nil {
		return err
	}
	list := adm.ListEndOffsets
	if r.isolation == kgo.ReadCommitted() {
		list = adm.ListCommittedOffsets
	}
	ends, err := list(ctx, r.topic)
	if err != nil {
		return err
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return err
	}
	if len(starts[r.topic]) == 0 {
		return kerr.UnknownTopicOrPartition
	}
	positions := map[int32]kgo.Offset{}
	for id, start := range starts[r.topic] {
		end, ok := ends.Lookup(r.topic, id)
		if !ok {
			return fmt.Errorf("partition %d has a start and no end", id)
		}
		if start.Offset < end.Offset {
			r.rest[id] = &span{firstOffset: start.Offset, nextOffset: end.Offset}
			positions[id] = kgo.NewOffset().At(start.Offset)
		}
	}
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: positions})
	return nil
}

// run reads until every partition has reached its end.
func (r *reader) run(ctx context.Context) error {
	for silences := 0; len(r.rest) > 0; {
		progress, err := r.poll(ctx)
		if err == nil && !progress {
			progress, err = r.look(ctx)
		}
		if err != nil {
			return err
		}
		silences++
		if progress {
			silences = 0
		}
		if silences == maxSilences {
			return fmt.Errorf("no progress in %s, %s", maxSilences*silence, r)
		}
	}
	return nil
}

// poll takes what the consumer has; after a silence, nothing.
func (r *reader) poll(ctx context.Context) (progress bool, err error) {
	pollCtx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	fetches := r.client.PollFetches(pollCtx)
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("%w, %s", err, r)
	}
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) {
			return false, fmt.Errorf("partition %d: %w", e.Partition, e.Err)
		}
	}
	fetches.EachRecord(func(record *kgo.Record) {
		left := r.rest[record.Partition]
		if left == nil {
			return // written after we asked for the end
		}
		progress = true
		if record.Offset >= left.nextOffset {
			r.reached(record.Partition, left.nextOffset)
			return
		}
		if !record.Attrs.IsControl() {
			r.records = append(r.records, newRecord(record))
		}
		r.reached(record.Partition, record.Offset+1)
	})
	return progress, nil
}

func newRecord(r *kgo.Record) Record {
	return Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		TimestampMs: r.Timestamp.UnixMilli(), TimestampType: r.Attrs.TimestampType(),
		Key: r.Key, Value: r.Value, Headers: r.Headers,
	}
}

// reached notes that a partition has been read up to, and without, an offset.
func (r *reader) reached(partition int32, offset int64) {
	left := r.rest[partition]
	if left == nil {
		return
	}
	left.firstOffset, left.emptyLooks = max(left.firstOffset, offset), 0
	if left.firstOffset >= left.nextOffset {
		delete(r.rest, partition)
	}
}

// look finds out of what the consumer does not tell, its position behind batches from
// which no record comes: it fetches the rest of each partition, and if there is no record
// in what is there, that much has been read. Records are the consumer's to return.
func (r *reader) look(ctx context.Context) (progress bool, err error) {
	topics, err := kadm.NewClient(r.client).ListTopics(ctx, r.topic)
	if err != nil {
		return false, err
	}
	detail := topics[r.topic]
	for id, left := range r.rest {
		partition, ok := detail.Partitions[id]
		if !ok || partition.Leader < 0 {
			continue // for the moment
		}
		from := left.firstOffset
		resp, err := r.fetch(ctx, partition, detail.ID)
		if err != nil || resp.ErrorCode != 0 {
			continue // perhaps the leader moves: the consumer gives up what is hopeless
		}
		got, nextOffset := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
			KeepControlRecords: true, Offset: from, IsolationLevel: r.isolation, Topic: r.topic, Partition: id,
		}, &resp, kgo.DefaultDecompressor(), nil)
		switch {
		case got.Err != nil:
			return false, fmt.Errorf("partition %d: %w", id, got.Err)
		case len(got.Records) > 0:
		case nextOffset > from:
			r.reached(id, nextOffset)
			progress = true
		case len(resp.RecordBatches) == 0 && r.end(resp) >= left.nextOffset:
			if left.emptyLooks++; left.emptyLooks == emptyLooks {
				r.reached(id, left.nextOffset) // the log has no batch from here to there
				progress = true
			}
		}
	}
	return progress, nil
}

func (r *reader) end(resp kmsg.FetchResponseTopicPartition) int64 {
	if r.isolation == kgo.ReadCommitted() {
		return resp.LastStableOffset
	}
	return resp.HighWatermark
}

// fetch asks a partition's leader for what is left of it.
func (r *reader) fetch(ctx context.Context, of kadm.PartitionDetail, topicID kadm.TopicID) (kmsg.FetchResponseTopicPartition, error) {
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = of.Partition, r.rest[of.Partition].firstOffset, maxLookSize
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = r.topic, topicID
	topic.Partitions = append(topic.Partitions, partition)
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes = maxLookSize
	if r.isolation == kgo.ReadCommitted() {
		req.IsolationLevel = 1
	}
	req.Topics = append(req.Topics, topic)
	answer, err := r.client.Broker(int(of.Leader)).Request(ctx, req)
	if err != nil {
		return kmsg.FetchResponseTopicPartition{}, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if resp.ErrorCode != 0 {
		return kmsg.FetchResponseTopicPartition{}, kerr.ErrorForCode(resp.ErrorCode)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return kmsg.FetchResponseTopicPartition{}, errors.New("fetch: the answer is about something else")
	}
	return resp.Topics[0].Partitions[0], nil
}

// String says what is left, for errors.
func (r *reader) String() string {
	text := fmt.Sprintf("%d records read, left:", len(r.records))
	for id, left := range r.rest {
		text += fmt.Sprintf(" partition %d [%d, %d)", id, left.firstOffset, left.nextOffset)
	}
	return text
}
