package vault

import (
	"cmp"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/pack"
)

// factsBuilder brings the facts of one commit into the order and with the references
// that the format demands.
type factsBuilder struct {
	changes *Changes
	blocks  []*pack.Block

	incarnations []coldstream.Incarnation
	streams      []coldstream.Stream
}

// newFactsBuilder collects every stream that the changes name, and topics besides.
func newFactsBuilder(changes *Changes, blocks []*pack.Block, topics []coldstream.Incarnation) *factsBuilder {
	f := &factsBuilder{changes: changes, blocks: blocks}
	for _, b := range blocks {
		f.streams = append(f.streams, b.Stream)
	}
	for _, g := range changes.Gaps {
		f.streams = append(f.streams, g.Stream)
	}
	for _, s := range changes.Scans {
		f.streams = append(f.streams, s.Stream)
	}
	if changes.Snapshot != nil {
		for _, view := range changes.Snapshot.Views {
			f.streams = append(f.streams, view.Stream)
		}
	}
	slices.SortFunc(f.streams, coldstream.Stream.Compare)
	f.streams = slices.Compact(f.streams)
	for _, s := range f.streams {
		f.incarnations = append(f.incarnations, s.Incarnation)
	}
	if len(topics) > 0 {
		f.incarnations = append(f.incarnations, topics...)
		slices.SortFunc(f.incarnations, coldstream.Incarnation.Compare)
	}
	f.incarnations = slices.Compact(f.incarnations)
	return f
}

// incarnation finds a topic that the changes name.
func (f *factsBuilder) incarnation(in coldstream.Incarnation) int {
	i, _ := slices.BinarySearchFunc(f.incarnations, in, coldstream.Incarnation.Compare)
	return i
}

// index finds a stream that the changes name.
func (f *factsBuilder) index(s coldstream.Stream) int {
	i, _ := slices.BinarySearchFunc(f.streams, s, coldstream.Stream.Compare)
	return i
}

func (f *factsBuilder) build(commitMs int64) format.Facts {
	facts := format.Facts{Incarnations: f.incarnations}
	for _, s := range f.streams {
		facts.Streams = append(facts.Streams, format.StreamRef{Incarnation: f.incarnation(s.Incarnation), Partition: s.Partition})
	}
	for _, b := range f.blocks {
		b.Row.Stream, b.Row.CommitMs = f.index(b.Stream), commitMs
		facts.Rows = append(facts.Rows, b.Row)
	}
	slices.SortStableFunc(facts.Rows, func(a, b format.Row) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Scan, b.Scan), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
	for _, s := range f.changes.Scans {
		facts.Scans = append(facts.Scans, format.Scan{
			Stream: f.index(s.Stream), Number: s.Scan, FirstOffset: s.FirstOffset, StartedMs: s.Started.UnixMilli(),
		})
	}
	for _, g := range f.changes.Gaps {
		facts.Gaps = append(facts.Gaps, format.Gap{
			Stream: f.index(g.Stream), Scan: g.Scan, FirstOffset: g.FirstOffset, NextOffset: g.NextOffset,
			Cause: g.Cause, TimeMs: commitMs,
		})
	}
	slices.SortFunc(facts.Scans, func(a, b format.Scan) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number))
	})
	slices.SortFunc(facts.Gaps, func(a, b format.Gap) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Scan, b.Scan), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
	return facts
}
