package vault

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"coldstream/vault/internal/format"
)

// checkCompacted looks for snapshots that show less than they did: what was fetched again
// of a compacted topic lacks the records that newer ones had replaced by then.
func (ver *verifier) checkCompacted(catalog *Catalog, damaged map[scanOf]bool) {
	var all []*DamageError
	for i := range catalog.snapshots {
		s := &catalog.snapshots[i]
		for _, view := range s.Views {
			if scan := (scanOf{view.Stream, view.Scan}); damaged[scan] {
				all = append(all, ver.rows[scan].fewer(view, s.Time, ver.damaged.of)...)
			}
		}
	}
	ver.add(joinByObject(all)...)
}

// fewer lists the ranges in which a view shows fewer records than it did at a time; of
// says how a frame is damaged.
func (s *rowSet) fewer(view View, at time.Time, of func(pack format.PackID, start int64) *DamageError) []*DamageError {
	var out []*DamageError
	for _, lost := range s.segments(view).doubtful.segments {
		if d := fewerRecords(s, view, &lost, at.UnixMilli()); d != nil {
			damage := of(lost.row.pack.ID, lost.row.pack.starts[lost.row.Frame])
			d.Object, d.Kind = damage.Object, damage.Kind
			out = append(out, d)
		}
	}
	return out
}

// joinByObject joins what the same damage costs several views.
func joinByObject(costs []*DamageError) []*DamageError {
	byObject := map[string][]*DamageError{}
	for _, d := range costs {
		byObject[d.Object] = append(byObject[d.Object], d)
	}
	var out []*DamageError
	for _, key := range slices.Sorted(maps.Keys(byObject)) {
		out = append(out, joinRanges(byObject[key])...)
	}
	return out
}

// fewerRecords compares a damaged row with what stands in for it in a view and was stored
// after the view's snapshot. Where the catalog does not tell, nothing is said.
func fewerRecords(set *rowSet, view View, lost *segment, snapshotMs int64) *DamageError {
	first, next := max(lost.firstOffset, view.LogStartOffset), min(lost.nextOffset, view.NextOffset)
	if first >= next {
		return nil
	}
	was := lost.run(first, next)
	if was.Partial {
		return nil
	}
	records, isLater := int64(0), false
	view.LogStartOffset, view.NextOffset = first, next
	for _, run := range set.cover(view, nil).runs {
		if run.doubtful {
			return nil // that is lost, and was said
		}
		records += run.Records
		isLater = isLater || run.ref.row.CommitMs > snapshotMs
	}
	if !isLater || records >= was.Records {
		return nil
	}
	return &DamageError{Stream: view.Stream, FirstOffset: first, NextOffset: next, Cause: fmt.Errorf(
		"it was fetched again when the log had been compacted further: snapshots from before show %d of its %d records", records, was.Records)}
}
