package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"coldstream/blob"
	"coldstream/vault"
)

// Every storage operation of a backup that heals, in turn, fails, loses its answer, or is
// the last one before the process dies. The next run is whole, and so is the vault.
func TestEveryStorageOperationOfHealingFails(t *testing.T) {
	w := newWorld(t)
	want := []string{}
	for _, topic := range []string{"a", "b"} {
		w.create(t, topic, 1)
		for range 2 {
			w.produce(t, topic, 0, 3)
			w.run(t, Options{})
		}
		w.produce(t, topic, 0, 1)
		want = append(want, fmt.Sprintf("%s-0 [0, 7) 7 records", topic))
	}
	packs := w.packs(t)
	w.forget(t, packs[0])
	w.forget(t, packs[2])
	w.eachFault(t, Options{BufferBytes: 1}, func(store blob.Store) bool { return w.healsOver(t, store, want) }, func(second *Result) {
		w.holds(t, second.Snapshot, want...)
		if len(second.Damage) > 0 {
			t.Errorf("damage is left: %v", second.Damage)
		}
	})
}

// healsOver makes a backup into a store, and is true if it came through and healed all. A
// run that could not heal has saved its own data all the same, and says so.
func (w *world) healsOver(t *testing.T, store blob.Store, want []string) bool {
	t.Helper()
	v, err := vault.Open(t.Context(), store)
	if err != nil {
		return false
	}
	var warned warnings
	r, err := Run(t.Context(), w.source, v, Options{Now: w.now, BufferBytes: 1, Observer: &warned})
	w.reopen(t)
	if err != nil {
		return false
	}
	if len(warned) > 0 {
		c, err := w.vault.OpenCatalog(t.Context())
		if err != nil || !slices.ContainsFunc(c.Snapshots(), func(s vault.Snapshot) bool { return s.ID == r.Snapshot }) {
			t.Errorf("warned %q, and the snapshot is not there (%v)", warned, err)
		}
		return false
	}
	w.holds(t, r.Snapshot, want...)
	return true
}

// noMarks refuses what only healing stores.
type noMarks struct{ blob.Store }

func (s *noMarks) Create(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, "damaged/") {
		return fmt.Errorf("create %s: %w", key, errNoMarks)
	}
	return s.Store.Create(ctx, key, body)
}

var errNoMarks = errors.New("no rights to mark")

// New data does not wait for what is damaged: a run that cannot heal saves it, warns, and
// names what is lost.
func TestNewDataIsSavedWhereNothingCanBeHealed(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a", 1)
	w.produce(t, "a", 0, 3)
	w.run(t, Options{})
	w.forget(t, w.packs(t)[0])
	w.produce(t, "a", 0, 4)
	v, err := vault.Open(t.Context(), &noMarks{w.store})
	if err != nil {
		t.Fatal(err)
	}
	var warned warnings
	r, err := Run(t.Context(), w.source, v, Options{Now: w.now, Observer: &warned})
	if err != nil || !r.HasSnapshot() || r.Records != 4 {
		t.Fatalf("snapshot %v, %d records, %v", r.HasSnapshot(), r.Records, err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], errNoMarks.Error()) {
		t.Errorf("warned %q", warned)
	}
	if _, left := healed(r); len(left) != 1 {
		t.Errorf("damage %v", left)
	}
	if r := w.run(t, Options{}); len(r.Damage) > 0 {
		t.Errorf("the next run: %v", r.Damage)
	}
}
