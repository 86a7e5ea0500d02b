package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/internal/sim"
	"coldstream/vault"
)

// The rare states of schedules with turns. A run that never reached one of them has not
// tried what is written for it.
const (
	wonBaseLost      = "lost answer of a won base"
	behindEpoch      = "commit stored behind the begin of a newer epoch"
	zombieCommit     = "commit of an epoch two behind"
	zombieCommit3    = "commit of an epoch three or more behind"
	crashAfterPack   = "crash between pack and commit"
	twoHistories     = "two histories of one stream"
	readAgain        = "log read again from its start"
	otherScan        = "batch of an older scan"
	severalScans     = "snapshot with views of several scans"
	handedOver       = "stream handed over"
	baseAgain        = "retired base made again"
	crashInTurn      = "crash in a turn"
	crashBeforeBase  = "crash between begun and base"
	crashInGarbage   = "crash while deleting garbage"
	holdInTurn       = "hold written between begun and base"
	holdRefused      = "hold refused because its snapshot was forgotten"
	restoreDone      = "restore done"
	turnUnderRestore = "restore read through a turn"
	forgottenUnder   = "snapshot forgotten under a reader without hold"
	viewReleased     = "snapshot taken again because its view was released"
	snapshotGone     = "acknowledged snapshot forgotten"
	rowsReleased     = "stream with a floor"
	turned           = "turn done"
)

var rareInTurns = []string{
	wonBaseLost, behindEpoch, zombieCommit, zombieCommit3, crashAfterPack, twoHistories, readAgain, severalScans, baseAgain,
	sim.CountLateEffect, sim.CountLateAnswer,
	crashInTurn, crashBeforeBase, crashInGarbage, holdInTurn, holdRefused,
	restoreDone, turnUnderRestore, forgottenUnder, viewReleased, snapshotGone, rowsReleased, turned,
}

// keeping is what the judge knows about turns.
type keeping struct {
	turning    map[*sim.Proc]bool
	mayGo      map[vault.SnapshotID]bool // a turn was asked to forget it
	held       map[vault.SnapshotID]int  // by restores that were told so, and have not ended
	begunUntil map[uint32]bool           // epochs whose base was there once
}

func newKeeping() keeping {
	return keeping{
		turning: map[*sim.Proc]bool{}, mayGo: map[vault.SnapshotID]bool{},
		held: map[vault.SnapshotID]int{}, begunUntil: map[uint32]bool{},
	}
}

// runTurns runs one schedule of processes that write, read, restore and turn, in all
// epochs that they come to.
func runTurns(t *testing.T, config sim.Config) (*sim.Scheduler, error) {
	config.Steps, config.Faults = 3000, faultsInTurns()
	w := newWorld(t, config)
	return w.playTurns("w w w r r k k h h", w.judge)
}

// runOwners is the same with writers that hand streams over.
func runOwners(t *testing.T, config sim.Config) (*sim.Scheduler, error) {
	config.Steps, config.Faults = 3000, faultsInTurns()
	w := newWorld(t, config)
	w.owners = make([]int, len(w.logs))
	return w.playTurns("a a b b s r k k h", w.judge)
}

func faultsInTurns() sim.Faults {
	return sim.Faults{
		Die: .008, Sleep: .012, InFlight: .4, Refused: .004, Late: .004,
		LostAnswer: func(op *sim.Op) float64 {
			if strings.HasPrefix(op.Key, "epochs/") {
				return .2
			}
			return .02
		},
		// The longer who makes a base or a commit sleeps, the more epochs go by.
		Doze: func(op *sim.Op) float64 {
			if op.Kind == sim.OpCreate && (strings.HasSuffix(op.Key, "/base") || strings.HasPrefix(op.Key, "commits/")) {
				return .06
			}
			return 0
		},
	}
}

// playTurns lets processes of the roles run, and has the end judged.
func (w *world) playTurns(roles string, judge func(blob.Store) error) (*sim.Scheduler, error) {
	w.turns = true
	w.store.PageLimit = w.sched.Between(3, 20)
	bodies := map[string]func(*sim.Proc){
		"w": w.writes, "r": w.reads, "k": w.keeps, "h": w.restores, "v": w.archives, "a": w.owner(0), "b": w.owner(1), "s": w.shows,
	}
	if err := w.play(bodies, roles); err != nil {
		return w.sched, err
	}
	w.sched.Fail(judge(w.store.Blob()))
	if w.sched.Failed() == nil && w.spoiled == "" {
		w.sched.Fail(w.judgeGarbage())
	}
	return w.sched, w.sched.Failed()
}

// keeps is a process that turns, and often takes away.
func (w *world) keeps(p *sim.Proc) {
	v, err := vault.Open(w.Context(), p.Blob())
	if !w.mind(p, "open", err) {
		return
	}
	for range w.sched.Between(1, 4) {
		var opts vault.TurnOptions
		if w.sched.Chance(.6) {
			if opts, err = w.removal(v); !w.mind(p, "open catalog", err) {
				return
			}
		}
		if !w.turn(p, v, opts) {
			return
		}
	}
}

// removal chooses what goes: old snapshots rather than new ones.
func (w *world) removal(v *vault.Vault) (vault.TurnOptions, error) {
	c, err := v.OpenCatalog(w.Context())
	if err != nil {
		return vault.TurnOptions{}, err
	}
	chosen := map[vault.SnapshotID]bool{}
	all := c.Snapshots()
	for i := range all {
		if w.sched.Rand.IntN(len(all)+1) > i {
			chosen[all[i].ID], w.mayGo[all[i].ID] = true, true
		}
	}
	return vault.TurnOptions{
		Forget:  func(s *vault.Snapshot) bool { return chosen[s.ID] },
		Release: w.sched.Chance(.7),
	}, nil
}

func (w *world) turn(p *sim.Proc, v *vault.Vault, opts vault.TurnOptions) bool {
	w.turning[p] = true
	err := v.Turn(w.Context(), opts)
	if p.Dead() {
		return false // and it was turning when it died
	}
	delete(w.turning, p)
	if w.mind(p, "turn", err) {
		w.sched.Count(turned)
		return true
	}
	return false
}

// restores holds a snapshot and reads it several times.
func (w *world) restores(p *sim.Proc) {
	v, err := vault.Open(w.Context(), p.Blob())
	if !w.mind(p, "open", err) {
		return
	}
	c, err := v.OpenCatalog(w.Context())
	if !w.mind(p, "open catalog", err) || !w.mindDamage(p, c.Damage()) {
		return
	}
	all := c.Snapshots()
	if len(all) == 0 {
		return
	}
	s := &all[w.sched.Rand.IntN((len(all)+2)/3)] // one that may go soon
	w.think(p)
	id := vault.RestoreID{}
	for i := range id {
		id[i] = byte(w.sched.Rand.IntN(256))
	}
	err = v.Hold(w.Context(), id, s, fmt.Appendf(nil, `{"snapshot":%q}`, s.ID))
	switch {
	case errors.Is(err, coldstream.ErrForgotten) && w.mayGo[s.ID]:
		w.sched.Count(holdRefused)
		return
	case errors.Is(err, fs.ErrExist):
		return // its own, without an answer
	case !w.mind(p, "hold", err):
		return
	}
	w.held[s.ID]++
	epoch := w.newest()
	for range w.sched.Between(1, 4) {
		if !w.mind(p, "read held snapshot", w.compare(v, s, p)) {
			return
		}
	}
	if w.newest() > epoch {
		w.sched.Count(turnUnderRestore)
	}
	w.held[s.ID]--
	const result = 2
	if err := v.PutRestoreRecord(w.Context(), id, result, []byte("{}")); !errors.Is(err, fs.ErrExist) && w.mind(p, "result", err) {
		w.sched.Count(restoreDone)
	}
}

// think lets the others go on: between choosing a snapshot and using it there is a plan to
// be made.
func (w *world) think(p *sim.Proc) {
	for range w.sched.Between(0, 30) {
		if _, err := p.Do(sim.Op{Kind: sim.OpIdle}); err != nil {
			return
		}
	}
}

// epochOf is the epoch in an object's name.
func epochOf(key string) (epoch uint32) {
	_, rest, _ := strings.Cut(key, "/")
	if _, err := fmt.Sscanf(rest, "%010d/", &epoch); err != nil {
		panic(fmt.Sprintf("%s has no epoch", key))
	}
	return epoch
}

// newest is the newest epoch that has any object; damage may have left none.
func (w *world) newest() uint32 {
	keys := w.store.Keys("epochs/")
	if len(keys) == 0 {
		return 0
	}
	return epochOf(keys[len(keys)-1])
}

// changed sees each change of the store.
func (w *world) changed(op *sim.Op, _ any) {
	if op.Kind != sim.OpCreate {
		return
	}
	switch kind, rest, _ := strings.Cut(op.Key, "/"); kind {
	case "commits":
		switch behind := w.newest() - epochOf(op.Key); {
		case behind >= 3:
			w.sched.Count(zombieCommit3)
		case behind == 2:
			w.sched.Count(zombieCommit)
		case behind == 1:
			w.sched.Count(behindEpoch)
		}
	case "epochs":
		if !strings.HasSuffix(op.Key, "/base") {
			return
		}
		epoch := epochOf(op.Key)
		if w.begunUntil[epoch] && epoch > 0 {
			w.sched.Count(baseAgain)
		}
		w.begunUntil[epoch] = true
	case "restores":
		if strings.HasSuffix(rest, "/0000000000") && w.hasBegunOnly() {
			w.sched.Count(holdInTurn)
		}
	}
}

func (w *world) hasBegunOnly() bool {
	return len(w.store.Keys(fmt.Sprintf("epochs/%010d/", w.newest()))) == 1 && !w.begunUntil[w.newest()]
}

// lost sees each operation that took effect without an answer.
func (w *world) lost(op *sim.Op) {
	if op.Kind == sim.OpCreate && strings.HasSuffix(op.Key, "/base") && epochOf(op.Key) > 0 {
		w.sched.Count(wonBaseLost)
	}
}

// died sees each process that ends.
func (w *world) died(p *sim.Proc) {
	if last := p.Last(); last.Kind == sim.OpCreate && strings.HasPrefix(last.Key, "packs/") {
		w.sched.Count(crashAfterPack)
	}
	if !w.turning[p] {
		return
	}
	delete(w.turning, p)
	w.sched.Count(crashInTurn)
	if w.hasBegunOnly() {
		w.sched.Count(crashBeforeBase)
	}
	if p.Last().Kind == sim.OpDelete {
		w.sched.Count(crashInGarbage)
	}
}

// touching notes which objects are read.
type touching struct {
	blob.Store
	mu   sync.Mutex
	keys map[string]bool
}

func (t *touching) note(key string) {
	t.mu.Lock()
	t.keys[key] = true
	t.mu.Unlock()
}

func (t *touching) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	t.note(key)
	return t.Store.Open(ctx, key)
}

func (t *touching) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	t.note(key)
	return t.Store.Read(ctx, key, offset, length)
}

// judgeGarbage turns twice in peace: then all that is there is needed.
func (w *world) judgeGarbage() error {
	store := &touching{Store: w.store.Blob(), keys: map[string]bool{}}
	v, err := vault.Open(w.Context(), store.Store)
	if err != nil {
		return err
	}
	for range 2 {
		if err := v.Turn(w.Context(), vault.TurnOptions{}); err != nil {
			return fmt.Errorf("a turn in peace: %w", err)
		}
	}
	if err := w.judge(store); err != nil {
		return fmt.Errorf("after turns in peace: %w", err)
	}
	for _, key := range w.store.Keys("") {
		if !store.keys[key] && !strings.HasSuffix(key, "/begun") {
			return fmt.Errorf("garbage after two turns: %s in epoch %d", key, w.newest())
		}
	}
	return nil
}
