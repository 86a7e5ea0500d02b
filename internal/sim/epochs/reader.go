package epochs

import (
	"fmt"
	"slices"
)

// reading is a restore, or a look at a snapshot without a hold.
type reading struct {
	*client
	epoch int
	f     catalog
	of    snapshot
	held  bool
	todo  perStream
}

// runReader is rule 5.
func runReader(c *client) {
	for i := 0; ; i++ {
		epoch, f := c.open(opening{tables: true})
		if len(f.snapshots) == 0 {
			c.idle()
			continue
		}
		slices.SortFunc(f.snapshots, bySnapshotTime)
		r := &reading{client: c, epoch: epoch, f: f, of: f.snapshots[c.sched.Rand.IntN(len(f.snapshots))]}
		if !c.sched.Chance(.7) {
			r.run()
			continue
		}
		r.held = true
		if c.sched.Chance(.6) {
			r.of = f.snapshots[0]
		}
		for range c.sched.Between(0, 15) {
			c.idle() // somebody reads the plan and says yes
		}
		hold := fmt.Sprintf("%s%s-%d", holdsPrefix, c.proc.Name, i)
		c.put(hold, r.of)
		if r.begin() {
			r.run()
			c.judge.letsGo(c.proc.Name)
		}
		c.remove(hold)
	}
}

// begin opens again behind the hold. It is false if the snapshot was forgotten before.
func (r *reading) begin() bool {
	if r.keeps(Hold) {
		r.epoch, r.f = r.open(opening{tables: true})
		if !slices.Contains(r.f.snapshots, r.of) {
			r.count(RestoreRefused)
			return false
		}
	}
	r.judge.holds(r.proc.Name, r.of)
	return true
}

// run reads all of the view and the metadata. An object that is missing is damage only if
// no newer epoch has begun.
func (r *reading) run() {
	r.todo = r.of.view
	sectionDone := false
	for {
		var left []int
		for i := range streams {
			if r.todo[i] != 0 {
				left = append(left, i)
			}
		}
		if len(left) == 0 && sectionDone {
			break
		}
		for range r.sched.Between(0, 8) {
			r.idle()
		}
		found := false
		if !sectionDone && (len(left) == 0 || r.sched.Chance(.3)) {
			found = r.has(r.of.section.key)
			sectionDone = found
		} else {
			found = r.readRow(left[r.sched.Rand.IntN(len(left))])
		}
		if !found && !r.openAgain() {
			return
		}
	}
	if r.held {
		r.count(RestoreDone)
	} else {
		r.count(ReadDone)
	}
}

// readRow reads what holds the first offset that is left of a stream.
func (r *reading) readRow(stream int) bool {
	first := r.todo[stream] & -r.todo[stream]
	if r.f.gaps[stream]&first != 0 {
		r.todo[stream] &^= first
		return true
	}
	for _, row := range r.f.rows {
		if row.stream == stream && row.mask&first != 0 {
			if !r.has(row.pack.key) {
				return false
			}
			r.todo[stream] &^= row.mask
			return true
		}
	}
	r.violated("a hole in the view of a kept snapshot")
	return false
}

// openAgain is what follows when an object is missing. It is false if the snapshot was
// forgotten: an answer, but not for one who holds it.
func (r *reading) openAgain() bool {
	r.count(ObjectMissed)
	was := r.epoch
	r.epoch, r.f = r.open(opening{tables: true})
	if !slices.Contains(r.f.snapshots, r.of) {
		if r.held {
			r.violated("the snapshot of a running restore was forgotten")
		}
		r.count(ForgottenMeanwhile)
		return false
	}
	if r.epoch == was {
		r.violated("false damage: an object is missing and there is no newer epoch")
	}
	return true
}
