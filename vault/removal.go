package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	holds map[SnapshotID]bool
	tags  *TagReader
}

// forgetFrom drops snapshots from a chapter.
func (r *removal) forgetFrom(ctx context.Context, of *chapterInMaking, by keepers) (err error) {
	if r.forget == nil {
		return nil
	}
	of.snapshots = slices.DeleteFunc(of.snapshots, func(s Snapshot) bool {
		if err != nil || by.holds[s.ID] || !r.forget(&s) {
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

// The records of a restore that the vault itself reads.
const (
	recordHold   = 0
	recordResult = 2
)

// Hold keeps a snapshot, and all that it shows, from being removed until the restore's
// result is there: it writes the restore's record 0, which names the snapshot, and then
// looks whether the catalog turned, and opens it if it did. A snapshot that is not there any more wraps
// [coldstream.ErrForgotten]; where the catalog is damaged nobody can say that, and the error is the damage.
// A turn reads holds after it began the new epoch: so either it sees this one, or the
// look that follows sees the new epoch.
func (v *Vault) Hold(ctx context.Context, id RestoreID, s *Snapshot, document []byte) error {
	if held, err := heldSnapshot(document); err != nil || held != s.ID {
		return fmt.Errorf("hold of restore %s does not name snapshot %s (%w)", id, s.ID, err)
	}
	if err := v.PutRestoreRecord(ctx, id, recordHold, document); err != nil {
		return err
	}
	return v.ProveSnapshot(ctx, s)
}

// ProveSnapshot is an error if a snapshot is not there any more, as [Vault.Hold] says. What
// the snapshot's catalog had is there as long as no newer epoch began: adding takes nothing away.
func (v *Vault) ProveSnapshot(ctx context.Context, s *Snapshot) error {
	if at := s.place.shelf; at != nil && at.found.base {
		now, err := v.lookAgain(ctx, &at.found)
		if err != nil {
			return err
		}
		if now.isStill(&at.found) {
			return nil
		}
	}
	c, err := v.OpenCatalog(ctx)
	if err != nil {
		return err
	}
	_, err = c.find(s.ID)
	return err
}

// heldSnapshot reads the one field of a hold that is not the restore's own.
func heldSnapshot(document []byte) (id SnapshotID, err error) {
	var hold struct {
		Snapshot string `json:"snapshot"`
	}
	if err := json.Unmarshal(document, &hold); err != nil {
		return id, fmt.Errorf("%w: %w", coldstream.ErrCorrupt, err)
	}
	return ParseSnapshotID(hold.Snapshot)
}

// holds lists the snapshots that restores hold.
func (v *Vault) holds(ctx context.Context) (map[SnapshotID]bool, error) {
	restores, err := v.Restores(ctx)
	if err != nil {
		return nil, err
	}
	held := map[SnapshotID]bool{}
	for _, r := range restores {
		id := r.ID
		if !r.Begun || r.Ended {
			continue
		}
		document, err := v.RestoreRecord(ctx, id, recordHold)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the operator ended it
		}
		if err != nil {
			return nil, err
		}
		snapshot, err := heldSnapshot(document)
		if err != nil {
			return nil, fmt.Errorf("hold of restore %s: %w", id, err)
		}
		held[snapshot] = true
	}
	return held, nil
}
