package vault

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sort"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

// eachReadable takes the snapshots with their views, but for those whose views are damaged, which
// the catalog's damage has from then on. If the catalog turned meanwhile the error is errTurned.
func (c *Catalog) eachReadable(ctx context.Context, take func(*Snapshot, *format.PackedViews, []format.View)) error {
	return c.EachSnapshot(ctx, func(s *Snapshot) error {
		packed, i, err := s.packed(ctx)
		if c.shelf.isOld() {
			return errTurned
		}
		if err == nil && i >= 0 {
			var views []format.View
			if views, err = packed.Views(i); err == nil {
				take(s, packed, views)
				return nil
			}
			err = s.place.damaged(err)
		}
		if errors.Is(err, coldstream.ErrCorrupt) {
			return nil
		}
		return err
	})
}

// history is what views of one leader epoch of a scan share.
type history struct {
	scanOf
	lastEpoch int32
}

// shownRanges are the views of all snapshots, those of one history that overlap put together.
type shownRanges struct {
	of map[history]*[]View

	from *format.PackedViews
	near []nearRanges // by stream of from
}

// nearRanges is what the view before was of the same stream: mostly one of the same history.
type nearRanges struct {
	scan      uint32
	lastEpoch int32
	views     *[]View
}

func (r *shownRanges) add(_ *Snapshot, from *format.PackedViews, views []format.View) {
	if r.from != from {
		r.from, r.near = from, make([]nearRanges, len(from.Streams))
	}
	streams := &format.Facts{Incarnations: from.Incarnations, Streams: from.Streams}
	for i := range views {
		v := &views[i]
		near := &r.near[v.Stream]
		if near.views == nil || near.scan != v.Scan || near.lastEpoch != v.LastEpoch {
			key := history{scanOf{streams.StreamAt(v.Stream), v.Scan}, v.LastEpoch}
			if r.of[key] == nil {
				r.of[key] = &[]View{}
			}
			*near = nearRanges{v.Scan, v.LastEpoch, r.of[key]}
		}
		list := *near.views
		if n := len(list); n > 0 && v.LogStartOffset <= list[n-1].NextOffset && list[n-1].LogStartOffset <= v.NextOffset {
			last := &list[n-1]
			last.LogStartOffset, last.NextOffset = min(last.LogStartOffset, v.LogStartOffset), max(last.NextOffset, v.NextOffset)
			continue
		}
		*near.views = append(list, View{
			Stream: streams.StreamAt(v.Stream), Scan: v.Scan, LogStartOffset: v.LogStartOffset, NextOffset: v.NextOffset, LastEpoch: v.LastEpoch,
		})
	}
}

// readShown finds out what snapshots show, and how many can be read.
func (ver *verifier) readShown(ctx context.Context, c *Catalog) error {
	shown := &shownRanges{of: map[history]*[]View{}}
	if err := c.eachReadable(ctx, func(s *Snapshot, from *format.PackedViews, views []format.View) {
		ver.report.Snapshots++
		shown.add(s, from, views)
	}); err != nil {
		return err
	}
	ver.shown, ver.historiesOf = map[history][]View{}, map[scanOf][]history{}
	for key, list := range shown.of {
		ver.shown[key] = mergeViews(*list)
		ver.historiesOf[key.scanOf] = append(ver.historiesOf[key.scanOf], key)
	}
	ver.add(c.shelf.damages()...)
	return ver.checkLostViews(ctx, c)
}

// checkLostViews looks at the views of chapters that cannot be read: they are of no use, and may
// be damaged as well.
func (ver *verifier) checkLostViews(ctx context.Context, c *Catalog) error {
	for i := range c.chapters {
		ref := &c.chapters[i]
		if ref.ViewsSizeBytes == 0 || !slices.ContainsFunc(c.damage, func(d *DamageError) bool { return d.Object == ref.Chapter.Key() }) {
			continue
		}
		_, err := ver.vault.objects.Content(ctx, format.KindViews, ref.Views, ref.ViewsSizeBytes)
		if err := ver.took(err); err != nil {
			return err
		}
	}
	return nil
}

// mergeViews puts views that overlap together.
func mergeViews(views []View) []View {
	slices.SortFunc(views, func(a, b View) int { return cmp.Compare(a.LogStartOffset, b.LogStartOffset) })
	var out []View
	for _, view := range views {
		if n := len(out); n > 0 && view.LogStartOffset <= out[n-1].NextOffset {
			out[n-1].NextOffset = max(out[n-1].NextOffset, view.NextOffset)
			continue
		}
		out = append(out, view)
	}
	return out
}

// damagedShown says for each history which parts of damaged rows snapshots show, and since when:
// the time of the first snapshot that shows just this part.
type damagedShown map[history]map[lineage.Range]time.Time

// readDamagedShown finds out which parts of ranges, of rows that are damaged, snapshots show. Ranges
// are sorted by their ends.
func (c *Catalog) readDamagedShown(ctx context.Context, ranges map[scanOf][]lineage.Range) (damagedShown, error) {
	streams := map[coldstream.Stream]bool{}
	for scan := range ranges {
		streams[scan.stream] = true
	}
	out, last := damagedShown{}, map[history]lastShown{}
	var from *format.PackedViews
	var concerned []bool
	err := c.eachReadable(ctx, func(s *Snapshot, packed *format.PackedViews, views []format.View) {
		facts := &format.Facts{Incarnations: packed.Incarnations, Streams: packed.Streams}
		if packed != from {
			from, concerned = packed, make([]bool, len(packed.Streams))
			for i := range concerned {
				concerned[i] = streams[facts.StreamAt(i)]
			}
		}
		for i := range views {
			if v := &views[i]; concerned[v.Stream] {
				key := history{scanOf{facts.StreamAt(v.Stream), v.Scan}, v.LastEpoch}
				out.add(key, last[key].newParts(ranges[key.scanOf], v, s.Time), s.Time)
				last[key] = lastShown{*v, s.Time, true}
			}
		}
	})
	return out, err
}

// lastShown is the view of a history before: mostly the next one only goes further.
type lastShown struct {
	format.View
	at    time.Time
	known bool
}

// newParts are the parts of ranges that a view shows, but for those that the view before showed
// the same, and earlier.
func (l lastShown) newParts(ranges []lineage.Range, v *format.View, at time.Time) []lineage.Range {
	behind := v.LogStartOffset
	if l.known && l.LogStartOffset == v.LogStartOffset && l.NextOffset <= v.NextOffset && !at.Before(l.at) {
		behind = max(behind, l.NextOffset)
	}
	first := sort.Search(len(ranges), func(i int) bool { return ranges[i].NextOffset > behind })
	var out []lineage.Range
	for _, r := range ranges[first:] {
		if part := (lineage.Range{FirstOffset: max(r.FirstOffset, v.LogStartOffset), NextOffset: min(r.NextOffset, v.NextOffset)}); part.FirstOffset < part.NextOffset {
			out = append(out, part)
		}
	}
	return out
}

func (d damagedShown) add(key history, parts []lineage.Range, at time.Time) {
	for _, part := range parts {
		if d[key] == nil {
			d[key] = map[lineage.Range]time.Time{}
		}
		if first, known := d[key][part]; !known || at.Before(first) {
			d[key][part] = at
		}
	}
}

// readConcerned says of each problem which snapshots show what it costs.
func (c *Catalog) readConcerned(ctx context.Context, problems []*DamageError) (map[*DamageError][]SnapshotID, error) {
	out := map[*DamageError][]SnapshotID{}
	if len(problems) == 0 {
		return out, nil
	}
	byStream, byObject := map[coldstream.Stream][]*DamageError{}, map[string][]*DamageError{}
	for _, d := range problems {
		byStream[d.Stream] = append(byStream[d.Stream], d)
		byObject[d.Object] = append(byObject[d.Object], d)
	}
	var from *format.PackedViews
	var known [][]*DamageError
	err := c.eachReadable(ctx, func(s *Snapshot, packed *format.PackedViews, views []format.View) {
		if packed != from {
			facts := &format.Facts{Incarnations: packed.Incarnations, Streams: packed.Streams}
			from, known = packed, make([][]*DamageError, len(packed.Streams))
			for i := range known {
				known[i] = byStream[facts.StreamAt(i)]
			}
		}
		concerned := map[*DamageError]bool{}
		for i := range views {
			for _, d := range known[views[i].Stream] {
				if views[i].LogStartOffset < d.NextOffset && d.FirstOffset < views[i].NextOffset {
					concerned[d] = true
				}
			}
		}
		for _, ref := range s.sections {
			if ref.Missing != "" {
				continue
			}
			for _, d := range byObject[ref.Table.Key()] {
				concerned[d] = true
			}
		}
		for d := range maps.Keys(concerned) {
			out[d] = append(out[d], s.ID)
		}
	})
	return out, err
}
