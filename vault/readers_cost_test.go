package vault

import (
	"context"
	"fmt"
	"io"
	"iter"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
)

// requests counts what a reader asks of storage, and the bytes that it reads.
type requests struct {
	blob.Store
	count, bytes int64
}

func (s *requests) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	s.count++
	s.bytes += length
	return s.Store.Read(ctx, key, offset, length)
}

func (s *requests) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	r, size, err := s.Store.Open(ctx, key)
	s.count++
	s.bytes += size
	return r, size, err
}

func (s *requests) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	s.count++
	return s.Store.List(ctx, prefix, after)
}

// TestWhatReadersCostWithManySnapshots: how much commands ask of storage, and read of it, on a
// vault of 320 snapshots of 32 topics. Each figure is the bound of a promise: it may be lowered.
func TestWhatReadersCostWithManySnapshots(t *testing.T) {
	k := newKit(t, mem.New())
	var streams []coldstream.Stream
	for i := range 32 {
		streams = append(streams, stream(fmt.Sprintf("topic-%02d", i), 0))
	}
	const epochs, each = 8, 40
	next := make([]int64, len(streams))
	for range epochs {
		for n := range each {
			w, c := k.writer(), Changes{Snapshot: snapshotOf()}
			for i, s := range streams {
				if next[i] == 0 {
					c.Scans = append(c.Scans, begin(s, 0)...)
				}
				if next[i] == 0 || n%len(streams) == i { // one topic gets something each time
					c.Data = append(c.Data, data(s, piece(t, next[i], next[i]+3, 1))...)
					next[i] += 3
				}
				c.Snapshot.Views = append(c.Snapshot.Views, View{Stream: s, NextOffset: next[i], LastEpoch: 1})
			}
			k.commit(w, c)
		}
		k.turn()
	}
	store := &requests{Store: k.store}
	v, err := reopened(t, store)
	if err != nil {
		t.Fatal(err)
	}
	step := func(what string, atMost, atMostBytes int64, do func() error) {
		t.Helper()
		store.count, store.bytes = 0, 0
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%-28s %5d requests %9d bytes", what, store.count, store.bytes)
		if store.count > atMost || store.bytes > atMostBytes {
			t.Errorf("%s: %d requests for %d bytes, and may take %d for %d", what, store.count, store.bytes, atMost, atMostBytes)
		}
	}
	var c *Catalog
	var chosen *Snapshot
	step("snapshots", 6, 24_000, func() error {
		c, err = v.OpenCatalog(t.Context())
		if err == nil && len(c.Snapshots()) != epochs*each {
			t.Errorf("%d snapshots", len(c.Snapshots()))
		}
		return err
	})
	step("ls: and views of the newest", 1, 5_000, func() error {
		if chosen, _, err = c.Choose(t.Context(), &Choice{}); err != nil {
			return err
		}
		_, err = chosen.Views(t.Context())
		return err
	})
	step("dry run: and rows of one topic", 2, 1_500, func() error {
		views, err := chosen.Views(t.Context())
		if err == nil {
			_, err = c.OpenHistory(t.Context(), views[:1], HistoryOptions{})
		}
		return err
	})
	step("verify", 49, 62_000, func() error {
		r, err := v.Verify(t.Context(), VerifyOptions{})
		if err == nil && len(r.Problems) > 0 {
			t.Error(r.Problems)
		}
		return err
	})
}
