package vault

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

// settlement is what damaged packs cost, topic by topic.
type settlement struct {
	ver     *verifier
	catalog *Catalog
	rows    map[scanOf]*damagedRows
	shown   damagedShown

	costs  map[*DamageError][]*DamageError // by damage of a frame, or of a whole pack
	needed map[*DamageError]bool           // of what is around frames
	fewer  []*DamageError
}

// damagedRows are where rows of a scan are that bad packs hold.
type damagedRows struct {
	all     []lineage.Range // sorted, none touches another, once sort was called
	damaged []lineage.Range // rows of damaged frames, sorted by their ends, likewise
}

func (s *settlement) note(id format.PackID, r *packRow) {
	scan := scanOf{r.stream, r.Scan}
	of := s.rows[scan]
	if of == nil {
		of = &damagedRows{}
		s.rows[scan] = of
	}
	at := lineage.Range{FirstOffset: r.FirstOffset, NextOffset: r.NextOffset}
	of.all = append(of.all, at)
	if s.ver.damaged.has(id, r.start) {
		of.damaged = append(of.damaged, at)
	}
}

func (d *damagedRows) sort() {
	slices.SortFunc(d.damaged, func(a, b lineage.Range) int { return cmp.Compare(a.NextOffset, b.NextOffset) })
	slices.SortFunc(d.all, func(a, b lineage.Range) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	var merged []lineage.Range
	for _, r := range d.all {
		if n := len(merged); n > 0 && r.FirstOffset <= merged[n-1].NextOffset {
			merged[n-1].NextOffset = max(merged[n-1].NextOffset, r.NextOffset)
			continue
		}
		merged = append(merged, r)
	}
	d.all = merged
}

// overlap says that a row holds offsets that a bad pack holds, too.
func (d *damagedRows) overlap(r *format.Row) bool {
	i := sort.Search(len(d.all), func(i int) bool { return d.all[i].NextOffset > r.FirstOffset })
	return i < len(d.all) && d.all[i].FirstOffset < r.NextOffset
}

// readShown finds out which snapshots show what of damaged rows.
func (s *settlement) readShown(ctx context.Context) (err error) {
	ranges := map[scanOf][]lineage.Range{}
	for scan, rows := range s.rows {
		rows.sort()
		if len(rows.damaged) > 0 {
			ranges[scan] = rows.damaged
		}
	}
	if len(ranges) > 0 {
		s.shown, err = s.catalog.readDamagedShown(ctx, ranges)
	}
	return err
}

// settleTopic finds out what the damage costs a topic: the offsets that a snapshot shows, or that
// are of a stream's newest history, and that no other row holds.
func (s *settlement) settleTopic(ctx context.Context, topic string) error {
	ver, rows := s.ver, rowsOfTopic{}
	if err := s.catalog.eachFactsOf(ctx, topic, func(_ string, facts *format.Facts) error {
		rows.takeAround(s.rows, facts, newPackRefs(facts, ver.vault.info.ID))
		return nil
	}); err != nil {
		return err
	}
	if len(ver.around) > 0 {
		ver.eachDoubtful(s.catalog, rows, ver.isBad, func(_ coldstream.Stream, run *Run) {
			s.needed[ver.around.of(run.Ref.Pack.ID, format.WholePack)] = true
		})
	}
	ver.eachDoubtful(s.catalog, rows, ver.damaged.has, func(stream coldstream.Stream, run *Run) {
		damage := ver.damaged.of(run.Ref.Pack.ID, run.Ref.Pack.Starts[run.Ref.Row.Frame])
		s.costs[damage] = append(s.costs[damage], costing(damage, stream, run))
	})
	for scan, set := range rows {
		for _, key := range ver.historiesOf[scan] {
			if parts := s.shown[key]; parts != nil {
				s.fewer = append(s.fewer, fewerOf(set, key, parts, ver.damaged.of)...)
			}
		}
	}
	return nil
}

// report tells what the damage costs. What costs nothing, because it was fetched again, is no
// problem any more; nor is a pack that is damaged around its frames and that nobody needs.
func (s *settlement) report() {
	ver := s.ver
	for m, damage := range ver.around {
		if content := ver.packs[m.Pack]; s.needed[damage] || content == nil || content.count == 0 {
			ver.add(damage)
		}
	}
	for m, damage := range ver.damaged {
		if !ver.packs[m.Pack].hasRows(m.Start) {
			ver.add(damage)
		}
		ver.add(joinRanges(s.costs[damage])...)
	}
	ver.add(joinByObject(s.fewer)...)
}

// newestView shows all of a scan that is not of a fork.
func newestView(scan scanOf, set *lineage.Set, catalog *Catalog) View {
	view := View{Stream: scan.stream, Scan: scan.scan, LogStartOffset: math.MaxInt64, LastEpoch: lineage.NoEpoch}
	for i := range set.Rows {
		view.LogStartOffset = min(view.LogStartOffset, set.Rows[i].FirstOffset)
		view.NextOffset = max(view.NextOffset, set.Rows[i].NextOffset)
	}
	if h := catalog.heads[scan.stream]; h != nil && h.scan == scan.scan {
		view.LogStartOffset = max(view.LogStartOffset, h.floor)
	}
	return view
}

func (c *packContent) hasRows(start int64) bool {
	return start == allFrames && c.count > 0 || len(c.rowsOf(start)) > 0
}
