// Package workload hides what is in the topics that are measured: records that look like
// those of real services, the same for the same seed, and a digest by which what came
// back is compared with them.
package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"coldstream/bench/wire"
	"coldstream/recordbatch"
)

// baseTimestampMs is that of the first record of each partition: 2026-01-05 00:00 UTC.
const baseTimestampMs = 1_767_571_200_000

// Workload is one topic to measure with, or many of the same kind.
type Workload struct {
	Name         string
	Title        string
	Topics       int   // 0 is one
	Partitions   int32 // of each topic
	Records      int64 // of all partitions, at scale 1
	BatchRecords int
	Codec        recordbatch.Codec
	event        func(g *generator, dst []byte) []byte
	// narrows says that a smaller scale has fewer partitions, each with as many records.
	narrows bool
	// configs are those of its topics.
	configs map[string]string
}

// All are the workloads, at scale 1.
func All() []Workload {
	return []Workload{
		{
			Name: "W1", Title: "2.0 GB of 1 KB JSON records, not compressed, 8 partitions, 64 records a batch",
			Partitions: 8, Records: 1_900_000, BatchRecords: 64, Codec: recordbatch.CodecNone, event: (*generator).order,
		},
		{
			Name: "W2", Title: "the same records, compressed by the producer with zstd, 512 records a batch",
			Partitions: 8, Records: 1_900_000, BatchRecords: 512, Codec: recordbatch.CodecZstd, event: (*generator).order,
		},
		{
			Name: "W3", Title: "213 MB of 100-byte JSON records, not compressed, 1,000 partitions, 100 records a batch",
			Partitions: 1000, Records: 2_000_000, BatchRecords: 100, Codec: recordbatch.CodecNone, event: (*generator).reading,
		},
	}
}

// Growth are workloads that have more of one thing, at scale 1. Thousands of indexes of
// 10 MB would take most of the disk, so theirs are small; and where each round adds a
// little to each partition, no round is the one in which all get their first index.
func Growth() []Workload {
	smallIndexes := map[string]string{"segment.index.bytes": "65536"}
	noIndexes := map[string]string{"segment.index.bytes": "65536", "index.interval.bytes": "16777216"}
	return []Workload{
		{
			Name: "one", Title: "500 MB of W1's records in one partition",
			Partitions: 1, Records: 475_000, BatchRecords: 64, Codec: recordbatch.CodecNone, event: (*generator).order,
		},
		{
			Name: "catchup", Title: "400 MB of W3's records in 2,000 partitions",
			Partitions: 2000, Records: 3_800_000, BatchRecords: 100, Codec: recordbatch.CodecNone, event: (*generator).reading,
			narrows: true, configs: smallIndexes,
		},
		{
			Name: "latency", Title: "500 MB of W1's records in 8 partitions",
			Partitions: 8, Records: 475_000, BatchRecords: 64, Codec: recordbatch.CodecNone, event: (*generator).order,
		},
		{
			Name: "many-5000", Title: "one batch of 10 of W3's records in each of 5,000 partitions",
			Topics: 50, Partitions: 100, Records: 50_000, BatchRecords: 10, Codec: recordbatch.CodecNone, event: (*generator).reading,
			narrows: true, configs: noIndexes,
		},
		{
			Name: "many-10000", Title: "one batch of 10 of W3's records in each of 10,000 partitions",
			Topics: 100, Partitions: 100, Records: 100_000, BatchRecords: 10, Codec: recordbatch.CodecNone, event: (*generator).reading,
			narrows: true, configs: noIndexes,
		},
	}
}

// Far are workloads for vaults that are far away, at scale 1.
func Far() []Workload {
	return []Workload{{
		Name: "gigabyte", Title: "1.0 GB of W1's records in 8 partitions",
		Partitions: 8, Records: 950_000, BatchRecords: 64, Codec: recordbatch.CodecNone, event: (*generator).order,
	}}
}

// Choose returns those of all that are named (W1,W3), with scale times as many records.
func Choose(all []Workload, names string, scale float64) ([]Workload, error) {
	var out []Workload
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(w Workload) bool { return w.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no workload %q: there are %s", name, Names(all))
		}
		w := all[i]
		w.scale(scale)
		out = append(out, w)
	}
	return out, nil
}

// Names are the names of workloads as Choose takes them.
func Names(all []Workload) string {
	var names []string
	for i := range all {
		names = append(names, all[i].Name)
	}
	return strings.Join(names, ",")
}

func (w *Workload) scale(scale float64) {
	scaled := func(n int64) int64 { return max(1, int64(scale*float64(n)+0.5)) }
	each := w.perPartition()
	switch {
	case w.narrows && w.Topics > 0:
		w.Topics = int(scaled(int64(w.Topics)))
	case w.narrows:
		w.Partitions = int32(scaled(int64(w.Partitions)))
	default:
		each = scaled(each)
	}
	w.Records = each * w.AllPartitions()
}

// Topic is the name of the workload's topic, if it has one.
func (w *Workload) Topic() string { return "bench-" + strings.ToLower(w.Name) }

// TopicNames are the names of all its topics. Of two workloads with many, the larger has
// those of the smaller one, too.
func (w *Workload) TopicNames() []string {
	if w.Topics == 0 {
		return []string{w.Topic()}
	}
	var names []string
	for n := range w.Topics {
		names = append(names, fmt.Sprintf("bench-many-%03d", n))
	}
	return names
}

// AllPartitions is the number of partitions of all topics.
func (w *Workload) AllPartitions() int64 { return int64(w.Partitions) * int64(max(1, w.Topics)) }

// perPartition is how many records each partition has.
func (w *Workload) perPartition() int64 { return w.Records / w.AllPartitions() }

// Load makes the workload's topic and fills it, and returns how many bytes it sent. Where
// a workload has many topics it makes those that are not there, and adds to each.
func (w *Workload) Load(ctx context.Context, addr string, seed uint64) (sentBytes int64, err error) {
	var all []wire.NewTopic
	for _, name := range w.TopicNames() {
		all = append(all, wire.NewTopic{Name: name, Partitions: w.Partitions, Configs: w.configs, Keep: w.Topics > 0})
	}
	topics, err := wire.CreateAll(ctx, addr, all)
	if err != nil {
		return 0, err
	}
	var sent atomic.Int64
	err = wire.Lanes(ctx, addr, func(ctx context.Context, lane int, send wire.Send) error {
		for n, topic := range topics {
			l := &loader{workload: w, topic: topic, send: send}
			for p := int32(lane); p < w.Partitions; p += wire.LaneCount {
				l.parts = append(l.parts, &partition{id: p, generator: newGenerator(seed, int32(n)*w.Partitions+p)})
			}
			if err := l.run(ctx); err != nil {
				return err
			}
			sent.Add(l.sent)
		}
		return nil
	})
	return sent.Load(), err
}

// loader fills the partitions of one lane, a batch each in turn.
type loader struct {
	workload *Workload
	topic    wire.Topic
	send     wire.Send
	parts    []*partition
	request  []wire.Batch
	size     int
	sent     int64 // bytes
}

type partition struct {
	id        int32
	generator *generator
	made      int64
}

func (l *loader) run(ctx context.Context) error {
	for made := int64(0); made < l.workload.perPartition(); made += int64(l.workload.BatchRecords) {
		for _, p := range l.parts {
			b, err := p.batch(l.workload)
			if err != nil {
				return err
			}
			if l.size+len(b) > wire.RequestBytes {
				if err := l.flush(ctx); err != nil {
					return err
				}
			}
			l.request = append(l.request, wire.Batch{Partition: p.id, Bytes: b})
			l.size += len(b)
		}
		// The next round would bring a second batch of the same partitions.
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) flush(ctx context.Context) error {
	if len(l.request) == 0 {
		return nil
	}
	err := l.send(ctx, l.topic, l.request)
	l.sent += int64(l.size)
	l.request, l.size = l.request[:0], 0
	return err
}

// batch makes the partition's next batch.
func (p *partition) batch(w *Workload) (recordbatch.Batch, error) {
	n := min(int64(w.BatchRecords), w.perPartition()-p.made)
	records := make([]recordbatch.Absolute, n)
	var values []byte
	for i := range records {
		from := len(values)
		values = w.event(p.generator, values)
		records[i] = recordbatch.Absolute{Offset: int64(i), TimestampMs: p.generator.ms, Value: values[from:len(values):len(values)]}
	}
	p.made += n
	return recordbatch.Build(records, w.Codec, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
}

// Sample returns values like those of the first partition, a line each: what other
// producers are given to send.
func (w *Workload) Sample(seed uint64, count int) []byte {
	var out []byte
	g := newGenerator(seed, 0)
	for range count {
		out = append(w.event(g, out), '\n')
	}
	return out
}

func newGenerator(seed uint64, partition int32) *generator {
	return &generator{rng: rand.New(rand.NewPCG(seed, uint64(partition))), ms: baseTimestampMs}
}
