package vault

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
)

// History is the catalog's rows of some views, and reads their batches. It is safe for
// use by several goroutines.
type History struct {
	vault   *Vault
	packs   map[format.PackID]*packRef
	streams []*StreamHistory
	frames  *frameCache
}

// StreamHistory is what the vault holds of one view.
type StreamHistory struct {
	View View
	// Runs ascend and do not overlap. What of the view they leave out is in Gaps, or was
	// lost with damaged commits (Lost).
	Runs []Run
	Gaps []coldstream.Gap
	// Lost are ranges of the view that nothing readable explains.
	Lost []*DamageError

	history *History
}

// packRef is a pack as the catalog knows it; starts[i] is where frame i begins in it.
type packRef struct {
	format.Pack
	starts []int64
}

// rowRef says where the bytes of a row are.
type rowRef struct {
	pack   *packRef // nil for an empty row
	frame  int
	offset int64
	length int64
}

// HistoryOptions bound what reading may take.
type HistoryOptions struct {
	// CacheBytes bounds the decoded frames that are kept for others to use; 64 MiB by
	// default. A frame that is being read counts only once it is kept.
	CacheBytes int64
}

// OpenHistory reads the rows of the views' streams. Views are of one snapshot.
func (v *Vault) OpenHistory(ctx context.Context, views []View, opts HistoryOptions) (*History, error) {
	if opts.CacheBytes <= 0 {
		opts.CacheBytes = 64 << 20
	}
	h := &History{vault: v, packs: map[format.PackID]*packRef{}, frames: newFrameCache(opts.CacheBytes)}
	collect := &rowCollector{history: h, wanted: map[scanOf]*rowSet{}}
	for _, view := range views {
		collect.wanted[scanOf{view.Stream, view.Scan}] = &rowSet{}
	}
	c, err := v.openCatalog(ctx, catalogOptions{visit: collect.visit})
	if err != nil {
		return nil, err
	}
	for _, view := range views {
		s := &StreamHistory{View: view, history: h}
		s.Runs, s.Gaps, s.Lost = collect.wanted[scanOf{view.Stream, view.Scan}].cover(view, c.damage)
		h.streams = append(h.streams, s)
	}
	return h, nil
}

// Streams are in the order of the views asked for.
func (h *History) Streams() []*StreamHistory { return h.streams }

type scanOf struct {
	stream coldstream.Stream
	scan   uint32
}

// rowSet is all rows and gaps of one scan of a stream, in no order.
type rowSet struct {
	rows   []storedRow
	gaps   []format.Gap
	starts []int64 // where readings of the stream began
}

type storedRow struct {
	format.Row
	ref rowRef
}

// rowCollector keeps the rows of wanted streams as commits pass by.
type rowCollector struct {
	history *History
	wanted  map[scanOf]*rowSet
}

func (c *rowCollector) visit(facts *format.Facts) error {
	for i := range facts.Rows {
		r := &facts.Rows[i]
		if set := c.wanted[scanOf{facts.StreamAt(r.Stream), r.Scan}]; set != nil {
			set.rows = append(set.rows, storedRow{Row: *r, ref: c.refOf(facts, r)})
		}
	}
	for _, g := range facts.Gaps {
		if set := c.wanted[scanOf{facts.StreamAt(g.Stream), g.Scan}]; set != nil {
			set.gaps = append(set.gaps, g)
		}
	}
	for _, s := range facts.Scans {
		if set := c.wanted[scanOf{facts.StreamAt(s.Stream), s.Number}]; set != nil {
			set.starts = append(set.starts, s.FirstOffset)
		}
	}
	return nil
}

func (c *rowCollector) refOf(facts *format.Facts, r *format.Row) rowRef {
	if r.Length == 0 {
		return rowRef{}
	}
	pack := facts.Packs[r.Pack]
	ref := c.history.packs[pack.ID]
	if ref == nil {
		ref = newPackRef(pack, c.history.vault.info.ID)
		c.history.packs[pack.ID] = ref
	}
	return rowRef{pack: ref, frame: r.Frame, offset: r.Offset, length: r.Length}
}

func newPackRef(pack format.Pack, vaultID format.VaultID) *packRef {
	ref := &packRef{Pack: pack, starts: make([]int64, len(pack.Frames))}
	at := int64(format.PackHeaderSize(vaultID, pack.ID))
	for i, f := range pack.Frames {
		ref.starts[i] = at
		at += int64(f.StoredLength)
	}
	return ref
}

// segment is a part of a row that may be read: what one leader epoch wrote, up to where
// the next one begins.
type segment struct {
	firstOffset, nextOffset int64
	row                     *storedRow
}

// cover chooses runs that cover a view without overlap.
func (s *rowSet) cover(view View, damage []*DamageError) ([]Run, []coldstream.Gap, []*DamageError) {
	segments := s.segments(view)
	slices.SortFunc(s.gaps, func(a, b format.Gap) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	var runs []Run
	var gaps []coldstream.Gap
	var lost []*DamageError
	var best *segment // of those that begin at or below at, the one that goes furthest
	i, at := 0, view.LogStartOffset
	for at < view.NextOffset {
		for ; i < len(segments) && segments[i].firstOffset <= at; i++ {
			if best == nil || segments[i].nextOffset > best.nextOffset {
				best = &segments[i]
			}
		}
		if best != nil && best.nextOffset > at {
			next := min(best.nextOffset, view.NextOffset)
			runs = append(runs, best.run(at, next))
			at = next
			continue
		}
		next := view.NextOffset
		if i < len(segments) {
			next = min(next, segments[i].firstOffset)
		}
		if gap, ok := s.explain(at, next); ok {
			gap.TopicPartition = view.Stream.TopicPartition()
			gaps = append(gaps, gap)
			at = gap.NextOffset
			continue
		}
		lost = append(lost, lostRange(view.Stream, damage, at, next))
		at = next
	}
	return runs, gaps, lost
}

func lostRange(stream coldstream.Stream, damage []*DamageError, firstOffset, nextOffset int64) *DamageError {
	d := &DamageError{Kind: "missing", Stream: stream, FirstOffset: firstOffset, NextOffset: nextOffset,
		Object: "commits/", Cause: errors.New("no readable commit holds these offsets")}
	if len(damage) > 0 {
		d.Object, d.Kind, d.Cause = damage[0].Object, damage[0].Kind, damage[0].Cause
	}
	return d
}

// segments cuts rows where a newer leader epoch begins. Epochs newer than the view's are
// of a later history, which the view does not show.
func (s *rowSet) segments(view View) []segment {
	var cache headState
	cache.nextOffset = view.NextOffset
	for i := range s.rows {
		for _, e := range s.rows[i].Epochs {
			if view.LastEpoch < 0 || e.Epoch <= view.LastEpoch {
				cache.noteEpoch(e)
			}
		}
	}
	var out []segment
	for i := range s.rows {
		r := &s.rows[i]
		if len(r.Epochs) == 0 {
			out = append(out, segment{r.FirstOffset, r.NextOffset, r})
			continue
		}
		for j, e := range r.Epochs {
			first, next := max(r.FirstOffset, e.FirstOffset), r.NextOffset
			if j == 0 {
				first = r.FirstOffset
			}
			if j+1 < len(r.Epochs) {
				next = r.Epochs[j+1].FirstOffset
			}
			if next = min(next, cache.endOf(e.Epoch, view)); next > first {
				out = append(out, segment{first, next, r})
			}
		}
	}
	slices.SortFunc(out, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.firstOffset, b.firstOffset), cmp.Compare(b.nextOffset, a.nextOffset))
	})
	return joinSegments(out)
}

// endOf says where an epoch ends: where the next newer one begins.
func (h *headState) endOf(epoch int32, view View) int64 {
	if view.LastEpoch >= 0 && epoch > view.LastEpoch {
		return -1
	}
	for _, e := range h.epochs {
		if e.Epoch > epoch {
			return e.FirstOffset
		}
	}
	return view.NextOffset
}

// joinSegments puts neighbours of one row together again.
func joinSegments(in []segment) []segment {
	var out []segment
	for _, s := range in {
		if n := len(out); n > 0 && out[n-1].row == s.row && out[n-1].nextOffset == s.firstOffset {
			out[n-1].nextOffset = s.nextOffset
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

func (s *segment) run(firstOffset, nextOffset int64) Run {
	r := s.row
	run := Run{
		FirstOffset: firstOffset, NextOffset: nextOffset,
		Records: r.Records, Batches: r.Batches, SizeBytes: r.Length,
		MaxBatchBytes: r.MaxBatchBytes, MaxTimestampMs: r.MaxTimestampMs,
		Partial: firstOffset != r.FirstOffset || nextOffset != r.NextOffset || r.BaseOffset < firstOffset,
		ref:     r.ref,
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
