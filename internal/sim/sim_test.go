package sim

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob"
	"coldstream/blob/blobtest"
)

func TestStoreIsWhatAVaultAsks(t *testing.T) {
	for _, check := range blobtest.Checks(blobtest.Shared) {
		t.Run(check.Name, func(t *testing.T) {
			client := NewStore().Blob()
			if err := check.Run(t.Context(), func() (blob.Store, error) { return client, nil }); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// crowd runs writers of numbered objects and returns the trace, and what was there at the end.
func crowd(t *testing.T, seed uint64, start func(func(), *Proc) Resumer) []string {
	t.Helper()
	store := NewStore()
	config := Config{
		Seed: seed, Steps: 300, Tracing: true,
		Faults: Faults{
			Die: .03, Sleep: .03, InFlight: .9, Refused: .05, Late: .05, Misread: .05,
			LostAnswer: func(*Op) float64 { return .1 }, Doze: func(*Op) float64 { return .02 },
		},
		Tick: func() {},
	}
	var s *Scheduler
	role := &Role{Name: "w", Start: start, Body: func(p *Proc) {
		client := p.Blob()
		for i := 0; !p.Dead(); i++ {
			err := client.Create(t.Context(), fmt.Sprintf("%s/%d", p.Name, i), []byte{byte(i)})
			if errors.Is(err, ErrDead) {
				return
			}
			if _, err := client.Read(t.Context(), fmt.Sprintf("%s/%d", p.Name, i), 0, 0); errors.Is(err, ErrDead) {
				return
			}
			for _, err := range client.List(t.Context(), p.Name, "") {
				if err != nil {
					break
				}
			}
		}
	}}
	config.Check = func() error {
		if s.step == config.Steps {
			return errors.New("the end") // a failure has the trace
		}
		return nil
	}
	s = New(config, store)
	for range 4 {
		s.Spawn(role)
	}
	var failure *Failure
	if err := s.Run(); !errors.As(err, &failure) {
		t.Fatalf("the schedule ended with %v", err)
	}
	return append(failure.Trace, store.Keys("")...)
}

// TestSeedIsTheSchedule: the same seed gives the same schedule, whatever the processes
// run as; another seed gives another one.
func TestSeedIsTheSchedule(t *testing.T) {
	want := crowd(t, 3, Coroutine)
	if diff := cmp.Diff(want, crowd(t, 3, Goroutine)); diff != "" {
		t.Errorf("goroutines differ from coroutines:\n%s", diff)
	}
	if diff := cmp.Diff(want, crowd(t, 3, Goroutine)); diff != "" {
		t.Errorf("a second run differs:\n%s", diff)
	}
	if cmp.Equal(want, crowd(t, 2, Coroutine)) {
		t.Error("another seed gives the same schedule")
	}
	for _, what := range []string{" dies", "(dead)", "(late)", ": refused", "still on its way", "done, but answered", ": misread"} {
		if !strings.Contains(strings.Join(want, "\n"), what) {
			t.Errorf("300 steps had no %q", what)
		}
	}
}

// TestDeadChangeNothing: what a dead process had asked for may land, what it asks for
// after that does not.
func TestDeadChangeNothing(t *testing.T) {
	store := NewStore()
	asked := 0
	s := New(Config{Steps: 1, Tick: func() {}, Check: func() error { return nil }}, store)
	s.Spawn(&Role{Name: "w", Start: Goroutine, Body: func(p *Proc) {
		for i := range 5 {
			err := p.Blob().Create(t.Context(), fmt.Sprintf("k%d", i), nil)
			asked++
			if i > 0 && !errors.Is(err, ErrDead) {
				t.Errorf("call %d of a dead process answers %v", i, err)
			}
		}
	}})
	s.advance(s.slots[0])
	s.advance(s.slots[0])
	s.End()
	if diff := cmp.Diff([]string{"k0"}, store.Keys("")); diff != "" || asked != 5 {
		t.Errorf("after %d calls the store has (-want +got):\n%s", asked, diff)
	}
}
