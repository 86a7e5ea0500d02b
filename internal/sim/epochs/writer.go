package epochs

import (
	"fmt"
	"slices"
)

// writer is rule 2. What an epoch left unanswered it stores again in the next one.
type writer struct {
	*client
	rows     []row
	gaps     perStream
	snapshot *snapshot
	commits  int
	packs    int
}

func runWriter(c *client) {
	w := &writer{client: c}
	for {
		epoch, f := w.open(opening{})
		w.settle(&f)
		var mine []*commit
		for range c.sched.Between(1, 4) {
			if c.sched.Chance(.3) {
				// Look at the others' commits.
				seen, ok := c.commits(epoch)
				b := c.base(epoch)
				if !ok || b == nil || c.keeps(Look) && c.has(begunKey(epoch+1)) {
					break
				}
				f, _ = fold(b, slices.Concat(seen, mine), c.left)
			}
			if !w.round(epoch, &f, &mine) {
				break
			}
		}
	}
}

// settle compares what was left unanswered with the catalog: what is covered there is
// good, the rest is stored again.
func (w *writer) settle(f *catalog) {
	var left []row
	for _, r := range w.rows {
		w.judge.acknowledge(r.stream, r.mask&f.rowCover[r.stream])
		r.mask &^= f.rowCover[r.stream]
		if w.keeps(Covered) {
			if r.mask&f.rel[r.stream] != 0 {
				w.count(ReleasedPending)
			}
			r.mask &^= f.rel[r.stream]
		}
		if r.mask != 0 {
			left = append(left, r)
		}
	}
	w.rows = left
	for i := range w.gaps {
		w.gaps[i] &^= f.cover(i)
	}
	if w.snapshot != nil && slices.Contains(f.snapshots, *w.snapshot) {
		w.judge.acknowledgeSnapshot(*w.snapshot)
		w.snapshot = nil
	}
}

// round makes one commit, or two that are in flight together. It is false if the epoch
// turned: nothing of them is acknowledged then.
func (w *writer) round(epoch int, f *catalog, mine *[]*commit) bool {
	var batch []*commit
	rounds := 1
	if w.keeps(Two) && w.sched.Chance(.25) {
		rounds = 2
	}
	for range rounds {
		if made := w.prepare(epoch, f); made != nil {
			batch = append(batch, made)
			f.take(made)
			*mine = append(*mine, made)
		}
	}
	if len(batch) > 1 && w.sched.Chance(.5) {
		slices.Reverse(batch)
		w.count(CommitsSwapped)
	}
	for _, made := range batch {
		w.commits++
		w.put(fmt.Sprintf("%s%s/%d", commitsOf(epoch), w.proc.Name, w.commits), made)
	}
	if w.has(begunKey(epoch+1)) && w.keeps(Check) {
		for _, made := range batch {
			w.rows = append(w.rows, made.rows...)
			for i := range w.gaps {
				w.gaps[i] |= made.gaps[i]
			}
			if made.snapshot != nil {
				w.snapshot = made.snapshot
			}
		}
		return false
	}
	for _, made := range batch {
		for _, r := range made.rows {
			w.judge.acknowledge(r.stream, r.mask)
		}
		if made.snapshot != nil {
			w.judge.acknowledgeSnapshot(*made.snapshot)
		}
	}
	return true
}

// prepare decides on a commit and stores what it names. It is nil if there is nothing to
// say.
func (w *writer) prepare(epoch int, f *catalog) *commit {
	w.packs++
	pack, fresh := w.packKey(epoch, w.packs), false
	made := &commit{gaps: w.gaps}
	for _, r := range w.rows {
		if w.keeps(Fresh) && r.pack.epoch < epoch-1 {
			w.count(PackedAgain)
			r.pack, fresh = pack, true
		}
		made.rows = append(made.rows, r)
	}
	w.rows, w.gaps = nil, perStream{}
	if w.fetch(made, f, pack) {
		fresh = true
	}
	w.pickSnapshot(epoch, f, made)
	if len(made.rows) == 0 && made.gaps == (perStream{}) && made.snapshot == nil {
		return nil
	}
	if fresh {
		w.put(pack.key, nil)
	}
	return made
}

// fetch adds what the logs hold behind the heads, and gaps where a log start has passed.
func (w *writer) fetch(made *commit, f *catalog, pack object) (fetched bool) {
	one := w.sched.Between(0, 2*streams)
	rows := coverOf(made.rows)
	for i := range streams {
		log := &w.log[i]
		have := f.cover(i) | made.gaps[i] | rows[i]
		next := have.firstHole()
		if !w.keeps(Join) {
			next = have.next()
		}
		if next < log.start {
			made.gaps[i] |= below(log.start) &^ below(next) &^ have
			next = log.start
			w.count(GapFound)
		}
		if next >= log.next || one != i && (one < streams || !w.sched.Chance(.7)) {
			continue
		}
		to := min(log.next, next+w.sched.Between(1, 2))
		if mask := below(to) &^ below(next) &^ have; mask != 0 {
			made.rows = append(made.rows, row{i, mask, pack})
			fetched = true
		}
	}
	return fetched
}

// pickSnapshot puts a snapshot into the commit: one that was not answered if it still
// fits, else perhaps a new one.
func (w *writer) pickSnapshot(epoch int, f *catalog, made *commit) {
	rows := coverOf(made.rows)
	var covered perStream
	for i := range covered {
		covered[i] = f.cover(i) | made.gaps[i] | rows[i]
	}
	if w.snapshot != nil {
		again := *w.snapshot
		w.snapshot = nil
		switch {
		case w.keeps(View) && !fits(again.view, covered, f.rel):
			w.count(ViewReleased) // taken again below, if at all
		default:
			w.freshSection(epoch, f, &again)
			made.snapshot = &again
			return
		}
	}
	if !w.sched.Chance(.5) {
		return
	}
	w.clock++
	taken := snapshot{time: w.clock, config: w.model.config}
	for i := range covered {
		next := covered[i].next()
		taken.view[i] = below(next) &^ below(min(w.log[i].start, next))
	}
	taken.section = w.section(epoch, f, taken.config)
	if !w.keeps(View) || fits(taken.view, taken.view, f.rel) {
		made.snapshot = &taken
	}
}

func fits(view, covered, released perStream) bool {
	for i := range view {
		if !viewFits(view[i], covered[i], released[i]) {
			return false
		}
	}
	return true
}

// freshSection uploads an old section again, unless the fold names it.
func (w *writer) freshSection(epoch int, f *catalog, s *snapshot) {
	if !w.keeps(Fresh) || !w.keeps(Key) || s.section.epoch >= epoch-1 {
		return
	}
	for i := range f.snapshots {
		if f.snapshots[i].section == s.section {
			return
		}
	}
	w.count(SectionAgain)
	s.section = w.section(epoch, f, s.config)
}

// section stores metadata by its content; one that the fold names is named, and not
// stored again.
func (w *writer) section(epoch int, f *catalog, config int) object {
	if w.keeps(Key) {
		for i := range f.snapshots {
			if f.snapshots[i].config == config {
				return f.snapshots[i].section
			}
		}
	} else {
		epoch = 0
	}
	o := object{epoch, fmt.Sprintf("%s%s/%d", sectionsPrefix, number(epoch), config)}
	if w.keeps(Key) || !w.has(o.key) {
		w.put(o.key, nil)
	}
	return o
}
