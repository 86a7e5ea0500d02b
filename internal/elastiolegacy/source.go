package elastiolegacy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"coldstream"
	"coldstream/recordbatch"
)

// What one batch holds at most; a larger record is a batch of its own.
const (
	batchRecords = 1000
	batchBytes   = 1 << 20
)

// lifetime is one incarnation of a topic as the points show it.
type lifetime struct {
	topic  string
	number int
	points []*pointFile
	known  map[int32]Range // that the vault holds of it
	// conflict is what parts it from the lifetime before.
	conflict *conflictError
}

// Range is offsets of a partition: [FirstOffset, NextOffset).
type Range struct{ FirstOffset, NextOffset int64 }

// TopicID names the n-th incarnation of a topic of recovery points: the same each time.
func TopicID(topic string, n int) coldstream.TopicID {
	sum := sha256.Sum256([]byte(ClusterID + "\x00" + topic + "\x00" + strconv.Itoa(n)))
	return coldstream.TopicID(sum[:16])
}

// Source shows topics of an import, each in one incarnation, as a cluster.
type Source struct{ topics []*lifetime }

var _ coldstream.Source = (*Source)(nil)

// Patterns choose all of its topics, internal ones too.
func (s *Source) Patterns() (*coldstream.Patterns, error) {
	var names []string
	for _, l := range s.topics {
		names = append(names, l.topic)
	}
	return coldstream.ParsePatterns(names, nil)
}

// Metadata is [coldstream.ClusterReader.Metadata].
func (s *Source) Metadata(_ context.Context, names []string) (*coldstream.Cluster, error) {
	out := &coldstream.Cluster{ID: ClusterID, ControllerID: -1}
	for _, l := range s.topics {
		if names != nil && !slices.Contains(names, l.topic) {
			continue
		}
		t := coldstream.Topic{Name: l.topic, ID: TopicID(l.topic, l.number), CleanupPolicy: "delete"}
		for p := range l.partitionCount() {
			t.Partitions = append(t.Partitions, coldstream.Partition{ID: p, Leader: 0, LeaderEpoch: 0, Replicas: []int32{0}})
		}
		out.Topics = append(out.Topics, t)
	}
	return out, nil
}

// partitionCount counts all up to the highest that is known: lower ones without records are empty.
func (l *lifetime) partitionCount() int32 {
	highest := int32(-1)
	for _, p := range l.points {
		for tp := range p.partitions {
			if tp.Topic == l.topic {
				highest = max(highest, tp.Partition)
			}
		}
	}
	for partition := range l.known {
		highest = max(highest, partition)
	}
	return highest + 1
}

// LogOffsets is [coldstream.ClusterReader.LogOffsets].
func (s *Source) LogOffsets(_ context.Context, tps []coldstream.TopicPartition) (map[coldstream.TopicPartition]coldstream.LogOffsets, error) {
	out := map[coldstream.TopicPartition]coldstream.LogOffsets{}
	for _, tp := range tps {
		if l := s.find(tp.Topic); l != nil {
			out[tp] = l.log(tp)
		} else {
			out[tp] = coldstream.LogOffsets{Err: coldstream.ErrUnknownTopic}
		}
	}
	return out, nil
}

func (s *Source) find(topic string) *lifetime {
	i := slices.IndexFunc(s.topics, func(l *lifetime) bool { return l.topic == topic })
	if i < 0 {
		return nil
	}
	return s.topics[i]
}

func (l *lifetime) log(tp coldstream.TopicPartition) coldstream.LogOffsets {
	known, isKnown := l.known[tp.Partition]
	log := coldstream.LogOffsets{LogStartOffset: known.FirstOffset, HighWatermark: known.NextOffset}
	if all := spans(l.points, tp); len(all) > 0 {
		if !isKnown {
			log.LogStartOffset = all[0].firstOffset
		}
		log.HighWatermark = max(log.HighWatermark, all[len(all)-1].lastOffset+1)
	}
	return log
}

// Missing lists the offsets that no point covers, as a fetch will report them.
func (s *Source) Missing() []coldstream.Gap {
	var out []coldstream.Gap
	for _, l := range s.topics {
		for p := range l.partitionCount() {
			tp := coldstream.TopicPartition{Topic: l.topic, Partition: p}
			known, isKnown := l.known[p]
			next := known.NextOffset
			for i, covered := range spans(l.points, tp) {
				if covered.firstOffset > next && (isKnown || i > 0) {
					out = append(out, coldstream.Gap{
						TopicPartition: tp, FirstOffset: next, NextOffset: covered.firstOffset, Cause: coldstream.GapLogStartAdvanced,
					})
				}
				next = max(next, covered.lastOffset+1)
			}
		}
	}
	return out
}

// Groups is [coldstream.ClusterReader.Groups]: recovery points have none.
func (s *Source) Groups(context.Context) (*coldstream.Groups, error) {
	return &coldstream.Groups{}, nil
}

// TopicConfigs is [coldstream.ConfigReader.TopicConfigs]: recovery points tell none.
func (s *Source) TopicConfigs(context.Context, []coldstream.Topic) error { return nil }

// TopicDefaults is [coldstream.ConfigReader.TopicDefaults]: recovery points tell none.
func (s *Source) TopicDefaults(context.Context, []string) (*coldstream.TopicDefaults, error) {
	return &coldstream.TopicDefaults{}, nil
}

// Close is [coldstream.ClusterReader.Close].
func (s *Source) Close() {}

// Fetch is [coldstream.Source.Fetch].
func (s *Source) Fetch(ctx context.Context, plan []coldstream.FetchPosition, sink coldstream.FetchSink) error {
	for _, at := range plan {
		l := s.find(at.Topic)
		if l == nil {
			return fmt.Errorf("fetch %s: %w", at.TopicPartition, coldstream.ErrUnknownTopic)
		}
		f := &fetch{sink: sink, tp: at.TopicPartition, log: l.log(at.TopicPartition), next: at.NextOffset, spans: spans(l.points, at.TopicPartition)}
		if err := f.run(ctx, l.points); err != nil {
			return err
		}
	}
	return nil
}

// fetch reads one partition to its end.
type fetch struct {
	sink    coldstream.FetchSink
	tp      coldstream.TopicPartition
	log     coldstream.LogOffsets
	spans   []span
	next    int64 // all below is handed over, or waits in records
	from    int64 // where what waits begins
	records []recordbatch.Absolute
	bytes   int
}

func (f *fetch) run(ctx context.Context, points []*pointFile) error {
	f.from = f.next
	for r, err := range merged(points, f.tp, f.next) {
		var conflict *conflictError
		if errors.As(err, &conflict) {
			return fmt.Errorf("recovery points changed while they were read: %w", err)
		}
		if err == nil {
			err = f.add(ctx, r)
		}
		if err != nil {
			return err
		}
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	return f.sink.Take(ctx, &coldstream.PartitionDone{TopicPartition: f.tp, NextOffset: f.next, LogOffsets: f.log})
}

// add takes a record. A hole in front of it that no point covers is a gap; another one is
// a hole that the log had.
func (f *fetch) add(ctx context.Context, r recordbatch.Absolute) error {
	size := len(r.Key) + len(r.Value)
	if r.Offset > f.next || len(f.records) >= batchRecords || f.bytes+size > batchBytes {
		if err := f.flush(ctx); err != nil {
			return err
		}
		if gap := f.gap(r.Offset); gap != nil {
			if err := f.sink.Take(ctx, gap); err != nil {
				return err
			}
			f.from = r.Offset
		}
	}
	f.records, f.bytes, f.next = append(f.records, r), f.bytes+size, r.Offset+1
	return nil
}

// gap is what is missing between the position and the next record, if no point covers it.
func (f *fetch) gap(offset int64) *coldstream.FetchGap {
	if offset <= f.next {
		return nil
	}
	for _, s := range f.spans {
		if s.firstOffset < offset && offset <= s.lastOffset && s.firstOffset <= f.next {
			return nil
		}
	}
	return &coldstream.FetchGap{Gap: coldstream.Gap{
		TopicPartition: f.tp, FirstOffset: f.next, NextOffset: offset, Cause: coldstream.GapLogStartAdvanced,
	}}
}

// flush hands over what waits as one batch, with the hole in front of it.
func (f *fetch) flush(ctx context.Context) error {
	if len(f.records) == 0 {
		return nil
	}
	batch, err := recordbatch.Build(f.records, recordbatch.CodecNone, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
	if err != nil {
		return fmt.Errorf("%s at offset %d: %w", f.tp, f.records[0].Offset, err)
	}
	batch.Place(f.records[0].Offset, 0)
	event := &coldstream.Fetched{
		TopicPartition: f.tp, FirstOffset: f.from, NextOffset: f.next, Batches: batch, LogOffsets: f.log,
	}
	f.from, f.records, f.bytes = f.next, nil, 0
	return f.sink.Take(ctx, event)
}
