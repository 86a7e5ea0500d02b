package vault

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
)

// segment is a part of a row that may be read: what one leader epoch wrote, up to where
// the next one begins.
type segment struct {
	firstOffset, nextOffset int64
	row                     *storedRow
	forked                  bool // a newer epoch ends it
}

// coverage is what the rows of a stream make of a view.
type coverage struct {
	runs []Run
	gaps []coldstream.Gap
	lost []*DamageError
	// doubtful are the segments of rows that may be damaged, whether they are read or not.
	doubtful []segment
}

// cover chooses runs that cover a view without overlap. What no row with data covers was
// empty when it was read, or is a gap, or is lost with damaged commits.
func (s *rowSet) cover(view View, damage []*DamageError) coverage {
	var out coverage
	choice := s.segments(view)
	out.doubtful = choice.doubtful.segments
	slices.SortFunc(s.gaps, func(a, b format.Gap) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	for at := view.LogStartOffset; at < view.NextOffset; {
		best, next := choice.at(at)
		next = min(next, view.NextOffset)
		if best != nil {
			out.runs = append(out.runs, best.run(at, next))
			at = next
			continue
		}
		if gap, ok := s.explain(at, next); ok {
			gap.TopicPartition = view.Stream.TopicPartition()
			out.gaps = append(out.gaps, gap)
			at = gap.NextOffset
			continue
		}
		next = min(next, s.nextGap(at))
		out.lost = append(out.lost, lostRange(view.Stream, damage, at, next))
		at = next
	}
	return out
}

// lostRange blames what of the catalog cannot be read; a commit that only does not join
// was read, and does not hold the range.
func lostRange(stream coldstream.Stream, damage []*DamageError, firstOffset, nextOffset int64) *DamageError {
	d := &DamageError{Kind: KindMissing, Stream: stream, FirstOffset: firstOffset, NextOffset: nextOffset,
		Object: format.AllCommits, Cause: errors.New("no readable commit holds these offsets")}
	suspects := 0
	for _, suspect := range damage {
		if suspect.Kind == KindDoesNotJoin || suspect.Stream.Topic != "" && suspect.Stream.Topic != stream.Topic {
			continue
		}
		if suspects++; suspects == 1 {
			d.Object, d.Kind = suspect.Object, suspect.Kind
			d.Cause = fmt.Errorf("no readable commit holds these offsets: %w", suspect.Cause)
		}
	}
	if suspects > 1 {
		d.Cause = fmt.Errorf("%w (%d objects of the catalog are damaged: any may have held them)", d.Cause, suspects)
	}
	return d
}

// sweep goes through segments, which ascend, with an offset that only grows.
type sweep struct {
	segments []segment
	best     *segment // of those that begin at or below the offset, the one that goes furthest
}

// at is the segment that covers an offset and goes furthest.
func (s *sweep) at(offset int64) *segment {
	for len(s.segments) > 0 && s.segments[0].firstOffset <= offset {
		if s.best == nil || s.segments[0].nextOffset > s.best.nextOffset {
			s.best = &s.segments[0]
		}
		s.segments = s.segments[1:]
	}
	if s.best == nil || s.best.nextOffset <= offset {
		return nil
	}
	return s.best
}

// nextFirst is where the next segment begins that does not cover the offset.
func (s *sweep) nextFirst() int64 {
	if len(s.segments) == 0 {
		return math.MaxInt64
	}
	return s.segments[0].firstOffset
}

// choice is what there is to choose from at an offset, which only grows.
type choice struct {
	sound    *sweep // rows with data
	doubtful *sweep // those that may be damaged: they count where no other has data
	empty    *sweep
}

// at is the segment to take at an offset, if there is one, and up to where the choice is
// the same.
func (c *choice) at(at int64) (*segment, int64) {
	if best := c.sound.at(at); best != nil {
		return best, best.nextOffset
	}
	doubtful, empty := c.doubtful.at(at), c.empty.at(at)
	next := c.sound.nextFirst()
	switch {
	case doubtful != nil && (empty == nil || empty.row.CommitMs <= doubtful.row.CommitMs):
		return doubtful, min(doubtful.nextOffset, next, c.empty.nextFirst())
	case empty != nil: // read later than the doubtful one, when the cleaner had removed it
		return empty, min(empty.nextOffset, next, c.doubtful.nextFirst())
	}
	return nil, min(next, c.doubtful.nextFirst(), c.empty.nextFirst())
}

// segments cuts rows where a newer leader epoch begins, and leaves out forks. Epochs
// newer than the view's are of a later history, which the view does not show. Rows
// without data say no epoch: they only fill what those with data leave.
func (s *rowSet) segments(view View) *choice {
	l := newLineage(s.rows, view)
	var rows, fillers []segment
	for i := range s.rows {
		r := &s.rows[i]
		lead := r.NextOffset // what is below says no epoch
		if len(r.Epochs) > 0 {
			lead = r.Epochs[0].FirstOffset
		}
		switch {
		case r.Length == 0:
			fillers = append(fillers, segment{firstOffset: r.FirstOffset, nextOffset: r.NextOffset, row: r})
		case r.BaseOffset < lead:
			rows = l.appendLegacy(rows, r, lead)
		case r.FirstOffset < lead:
			// Nothing was there, whatever becomes of the epoch behind it.
			hole := &storedRow{Row: format.Row{FirstOffset: r.FirstOffset, NextOffset: lead, BaseOffset: r.FirstOffset}}
			fillers = append(fillers, segment{firstOffset: r.FirstOffset, nextOffset: lead, row: hole})
		}
		rows = l.appendSegments(rows, r)
	}
	order := func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.firstOffset, b.firstOffset), cmp.Compare(b.nextOffset, a.nextOffset))
	}
	slices.SortFunc(rows, order)
	slices.SortFunc(fillers, order)
	sound, doubtful := split(joinSegments(rows))
	return &choice{sound: &sweep{segments: sound}, doubtful: &sweep{segments: doubtful}, empty: &sweep{segments: fillers}}
}

// split takes out those that may be damaged.
func split(all []segment) (sound, doubtful []segment) {
	for _, s := range all {
		if s.row.doubtful {
			doubtful = append(doubtful, s)
		} else {
			sound = append(sound, s)
		}
	}
	return sound, doubtful
}

// lineage is the leader epochs that led to a view.
type lineage []format.EpochStart

func newLineage(rows []storedRow, view View) lineage {
	var starts epochStarts
	for i := range rows {
		after := int32(noEpoch)
		for _, e := range rows[i].Epochs {
			if view.LastEpoch < 0 || e.Epoch <= view.LastEpoch {
				starts.note(epochStart{e, after})
			}
			after = e.Epoch
		}
	}
	return starts.lineage()
}

// end says where an epoch ends: where the next newer one begins. It is false for one that
// is not of the lineage.
func (l lineage) end(epoch int32) (int64, bool) {
	i, found := slices.BinarySearchFunc(l, epoch, func(e format.EpochStart, epoch int32) int {
		return cmp.Compare(e.Epoch, epoch)
	})
	switch {
	case !found:
		return 0, false
	case i+1 < len(l):
		return l[i+1].FirstOffset, true
	}
	return math.MaxInt64, true
}

// appendLegacy takes the part of a row below lead: legacy batches, which say no epoch. They
// end where the first epoch begins, if they begin below that.
func (l lineage) appendLegacy(dst []segment, r *storedRow, lead int64) []segment {
	next := lead
	if len(l) > 0 && l[0].FirstOffset > r.FirstOffset {
		next = min(lead, l[0].FirstOffset)
	}
	if next <= r.FirstOffset {
		return dst
	}
	return append(dst, segment{r.FirstOffset, next, r, next < lead})
}

func (l lineage) appendSegments(dst []segment, r *storedRow) []segment {
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
		if s := (segment{first, min(end, next), r, end < next}); s.nextOffset > s.firstOffset {
			dst = append(dst, s)
		}
	}
	return dst
}

// joinSegments puts neighbors of one row together again.
func joinSegments(in []segment) []segment {
	var out []segment
	for _, s := range in {
		if n := len(out); n > 0 && out[n-1].row == s.row && out[n-1].nextOffset == s.firstOffset {
			out[n-1].nextOffset, out[n-1].forked = s.nextOffset, s.forked
			continue
		}
		out = append(out, s)
	}
	return out
}

// explain says why there is no row from offset at on: a recorded gap, or a reading that
// began only behind it, which two writers that met a new stream at once may leave.
func (s *rowSet) explain(at, next int64) (coldstream.Gap, bool) {
	for _, g := range s.gaps {
		if g.FirstOffset <= at && at < g.NextOffset {
			return coldstream.Gap{FirstOffset: at, NextOffset: min(next, g.NextOffset), Cause: g.Cause}, true
		}
	}
	for _, start := range s.starts {
		if at < start && start <= next {
			return coldstream.Gap{FirstOffset: at, NextOffset: start, Cause: coldstream.GapLogStartAdvanced}, true
		}
	}
	return coldstream.Gap{}, false
}

// nextGap is where the first gap behind an offset begins.
func (s *rowSet) nextGap(at int64) int64 {
	i, _ := slices.BinarySearchFunc(s.gaps, at+1, func(g format.Gap, at int64) int { return cmp.Compare(g.FirstOffset, at) })
	if i == len(s.gaps) {
		return math.MaxInt64
	}
	return s.gaps[i].FirstOffset
}

func (s *segment) run(firstOffset, nextOffset int64) Run {
	r := s.row
	run := Run{
		FirstOffset: firstOffset, NextOffset: nextOffset,
		Records: r.Records, Batches: r.Batches, SizeBytes: r.Length,
		MaxBatchBytes: r.MaxBatchBytes, MaxTimestampMs: r.MaxTimestampMs,
		Partial: firstOffset != r.FirstOffset || nextOffset != r.NextOffset || r.BaseOffset < firstOffset,
		ref:     rowRef{r.pack, &r.Row},
		forked:  s.forked && nextOffset == s.nextOffset,

		doubtful: r.doubtful,
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
func (r *storedRow) isDense() bool {
	return len(r.Markers) == 0 && r.BaseOffset <= r.FirstOffset && r.Records == r.NextOffset-r.BaseOffset
}
