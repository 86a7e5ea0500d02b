package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"coldstream/blob"
	"coldstream/internal/sim"
	"coldstream/vault"
)

const (
	damageTold      = "damage told to a process that went on"
	damageFound     = "damage found by verify"
	damageNotNeeded = "damage of what nothing needs any more"
)

// runMisreads runs one schedule in which stored bytes are good, and reads are not.
func runMisreads(t *testing.T, config sim.Config) (*sim.Scheduler, error) {
	config.Steps, config.Faults = 2000, faultsInTurns()
	config.Faults.Misread = .01
	w := newWorld(t, config)
	w.owners = make([]int, len(w.logs))
	return w.playTurns("a b w s r k k h", w.judge)
}

// runSpoils runs one schedule in which an object is damaged for good.
func runSpoils(t *testing.T, config sim.Config) (*sim.Scheduler, error) {
	config.Steps, config.Faults = 1200, faultsInTurns()
	w := newWorld(t, config)
	w.spoilAt = w.sched.Between(100, config.Steps-100)
	return w.playTurns("w w r k k h", w.judgeSpoiled)
}

// spoil damages an object. What nothing names yet may go without a trace, so that
// commits and bases are only altered.
func (w *world) spoil() {
	var all []string
	for _, prefix := range []string{"packs/", "tables/", "commits/", "epochs/"} {
		all = append(all, w.store.Keys(prefix)...)
	}
	all = slices.DeleteFunc(all, func(key string) bool { return strings.HasSuffix(key, "/begun") })
	key := all[w.sched.Rand.IntN(len(all))]
	body, _ := w.store.Get(key)
	changed := w.store.Changed
	w.store.Changed = nil
	w.store.Remove(key)
	how := "is gone"
	if kind, _, _ := strings.Cut(key, "/"); w.sched.Chance(.7) || kind == "commits" || kind == "epochs" {
		how = "is altered"
		w.store.Add(key, w.sched.Spoil(body.([]byte)))
	}
	w.store.Changed = changed
	w.spoiled = key
	w.sched.Note(func() string { return fmt.Sprintf("%s %s", key, how) })
}

// judgeSpoiled: with what nothing needs any more nothing is lost. Else verify finds
// damage, and all that is given is what was stored.
func (w *world) judgeSpoiled(store blob.Store) error {
	v, err := vault.Open(w.Context(), store)
	if err != nil {
		return err
	}
	report, err := v.Verify(w.Context(), vault.VerifyOptions{Deep: true})
	if err != nil {
		return err
	}
	if len(report.Problems) == 0 {
		w.sched.Count(damageNotNeeded)
		if err := w.judge(store); !isDamage(err) {
			return err
		}
		return nil // of a fork that no snapshot shows: who reads that is told
	}
	w.sched.Count(damageFound)
	c, err := v.OpenCatalog(w.Context())
	if err != nil {
		return err
	}
	for _, s := range c.Snapshots() {
		if err := w.compare(v, &s, nil); err != nil && !isDamage(err) {
			return fmt.Errorf("with %s damaged: %w", w.spoiled, err)
		}
	}
	if !slices.ContainsFunc(report.Problems, func(d *vault.DamageError) bool { return d.Object == w.spoiled }) {
		return fmt.Errorf("%s was damaged, and verify says %v", w.spoiled, report.Problems)
	}
	return nil
}
