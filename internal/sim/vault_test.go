package sim_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/internal/sim"
	"coldstream/recordbatch"
	"coldstream/vault"
)

var seed = flag.Int64("seed", -1, "run only this schedule")

// world is a cluster's logs, a vault that several processes keep up with them, and what
// they were promised.
type world struct {
	*testing.T
	sched     *sim.Scheduler
	store     *sim.Store
	logs      []*partitionLog
	truncates bool // logs lose their ends now and then
	turns     bool // the catalog is turned
	ticks     int

	shots     map[time.Time]map[coldstream.Stream][]byte // what a snapshot of that time must show
	snapshots map[vault.SnapshotID]bool                  // acknowledged
	pieces    []vault.StreamData                         // acknowledged

	keeping
}

func (w *world) now() time.Time {
	w.ticks++
	return time.Date(2026, 11, 22, 14, 5, w.ticks, 0, time.UTC)
}

// tolerable is what code may answer when its store does not, or its process is dead.
func tolerable(err error) bool {
	return errors.Is(err, blob.ErrTemporary) || errors.Is(err, sim.ErrDead)
}

// mind ends the schedule with an error that nobody can explain. It is true if there is none.
func (w *world) mind(p *sim.Proc, what string, err error) bool {
	if err != nil && !p.Dead() && !tolerable(err) {
		w.sched.Fail(fmt.Errorf("%s: %s: %w", p.Name, what, err))
	}
	return err == nil && !p.Dead()
}

// mindDamage ends the schedule: nothing was damaged.
func (w *world) mindDamage(who string, damage []*vault.DamageError) bool {
	for _, d := range damage {
		w.sched.Fail(fmt.Errorf("%s: false damage: %w", who, d))
	}
	return len(damage) == 0
}

// writes is a backup process: it opens the vault, commits some times, and tries again,
// opens again or gives up where it had no answer.
func (w *world) writes(p *sim.Proc) {
	v, err := vault.Open(w.Context(), p.Blob())
	if !w.mind(p, "open", err) {
		return
	}
	writer, err := v.NewWriter(w.Context(), vault.WriterOptions{Now: w.now})
	if !w.mind(p, "new writer", err) || !w.mindDamage(p.Name, writer.Damage()) {
		return
	}
	for range w.sched.Between(1, 6) {
		changes := plan(w.logs, writer, w.now(), w.sched.Rand)
		w.attempt(&changes)
		if w.turns && w.sched.Chance(.2) {
			w.think(p)
		}
		for {
			receipt, err := writer.Commit(w.Context(), changes)
			if errors.Is(err, vault.ErrReleased) && w.turns {
				w.sched.Count(viewReleased)
				break
			}
			if w.mind(p, "commit", err) {
				w.acknowledge(&changes, receipt)
				break
			}
			if p.Dead() || w.sched.Chance(.3) {
				return
			}
			w.sched.Count("commit tried again")
		}
		if w.turns && writer.EpochCommits() > 6 && !w.turn(p, v, vault.TurnOptions{}) {
			return
		}
	}
}

// attempt notes what the changes' snapshot must show, if it is ever seen.
func (w *world) attempt(changes *vault.Changes) {
	if changes.Snapshot == nil {
		return
	}
	shot := map[coldstream.Stream][]byte{}
	for i, view := range changes.Snapshot.Views {
		shot[view.Stream] = w.logs[i].in(view.LogStartOffset, view.NextOffset)
	}
	w.shots[changes.Snapshot.Time] = shot
}

func (w *world) acknowledge(changes *vault.Changes, receipt vault.Receipt) {
	w.sched.Count("commit acknowledged")
	w.pieces = append(w.pieces, changes.Data...)
	if changes.Snapshot != nil {
		w.snapshots[receipt.Snapshot] = true
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
	if !w.mind(p, "open catalog", err) || !w.mindDamage(p.Name, c.Damage()) {
		return
	}
	if all := c.Snapshots(); len(all) > 0 {
		s := &all[w.sched.Rand.IntN(len(all))]
		if w.turns {
			w.think(p)
		}
		err := w.compare(w.Context(), v, s)
		if errors.Is(err, coldstream.ErrForgotten) && w.mayGo[s.ID] {
			w.sched.Count(forgottenUnder)
			return
		}
		if w.mind(p, "read snapshot", err) {
			w.sched.Count("snapshot read meanwhile")
		}
	}
}

// compare reads a snapshot and holds it against what was there when it was taken.
func (w *world) compare(ctx context.Context, v *vault.Vault, s *vault.Snapshot) error {
	shot, ok := w.shots[s.Time]
	if !ok {
		return fmt.Errorf("nobody ever took snapshot %s of %v", s.ID, s.Time)
	}
	h, err := v.OpenHistory(ctx, s.Views, vault.HistoryOptions{})
	if err != nil {
		return err
	}
	for _, stream := range h.Streams() {
		var got []byte
		for b, err := range stream.Batches(ctx, stream.View.LogStartOffset) {
			if err != nil {
				return err
			}
			got = append(got, b...)
		}
		if want := shot[stream.View.Stream]; !bytes.Equal(got, want) || len(stream.Gaps)+len(stream.Lost) > 0 {
			return fmt.Errorf("snapshot %s, %+v: got %s, want %s, gaps %v, lost %v",
				s.ID, stream.View, describe(got), describe(want), stream.Gaps, stream.Lost)
		}
	}
	m, err := v.Metadata(ctx, s)
	if err != nil {
		return err
	}
	for _, d := range m.Damaged {
		return d
	}
	return nil
}

func describe(batches []byte) string {
	out := "["
	for len(batches) > 0 {
		b, rest, _ := recordbatch.Next(batches)
		out += fmt.Sprintf(" %d-%d@%d", b.BaseOffset(), b.LastOffset(), b.LeaderEpoch())
		batches = rest
	}
	return out + " ]"
}

// tick moves the logs.
func (w *world) tick() {
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

// judge looks when all is over, with code of its own for all but the vault's reading.
func (w *world) judge(store blob.Store) error {
	ctx := w.Context()
	v, err := vault.Open(ctx, store)
	if err != nil {
		return err
	}
	report, err := v.Verify(ctx, vault.VerifyOptions{Deep: true})
	if err != nil {
		return err
	}
	for _, problem := range report.Problems {
		return fmt.Errorf("verify: %w", problem)
	}
	c, err := v.OpenCatalog(ctx)
	if err != nil {
		return err
	}
	there := map[vault.SnapshotID]bool{}
	for _, s := range c.Snapshots() {
		there[s.ID] = true
		if err := w.compare(ctx, v, &s); err != nil {
			return err
		}
		if !w.snapshots[s.ID] {
			w.sched.Count("snapshot there that nobody was told of")
		}
	}
	for id := range w.snapshots {
		if !there[id] && w.mayGo[id] && w.held[id] == 0 {
			w.sched.Count(snapshotGone)
			continue
		}
		if !there[id] {
			return fmt.Errorf("acknowledged snapshot %s is lost", id)
		}
	}
	return w.judgeStreams(v)
}

// judgeStreams reads all that the vault holds of each stream. Logs that never lost their
// end have one history, so that every acknowledged batch must be in it.
func (w *world) judgeStreams(v *vault.Vault) error {
	writer, err := v.NewWriter(w.Context(), vault.WriterOptions{Now: w.now})
	if err != nil {
		return err
	}
	for _, l := range w.logs {
		head, known := writer.Head(l.stream)
		if !known {
			continue
		}
		if head.Floor > 0 {
			w.sched.Count(rowsReleased)
		}
		view := vault.View{Stream: l.stream, Scan: head.Scan, LogStartOffset: head.Floor, NextOffset: head.NextOffset, LastEpoch: -1}
		if n := len(head.Epochs); n > 0 {
			view.LastEpoch = head.Epochs[n-1].Epoch
		}
		h, err := v.OpenHistory(w.Context(), []vault.View{view}, vault.HistoryOptions{})
		if err != nil {
			return err
		}
		got := map[string]bool{}
		for b, err := range h.Streams()[0].Batches(w.Context(), head.Floor) {
			if err != nil {
				return err
			}
			if !l.ever[string(b)] {
				return fmt.Errorf("%s: a batch that was never in the log: %s", l.stream.TopicPartition(), describe(b))
			}
			if got[string(b)] {
				return fmt.Errorf("%s: a batch twice: %s", l.stream.TopicPartition(), describe(b))
			}
			got[string(b)] = true
		}
		if err := w.judgePieces(l, head.Floor, got); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) judgePieces(l *partitionLog, floor int64, got map[string]bool) error {
	if w.truncates {
		return nil
	}
	for _, data := range w.pieces {
		for _, piece := range data.Pieces {
			for rest := piece.Batches; data.Stream == l.stream && len(rest) > 0; {
				var b recordbatch.Batch
				b, rest, _ = recordbatch.Next(rest)
				if !got[string(b)] && b.NextOffset() > floor {
					return fmt.Errorf("%s: an acknowledged batch is lost: %s", l.stream.TopicPartition(), describe(b))
				}
			}
		}
	}
	return nil
}

// newWorld makes an empty vault and a schedule for it.
func newWorld(t *testing.T, config sim.Config) *world {
	cryptotest.SetGlobalRandom(t, config.Seed)
	w := &world{
		T: t, store: sim.NewStore(), truncates: config.Seed%2 == 1,
		shots: map[time.Time]map[coldstream.Stream][]byte{}, snapshots: map[vault.SnapshotID]bool{},
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
		Die: .02, Sleep: .02, InFlight: .3, Refused: .02,
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

// fewest is how many schedules of epoch 0 it takes until every state has surely been reached.
const fewest = 200

// suite is schedules of a kind.
type suite struct {
	run    func(*testing.T, sim.Config) (*sim.Scheduler, error)
	states []string // that have to be reached
	enough int      // schedules to reach them
}

var inEpoch0 = suite{run: runVault, enough: fewest, states: []string{
	"init died before the base", "init died before the epoch's begin", "commit acknowledged", "commit tried again", "gap recorded", "log truncated", "snapshot read meanwhile",
	"snapshot there that nobody was told of", sim.CountLateEffect, sim.CountLostAnswer,
}}

// test runs schedules of real code. One that fails is run again for its story.
func (s *suite) test(t *testing.T, n int) {
	counts := map[string]int{}
	first, last := uint64(0), uint64(n)
	if *seed >= 0 {
		first, last = uint64(*seed), uint64(*seed)+1
	}
	for i := first; i < last; i++ {
		sched, err := s.run(t, sim.Config{Seed: i})
		for what, count := range sched.Counts {
			counts[what] += count
		}
		if err != nil {
			_, err = s.run(t, sim.Config{Seed: i, Tracing: true})
			var failure *sim.Failure
			if !errors.As(err, &failure) {
				t.Fatalf("seed %d failed, and the second time: %v", i, err)
			}
			t.Fatalf("%v\n%s\nrun it again: go test ./internal/sim -run '%s' -seed %d", err, failure.Story(400), t.Name(), i)
		}
	}
	for _, what := range s.states {
		if counts[what] == 0 && *seed < 0 && n >= s.enough {
			t.Errorf("in %d schedules never reached: %s", n, what)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%9.3f per schedule: %s", float64(counts[what])/float64(n), what)
	}
}

// TestVaultSchedules: the vault itself, in epoch 0, by several writers that die, sleep and
// have no answers.
func TestVaultSchedules(t *testing.T) {
	if testing.Short() {
		inEpoch0.test(t, 20)
		return
	}
	inEpoch0.test(t, fewest)
}
