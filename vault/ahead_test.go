package vault

import (
	"context"
	"io"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// far is storage that takes a while for each request, and counts them.
type far struct {
	blob.Store
	delay time.Duration

	mu     sync.Mutex
	counts map[string]int
	now    int
	most   int // requests at once
}

func newFar(inner blob.Store, delay time.Duration) *far {
	return &far{Store: inner, delay: delay, counts: map[string]int{}}
}

func (f *far) Metered() {}

func (f *far) request(kind string) func() {
	f.mu.Lock()
	f.counts[kind]++
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	if f.delay > 0 {
		<-time.After(f.delay)
	}
	return func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}
}

func (f *far) Create(ctx context.Context, key string, body []byte) error {
	defer f.request("create")()
	return f.Store.Create(ctx, key, body)
}

func (f *far) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	defer f.request("open")()
	return f.Store.Open(ctx, key)
}

func (f *far) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	defer f.request("read")()
	return f.Store.Read(ctx, key, offset, length)
}

func (f *far) Delete(ctx context.Context, key string) error {
	defer f.request("delete")()
	return f.Store.Delete(ctx, key)
}

func (f *far) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	defer f.request("list")()
	return f.Store.List(ctx, prefix, after)
}

// TestOpeningFarAwayStorage opens a vault with a thousand commits, with 30 ms for each
// request: read one after the other they would take 30 seconds.
func TestOpeningFarAwayStorage(t *testing.T) {
	inner := mem.New()
	newKit(t, inner).chain(stream("orders", 0), 1000)
	synctest.Test(t, func(t *testing.T) {
		store := newFar(inner, 30*time.Millisecond)
		began := time.Now()
		v, err := reopened(t, store)
		if err != nil {
			t.Fatal(err)
		}
		w, err := v.NewWriter(t.Context(), WriterOptions{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if head, ok := w.Head(stream("orders", 0)); !ok || head.NextOffset != 10_000 {
			t.Errorf("head %+v", head)
		}
		if store.most > 128+1 { // and the one that was asked for before its turn
			t.Errorf("%d requests at once", store.most)
		}
		if _, err := w.Losses(t.Context(), func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if n := store.counts["list"]; n > 1 {
			t.Errorf("%d listings to open the vault and to look for what it lost", n)
		}
	})
}

// TestCommitsFarAway: what a commit names is stored at the same time, and read so where it is
// shared; the commit comes behind, and the look behind that.
func TestCommitsFarAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, mem.New())
		store := newFar(k.store, 30*time.Millisecond)
		w := k.over(store).writer()
		s := stream("orders", 0)
		for n := range int64(3) {
			c := Changes{Data: data(s, piece(t, 10*n, 10*n+10, 1)), Snapshot: snapshotOf(View{Stream: s, NextOffset: 10*n + 10, LastEpoch: 1})}
			if n == 0 {
				c.Scans = begin(s, 0)
			}
			began := time.Now()
			k.commit(w, c)
			if took := time.Since(began); took != 90*time.Millisecond {
				t.Errorf("commit %d took %v", n, took)
			}
			snapshot := k.catalog().Snapshots()[n]
			began = time.Now()
			m, err := k.over(store).vault.Metadata(t.Context(), &snapshot)
			if err != nil || len(m.Damaged) > 0 || len(m.Topics) == 0 {
				t.Errorf("metadata %+v, %v", m, err)
			}
			if took := time.Since(began); took > 60*time.Millisecond {
				t.Errorf("to read the metadata of snapshot %d took %v", n, took)
			}
		}
		k.mustBeSound()
		k.chain(stream("payments", 0), 100)
		k.turn()
		began := time.Now()
		k.over(store).turn() // deletes the commits of the epoch before last
		if deleted := store.counts["delete"]; deleted < 100 || time.Since(began) > 2*time.Second {
			t.Errorf("a turn deleted %d objects in %v", deleted, time.Since(began))
		}
		k.mustBeSound()
	})
}

// TestTurnedWhileOpeningFarAway is the look again where listings cost.
func TestTurnedWhileOpeningFarAway(t *testing.T) {
	k := newKit(t, newFar(mem.New(), 0))
	before, err := k.vault.look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	now, err := k.vault.lookAgain(t.Context(), before)
	if err != nil || !now.isStill(before) {
		t.Errorf("nothing turned: %+v, %v", now, err)
	}
	for _, key := range []string{format.BegunKey(1), format.BaseKey(1)} { // one of them may be lost
		store := mem.New()
		k := newKit(t, newFar(store, 0))
		if err := store.Create(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
		if now, err := k.vault.lookAgain(t.Context(), before); err != nil || now.isStill(before) || now.newest != 1 {
			t.Errorf("with %s: %+v, %v", key, now, err)
		}
	}
}

// TestReadingFarAwayStorage reads one stream of many frames, with 30 ms for each request.
func TestReadingFarAwayStorage(t *testing.T) {
	inner := mem.New()
	k := newKit(t, inner)
	k.chain(stream("orders", 0), 100) // a pack each
	view := View{Stream: stream("orders", 0), NextOffset: 1000, LastEpoch: 1}
	for name, c := range map[string]struct {
		cache int64
		max   time.Duration
	}{"with room": {64 << 20, time.Second}, "without": {1, 4 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFar(inner, 30*time.Millisecond)
				v, err := reopened(t, store)
				if err != nil {
					t.Fatal(err)
				}
				h, err := v.OpenHistory(t.Context(), []View{view}, HistoryOptions{CacheBytes: c.cache})
				if err != nil {
					t.Fatal(err)
				}
				began, next := time.Now(), int64(0)
				for b, err := range h.Streams()[0].Batches(t.Context(), 0) {
					if err != nil {
						t.Fatal(err)
					}
					if b.BaseOffset() != next {
						t.Fatalf("batch at %d, want %d", b.BaseOffset(), next)
					}
					next = b.NextOffset()
				}
				if took := time.Since(began); next != 1000 || took > c.max {
					t.Errorf("read up to %d in %v", next, took)
				}
				if !h.frames.Reserve(c.cache/4, 0) {
					t.Error("memory is still reserved")
				}
				if n := store.counts["read"]; n > 100 {
					t.Errorf("%d reads of 100 frames", n)
				}
			})
		})
	}
}
