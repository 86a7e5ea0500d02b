package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault"
)

// TestTurns: backups that end on a long epoch turn it, and what they saved stays.
func TestTurns(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	var all []*Result
	for range 5 {
		w.produce(t, "orders", 0, 2)
		all = append(all, w.run(t, Options{TurnAfter: 2}))
	}
	if n := w.objects(t, w.store, "epochs/"); n != 3+2 { // each begun, the newest base and the one before
		t.Errorf("%d objects of epochs, want 5", n)
	}
	if n := w.objects(t, w.store, "commits/"); n != 3 {
		t.Errorf("%d commits left, want 3", n)
	}
	if got := len(w.snapshots(t)); got != len(all) {
		t.Errorf("%d snapshots of %d", got, len(all))
	}
	for i, r := range all {
		w.holds(t, r.Snapshot, fmt.Sprintf("orders-0 [0, %d) %d records", 2*i+2, 2*i+2))
	}
}

// TestTurnThatFails: the backup is saved all the same, and says what became of the turn.
func TestTurnThatFails(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 2)
	v, err := vault.Open(t.Context(), &noEpochs{w.store})
	if err != nil {
		t.Fatal(err)
	}
	var warned warnings
	r, err := Run(t.Context(), w.source, v, Options{TurnAfter: 1, Now: w.now, Observer: &warned})
	if err != nil || !r.HasSnapshot() {
		t.Fatalf("snapshot %v, %v", r.HasSnapshot(), err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "the backup is saved, but") || !strings.Contains(warned[0], errNoEpochs.Error()) {
		t.Errorf("warned %q", warned)
	}
}

var errNoEpochs = errors.New("no rights to begin an epoch")

// noEpochs refuses what only a turn does.
type noEpochs struct{ blob.Store }

func (s *noEpochs) Create(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, "epochs/") {
		return fmt.Errorf("create %s: %w", key, errNoEpochs)
	}
	return s.Store.Create(ctx, key, body)
}

type warnings []string

func (w *warnings) Observe(e coldstream.Event) {
	if e, ok := e.(*coldstream.Warning); ok {
		*w = append(*w, e.Text)
	}
}
