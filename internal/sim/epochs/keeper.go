package epochs

import (
	"slices"
	"strings"
)

// keeper turns epochs: rules 3 and 4.
func keeper(c *client) {
	var plan *compaction
	compactions := 0
	for {
		n, f := c.open(opening{tables: true, maker: true})
		kind := c.sched.Between(0, 3)
		t := &turn{forgets: kind&1 != 0}
		if !c.keeps(Late) {
			t.holds = c.holds()
		}
		if kind&2 != 0 && plan == nil {
			compactions++
			var ok bool
			if plan, ok = c.compact(n, &f, compactions); !ok {
				continue
			}
		}
		t.plan = plan
		if !c.keeps(Order) {
			t.early, _ = c.commits(n)
		}
		c.put(begunKey(n+1), nil)
		if !c.keeps(Own) {
			c.collectTooSoon(n, t)
		}
		b := c.makeBase(n+1, t)
		if b == nil {
			plan = c.lost(n, plan)
			continue
		}
		if t.replaced {
			c.count(Compacted)
		}
		plan = nil
		// The base may have been there, and retired, before ours was created.
		if c.keeps(Confirm) && c.has(begunKey(n+3)) {
			c.count(NotConfirmed)
			continue
		}
		c.collect(n+1, b, c.base(n))
	}
}

// lost is what remains of a plan when another's base was first, or ours and we do not
// know it.
func (c *client) lost(n int, plan *compaction) *compaction {
	if plan == nil {
		return nil
	}
	if !c.keeps(Tidy) {
		c.remove(plan.pack.key)
		return nil
	}
	if c.keeps(Redo) && plan.pack.epoch < n {
		c.count(PlanDropped)
		return nil
	}
	c.count(PlanKept)
	return plan
}

// compact reads some rows of each stream, slowly, and stores them in one pack. It is
// false if one of them is gone.
func (c *client) compact(n int, f *catalog, number int) (*compaction, bool) {
	plan := &compaction{pack: c.packKey(n, number)}
	for i := range streams {
		var of []row
		for _, r := range f.rows {
			if r.stream == i {
				of = append(of, r)
			}
		}
		if len(of) < 2 || !c.sched.Chance(.8) {
			continue
		}
		c.sched.Rand.Shuffle(len(of), func(a, b int) { of[a], of[b] = of[b], of[a] })
		of = of[:min(len(of), c.sched.Between(2, 6))]
		plan.olds = append(plan.olds, of...)
		plan.news = append(plan.news, row{i, coverOf(of)[i], plan.pack})
	}
	if plan.olds == nil {
		return nil, true
	}
	slices.SortFunc(plan.olds, byRow)
	for _, r := range plan.olds {
		if !c.has(r.pack.key) {
			return nil, false
		}
	}
	c.put(plan.pack.key, nil)
	return plan, true
}

// collectTooSoon is what happens without rule "own".
func (c *client) collectTooSoon(n int, t *turn) {
	b := c.base(n)
	if b == nil {
		return
	}
	commits, ok := c.commits(n)
	if !ok {
		return
	}
	f, _ := fold(b, commits, c.left)
	early := *t
	early.holds = c.holds()
	c.takeAway(n+1, &f, &early)
	c.collect(n+1, &base{catalog: f}, b)
}

// collect is rule 4: it deletes what base n has made superfluous.
func (c *client) collect(n int, b, before *base) {
	named := map[string]bool{}
	b.name(named)
	if before != nil {
		for _, t := range before.tables {
			named[t.key] = true
		}
	}
	if !c.keeps(Key) {
		c.nameAllAtHand(n, named)
	}
	last := n - 2
	if !c.keeps(Age) {
		last = n
	}
	var garbage []string
	for _, prefix := range []string{packsPrefix, tablesPrefix, sectionsPrefix} {
		for _, o := range c.list(prefix) {
			old := epochOf(o.Key) <= last || !c.keeps(Key) && prefix != packsPrefix
			if old && !named[o.Key] {
				garbage = append(garbage, o.Key)
			}
		}
	}
	for _, prefix := range []string{commitsPrefix, epochsPrefix} {
		for _, o := range c.list(prefix) {
			begun := prefix == epochsPrefix && strings.HasSuffix(o.Key, "/begun")
			if epochOf(o.Key) < n-1 && (!begun || !c.keeps(Begun)) {
				garbage = append(garbage, o.Key)
			}
		}
	}
	c.sched.Rand.Shuffle(len(garbage), func(i, j int) { garbage[i], garbage[j] = garbage[j], garbage[i] })
	for _, key := range garbage {
		c.remove(key)
	}
}

// name adds all keys that a base names.
func (b *base) name(named map[string]bool) {
	for _, r := range b.rows {
		named[r.pack.key] = true
	}
	for _, s := range b.snapshots {
		named[s.section.key] = true
	}
	for _, t := range b.tables {
		named[t.key] = true
	}
}

// nameAllAtHand is the next best thing where keys have no epoch: whatever any base or
// commit that is there names.
func (c *client) nameAllAtHand(n int, named map[string]bool) {
	for e := n; e <= c.newest(); e++ {
		commits, _ := c.commits(e)
		for _, commit := range commits {
			if commit.snapshot != nil {
				named[commit.snapshot.section.key] = true
			}
		}
		if b := c.base(e); b != nil {
			for _, s := range b.snapshots {
				named[s.section.key] = true
			}
			for _, t := range b.tables {
				named[t.key] = true
			}
		}
	}
}
