package sim_test

import (
	"errors"
	"flag"
	"maps"
	"slices"
	"testing"

	"coldstream/internal/sim"
)

var seed = flag.Int64("seed", -1, "run only this schedule")

// suite is schedules of a kind.
type suite struct {
	run    func(*testing.T, sim.Config) (*sim.Scheduler, error)
	states []string // that have to be reached
	enough int      // schedules to reach them
	kept   []uint64 // seeds that found something once, beyond the first ones
}

// test runs schedules of real code, in short mode only a few. One that fails is run again
// for its story.
func (s *suite) test(t *testing.T, n int) {
	if testing.Short() && *seed < 0 {
		n /= 10
	}
	counts := map[string]int{}
	var seeds []uint64
	for i := range uint64(n) {
		seeds = append(seeds, i)
	}
	if !testing.Short() {
		seeds = append(seeds, s.kept...)
	}
	if *seed >= 0 {
		seeds = []uint64{uint64(*seed)}
	}
	for _, i := range seeds {
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
		t.Logf("%9.3f per schedule: %s", float64(counts[what])/float64(len(seeds)), what)
	}
}

var inEpoch0 = suite{run: runVault, enough: 200, states: []string{
	"init died before the base", "init died before the epoch's begin", "commit acknowledged", "commit tried again", "gap recorded",
	"log truncated", "snapshot read meanwhile", "snapshot there that nobody was told of", readAgain, otherScan, severalScans,
	twoHistories, sim.CountLateEffect, sim.CountLateAnswer, sim.CountLostAnswer,
}}

// TestVaultSchedules: the vault itself, in epoch 0, by several writers that die, sleep and
// have no answers.
func TestVaultSchedules(t *testing.T) { inEpoch0.test(t, inEpoch0.enough) }

var withTurns = suite{run: runTurns, enough: 80, kept: []uint64{
	87,   // a snapshot's view is released while it is made
	365,  // the same
	1287, // a scan is over when a reader looks for what was released of it
}, states: rareInTurns}

// TestTurnSchedules: the vault itself, with turns that take away what is not held, under
// writers, readers and restores that die, sleep over epochs and have no answers.
func TestTurnSchedules(t *testing.T) { withTurns.test(t, withTurns.enough) }

var archiving = suite{run: runArchives, enough: 40, states: []string{viewsHeld, viewsRefused, viewsReadToEnds, turnUnderViews, turned}}

// TestArchiveSchedules: restores of all that the vault holds name views that no snapshot keeps, under turns that
// take away what is not held.
func TestArchiveSchedules(t *testing.T) { archiving.test(t, archiving.enough) }

var handingOver = suite{run: runOwners, enough: 30, kept: []uint64{
	102, // a reader missed metadata of a snapshot that was stored again
	119, // a scan is over when a reader looks for what was released of it
}, states: []string{handedOver, turned, twoHistories, behindEpoch, snapshotGone, severalScans}}

// TestHandOverSchedules: two writers that each commit streams of their own and hand them
// over, while another takes snapshots of what they save, with turns.
func TestHandOverSchedules(t *testing.T) { handingOver.test(t, handingOver.enough) }

var misreading = suite{run: runMisreads, enough: 30, states: []string{sim.CountMisread, damageTold, turned, "commit acknowledged"}}

// TestMisreadSchedules: reads now and then give other bytes than are stored. Nobody is
// given false data, and when reads are good again nothing is damaged.
func TestMisreadSchedules(t *testing.T) { misreading.test(t, misreading.enough) }

var spoiling = suite{run: runSpoils, enough: 100, kept: []uint64{
	103,  // a commit that alone told where an epoch began is altered
	285,  // a table of a base that nobody made yet is altered
	511,  // a pack with a fork that no snapshot shows is gone
	1285, // nothing is left under epochs/ when a turn dies
}, states: []string{damageTold, damageFound, damageNotNeeded}}

// TestDamageSchedules: an object is damaged for good. Nobody is given false data, and
// what is lost with it is told.
func TestDamageSchedules(t *testing.T) { spoiling.test(t, spoiling.enough) }
