package lineage

import (
	"math"

	"coldstream/vault/internal/format"
)

// CommittedBy is a view as it stands with all that was committed by a time: it goes on to where
// that ends, or goes back to where a newer leader epoch had begun by then. What a writer committed
// behind something was built on it, whatever the clocks of the two said. So the end is that of
// the furthest row, and not of the first one that is later.
func (s *Set) CommittedBy(view View, ms int64) View {
	out := view
	var by []Row
	for i := range s.Rows {
		r := &s.Rows[i]
		if r.CommitMs > ms {
			continue
		}
		by = append(by, *r)
		for _, e := range r.Epochs {
			out.LastEpoch = max(out.LastEpoch, e.Epoch)
		}
	}
	l := Of(by, out)
	newest := newestEpoch(l, by)
	out.NextOffset = min(view.NextOffset, l.after(view.LastEpoch))
	for i := range by {
		switch r := &by[i]; {
		case r.Length > 0:
			out.NextOffset = max(out.NextOffset, l.reach(r))
		case !newest.ends(r.NextOffset, r.CommitMs):
			out.NextOffset = max(out.NextOffset, r.NextOffset)
		}
	}
	for _, g := range s.Gaps {
		if g.TimeMs <= ms && !newest.ends(g.NextOffset, g.TimeMs) {
			out.NextOffset = max(out.NextOffset, g.NextOffset)
		}
	}
	out.NextOffset = max(out.NextOffset, out.LogStartOffset)
	return out
}

// FirstOffset is the lowest offset of rows with data; false if there is none.
func (s *Set) FirstOffset() (first int64, ok bool) {
	first = math.MaxInt64
	for i := range s.Rows {
		if r := &s.Rows[i]; r.Length > 0 {
			first = min(first, r.FirstOffset)
		}
	}
	return first, first < math.MaxInt64
}

// LastEpochBelow is the last leader epoch of a view that begins below an offset.
func (s *Set) LastEpochBelow(view View, offset int64) int32 {
	last := int32(NoEpoch)
	for _, e := range Of(s.Rows, view) {
		if e.FirstOffset < offset {
			last = e.Epoch
		}
	}
	return last
}

// GoesOn says that the log, up to a newer leader epoch, goes on from where a view ends: it did not lose
// what the view shows.
func (s *Set) GoesOn(from View, lastEpoch int32) bool {
	to := from
	to.LastEpoch = lastEpoch
	return Of(s.Rows, to).after(from.LastEpoch) >= from.NextOffset
}

// after is where the first epoch begins that is newer than another.
func (l Lineage) after(epoch int32) int64 {
	for _, e := range l {
		if e.Epoch > epoch {
			return e.FirstOffset
		}
	}
	return math.MaxInt64
}

// reach is how far a row with data goes before it is a fork.
func (l Lineage) reach(r *Row) (next int64) {
	lead := r.NextOffset
	if len(r.Epochs) > 0 {
		lead = r.Epochs[0].FirstOffset
	}
	var of []Segment
	if r.BaseOffset < lead {
		of = l.appendLegacy(of, r, lead)
	}
	for _, segment := range l.appendSegments(of, r) {
		next = max(next, segment.NextOffset)
	}
	return next
}

// epochBegun is where and when the newest leader epoch was first seen.
type epochBegun struct {
	format.EpochStart
	ms   int64
	seen bool
}

func newestEpoch(l Lineage, rows []Row) (b epochBegun) {
	if len(l) == 0 {
		return b
	}
	b = epochBegun{l[len(l)-1], math.MaxInt64, true}
	for i := range rows {
		for _, e := range rows[i].Epochs {
			if e.Epoch == b.Epoch {
				b.ms = min(b.ms, rows[i].CommitMs)
			}
		}
	}
	return b
}

// ends says that the epoch cut off what says no epoch, and was found before it began.
func (b epochBegun) ends(next, ms int64) bool {
	return b.seen && next > b.FirstOffset && ms < b.ms
}
