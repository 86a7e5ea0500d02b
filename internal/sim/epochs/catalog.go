package epochs

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

const (
	streams = 3
	// keepSnapshots is the policy of forget.
	keepSnapshots = 2
	// maxOffset bounds the logs: offsets are bits of a word.
	maxOffset = 62
)

// offsets is a set of them.
type offsets uint64

func below(offset int) offsets { return 1<<offset - 1 }

// next is the first offset behind all of the set, firstHole the first that is not in it.
func (o offsets) next() int      { return bits.Len64(uint64(o)) }
func (o offsets) firstHole() int { return bits.TrailingZeros64(^uint64(o)) }
func (o offsets) joins() bool    { return o&(o+1) == 0 }

// perStream is a set of offsets for each stream.
type perStream [streams]offsets

// object is the name of a pack or section, and the epoch in it.
type object struct {
	epoch int
	key   string
}

// row says in which pack offsets of a stream are.
type row struct {
	stream int
	mask   offsets
	pack   object
}

func (r row) String() string { return fmt.Sprintf("%d:%b@%s", r.stream, r.mask, r.pack.key) }

// snapshot is a restore point. Times are unique.
type snapshot struct {
	time    int
	view    perStream
	config  int // what its section says
	section object
}

func (s snapshot) String() string {
	return fmt.Sprintf("snapshot %d %b %s", s.time, s.view, s.section.key)
}

// commit adds rows, gaps and perhaps a snapshot.
type commit struct {
	rows     []row
	gaps     perStream
	snapshot *snapshot
}

func (c *commit) String() string {
	if c.snapshot == nil {
		return fmt.Sprintf("%v gaps %b", c.rows, c.gaps)
	}
	return fmt.Sprintf("%v gaps %b %v", c.rows, c.gaps, *c.snapshot)
}

// catalog is what a fold gives.
type catalog struct {
	rows      []row
	rowCover  perStream
	gaps, rel perStream
	snapshots []snapshot
}

// base is a catalog as an epoch begins with it, and what it was made of.
type base struct {
	catalog
	tables [streams]table
	before *base
	took   []*commit
}

// table is where a stream's rows are listed; its key is empty if there are none.
type table struct {
	content uint64
	object
}

func (b *base) String() string { return fmt.Sprintf("%v released %b %v", b.rows, b.rel, b.snapshots) }

// cover is what needs no saving any more.
func (c *catalog) cover(stream int) offsets {
	return c.rowCover[stream] | c.gaps[stream] | c.rel[stream]
}

func (c *catalog) clone() catalog {
	out := *c
	out.rows, out.snapshots = slices.Clone(c.rows), slices.Clone(c.snapshots)
	return out
}

// take adds a commit's contents, whether it joins or not.
func (c *catalog) take(add *commit) {
	for _, r := range add.rows {
		// A commit that was made again brings rows that are there.
		if c.rowCover[r.stream]&r.mask == 0 || !slices.Contains(c.rows, r) {
			c.rows = append(c.rows, r)
			c.rowCover[r.stream] |= r.mask
		}
	}
	for i := range c.gaps {
		c.gaps[i] |= add.gaps[i]
	}
	if add.snapshot != nil && !slices.Contains(c.snapshots, *add.snapshot) {
		c.snapshots = append(c.snapshots, *add.snapshot)
	}
}

// joins says that a commit leaves no hole, and that its snapshot's view is there.
func (c *catalog) joins(add *commit) bool {
	var rows perStream
	for _, r := range add.rows {
		rows[r.stream] |= r.mask
	}
	for i := range streams {
		covered := c.cover(i) | add.gaps[i] | rows[i]
		if !covered.joins() || add.snapshot != nil && !viewFits(add.snapshot.view[i], covered, c.rel[i]) {
			return false
		}
	}
	return true
}

// viewFits is judged from heads alone: not below the last released offset, not past what
// is covered.
func viewFits(view, covered, released offsets) bool {
	return view&^covered == 0 && view&below(released.next()) == 0
}

// fold adds commits to a base, in whatever order lets them join, and returns the catalog
// and the commits that were taken.
func fold(b *base, commits []*commit, left RuleSet) (catalog, []*commit) {
	out := b.clone()
	took := make([]*commit, 0, len(commits))
	for todo := commits; len(todo) > 0; {
		var rest []*commit
		for _, c := range todo {
			if !left.Has(Join) && !out.joins(c) {
				rest = append(rest, c)
				continue
			}
			out.take(c)
			took = append(took, c)
		}
		if len(rest) == len(todo) {
			break
		}
		todo = rest
	}
	return out, took
}

func (c *catalog) newest() (snapshot, bool) {
	if len(c.snapshots) == 0 {
		return snapshot{}, false
	}
	return slices.MaxFunc(c.snapshots, bySnapshotTime), true
}

func bySnapshotTime(a, b snapshot) int {
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.section.key, b.section.key))
}

func byRow(a, b row) int {
	return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.mask, b.mask), cmp.Compare(a.pack.key, b.pack.key))
}

// contents tells tables of the same rows by one number, whatever the rows' order.
func contents(rows []row, stream int) uint64 {
	sum := uint64(0)
	for _, r := range rows {
		if r.stream != stream {
			continue
		}
		h := uint64(14695981039346656037)
		for _, b := range []byte(r.pack.key) {
			h = (h ^ uint64(b)) * 1099511628211
		}
		h = (h ^ uint64(r.mask)) * 0x9e3779b97f4a7c15
		sum += h ^ h>>29
	}
	return sum
}

// coverOf is the offsets that rows hold.
func coverOf(rows []row) perStream {
	var out perStream
	for _, r := range rows {
		out[r.stream] |= r.mask
	}
	return out
}
