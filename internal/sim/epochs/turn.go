package epochs

import (
	"fmt"
	"slices"

	"coldstream/internal/sim"
)

// opening is what a process needs of the catalog when it opens.
type opening struct {
	tables bool // it reads all rows, so that the tables must be there
	maker  bool // it may make a base that is missing, on any store
}

// open is rule 1: the newest begun epoch, its base, its commits, and the look.
func (c *client) open(o opening) (int, catalog) {
	for {
		n := c.newest()
		b := c.base(n)
		if b == nil {
			c.missingBase(n, o)
			continue
		}
		if o.tables && !c.tablesThere(b) {
			if c.isNewest(n) {
				c.violated("tables of the newest base are gone")
			}
			continue
		}
		commits, ok := c.commits(n)
		if !ok {
			if c.isNewest(n) {
				c.violated("false damage: a commit vanished and there is no newer epoch")
			}
			continue
		}
		if c.keeps(Look) && !c.isNewest(n) {
			c.count(OpenedAgain)
			continue
		}
		folded, took := fold(b, commits, c.left)
		if len(took) < len(commits) {
			c.count(LeftOut)
		}
		return n, folded
	}
}

// missingBase makes the base of an epoch that was begun, removing nothing; or waits for
// the one who may.
func (c *client) missingBase(n int, o opening) {
	if !c.store.Conditional && !o.maker && c.keeps(Alone) {
		c.count(WaitedForBase)
		c.idle()
		return
	}
	if !c.store.Conditional && c.keeps(Wait) && c.sched.InFlight("k") {
		c.count(WaitedForDead)
		c.idle()
		return
	}
	if c.makeBase(n, nil) != nil {
		c.count(BaseByOther)
	}
}

// turn is what a keeper brings to a base.
type turn struct {
	forgets  bool // and prunes
	plan     *compaction
	early    []*commit // instead of listing them after the begin
	holds    []snapshot
	replaced bool // the compaction is in the base
}

// compaction replaces rows by others in one new pack.
type compaction struct {
	olds, news []row
	pack       object
}

// makeBase is rule 3 from the listing on. It returns the base if ours was created, as far
// as we know.
func (c *client) makeBase(n int, t *turn) *base {
	before := c.base(n - 1)
	if before == nil || !c.tablesThere(before) {
		return nil // retired meanwhile: somebody is further than we are
	}
	var commits []*commit
	if t != nil && !c.keeps(Order) {
		commits = t.early
	} else {
		var ok bool
		if commits, ok = c.commits(n - 1); !ok {
			return nil
		}
	}
	folded, took := fold(before, commits, c.left)
	if t != nil {
		if c.keeps(Late) {
			t.holds = c.holds()
		}
		c.takeAway(n, &folded, t)
	}
	b := &base{catalog: folded, before: before, took: took}
	c.writeTables(n, b)
	op := sim.Op{Kind: sim.OpCreate, Key: baseKey(n), Body: b}
	if !c.keeps(Cond) {
		op.Kind = sim.OpPut
	}
	answer, err := c.do(op)
	switch {
	case answer.Lost:
		c.count(LostWonBase)
		return nil
	case err != nil:
		c.count(BaseTaken)
		return nil
	}
	return b
}

// writeTables stores the rows of each stream that changed since the base before.
func (c *client) writeTables(n int, b *base) {
	present := coverOf(b.rows)
	for i := range streams {
		if present[i] == 0 {
			continue
		}
		content := contents(b.rows, i)
		if c.keeps(Key) && b.before.tables[i].key != "" && b.before.tables[i].content == content {
			b.tables[i] = b.before.tables[i]
			c.count(SharedTable)
			continue
		}
		epoch := n
		if !c.keeps(Key) {
			epoch = 0
		}
		b.tables[i] = table{content, object{epoch, fmt.Sprintf("%s%s/%d-%016x", tablesPrefix, number(epoch), i, content)}}
		if c.keeps(Key) || !c.has(b.tables[i].key) {
			c.put(b.tables[i].key, nil)
		}
	}
}

func (c *client) holds() []snapshot {
	var out []snapshot
	for _, o := range c.list(holdsPrefix) {
		if body, ok := c.read(o.Key); ok {
			out = append(out, body.(snapshot))
		}
	}
	return out
}

// takeAway decides on a fold what the next base leaves out.
func (c *client) takeAway(n int, f *catalog, t *turn) {
	holds := t.holds
	if !c.keeps(Held) {
		holds = nil
	}
	if t.plan != nil && (!c.keeps(Redo) || t.plan.stands(f) && t.plan.pack.epoch >= n-2) {
		f.rows = slices.DeleteFunc(f.rows, func(r row) bool { return slices.Contains(t.plan.olds, r) })
		f.rows = append(f.rows, t.plan.news...)
		f.rowCover = coverOf(f.rows)
		t.replaced = true
	}
	if t.forgets {
		forget(f, holds)
		prune(f, holds)
	}
}

// stands says that all rows to replace are still there.
func (p *compaction) stands(f *catalog) bool {
	return !slices.ContainsFunc(p.olds, func(r row) bool { return !slices.Contains(f.rows, r) })
}

func forget(f *catalog, holds []snapshot) {
	slices.SortFunc(f.snapshots, bySnapshotTime)
	old := max(0, len(f.snapshots)-keepSnapshots)
	i := -1
	f.snapshots = slices.DeleteFunc(f.snapshots, func(s snapshot) bool {
		i++
		return i < old && !slices.Contains(holds, s)
	})
}

// prune releases rows that no snapshot, no hold and no head needs.
func prune(f *catalog, holds []snapshot) {
	newest, ok := f.newest()
	if !ok {
		return
	}
	var need perStream
	for i := range need {
		if newest.view[i] == 0 {
			need[i] = ^offsets(0)
		} else {
			need[i] = ^below(newest.view[i].next())
		}
	}
	for _, s := range slices.Concat(f.snapshots, holds) {
		for i := range need {
			need[i] |= s.view[i]
		}
	}
	was := f.rowCover
	f.rows = slices.DeleteFunc(f.rows, func(r row) bool { return r.mask&need[r.stream] == 0 })
	f.rowCover = coverOf(f.rows)
	for i := range need {
		f.rel[i] |= was[i] &^ f.rowCover[i]
	}
}
