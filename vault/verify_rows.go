package vault

import (
	"context"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

// rowsAtOnce bounds how many rows of packs are in memory at a time, but for those of one pack.
const rowsAtOnce = 400_000

// checkRows proves, one topic after the other, that what snapshots show is in rows and gaps
// that join, and that all say the same of packs.
func (ver *verifier) checkRows(ctx context.Context, c *Catalog) error {
	if err := c.readFacts(); err != nil {
		return err
	}
	shown := map[string][]history{}
	for key := range ver.shown {
		shown[key.stream.Topic] = append(shown[key.stream.Topic], key)
	}
	for _, topic := range c.topics() {
		rows := rowsOfTopic{}
		if err := c.eachFactsOf(ctx, topic, func(object string, facts *format.Facts) error {
			if !isOfCommit(object) { // these are of several topics
				ver.takePacks(object, facts)
			}
			rows.join(facts)
			return nil
		}); err != nil {
			return err
		}
		for _, key := range shown[topic] {
			for _, view := range ver.shown[key] {
				ver.add(lostRanges(view.Stream, c.damage, rows.of(key.scanOf).Cover(view).Lost)...)
			}
		}
	}
	for _, of := range c.facts {
		ver.takePacks(of.object, of.Facts)
	}
	return ver.settlePacks(ctx, c)
}

// rowsOfTopic are the rows of a topic's scans.
type rowsOfTopic map[scanOf]*lineage.Set

func (t rowsOfTopic) of(scan scanOf) *lineage.Set {
	set := t[scan]
	if set == nil {
		set = &lineage.Set{}
		t[scan] = set
	}
	return set
}

// join takes facts in, as far as coverage needs them.
func (t rowsOfTopic) join(facts *format.Facts) {
	for i := range facts.Rows {
		r := &facts.Rows[i]
		t.of(scanOf{facts.StreamAt(r.Stream), r.Scan}).Join(r)
	}
	t.takeGaps(facts)
}

func (t rowsOfTopic) takeGaps(facts *format.Facts) {
	for _, g := range facts.Gaps {
		set := t.of(scanOf{facts.StreamAt(g.Stream), g.Scan})
		set.Gaps = append(set.Gaps, g)
	}
	for _, s := range facts.Scans {
		set := t.of(scanOf{facts.StreamAt(s.Stream), s.Number})
		set.Starts = append(set.Starts, s.FirstOffset)
	}
}

// takeAround takes facts of scans with damaged rows in: what overlaps these as it is, and all else
// as far as coverage needs it.
func (t rowsOfTopic) takeAround(damaged map[scanOf]*damagedRows, facts *format.Facts, packs *packRefs) {
	for i := range facts.Rows {
		r := &facts.Rows[i]
		scan := scanOf{facts.StreamAt(r.Stream), r.Scan}
		of := damaged[scan]
		switch {
		case of == nil:
		case of.overlap(r):
			set := t.of(scan)
			set.Rows = append(set.Rows, lineage.Row{Row: *r, InPack: packs.of(r)})
		default:
			t.of(scan).Join(r)
		}
	}
	t.takeGaps(facts)
}

func (ver *verifier) isBad(id format.PackID, start int64) bool {
	return ver.around.has(id, start) || ver.damaged.has(id, start)
}

// settle says what damage of packs costs, once all of it is known. Rows are read again: those of
// damaged packs, to find out which scans they are of, and then one topic after the other
// what else there is of these.
func (ver *verifier) settle(ctx context.Context, c *Catalog) error {
	if len(ver.damaged)+len(ver.around) == 0 {
		return nil
	}
	bad := map[format.PackID]bool{}
	for _, m := range append(ver.damaged.marks(), ver.around.marks()...) {
		bad[m.Pack] = true
	}
	if err := ver.gatherRows(ctx, c, func(id format.PackID) bool { return bad[id] }); err != nil {
		return err
	}
	s := &settlement{ver: ver, catalog: c, rows: map[scanOf]*damagedRows{}, costs: map[*DamageError][]*DamageError{}, needed: map[*DamageError]bool{}}
	topics := map[string]bool{}
	for id := range bad {
		content := ver.packs[id]
		if content == nil {
			continue
		}
		for i := range content.rows {
			if r := &content.rows[i]; ver.isBad(id, r.start) {
				topics[r.stream.Topic] = true
				s.note(id, r)
			}
		}
	}
	if err := s.readShown(ctx); err != nil {
		return err
	}
	for _, topic := range c.topics() {
		if topics[topic] {
			if err := s.settleTopic(ctx, topic); err != nil {
				return err
			}
		}
	}
	s.report()
	return nil
}

func isOfCommit(object string) bool {
	_, err := format.ParseCommitKey(object)
	return err == nil
}

// eachDoubtful takes each run that snapshots or the newest history show of frames that may
// be damaged.
func (ver *verifier) eachDoubtful(c *Catalog, rows rowsOfTopic, isDamaged func(format.PackID, int64) bool, take func(coldstream.Stream, *Run)) {
	for scan, set := range rows {
		if !set.Doubt(isDamaged) {
			continue
		}
		newest := newestView(scan, set, c)
		views := []View{newest}
		for _, key := range ver.historiesOf[scan] {
			views = append(views, ver.shown[key]...)
		}
		for _, view := range views {
			for _, run := range set.Cover(view).Runs {
				if run.Doubtful {
					take(scan.stream, &run)
				}
			}
		}
	}
}
