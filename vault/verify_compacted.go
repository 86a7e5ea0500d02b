package vault

import "fmt"

// checkCompacted looks for snapshots that show less than they did: what was fetched again
// of a compacted topic lacks the records that newer ones had replaced by then.
func (ver *verifier) checkCompacted(catalog *Catalog, damaged map[scanOf]bool) {
	less := map[*DamageError][]*DamageError{}
	for i := range catalog.snapshots {
		s := &catalog.snapshots[i]
		for _, view := range s.Views {
			scan := scanOf{view.Stream, view.Scan}
			if !damaged[scan] {
				continue
			}
			set := ver.rows[scan]
			for _, lost := range set.segments(view).doubtful.segments {
				damage := ver.damaged.of(lost.row.pack.ID, lost.row.pack.starts[lost.row.Frame])
				if d := fewerRecords(set, view, &lost, s.Time.UnixMilli()); d != nil {
					d.Object, d.Kind = damage.Object, damage.Kind
					less[damage] = append(less[damage], d)
				}
			}
		}
	}
	for _, list := range less {
		ver.add(joinRanges(list)...)
	}
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
