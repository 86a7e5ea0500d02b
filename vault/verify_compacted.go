package vault

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

// checkCompacted looks for snapshots that show less than they did: what was fetched again
// of a compacted topic lacks the records that newer ones had replaced by then.
func (ver *verifier) checkCompacted(catalog *Catalog, damaged map[scanOf]bool) {
	var all []*DamageError
	for i := range catalog.snapshots {
		s := &catalog.snapshots[i]
		for _, view := range s.Views {
			if scan := (scanOf{view.Stream, view.Scan}); damaged[scan] {
				covered := ver.rows[scan].Cover(view)
				all = append(all, fewer(&covered, view, s.Time, ver.damaged.of)...)
			}
		}
	}
	ver.add(joinByObject(all)...)
}

// fewer lists the ranges in which a view that is so covered shows fewer records than it did
// at a time; of says how a frame is damaged. There are none where no row is doubtful.
func fewer(c *lineage.Coverage, view View, at time.Time, of func(pack format.PackID, start int64) *DamageError) []*DamageError {
	var out []*DamageError
	for _, lost := range c.Doubtful {
		if d := fewerRecords(c.Runs, view, &lost, at.UnixMilli()); d != nil {
			damage := of(lost.Row.InPack.ID, lost.Row.InPack.Starts[lost.Row.Frame])
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

// fewerRecords compares a damaged row with the runs of a view that stand in for it and were
// stored after the view's snapshot. Where the catalog does not tell, nothing is said.
func fewerRecords(runs []Run, view View, lost *lineage.Segment, snapshotMs int64) *DamageError {
	first, next := max(lost.FirstOffset, view.LogStartOffset), min(lost.NextOffset, view.NextOffset)
	if first >= next {
		return nil
	}
	was := lost.Run(first, next)
	if was.Partial {
		return nil
	}
	records, isLater := int64(0), false
	from, _ := slices.BinarySearchFunc(runs, first, func(r Run, offset int64) int { return cmp.Compare(r.NextOffset, offset+1) })
	for i := from; i < len(runs) && runs[i].FirstOffset < next; i++ {
		if runs[i].Doubtful {
			return nil // that is lost, and was said
		}
		records += runs[i].Records // of all of it: rather too many than too few
		isLater = isLater || runs[i].Ref.Row.CommitMs > snapshotMs
	}
	if !isLater || records >= was.Records {
		return nil
	}
	return &DamageError{Stream: view.Stream, FirstOffset: first, NextOffset: next, Cause: fmt.Errorf(
		"it was fetched again when the log had been compacted further: snapshots from before show %d of the %d records that were stored", records, was.Records)}
}
