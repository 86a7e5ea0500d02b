// Package recorddiff hides how two copies of a partition are held against each other: record by
// record, over the offsets that both have.
package recorddiff

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"coldstream"
	"coldstream/recordbatch"
)

// Record is a data record of one side.
type Record struct {
	recordbatch.Absolute
	// Uncommitted records belong to a transaction that was aborted, or not decided: a copy
	// may leave them out.
	Uncommitted bool
}

// Side is one copy of a partition.
type Side struct {
	// [LogStartOffset, NextOffset) are the offsets that the copy has.
	LogStartOffset, NextOffset int64
	// Compacted copies may have lost records to a cleaner.
	Compacted bool
	// Gaps are ranges that the copy does not know.
	Gaps []coldstream.Gap
	// Records yields the records of a range in offset order, aborted ones too. An error ends it.
	Records func(ctx context.Context, firstOffset, nextOffset int64) iter.Seq2[Record, error]
}

// Range are offsets, NextOffset not among them.
type Range struct {
	FirstOffset int64
	NextOffset  int64
}

// Kinds of differences.
const (
	Content       = "content"         // both have a record there, and not the same one
	MissingLeft   = "missing_left"    // only the right side has a record there
	MissingRight  = "missing_right"   // only the left side has a record there
	NothingToMeet = "nothing_to_meet" // there is no such partition on the right side
)

// Result is what became of one comparison.
type Result struct {
	Range // that both have, empty if there is none
	// Records were the same on both sides.
	Records int64
	// LeftOnly and RightOnly are the offsets outside of the range, by who has them.
	LeftOnly, RightOnly []Range
	// Compacted counts records that only one side has, and the other may have lost to its
	// cleaner; LeftOut counts those of transactions that were not committed.
	Compacted, LeftOut int64
	// Unknown counts records that one side has where the other has a gap.
	Unknown int64
	// First is the first offset that differs, with its kind and what differs; Count is how
	// many do.
	First  int64
	Kind   string
	Detail string
	Count  int64
}

// Differs says whether the sides are not the same.
func (r *Result) Differs() bool { return r.Count > 0 }

// tellEvery is how many records are compared between two calls of told.
const tellEvery = 1000

// Partition holds two copies of a partition against each other. It says now and then how many
// offsets it passed, and the size of the records there.
func Partition(ctx context.Context, left, right *Side, told func(offsets, bytes int64)) (*Result, error) {
	first, next := max(left.LogStartOffset, right.LogStartOffset), min(left.NextOffset, right.NextOffset)
	r := &Result{Range: Range{first, max(first, next)}}
	r.LeftOnly, r.RightOnly = outside(left, first, next), outside(right, first, next)
	if first >= next {
		return r, nil
	}
	m := &meeting{result: r, left: left, right: right, told: told, at: first}
	err := m.run(ctx)
	m.tell(next)
	return r, err
}

// outside are the offsets of a side that are not in a range.
func outside(s *Side, first, next int64) []Range {
	if first >= next {
		first, next = s.NextOffset, s.NextOffset
	}
	var out []Range
	if s.LogStartOffset < first {
		out = append(out, Range{s.LogStartOffset, first})
	}
	if next < s.NextOffset {
		out = append(out, Range{next, s.NextOffset})
	}
	return out
}

// meeting walks along both sides.
type meeting struct {
	result      *Result
	left, right *Side

	told  func(offsets, bytes int64)
	at    int64 // told up to there
	bytes int64 // not told yet
	count int
}

// tell says how far it is.
func (m *meeting) tell(offset int64) {
	m.told(max(0, offset-m.at), m.bytes)
	m.at, m.bytes = max(m.at, offset), 0
}

func (m *meeting) run(ctx context.Context) error {
	a, err := newCursor(ctx, m.left, m.result.Range)
	if err != nil {
		return err
	}
	defer a.stop()
	b, err := newCursor(ctx, m.right, m.result.Range)
	if err != nil {
		return err
	}
	defer b.stop()
	for a.has || b.has {
		switch {
		case !b.has || a.has && a.record.Offset < b.record.Offset:
			m.only(&a.record, m.left, m.right, MissingRight)
			err = a.advance()
		case !a.has || b.record.Offset < a.record.Offset:
			m.only(&b.record, m.right, m.left, MissingLeft)
			err = b.advance()
		default:
			m.both(&a.record, &b.record)
			if err = a.advance(); err == nil {
				err = b.advance()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *meeting) both(a, b *Record) {
	m.bytes += int64(len(a.Key) + len(a.Value))
	if m.count++; m.count%tellEvery == 0 {
		m.tell(a.Offset)
	}
	if detail := difference(&a.Absolute, &b.Absolute); detail != "" {
		m.differ(a.Offset, Content, detail)
		return
	}
	m.result.Records++
}

// only judges a record that one side alone has.
func (m *meeting) only(r *Record, has, lacks *Side, kind string) {
	switch {
	case inGap(lacks.Gaps, r.Offset):
		m.result.Unknown++
	case r.Uncommitted:
		m.result.LeftOut++
	case has.Compacted || lacks.Compacted:
		m.result.Compacted++
	default:
		m.differ(r.Offset, kind, "")
	}
}

func (m *meeting) differ(offset int64, kind, detail string) {
	if m.result.Count == 0 {
		m.result.First, m.result.Kind, m.result.Detail = offset, kind, detail
	}
	m.result.Count++
}

func inGap(gaps []coldstream.Gap, offset int64) bool {
	return slices.ContainsFunc(gaps, func(g coldstream.Gap) bool { return g.FirstOffset <= offset && offset < g.NextOffset })
}

// difference names what is not the same in two records of one offset; no content is in it.
func difference(a, b *recordbatch.Absolute) string {
	switch {
	case !sameBytes(a.Key, b.Key):
		return "key"
	case !sameBytes(a.Value, b.Value):
		return "value"
	case a.TimestampMs != b.TimestampMs:
		return fmt.Sprintf("timestamp, %d and %d", a.TimestampMs, b.TimestampMs)
	case !slices.EqualFunc(a.Headers, b.Headers, func(x, y recordbatch.Header) bool {
		return bytes.Equal(x.Key, y.Key) && sameBytes(x.Value, y.Value)
	}):
		return "headers"
	}
	return ""
}

// sameBytes tells null from empty.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// cursor stands at a record of a side.
type cursor struct {
	record Record
	has    bool
	last   int64
	pull   func() (Record, error, bool)
	stop   func()
}

func newCursor(ctx context.Context, s *Side, within Range) (*cursor, error) {
	pull, stop := iter.Pull2(s.Records(ctx, within.FirstOffset, within.NextOffset))
	c := &cursor{pull: pull, stop: stop, last: -1}
	if err := c.advance(); err != nil {
		stop()
		return nil, err
	}
	return c, nil
}

func (c *cursor) advance() error {
	record, err, has := c.pull()
	switch {
	case !has:
		c.has = false
		return nil
	case err != nil:
		return err
	case record.Offset <= c.last:
		return fmt.Errorf("offset %d came after offset %d: %w", record.Offset, c.last, coldstream.ErrCorrupt)
	}
	c.record, c.has, c.last = record, true, record.Offset
	return nil
}
