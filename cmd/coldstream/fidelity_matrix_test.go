package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// cell is a partition of TestMatrix: what was written into it, and what became of its log.
type cell struct {
	topic     string
	partition int32
	codec     int
	shape     string // of its records
	fate      string // of the batch in the middle
	log       string
}

// recordShapes are those of single records.
func recordShapes() []string { return []string{"plain", "nulls", "headers", "sizes"} }

func matrixFates() []string { return []string{"plain", "committed", "aborted", "open"} }

// Topics of the matrix: CreateTime and LogAppendTime, with and without compaction.
func matrixTopics() map[string][]string {
	compaction := []string{"cleanup.policy=compact", "min.cleanable.dirty.ratio=0.001", "segment.ms=100"}
	brokersTime := "message.timestamp.type=LogAppendTime"
	return map[string][]string{
		"matrix-create": {"cleanup.policy=delete"}, "matrix-append": {brokersTime},
		"matrix-create-compacted": compaction, "matrix-append-compacted": append([]string{brokersTime}, compaction...),
	}
}

// matrixCells are all combinations, each a partition of its topic.
func matrixCells() map[string][]cell {
	cells := map[string][]cell{}
	for topic, configs := range matrixTopics() {
		logs := []string{"dense", "trimmed", "empty"}
		if slices.Contains(configs, "cleanup.policy=compact") {
			logs = []string{"compacted"}
		}
		for codec := range codecs() {
			for _, shape := range matrixShapes() {
				for _, fate := range matrixFates() {
					for _, log := range logs {
						cells[topic] = append(cells[topic], cell{topic, int32(len(cells[topic])), codec, shape, fate, log})
					}
				}
			}
		}
	}
	return cells
}

// The batch in the middle of a cell is at these offsets; all that are aborted or undecided are there.
const (
	middleFirst = 3
	middleNext  = 6
)

// record is the i-th record of a cell, by its offset but for markers.
func (c *cell) record(i int) *kgo.Record {
	r := &kgo.Record{
		Topic: c.topic, Partition: c.partition, Timestamp: time.UnixMilli(1_600_000_000_000 + int64(i/middleFirst)*10_000 + int64(i)),
		Key: fmt.Appendf(nil, "key %d", i), Value: fmt.Appendf(nil, "%s %s %s %d", c.shape, c.fate, c.log, i),
	}
	if i == 1 {
		r.Key = []byte("key 0") // so that a cleaner may remove the first one
	}
	shape := c.shape
	if shape == "mixed" {
		shape = recordShapes()[i%len(recordShapes())]
	}
	switch shape {
	case "nulls":
		if r.Value = nil; c.log != "compacted" {
			r.Key = nil
		}
	case "headers":
		r.Headers = []kgo.RecordHeader{{Key: "h", Value: nil}, {Key: "h", Value: []byte{}}, {Key: "", Value: []byte{0, 0xff}}}
	case "sizes":
		if r.Value = []byte{}; i%2 == 0 {
			r.Value = bytes.Repeat([]byte{byte(c.partition), byte(i), 0xfe}, 5000)
		}
	}
	return r
}

// survives says that a restore brings a record of the source back.
func (c *cell) survives(offset int64) bool {
	return c.fate == "plain" || c.fate == "committed" || offset < middleFirst || offset >= middleNext
}

// TestMatrix (in make long each shape of records by itself, else all in each batch): {codecs} × {shapes of records} × {CreateTime, LogAppendTime} × {plain, committed, aborted,
// open transaction} × {dense, compacted, trimmed, empty}, one backup and one restore. An ordinary consumer
// judges content, order, timestamps, offsets, and which record a consumer group reads next.
func TestMatrix(t *testing.T) {
	w := newWorld(t)
	cells := matrixCells()
	count := 0
	for topic, configs := range matrixTopics() {
		w.create(topic, int32(len(cells[topic])), append(configs, "retention.ms=-1")...)
		count += len(cells[topic])
	}
	if want := len(codecs()) * len(matrixShapes()) * 2 * len(matrixFates()) * 4; count != want {
		t.Fatalf("%d cells, want %d", count, want)
	}
	w.fillMatrix(cells)
	w.shapeLogs(cells)
	names := []string{}
	before := map[string][]kafkatest.Record{}
	for topic := range cells {
		names = append(names, topic)
		before[topic] = w.read(topic)
	}
	w.backup(names...)
	var args []string
	for _, topic := range names {
		args = append(args, "-t", topic, "--map", topic+"=again-"+topic)
	}
	r := w.restore(append(args, "--group", "matrix-group")...)
	if len(r.Partitions) != count || len(r.Groups) != 1 || len(r.Groups[0].Offsets) != count {
		t.Fatalf("restored %d partitions and %d offsets of a group, want %d", len(r.Partitions), len(r.Groups[0].Offsets), count)
	}
	exact := map[string]bool{}
	for _, p := range r.Partitions {
		exact[fmt.Sprintf("%s-%d", p.Topic, p.Partition)] = p.Offsets == "exact"
	}
	groups := w.committed("matrix-group")
	judged, isSame := 0, 0
	for topic := range cells {
		source, copied := byPartition(before[topic]), byPartition(w.read("again-"+topic))
		for i := range cells[topic] {
			c := &cells[topic][i]
			isExact := exact[fmt.Sprintf("%s-%d", topic, c.partition)]
			if why := c.judge(source[c.partition], copied[c.partition], isExact, groups[fmt.Sprintf("again-%s-%d", topic, c.partition)]); why != "" {
				t.Errorf("%+v: %s", *c, why)
			}
			judged++
			if isExact {
				isSame++
			}
		}
	}
	t.Logf("%d cells of %d judged: %d codecs × %d shapes × 2 timestamp types × %d fates × 4 logs; %d with the offsets that they had",
		judged, count, len(codecs()), len(matrixShapes()), len(matrixFates()), isSame)
	if judged != count {
		t.Errorf("judged %d of %d cells", judged, count)
	}
}

// judge compares what a consumer saw before and after.
func (c *cell) judge(source, copied []kafkatest.Record, isExact bool, committed string) string {
	var want []kafkatest.Record
	for _, r := range source {
		if c.survives(r.Offset) {
			want = append(want, r)
		}
	}
	if len(want) != len(copied) {
		return fmt.Sprintf("%d records came back, want %d", len(copied), len(want))
	}
	if (len(want) == 0) != (c.log == "empty") {
		return fmt.Sprintf("%d records", len(want))
	}
	if !isExact && c.fate == "plain" && c.log != "compacted" {
		return "its offsets were translated"
	}
	var at int64
	if _, err := fmt.Sscanf(committed, "%d", &at); err != nil {
		return fmt.Sprintf("the group's offset is %q", committed)
	}
	for i := range want {
		a, b := want[i], copied[i]
		if isExact && a.Offset != b.Offset {
			return fmt.Sprintf("record %d has offset %d, want %d", i, b.Offset, a.Offset)
		}
		if (a.Offset >= groupOffset) != (b.Offset >= at) {
			return fmt.Sprintf("the group goes on at offset %d, and record %d is at %d; it was at %d", at, i, b.Offset, a.Offset)
		}
		a.Topic, a.Offset, a.TimestampType = b.Topic, b.Offset, b.TimestampType // no producer can write LogAppendTime
		if kafkatest.ContentHash([]kafkatest.Record{a}) != kafkatest.ContentHash([]kafkatest.Record{b}) {
			return fmt.Sprintf("record %d is not the same: %.200v, want %.200v", i, b, a)
		}
	}
	return ""
}

func byPartition(records []kafkatest.Record) map[int32][]kafkatest.Record {
	out := map[int32][]kafkatest.Record{}
	for _, r := range records {
		out[r.Partition] = append(out[r.Partition], r)
	}
	return out
}

// groupOffset is where the group is in each partition: in the middle of the middle batch.
const groupOffset = 4

// fillMatrix writes three batches into each cell: plain, as its fate says, plain.
func (w *world) fillMatrix(cells map[string][]cell) {
	w.Helper()
	clients := map[string]*kgo.Client{}
	for codec, compression := range codecs() {
		for _, fate := range matrixFates() {
			opts := []kgo.Opt{kgo.ProducerBatchCompression(compression), kgo.RetryTimeout(time.Minute)}
			if fate != "plain" {
				opts = append(opts, kgo.TransactionalID(fmt.Sprintf("matrix-%s-%d", fate, codec)), kgo.TransactionTimeout(10*time.Minute))
			}
			clients[fmt.Sprint(fate, codec)] = w.newClient(opts...)
		}
	}
	w.writeMatrix(cells, 0, func(c *cell) *kgo.Client { return clients[fmt.Sprint("plain", c.codec)] })
	for codec := range codecs() {
		for _, fate := range matrixFates()[1:] {
			x := &transactor{world: w, client: clients[fmt.Sprint(fate, codec)]}
			x.begin()
			if fate == "open" {
				w.Cleanup(func() { x.client.EndTransaction(context.WithoutCancel(w.Context()), kgo.TryAbort) }) //nolint:errcheck // the broker would, minutes later
			}
		}
	}
	w.writeMatrix(cells, middleFirst, func(c *cell) *kgo.Client { return clients[fmt.Sprint(c.fate, c.codec)] })
	for codec := range codecs() {
		for fate, how := range map[string]kgo.TransactionEndTry{"committed": kgo.TryCommit, "aborted": kgo.TryAbort} {
			(&transactor{world: w, client: clients[fmt.Sprint(fate, codec)]}).end(how)
		}
	}
	w.writeMatrix(cells, middleNext, func(c *cell) *kgo.Client { return clients[fmt.Sprint("plain", c.codec)] })
}

// writeMatrix writes three records into each cell.
func (w *world) writeMatrix(cells map[string][]cell, first int, by func(*cell) *kgo.Client) {
	w.Helper()
	used := map[*kgo.Client]bool{}
	for _, some := range cells {
		for i := range some {
			client := by(&some[i])
			used[client] = true
			for n := range middleFirst {
				client.Produce(w.Context(), some[i].record(first+n), func(_ *kgo.Record, err error) {
					if err != nil {
						w.Errorf("produce: %v", err)
					}
				})
			}
		}
	}
	for client := range used {
		if err := client.Flush(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
}

// shapeLogs trims and empties logs, waits for the cleaner, and puts the group into each partition.
func (w *world) shapeLogs(cells map[string][]cell) {
	w.Helper()
	trims, group := kadm.Offsets{}, kadm.Offsets{}
	for topic, some := range cells {
		for i := range some {
			switch c := &some[i]; c.log {
			case "trimmed":
				trims.AddOffset(topic, c.partition, 1, -1)
			case "empty":
				trims.AddOffset(topic, c.partition, -1, -1) // to the end
			}
			group.AddOffset(topic, some[i].partition, groupOffset, -1)
		}
	}
	deleted, err := w.adm.DeleteRecords(w.Context(), trims)
	if err != nil || deleted.Error() != nil {
		w.Fatal(err, deleted.Error())
	}
	if err := w.adm.CommitAllOffsets(w.Context(), "matrix-group", group); err != nil {
		w.Fatal(err)
	}
	for topic, some := range cells {
		if some[0].log != "compacted" {
			continue
		}
		last := ""
		w.awaitWithin(5*time.Minute, "the cleaner has been in all partitions of "+topic+", and rests", func() bool {
			now := w.read(topic)
			cleaned, rests := true, kafkatest.ContentHash(now) == last
			for partition, records := range byPartition(now) {
				cleaned = cleaned && records[0].Offset > 0 && int(partition) < len(some)
			}
			last = kafkatest.ContentHash(now)
			return cleaned && rests
		})
	}
}
