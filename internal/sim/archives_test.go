package sim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"coldstream"
	"coldstream/internal/sim"
	"coldstream/vault"
)

// The rare states of schedules with restores of all that the vault holds.
const (
	viewsHeld       = "hold of views that no snapshot keeps"
	viewsRefused    = "hold of views refused because they were released"
	turnUnderViews  = "views read through a turn"
	viewsReadToEnds = "views read to their ends"
)

// runArchives runs one schedule in which restores hold views.
func runArchives(t *testing.T, config sim.Config) (*sim.Scheduler, error) {
	config.Steps, config.Faults = 3000, faultsInTurns()
	w := newWorld(t, config)
	return w.playTurns("w w k k v v v", w.judge)
}

// archives holds all that the vault has, and reads it several times.
func (w *world) archives(p *sim.Proc) {
	v, err := vault.Open(w.Context(), p.Blob())
	if !w.mind(p, "open", err) {
		return
	}
	c, err := v.OpenCatalog(w.Context())
	if !w.mind(p, "open catalog", err) || !w.mindDamage(p, c.Damage()) || len(c.Snapshots()) == 0 {
		return
	}
	shown, err := c.Show(w.Context(), &vault.Choice{Archive: true})
	if errors.Is(err, coldstream.ErrForgotten) || !w.mind(p, "show all", err) {
		return
	}
	holds, err := shown.HeldViews()
	if holds == nil || !w.mind(p, "name views", err) {
		return
	}
	w.think(p)
	id := vault.RestoreID{}
	for i := range id {
		id[i] = byte(w.sched.Rand.IntN(256))
	}
	document, err := json.Marshal(map[string]any{"holds": holds})
	if !w.mind(p, "encode", err) {
		return
	}
	err = v.Hold(w.Context(), id, shown.Snapshot, document)
	switch {
	case errors.Is(err, coldstream.ErrForgotten):
		w.sched.Count(viewsRefused)
		return
	case errors.Is(err, fs.ErrExist):
		return // its own, without an answer
	case !w.mind(p, "hold", err):
		return
	}
	w.sched.Count(viewsHeld)
	w.held[shown.Snapshot.ID]++
	epoch := w.newest()
	for range w.sched.Between(1, 4) {
		if !w.mind(p, "read held views", w.readAll(v, shown.Views)) {
			return
		}
		w.sched.Count(viewsReadToEnds)
	}
	if w.newest() > epoch {
		w.sched.Count(turnUnderViews)
	}
	w.held[shown.Snapshot.ID]--
	const result = 2
	if err := v.PutRestoreRecord(w.Context(), id, result, []byte("{}")); !errors.Is(err, fs.ErrExist) {
		w.mind(p, "result", err)
	}
}

// readAll reads views to their ends. Nothing of them may lack, but for gaps.
func (w *world) readAll(v *vault.Vault, views []vault.View) error {
	h, err := v.OpenHistory(w.Context(), views, vault.HistoryOptions{})
	if err != nil {
		return fmt.Errorf("what is held: %w", err)
	}
	for _, s := range h.Streams() {
		if len(s.Lost) > 0 {
			return fmt.Errorf("%+v: lost %w", s.View, s.Lost[0])
		}
		at := s.View.LogStartOffset
		for b, err := range s.Batches(w.Context(), at) {
			if err != nil {
				return fmt.Errorf("%+v: %w", s.View, err)
			}
			if b.NextOffset() <= at {
				return fmt.Errorf("%+v: a batch at %d behind %d", s.View, b.BaseOffset(), at)
			}
			at = b.NextOffset()
		}
	}
	return nil
}
