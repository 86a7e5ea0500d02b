package vault

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

// fewerOf lists the parts of damaged rows in which snapshots of one history show fewer records
// than they did: what was fetched again of a compacted topic lacks the records that newer ones
// had replaced by then. All snapshots are looked at together: those that were taken first
// lack what any of them lacks.
func fewerOf(set *lineage.Set, key history, parts map[lineage.Range]time.Time, of func(pack format.PackID, start int64) *DamageError) []*DamageError {
	view := View{Stream: key.stream, Scan: key.scan, LogStartOffset: math.MaxInt64, LastEpoch: key.lastEpoch}
	sorted := slices.SortedFunc(maps.Keys(parts), func(a, b lineage.Range) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	for _, part := range sorted {
		view.LogStartOffset, view.NextOffset = min(view.LogStartOffset, part.FirstOffset), max(view.NextOffset, part.NextOffset)
	}
	covered := set.Cover(view)
	var out []*DamageError
	for _, lost := range covered.Doubtful {
		from, _ := slices.BinarySearchFunc(sorted, lost.Row.FirstOffset, func(part lineage.Range, at int64) int { return cmp.Compare(part.FirstOffset, at) })
		for _, part := range sorted[from:] {
			if part.FirstOffset >= lost.NextOffset {
				break
			}
			shows := view
			shows.LogStartOffset, shows.NextOffset = part.FirstOffset, part.NextOffset
			if d := fewerRecords(covered.Runs, shows, &lost, parts[part].UnixMilli()); d != nil {
				out = append(out, blameFrame(d, &lost, of))
			}
		}
	}
	return out
}

// blameFrame says by which damage of a frame records lack.
func blameFrame(d *DamageError, lost *lineage.Segment, of func(pack format.PackID, start int64) *DamageError) *DamageError {
	damage := of(lost.Row.InPack.ID, lost.Row.InPack.Starts[lost.Row.Frame])
	d.Object, d.Kind = damage.Object, damage.Kind
	return d
}

// fewer lists the ranges in which a view that is so covered shows fewer records than it did
// at a time; of says how a frame is damaged. There are none where no row is doubtful.
func fewer(c *lineage.Coverage, view View, at time.Time, of func(pack format.PackID, start int64) *DamageError) []*DamageError {
	var out []*DamageError
	for _, lost := range c.Doubtful {
		if d := fewerRecords(c.Runs, view, &lost, at.UnixMilli()); d != nil {
			out = append(out, blameFrame(d, &lost, of))
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
