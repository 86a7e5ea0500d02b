package vault

import (
	"cmp"
	"context"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
)

// removal decides what a base takes away, as [TurnOptions] say.
type removal struct {
	forget  func(*Snapshot) bool
	release bool
	moves   *moves

	floors map[coldstream.Stream]int64 // up to where rows may go
}

// apply drops snapshots from chapters, and finds out which rows nothing needs.
func (r *removal) apply(ctx context.Context, v *Vault, c *Catalog, chapters []*chapterInMaking) (forgot bool, err error) {
	holds, err := v.holds(ctx)
	if err != nil {
		return false, err
	}
	by := keepers{holds: holds}
	if r.forget != nil {
		if by.tags, err = v.ReadTags(ctx); err != nil {
			return false, err
		}
	}
	lowest := map[coldstream.Stream]int64{}
	for _, of := range chapters {
		before := len(of.snapshots)
		if err := r.forgetFrom(ctx, of, by); err != nil {
			return false, err
		}
		if len(of.snapshots) < before {
			forgot, of.changed = true, true
		}
		if !r.release {
			continue
		}
		if err := of.eachViews(ctx, v, lowestNoter{lowest}.note); err != nil {
			return false, err
		}
	}
	holds.lower(lowest)
	r.floors = map[coldstream.Stream]int64{}
	if r.release {
		for s, at := range lowest {
			if h := c.heads[s]; h != nil && at > max(h.floor, 0) {
				r.floors[s] = min(at, h.nextOffset)
			}
		}
	}
	return forgot, nil
}

// keepers are what keeps snapshots, whatever a removal wants.
type keepers struct {
	holds *holdSet
	tags  *TagReader
}

// forgetFrom drops snapshots from a chapter.
func (r *removal) forgetFrom(ctx context.Context, of *chapterInMaking, by keepers) (err error) {
	if r.forget == nil {
		return nil
	}
	of.snapshots = slices.DeleteFunc(of.snapshots, func(s Snapshot) bool {
		if err != nil || by.holds.snapshots[s.ID] || !r.forget(&s) {
			return false
		}
		var said coldstream.Tags
		said, err = by.tags.Of(ctx, &s)
		return err == nil && !said.Pinned
	})
	return err
}

// dropsPacks says that packs go that no row names.
func (r *removal) dropsPacks() bool { return r != nil && (r.release || r.moves != nil) }

// lowestNoter keeps per stream the lowest offset that a kept snapshot shows. A stream that
// none shows keeps all: its rows are newer than the newest snapshot, or it has none.
type lowestNoter struct{ lowest map[coldstream.Stream]int64 }

func (n lowestNoter) note(_ *Snapshot, from *format.PackedViews, views []format.View) {
	streams := &format.Facts{Incarnations: from.Incarnations, Streams: from.Streams}
	for _, view := range views {
		s := streams.StreamAt(view.Stream)
		at, ok := n.lowest[s]
		if !ok || view.LogStartOffset < at {
			n.lowest[s] = view.LogStartOffset
		}
	}
}

// drop takes rows out of a table: those that end at or below the floor. What they held
// counts as released from then on.
func (r *removal) drop(c *Catalog, m *tableMaker) (dropped bool) {
	if r == nil || len(r.floors) == 0 {
		return false
	}
	var gone []tableRow
	m.rows = slices.DeleteFunc(m.rows, func(row tableRow) bool {
		floor, ok := r.floors[row.stream]
		if !ok || row.NextOffset > floor || row.Scan != c.heads[row.stream].scan {
			return false
		}
		gone = append(gone, row)
		return true
	})
	slices.SortFunc(gone, func(a, b tableRow) int {
		return cmp.Or(a.stream.Compare(b.stream), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
	for _, row := range gone {
		h := c.heads[row.stream]
		h.floor = max(h.floor, row.NextOffset)
		h.bytes -= row.Length
		m.release(row)
	}
	m.dropFrames()
	return len(gone) > 0
}

// release notes a range, joined to the one before where they touch.
func (m *tableMaker) release(row tableRow) {
	for i := range m.released {
		r := &m.released[i]
		if r.stream == row.stream && r.fact.Scan == row.Scan && r.fact.FirstOffset <= row.FirstOffset && row.FirstOffset <= r.fact.NextOffset {
			r.fact.NextOffset = max(r.fact.NextOffset, row.NextOffset)
			return
		}
	}
	m.released = append(m.released, streamFact[format.Released]{row.stream, format.Released{
		Scan: row.Scan, FirstOffset: row.FirstOffset, NextOffset: row.NextOffset,
	}})
}

// dropFrames leaves only the frames that rows still need.
func (m *tableMaker) dropFrames() {
	all := m.packs
	m.packs = map[format.PackID]*tablePack{}
	for i := range m.rows {
		row := &m.rows[i]
		if row.Length == 0 {
			continue
		}
		from := all[row.pack]
		p := m.packs[row.pack]
		if p == nil {
			p = &tablePack{Pack: from.Pack, frames: map[int64]format.Frame{}}
			m.packs[row.pack] = p
		}
		p.frames[row.start] = from.frames[row.start]
	}
}
