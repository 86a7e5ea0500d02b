package epochs

import (
	"maps"
	"math/bits"
	"slices"
	"strings"

	"coldstream/internal/sim"
)

// judge knows what was promised, and looks at the store after every few steps as if all
// stood still. Of the protocol it shares the meaning of base and commits, nothing else.
type judge struct {
	*model
	acked     perStream
	snapshots map[snapshot]bool // acknowledged
	forgotten map[snapshot]bool // by the policy
	holding   map[string]snapshot
	made      map[int]bool // epochs whose base was there once
}

func newJudge(m *model) *judge {
	return &judge{
		model:     m,
		snapshots: map[snapshot]bool{},
		forgotten: map[snapshot]bool{},
		holding:   map[string]snapshot{},
		made:      map[int]bool{0: true},
	}
}

func (j *judge) acknowledge(stream int, o offsets) { j.acked[stream] |= o }
func (j *judge) acknowledgeSnapshot(s snapshot)    { j.snapshots[s] = true }
func (j *judge) holds(process string, s snapshot)  { j.holding[process] = s }
func (j *judge) letsGo(process string)             { delete(j.holding, process) }

// newestBegun is found without being a step of anybody.
func (j *judge) newestBegun() int {
	keys := j.store.Keys(epochsPrefix)
	for _, key := range slices.Backward(keys) {
		if epoch, begun := isBegun(key); begun {
			return epoch
		}
	}
	return 0
}

// died counts where processes died, and ends what they promised.
func (j *judge) died(p *sim.Proc) {
	j.letsGo(p.Name)
	pending, ok := p.Pending()
	last := p.Last()
	switch {
	case !ok:
	case pending.Kind == sim.OpCreate && strings.HasPrefix(pending.Key, commitsPrefix) &&
		last.Kind == sim.OpCreate && strings.HasPrefix(last.Key, packsPrefix):
		j.count(CrashBeforeCommit)
	case pending.Kind == sim.OpDelete && last.Kind == sim.OpDelete:
		j.count(CrashInGarbage)
	case pending.Kind == sim.OpCreate && pending.Key == baseKey(epochOf(pending.Key)):
		j.count(CrashInTurn)
	}
}

// changed sees each change of the store at the moment it happens.
func (j *judge) changed(op *sim.Op, _ any) {
	if op.Kind == sim.OpDelete {
		return
	}
	epoch := epochOf(op.Key)
	switch {
	case strings.HasPrefix(op.Key, commitsPrefix):
		if j.newestBegun()-epoch >= 3 {
			j.count(ZombieCommit)
		}
		if j.sched.Landing() {
			j.count(LateCommit)
		}
	case strings.HasPrefix(op.Key, holdsPrefix):
		if !j.store.Has(baseKey(j.newestBegun())) {
			j.count(HoldDuringTurn)
		}
	case strings.HasPrefix(op.Key, epochsPrefix) && op.Body != nil:
		if j.sched.Landing() {
			j.count(LateBase)
		}
		if j.made[epoch] {
			j.count(BaseAgain)
			return
		}
		j.made[epoch] = true
		j.entitled(op.Body.(*base))
	}
}

// entitled holds the first base of an epoch against what forget and prune may do.
func (j *judge) entitled(b *base) {
	newest, any := b.newest()
	for i := range streams {
		released := b.rel[i] &^ b.before.rel[i]
		if released == 0 {
			continue
		}
		if !any || released&^below(newest.view[i].next()) != 0 {
			j.sched.Fail(violation("released beyond the newest snapshot"))
		}
		for _, s := range b.snapshots {
			if s.view[i]&released != 0 {
				j.sched.Fail(violation("released under a kept view"))
			}
		}
	}
	had := slices.Clone(b.before.snapshots)
	for _, c := range b.took {
		if c.snapshot != nil {
			had = append(had, *c.snapshot)
		}
	}
	for _, s := range had {
		if slices.Contains(b.snapshots, s) {
			continue
		}
		newer := 0
		for _, kept := range b.snapshots {
			if bySnapshotTime(kept, s) > 0 {
				newer++
			}
		}
		if newer < keepSnapshots {
			j.sched.Fail(violation("snapshot dropped against the policy"))
		}
		j.forgotten[s] = true
	}
}

// now is what the vault holds: by the newest base that is there, and its commits.
func (j *judge) now() (catalog, *base, bool) {
	n := j.newestBegun()
	body, ok := j.store.Get(baseKey(n))
	if !ok {
		n--
		if body, ok = j.store.Get(baseKey(n)); !ok {
			j.sched.Fail(violation("no base"))
			return catalog{}, nil, false
		}
	}
	b := body.(*base)
	keys := j.store.Keys(commitsOf(n))
	commits := make([]*commit, len(keys))
	for i, key := range keys {
		body, _ := j.store.Get(key)
		commits[i] = body.(*commit)
	}
	f, _ := fold(b, commits, j.left)
	if len(commits) > 1 && j.sched.Chance(.1) {
		j.sched.Rand.Shuffle(len(commits), func(a, b int) { commits[a], commits[b] = commits[b], commits[a] })
		g, _ := fold(b, commits, j.left)
		if !f.same(&g) {
			j.sched.Fail(violation("two folds of the same objects differ"))
		}
	}
	return f, b, true
}

func (c *catalog) same(d *catalog) bool {
	return c.gaps == d.gaps && sameSet(c.rows, d.rows, byRow) && sameSet(c.snapshots, d.snapshots, bySnapshotTime)
}

func sameSet[T comparable](a, b []T, order func(T, T) int) bool {
	return slices.Equal(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order))
}

// check is the judgement.
func (j *judge) check() {
	f, b, ok := j.now()
	if !ok {
		return
	}
	for _, t := range b.tables {
		if t.key != "" && !j.store.Has(t.key) {
			j.sched.Fail(violation("tables of the newest base are gone"))
		}
	}
	var rows perStream
	for _, r := range f.rows {
		if rows[r.stream]&r.mask != 0 {
			j.count(StoredTwice)
		}
		rows[r.stream] |= r.mask
		if !j.store.Has(r.pack.key) {
			j.sched.Fail(violation("a row whose pack is gone"))
		}
	}
	for i := range streams {
		if j.acked[i]&^(rows[i]|f.rel[i]) != 0 {
			j.sched.Fail(violation("acknowledged offsets lost"))
		}
		if !(rows[i] | f.gaps[i] | f.rel[i]).joins() {
			j.sched.Fail(violation("a hole nobody explains"))
		}
		if rows[i]&f.rel[i] != 0 {
			j.sched.Fail(violation("released data came back"))
		}
	}
	readable := func(s snapshot) {
		for i := range streams {
			if s.view[i]&^(rows[i]|f.gaps[i]) != 0 {
				j.sched.Fail(violation("a kept or held view is not readable"))
			}
		}
		if !j.store.Has(s.section.key) {
			j.sched.Fail(violation("metadata of a kept snapshot is gone"))
		}
	}
	for _, s := range f.snapshots {
		readable(s)
	}
	for _, process := range slices.Sorted(maps.Keys(j.holding)) {
		readable(j.holding[process])
	}
	for s := range j.snapshots {
		if !j.forgotten[s] && !slices.Contains(f.snapshots, s) {
			j.sched.Fail(violation("acknowledged snapshot lost"))
		}
	}
}

// sumUp counts what a schedule came to.
func (j *judge) sumUp() {
	counts := j.sched.Counts
	counts["epochs"] = j.newestBegun()
	for _, o := range j.acked {
		counts["offsets acknowledged"] += bits.OnesCount64(uint64(o))
	}
	counts["snapshots acknowledged"], counts["snapshots forgotten"] = len(j.snapshots), len(j.forgotten)
}

// checkGarbage looks for what two turns in quiet should have deleted.
func (j *judge) checkGarbage() {
	n := j.newestBegun()
	for !j.store.Has(baseKey(n)) {
		n--
	}
	body, _ := j.store.Get(baseKey(n))
	named := map[string]bool{}
	body.(*base).name(named)
	if before, ok := j.store.Get(baseKey(n - 1)); ok {
		for _, t := range before.(*base).tables {
			named[t.key] = true
		}
	}
	for _, prefix := range []string{packsPrefix, tablesPrefix, sectionsPrefix} {
		for _, key := range j.store.Keys(prefix) {
			if epochOf(key) <= n-2 && !named[key] {
				j.sched.Fail(violation("garbage left for ever: " + key))
			}
		}
	}
	for _, prefix := range []string{commitsPrefix, epochsPrefix} {
		for _, key := range j.store.Keys(prefix) {
			begun := prefix == epochsPrefix && strings.HasSuffix(key, "/begun")
			if epochOf(key) < n-1 && !begun {
				j.sched.Fail(violation("garbage left for ever: " + key))
			}
		}
	}
}
