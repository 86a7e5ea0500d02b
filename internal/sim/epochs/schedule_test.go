package epochs

import (
	"errors"
	"flag"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/internal/sim"
)

var seed = flag.Int64("seed", -1, "run only this schedule")

// result is what many schedules gave.
type result struct {
	counts  map[string]int
	failure *sim.Failure // of the lowest seed
}

// runAll runs the schedules [0, n) on all processors; it ends early with a failure.
func runAll(n int, schedule Schedule) result {
	var (
		mu      sync.Mutex
		next    atomic.Int64
		stop    atomic.Int64
		workers sync.WaitGroup
	)
	out := result{counts: map[string]int{}}
	stop.Store(int64(n))
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			counts := map[string]int{}
			for i := next.Add(1) - 1; i < stop.Load(); i = next.Add(1) - 1 {
				one := schedule
				one.Seed = uint64(i)
				got, err := Run(one)
				for what, count := range got {
					counts[what] += count
				}
				var failure *sim.Failure
				if errors.As(err, &failure) {
					mu.Lock()
					if out.failure == nil || failure.Seed < out.failure.Seed {
						out.failure = failure
					}
					stop.Store(min(stop.Load(), int64(failure.Seed)))
					mu.Unlock()
				}
			}
			mu.Lock()
			for what, count := range counts {
				out.counts[what] += count
			}
			mu.Unlock()
		})
	}
	workers.Wait()
	return out
}

// report fails with the story of the schedule.
func report(t *testing.T, schedule Schedule) {
	t.Helper()
	schedule.Tracing = true
	_, err := Run(schedule)
	var failure *sim.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("seed %d fails, and does not fail when it is run again: %v", schedule.Seed, err)
	}
	t.Fatalf("%v\n%s\nrun it again: go test ./internal/sim/epochs -run '%s' -seed %d", err, failure.Story(400), t.Name(), schedule.Seed)
}

// testSchedules requires that the protocol holds, and that all was tried.
func testSchedules(t *testing.T, n int) {
	for _, kind := range []StoreKind{Conditional, Unconditional} {
		t.Run(kind.String(), func(t *testing.T) {
			if *seed >= 0 {
				if _, err := Run(Schedule{Seed: uint64(*seed), Store: kind}); err != nil {
					report(t, Schedule{Seed: uint64(*seed), Store: kind})
				}
				return
			}
			got := runAll(n, Schedule{Store: kind})
			if got.failure != nil {
				report(t, Schedule{Seed: got.failure.Seed, Store: kind})
			}
			for _, s := range Expected(kind) {
				if n >= fewest && got.counts[s.String()] == 0 {
					t.Errorf("in %d schedules never reached: %s", n, s)
				}
			}
			for _, what := range []string{"epochs", "offsets acknowledged", "snapshots acknowledged", "snapshots forgotten"} {
				if got.counts[what] < 2*n {
					t.Errorf("only %d %s in %d schedules: too little happens", got.counts[what], what, n)
				}
			}
			for _, what := range slices.Sorted(maps.Keys(got.counts)) {
				t.Logf("%9.3f per schedule: %s", float64(got.counts[what])/float64(n), what)
			}
		})
	}
}

// fewest is how many schedules it takes until every state has surely been reached.
const fewest = 5000

func TestModelSchedules(t *testing.T) {
	if testing.Short() {
		testSchedules(t, 100)
		return
	}
	testSchedules(t, fewest)
}

// TestSeedIsTheSchedule: a seed is worth keeping only if it means one schedule.
func TestSeedIsTheSchedule(t *testing.T) {
	for _, schedule := range []Schedule{
		{Seed: 0, Without: SetOf(Check)},
		{Seed: 2, Without: SetOf(Age)},
		{Seed: 48, Without: SetOf(Wait), Store: Unconditional},
	} {
		schedule.Tracing = true
		counts, err := Run(schedule)
		again, errAgain := Run(schedule)
		if diff := cmp.Diff(counts, again); diff != "" {
			t.Errorf("seed %d: counts of a second run (-first +second):\n%s", schedule.Seed, diff)
		}
		var first, second *sim.Failure
		if errors.As(err, &first) != errors.As(errAgain, &second) {
			t.Fatalf("seed %d: first %v, then %v", schedule.Seed, err, errAgain)
		}
		if first != nil {
			if diff := cmp.Diff(first.Trace, second.Trace); diff != "" {
				t.Errorf("seed %d: trace of a second run (-first +second):\n%s", schedule.Seed, diff)
			}
		}
	}
}

// TestEachRuleLeftOutIsCaught: a rule without which nothing goes wrong is no rule, or the
// model does not try what it is for.
func TestEachRuleLeftOutIsCaught(t *testing.T) {
	const most = 20000
	for _, rule := range Rules() {
		t.Run(rule.String(), func(t *testing.T) {
			schedule := Schedule{Without: SetOf(rule)}
			if rule == Alone || rule == Wait {
				schedule.Store = Unconditional
			}
			got := runAll(most, schedule)
			if got.failure == nil {
				t.Fatalf("%d schedules without rule %q, and nothing was violated", most, rule)
			}
			t.Logf("caught after %d schedules: %v", got.failure.Seed+1, got.failure.Cause)
		})
	}
}
