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
	ticks     int

	shots     map[time.Time]map[coldstream.Stream][]byte // what a snapshot of that time must show
	snapshots map[vault.SnapshotID]bool                  // acknowledged
	pieces    []vault.StreamData                         // acknowledged
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
		for {
			receipt, err := writer.Commit(w.Context(), changes)
			if w.mind(p, "commit", err) {
				w.acknowledge(&changes, receipt)
				break
			}
			if p.Dead() || w.sched.Chance(.3) {
				return
			}
			w.sched.Count("commit tried again")
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
		if w.mind(p, "read snapshot", w.compare(w.Context(), v, s)) {
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
	_, err = v.Metadata(ctx, s)
	return err
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
	case x == 1 && l.next > l.logStart:
		l.logStart += w.sched.Rand.Int64N(l.next - l.logStart + 1)
	default:
		l.append(w.sched.Rand)
	}
}

// judge looks when all is over, with code of its own for all but the vault's reading.
func (w *world) judge() error {
	ctx := w.Context()
	v, err := vault.Open(ctx, w.store.Blob())
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
		view := vault.View{Stream: l.stream, Scan: head.Scan, NextOffset: head.NextOffset, LastEpoch: -1}
		if n := len(head.Epochs); n > 0 {
			view.LastEpoch = head.Epochs[n-1].Epoch
		}
		h, err := v.OpenHistory(w.Context(), []vault.View{view}, vault.HistoryOptions{})
		if err != nil {
			return err
		}
		got := map[string]bool{}
		for b, err := range h.Streams()[0].Batches(w.Context(), 0) {
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
		if err := w.judgePieces(l, got); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) judgePieces(l *partitionLog, got map[string]bool) error {
	if w.truncates {
		return nil
	}
	for _, data := range w.pieces {
		for _, piece := range data.Pieces {
			for rest := piece.Batches; data.Stream == l.stream && len(rest) > 0; {
				var b recordbatch.Batch
				b, rest, _ = recordbatch.Next(rest)
				if !got[string(b)] {
					return fmt.Errorf("%s: an acknowledged batch is lost: %s", l.stream.TopicPartition(), describe(b))
				}
			}
		}
	}
	return nil
}

// runVault runs one schedule of real code.
func runVault(t *testing.T, seed uint64, conditions ...func(*sim.Config)) (*world, error) {
	cryptotest.SetGlobalRandom(t, seed)
	w := &world{
		T: t, store: sim.NewStore(), truncates: seed%2 == 1,
		shots: map[time.Time]map[coldstream.Stream][]byte{}, snapshots: map[vault.SnapshotID]bool{},
	}
	for p := range int32(3) {
		w.logs = append(w.logs, newLog(p))
	}
	config := sim.Config{
		Seed: seed, Steps: 400,
		Faults: sim.Faults{
			Die: .02, Sleep: .02, InFlight: .3, Refused: .02,
			LostAnswer: func(*sim.Op) float64 { return .05 },
		},
		Tick: w.tick, Check: func() error { return nil },
	}
	for _, c := range conditions {
		c(&config)
	}
	w.sched = sim.New(config, w.store)
	if _, err := vault.Init(t.Context(), w.store.Blob(), vault.InitOptions{Now: w.now}); err != nil {
		t.Fatal(err)
	}
	if w.sched.Chance(.3) {
		w.crashInit()
	}
	writers := &sim.Role{Name: "w", Start: sim.Goroutine, Body: w.writes}
	readers := &sim.Role{Name: "r", Start: sim.Goroutine, Body: w.reads}
	for _, role := range []*sim.Role{writers, writers, writers, readers} {
		w.sched.Spawn(role)
	}
	if err := w.sched.Run(); err != nil {
		return w, err
	}
	w.sched.Fail(w.judge())
	return w, w.sched.Failed()
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

// fewest is how many schedules it takes until every state has surely been reached.
const fewest = 200

// testVault runs schedules of real code; the states that it has to reach are listed here.
func testVault(t *testing.T, n int) {
	counts := map[string]int{}
	first, last := uint64(0), uint64(n)
	if *seed >= 0 {
		first, last = uint64(*seed), uint64(*seed)+1
	}
	for i := first; i < last; i++ {
		w, err := runVault(t, i)
		for what, count := range w.sched.Counts {
			counts[what] += count
		}
		if err != nil {
			_, err = runVault(t, i, func(c *sim.Config) { c.Tracing = true })
			var failure *sim.Failure
			if !errors.As(err, &failure) {
				t.Fatalf("seed %d failed, and the second time: %v", i, err)
			}
			t.Fatalf("%v\n%s\nrun it again: go test ./internal/sim -run '%s' -seed %d", err, failure.Story(400), t.Name(), i)
		}
	}
	for _, what := range []string{
		"init died before the base", "init died before the epoch's begin", "commit acknowledged", "commit tried again", "gap recorded", "log truncated", "snapshot read meanwhile",
		"snapshot there that nobody was told of", sim.CountLateEffect, sim.CountLostAnswer,
	} {
		if counts[what] == 0 && *seed < 0 && n >= fewest {
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
		testVault(t, 20)
		return
	}
	testVault(t, fewest)
}
