package lineage

import (
	"cmp"
	"math"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
)

// Segment is a part of a row that may be read: what one leader epoch wrote, up to where
// the next one begins.
type Segment struct {
	FirstOffset, NextOffset int64
	Row                     *Row
	forked                  bool // a newer epoch ends it
}

// Range is offsets of one stream.
type Range struct{ FirstOffset, NextOffset int64 }

// Coverage is what the rows of a stream make of a view.
type Coverage struct {
	Runs []Run
	Gaps []coldstream.Gap
	Lost []Range // that nothing explains
	// Doubtful are the segments of rows that may be damaged, whether they are read or not.
	Doubtful []Segment
}

// Cover chooses runs that cover a view without overlap. What no row with data covers was
// empty when it was read, or is a gap, or is lost.
func (s *Set) Cover(view View) Coverage {
	var out Coverage
	choice := s.segments(view)
	out.Doubtful = choice.doubtful.segments
	slices.SortFunc(s.Gaps, func(a, b format.Gap) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	for at := view.LogStartOffset; at < view.NextOffset; {
		best, next := choice.at(at)
		next = min(next, view.NextOffset)
		if best != nil {
			out.Runs = append(out.Runs, best.Run(at, next))
			at = next
			continue
		}
		if gap, ok := s.explain(at, next); ok {
			gap.TopicPartition = view.Stream.TopicPartition()
			out.Gaps = append(out.Gaps, gap)
			at = gap.NextOffset
			continue
		}
		next = min(next, s.nextGap(at))
		out.Lost = append(out.Lost, Range{at, next})
		at = next
	}
	return out
}

// sweep goes through segments, which ascend, with an offset that only grows.
type sweep struct {
	segments []Segment
	best     *Segment // of those that begin at or below the offset, the one that goes furthest
}

// at is the segment that covers an offset and goes furthest.
func (s *sweep) at(offset int64) *Segment {
	for len(s.segments) > 0 && s.segments[0].FirstOffset <= offset {
		if s.best == nil || s.segments[0].NextOffset > s.best.NextOffset {
			s.best = &s.segments[0]
		}
		s.segments = s.segments[1:]
	}
	if s.best == nil || s.best.NextOffset <= offset {
		return nil
	}
	return s.best
}

// nextFirst is where the next segment begins that does not cover the offset.
func (s *sweep) nextFirst() int64 {
	if len(s.segments) == 0 {
		return math.MaxInt64
	}
	return s.segments[0].FirstOffset
}

// choice is what there is to choose from at an offset, which only grows.
type choice struct {
	sound    *sweep // rows with data
	doubtful *sweep // those that may be damaged: they count where no other has data
	empty    *sweep
}

// at is the segment to take at an offset, if there is one, and up to where the choice is
// the same.
func (c *choice) at(at int64) (*Segment, int64) {
	if best := c.sound.at(at); best != nil {
		return best, best.NextOffset
	}
	doubtful, empty := c.doubtful.at(at), c.empty.at(at)
	next := c.sound.nextFirst()
	switch {
	case doubtful != nil && (empty == nil || empty.Row.CommitMs <= doubtful.Row.CommitMs):
		return doubtful, min(doubtful.NextOffset, next, c.empty.nextFirst())
	case empty != nil: // read later than the doubtful one, when the cleaner had removed it
		return empty, min(empty.NextOffset, next, c.doubtful.nextFirst())
	}
	return nil, min(next, c.doubtful.nextFirst(), c.empty.nextFirst())
}

// segments cuts rows where a newer leader epoch begins, and leaves out forks. Epochs
// newer than the view's are of a later history, which the view does not show. Rows
// without data say no epoch: they only fill what those with data leave.
func (s *Set) segments(view View) *choice {
	l := Of(s.Rows, view)
	var rows, fillers []Segment
	for i := range s.Rows {
		r := &s.Rows[i]
		lead := r.NextOffset // what is below says no epoch
		if len(r.Epochs) > 0 {
			lead = r.Epochs[0].FirstOffset
		}
		switch {
		case r.Length == 0:
			fillers = append(fillers, Segment{FirstOffset: r.FirstOffset, NextOffset: r.NextOffset, Row: r})
		case r.BaseOffset < lead:
			rows = l.appendLegacy(rows, r, lead)
		case r.FirstOffset < lead:
			// Nothing was there, whatever becomes of the epoch behind it.
			hole := &Row{Row: format.Row{FirstOffset: r.FirstOffset, NextOffset: lead, BaseOffset: r.FirstOffset}}
			fillers = append(fillers, Segment{FirstOffset: r.FirstOffset, NextOffset: lead, Row: hole})
		}
		rows = l.appendSegments(rows, r)
	}
	order := func(a, b Segment) int {
		return cmp.Or(cmp.Compare(a.FirstOffset, b.FirstOffset), cmp.Compare(b.NextOffset, a.NextOffset))
	}
	slices.SortFunc(rows, order)
	slices.SortFunc(fillers, order)
	sound, doubtful := split(joinSegments(rows))
	return &choice{sound: &sweep{segments: sound}, doubtful: &sweep{segments: doubtful}, empty: &sweep{segments: fillers}}
}

// split takes out those that may be damaged.
func split(all []Segment) (sound, doubtful []Segment) {
	for _, s := range all {
		if s.Row.Doubtful {
			doubtful = append(doubtful, s)
		} else {
			sound = append(sound, s)
		}
	}
	return sound, doubtful
}

// appendLegacy takes the part of a row below lead: legacy batches, which say no epoch. They
// end where the first epoch begins, if they begin below that.
func (l Lineage) appendLegacy(dst []Segment, r *Row, lead int64) []Segment {
	next := lead
	if len(l) > 0 && l[0].FirstOffset > r.FirstOffset {
		next = min(lead, l[0].FirstOffset)
	}
	if next <= r.FirstOffset {
		return dst
	}
	return append(dst, Segment{r.FirstOffset, next, r, next < lead})
}

func (l Lineage) appendSegments(dst []Segment, r *Row) []Segment {
	for j, e := range r.Epochs {
		end, ok := l.end(e.Epoch)
		if !ok {
			continue
		}
		first, next := r.FirstOffset, r.NextOffset
		if j > 0 || r.BaseOffset < e.FirstOffset {
			first = max(first, e.FirstOffset)
		}
		if j+1 < len(r.Epochs) {
			next = r.Epochs[j+1].FirstOffset
		}
		if s := (Segment{first, min(end, next), r, end < next}); s.NextOffset > s.FirstOffset {
			dst = append(dst, s)
		}
	}
	return dst
}

// joinSegments puts neighbors of one row together again.
func joinSegments(in []Segment) []Segment {
	var out []Segment
	for _, s := range in {
		if n := len(out); n > 0 && out[n-1].Row == s.Row && out[n-1].NextOffset == s.FirstOffset {
			out[n-1].NextOffset, out[n-1].forked = s.NextOffset, s.forked
			continue
		}
		out = append(out, s)
	}
	return out
}

// explain says why there is no row from offset at on: a recorded gap, or a reading that
// began only behind it, which two writers that met a new stream at once may leave.
func (s *Set) explain(at, next int64) (coldstream.Gap, bool) {
	for _, g := range s.Gaps {
		if g.FirstOffset <= at && at < g.NextOffset {
			return coldstream.Gap{FirstOffset: at, NextOffset: min(next, g.NextOffset), Cause: g.Cause}, true
		}
	}
	for _, start := range s.Starts {
		if at < start && start <= next {
			return coldstream.Gap{FirstOffset: at, NextOffset: start, Cause: coldstream.GapLogStartAdvanced}, true
		}
	}
	return coldstream.Gap{}, false
}

// nextGap is where the first gap behind an offset begins.
func (s *Set) nextGap(at int64) int64 {
	i, _ := slices.BinarySearchFunc(s.Gaps, at+1, func(g format.Gap, at int64) int { return cmp.Compare(g.FirstOffset, at) })
	if i == len(s.Gaps) {
		return math.MaxInt64
	}
	return s.Gaps[i].FirstOffset
}

// Run is the part of the segment in [firstOffset, nextOffset).
func (s *Segment) Run(firstOffset, nextOffset int64) Run {
	r := s.Row
	run := Run{
		FirstOffset: firstOffset, NextOffset: nextOffset,
		Records: r.Records, Batches: r.Batches, SizeBytes: r.Length,
		MaxBatchBytes: r.MaxBatchBytes, MaxTimestampMs: r.MaxTimestampMs,
		Partial: firstOffset != r.FirstOffset || nextOffset != r.NextOffset || r.BaseOffset < firstOffset,
		Ref:     Ref{r.InPack, &r.Row},
		Forked:  s.forked && nextOffset == s.NextOffset,

		Doubtful: r.Doubtful,
	}
	if r.isDense() {
		run.Records, run.Partial = nextOffset-firstOffset, false
	}
	for _, m := range r.Markers {
		if m.Offset >= firstOffset && m.Offset < nextOffset {
			run.Markers = append(run.Markers, Marker(m))
		}
	}
	for _, t := range r.Transactions {
		run.Transactions = append(run.Transactions, Transaction(t))
	}
	return run
}

// isDense says that each offset of the row is a data record; then so is each of a part.
func (r *Row) isDense() bool {
	return len(r.Markers) == 0 && r.BaseOffset <= r.FirstOffset && r.Records == r.NextOffset-r.BaseOffset
}
