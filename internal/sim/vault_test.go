package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/internal/sim"
	"coldstream/vault"
)

// world is a cluster's logs, a vault that several processes keep up with them, and what
// they were promised.
type world struct {
	*testing.T
	sched     *sim.Scheduler
	store     *sim.Store
	logs      []*partitionLog
	truncates bool // logs lose their ends now and then
	turns     bool // the catalog is turned
	rescans   bool // logs are read again from their start now and then
	ticks     int
	spoiled   string // the object that was damaged for good
	spoilAt   int    // the tick at which that happens
	moments   int    // ticks that went by

	owners []int // who commits which log, where each has one
	handed int   // how often that changed

	shots     map[time.Time]map[coldstream.Stream][]byte // what a snapshot of that time must show
	snapshots map[vault.SnapshotID]bool                  // acknowledged
	order     []vault.SnapshotID                         // the same, as they were acknowledged
	behind    map[vault.SnapshotID]int                   // how many of these its writer saw when it opened the vault
	pieces    []vault.StreamData                         // acknowledged

	keeping
}

func (w *world) now() time.Time {
	w.ticks++
	return time.Date(2026, 11, 22, 14, 5, w.ticks, 0, time.UTC)
}

// clock is that of one who makes snapshots: some are years ahead.
func (w *world) clock() time.Time {
	now := w.now()
	if w.ticks%3 == 0 {
		return now.AddDate(w.ticks%5, 0, 0)
	}
	return now
}

// tolerable is what code may answer when its store does not, or its process is dead.
func tolerable(err error) bool {
	return errors.Is(err, blob.ErrTemporary) || errors.Is(err, sim.ErrDead)
}

// mind ends the schedule with an error that nobody can explain. It is true if there is none.
func (w *world) mind(p *sim.Proc, what string, err error) bool {
	if err != nil && !p.Dead() && !tolerable(err) && !w.excused(p, err) {
		w.sched.Fail(fmt.Errorf("%s: %s: %w", p.Name, what, err))
	}
	return err == nil && !p.Dead()
}

// excused says that somebody may speak of damage: it was shown some.
func (w *world) excused(p *sim.Proc, err error) bool {
	return (p.Misread() > 0 || w.spoiled != "") && isDamage(err)
}

func isDamage(err error) bool {
	return errors.Is(err, coldstream.ErrCorrupt) || errors.Is(err, coldstream.ErrUnsupported)
}

// mindDamage ends the schedule if nothing was damaged. It is false if the process is to end.
func (w *world) mindDamage(p *sim.Proc, damage []*vault.DamageError) bool {
	for _, d := range damage {
		if !w.excused(p, d) {
			w.sched.Fail(fmt.Errorf("%s: false damage: %w", p.Name, d))
			return false
		}
	}
	if len(damage) > 0 {
		w.sched.Count(damageTold)
	}
	return len(damage) == 0 || w.sched.Chance(.5)
}

// writes is a backup process of all streams.
func (w *world) writes(p *sim.Proc) { w.saves(p, everything, func() bool { return false }) }

// saves is a backup process: it opens the vault, commits some times, and tries again,
// opens again or gives up where it had no answer. It folds afresh where it is told to.
func (w *world) saves(p *sim.Proc, owns func(i int) bool, afresh func() bool) {
	v, err := vault.Open(w.Context(), p.Blob())
	if !w.mind(p, "open", err) {
		return
	}
	var writer *vault.Writer
	seen := 0
	for range w.sched.Between(1, 6) {
		if afresh() || writer == nil {
			seen = len(w.order)
			writer, err = v.NewWriter(w.Context(), vault.WriterOptions{Now: w.now})
			if !w.mind(p, "new writer", err) || !w.mindDamage(p, writer.Damage()) {
				return
			}
		}
		changes := w.plan(writer, owns)
		w.attempt(&changes)
		if w.turns && w.sched.Chance(.35) {
			w.think(p)
		}
		if !w.commit(p, writer, &changes, seen) {
			return
		}
		if w.turns && writer.EpochCommits() > 6 && !w.turn(p, v, vault.TurnOptions{}) {
			return
		}
	}
}

// commit is false if the process is to end.
func (w *world) commit(p *sim.Proc, writer *vault.Writer, changes *vault.Changes, seen int) bool {
	for {
		receipt, err := writer.Commit(w.Context(), *changes)
		if errors.Is(err, vault.ErrReleased) && w.turns {
			w.sched.Count(viewReleased)
			return true
		}
		if w.mind(p, "commit", err) {
			w.acknowledge(changes, receipt, seen)
			return true
		}
		if p.Dead() || w.sched.Chance(.3) {
			return false
		}
		w.sched.Count("commit tried again")
	}
}

func (w *world) acknowledge(changes *vault.Changes, receipt vault.Receipt, seen int) {
	w.sched.Count("commit acknowledged")
	w.pieces = append(w.pieces, changes.Data...)
	if changes.Snapshot != nil {
		w.snapshots[receipt.Snapshot] = true
		w.order, w.behind[receipt.Snapshot] = append(w.order, receipt.Snapshot), seen
	}
	for range changes.Gaps {
		w.sched.Count("gap recorded")
	}
}

// reads looks at any snapshot: it is what it was taken of, acknowledged or not.
func (w *world) reads(p *sim.Proc) {
	v, err := vault.Open(w.Context(), p.Blob())
	if !w.mind(p, "open", err) {
		return
	}
	c, err := v.OpenCatalog(w.Context())
	if !w.mind(p, "open catalog", err) || !w.mindDamage(p, c.Damage()) {
		return
	}
	if all := c.Snapshots(); len(all) > 0 {
		s := &all[w.sched.Rand.IntN(len(all))]
		if w.turns {
			w.think(p)
		}
		err := w.compare(v, s, p)
		if errors.Is(err, coldstream.ErrForgotten) && w.mayGo[s.ID] {
			w.sched.Count(forgottenUnder)
			return
		}
		if w.mind(p, "read snapshot", err) {
			w.sched.Count("snapshot read meanwhile")
		}
	}
}

// tick moves the logs.
func (w *world) tick() {
	w.moments++
	if len(w.owners) > 0 {
		w.hands()
	}
	if w.spoilAt > 0 && w.moments == w.spoilAt {
		w.spoil()
	}
	if !w.sched.Chance(.1) {
		return
	}
	l := w.logs[w.sched.Rand.IntN(len(w.logs))]
	switch x := w.sched.Rand.IntN(12); {
	case x == 0 && w.truncates:
		l.truncate(w.sched.Rand)
		w.sched.Count("log truncated")
	case (x == 1 || w.turns && x <= 4) && l.next > l.logStart: // what is released has to have been shown
		l.logStart += w.sched.Rand.Int64N(l.next - l.logStart + 1)
	default:
		l.append(w.sched.Rand)
	}
}

// newWorld makes an empty vault and a schedule for it.
func newWorld(t *testing.T, config sim.Config) *world {
	cryptotest.SetGlobalRandom(t, config.Seed)
	w := &world{
		T: t, store: sim.NewStore(), truncates: config.Seed%2 == 1, rescans: config.Seed%4 >= 2,
		shots: map[time.Time]map[coldstream.Stream][]byte{}, snapshots: map[vault.SnapshotID]bool{}, behind: map[vault.SnapshotID]int{},
		keeping: newKeeping(),
	}
	for p := range int32(3) {
		w.logs = append(w.logs, newLog(p))
	}
	config.Tick, config.Check, config.Died, config.Lost = w.tick, func() error { return nil }, w.died, w.lost
	w.sched = sim.New(config, w.store)
	w.store.Changed = w.changed
	if _, err := vault.Init(t.Context(), w.store.Blob(), vault.InitOptions{Now: w.now}); err != nil {
		t.Fatal(err)
	}
	if w.sched.Chance(.3) {
		w.crashInit()
	}
	return w
}

// play lets processes of the roles run until the end.
func (w *world) play(bodies map[string]func(*sim.Proc), roles string) error {
	for _, name := range strings.Fields(roles) {
		w.sched.Spawn(&sim.Role{Name: name, Start: sim.Goroutine, Body: bodies[name]})
	}
	return w.sched.Run()
}

// runVault runs one schedule of real code in epoch 0.
func runVault(t *testing.T, config sim.Config) (*sim.Scheduler, error) {
	config.Steps = 400
	config.Faults = sim.Faults{
		Die: .02, Sleep: .02, InFlight: .3, Refused: .02, Late: .02,
		LostAnswer: func(*sim.Op) float64 { return .05 },
	}
	w := newWorld(t, config)
	if err := w.play(map[string]func(*sim.Proc){"w": w.writes, "r": w.reads}, "w w w r"); err != nil {
		return w.sched, err
	}
	w.sched.Fail(w.judge(w.store.Blob()))
	return w.sched, w.sched.Failed()
}

// crashInit takes away what an init that died did not make: who opens makes it.
func (w *world) crashInit() {
	made := slices.Clone(w.store.Keys("epochs/"))
	if len(made) != 2 || !strings.HasSuffix(made[0], "/base") {
		w.Fatalf("init makes %q: this is not what it leaves out any more", made)
	}
	w.store.Remove(made[0])
	w.sched.Count("init died before the base")
	if w.sched.Chance(.5) {
		w.store.Remove(made[1])
		w.sched.Count("init died before the epoch's begin")
	}
}
