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

	"coldstream/bench/wire"
	"coldstream/recordbatch"
)

// baseTimestampMs is that of the first record of each partition: 2026-01-05 00:00 UTC.
const baseTimestampMs = 1_767_571_200_000

// Workload is one topic to measure with.
type Workload struct {
	Name         string
	Title        string
	Partitions   int32
	Records      int64 // of all partitions, at scale 1
	BatchRecords int
	Codec        recordbatch.Codec
	event        func(g *generator, dst []byte) []byte
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

// Choose returns the named workloads (W1,W3), with scale times as many records.
func Choose(names string, scale float64) ([]Workload, error) {
	all := All()
	var out []Workload
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(w Workload) bool { return w.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no workload %q: there are W1, W2 and W3", name)
		}
		w := all[i]
		perPartition := max(1, int64(scale*float64(w.Records)/float64(w.Partitions)+0.5))
		w.Records = perPartition * int64(w.Partitions)
		out = append(out, w)
	}
	return out, nil
}

// Topic is the name of the workload's topic.
func (w *Workload) Topic() string { return "bench-" + strings.ToLower(w.Name) }

// perPartition is how many records each partition has.
func (w *Workload) perPartition() int64 { return w.Records / int64(w.Partitions) }

// Load makes the workload's topic and fills it.
func (w *Workload) Load(ctx context.Context, addr string, seed uint64) error {
	topic, err := wire.Create(ctx, addr, wire.NewTopic{Name: w.Topic(), Partitions: w.Partitions})
	if err != nil {
		return err
	}
	return wire.Lanes(ctx, addr, func(ctx context.Context, lane int, send wire.Send) error {
		l := &loader{workload: w, topic: topic, send: send}
		for p := int32(lane); p < w.Partitions; p += wire.LaneCount {
			l.parts = append(l.parts, &partition{id: p, generator: newGenerator(seed, p)})
		}
		return l.run(ctx)
	})
}

// loader fills the partitions of one lane, a batch each in turn.
type loader struct {
	workload *Workload
	topic    wire.Topic
	send     wire.Send
	parts    []*partition
	request  []wire.Batch
	size     int
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
