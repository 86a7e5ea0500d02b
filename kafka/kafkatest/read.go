package kafkatest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is a record as a consumer sees it. Null is nil and empty is not.
type Record struct {
	Partition     int32
	Offset        int64
	TimestampMs   int64
	LogAppendTime bool
	Key, Value    []byte
	Headers       []kgo.RecordHeader
}

// ReadAll reads each partition of a topic with an ordinary consumer, from its start to
// the end that it has now, and returns the records in the order of partition and offset.
// Ends are reached by position: control records count, and are left out.
func ReadAll(ctx context.Context, addrs []string, topic string, isolation kgo.IsolationLevel) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(64<<20), kgo.BrokerMaxReadBytes(512<<20), kgo.FetchMaxPartitionBytes(64<<20), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	positions, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for id, start := range starts[topic] {
		if err := start.Err; err != nil {
			return nil, fmt.Errorf("%s-%d: %w", topic, id, err)
		}
		if end := ends[topic][id].Offset; start.Offset < end {
			positions[id], left[id] = kgo.NewOffset().At(start.Offset), end
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: positions})
	out, err := drain(ctx, client, left)
	slices.SortFunc(out, func(a, b Record) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	return out, err
}

// drain polls until every partition's position is at its end. A log whose tail the
// cleaner emptied has no record there, and ends with ctx.
func drain(ctx context.Context, client *kgo.Client, left map[int32]int64) ([]Record, error) {
	var out []Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%d partitions did not end: %w", len(left), err)
		}
		for _, e := range fetches.Errors() {
			return nil, e.Err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				out = append(out, Record{r.Partition, r.Offset, r.Timestamp.UnixMilli(), r.Attrs.TimestampType() == 1, r.Key, r.Value, r.Headers})
			}
		})
	}
	return out, nil
}

// ContentHash is a SHA-256 over records: partition, offset, timestamp, key, value and
// headers, null and empty told apart.
func ContentHash(records []Record) string {
	h := sha256.New()
	number := func(v int64) { _ = binary.Write(h, binary.BigEndian, v) } // a hash takes all
	field := func(b []byte) {
		if b == nil {
			number(-1)
			return
		}
		number(int64(len(b)))
		h.Write(b)
	}
	for _, r := range records {
		number(int64(r.Partition))
		number(r.Offset)
		number(r.TimestampMs)
		field(r.Key)
		field(r.Value)
		number(int64(len(r.Headers)))
		for _, header := range r.Headers {
			field([]byte(header.Key))
			field(header.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
