package backup

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"coldstream/blob/mem"
	"coldstream/vault"
)

// gatedStore lets packs arrive in the order that it is told, by number: the others wait.
type gatedStore struct {
	*mem.Store
	mu      sync.Mutex
	packs   int
	created func(ctx context.Context, n int) error // before pack n, from 1 on, is made
}

func (s *gatedStore) Create(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, "packs/") {
		s.mu.Lock()
		s.packs++
		n := s.packs
		s.mu.Unlock()
		if err := s.created(ctx, n); err != nil {
			return err
		}
	}
	return s.Store.Create(ctx, key, body)
}

// shipped runs a backup of three topics, a pack each, into a gated store.
func shipped(ctx context.Context, t *testing.T, created func(ctx context.Context, n int) error) (*world, *Result, error) {
	t.Helper()
	w := newWorld(t)
	for _, topic := range []string{"a", "b", "c"} {
		w.create(t, topic, 1)
		w.produce(t, topic, 0, 3)
	}
	v, err := vault.Open(ctx, &gatedStore{Store: w.store, created: created})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(ctx, w.source, v, Options{Now: w.now, BufferBytes: 1, PackBytes: 1})
	return w, r, err
}

func (w *world) holdsAll(t *testing.T) {
	t.Helper()
	next := w.run(t, Options{})
	w.holds(t, next.Snapshot, "a-0 [0, 3) 3 records", "b-0 [0, 3) 3 records", "c-0 [0, 3) 3 records")
}

// TestPacksAreUnderWayTogether: the second pack arrives before the first, and is committed
// behind it.
func TestPacksAreUnderWayTogether(t *testing.T) {
	second := make(chan struct{})
	w, r, err := shipped(t.Context(), t, func(ctx context.Context, n int) error {
		switch n {
		case 1:
			select {
			case <-second:
			case <-ctx.Done():
			}
		case 2:
			close(second)
		}
		return ctx.Err()
	})
	if err != nil || r.Records != 9 {
		t.Fatalf("%d records, %v", r.Records, err)
	}
	w.holds(t, r.Snapshot, "a-0 [0, 3) 3 records", "b-0 [0, 3) 3 records", "c-0 [0, 3) 3 records")
}

// TestPackUnderWayFails: what was sent behind a pack that cannot be stored is not saved, though its
// own pack is there; the run fails, and the next one saves all.
func TestPackUnderWayFails(t *testing.T) {
	broken := errors.New("broken")
	second := make(chan struct{})
	w, r, err := shipped(t.Context(), t, func(ctx context.Context, n int) error {
		switch n {
		case 1:
			select {
			case <-second:
			case <-ctx.Done():
			}
			return broken
		case 2:
			close(second)
		}
		return nil
	})
	if !errors.Is(err, broken) || r.Records != 0 || r.HasSnapshot() {
		t.Fatalf("%d records, snapshot %v, error %v", r.Records, r.HasSnapshot(), err)
	}
	for e, err := range w.store.List(t.Context(), "commits/", "") {
		t.Errorf("%s, %v is there", e.Key, err)
	}
	w.holdsAll(t)
}

// TestInterruptionWithPacksUnderWay: what two packs hold that were not stored yet when the run is
// interrupted is saved before it ends.
func TestInterruptionWithPacksUnderWay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, r, err := shipped(ctx, t, func(ctx context.Context, n int) error {
		switch n {
		case 1:
			<-ctx.Done()
		case 2:
			cancel()
		}
		return ctx.Err()
	})
	saved := r.Records
	if !errors.Is(err, context.Canceled) || saved < 6 || r.HasSnapshot() {
		t.Fatalf("%d records, snapshot %v, error %v, want what was read before the interruption", saved, r.HasSnapshot(), err)
	}
	next := w.run(t, Options{})
	if saved+next.Records != 9 {
		t.Errorf("%d records before the interruption and %d after it, want 9 together", saved, next.Records)
	}
	w.holdsAll(t)
}
