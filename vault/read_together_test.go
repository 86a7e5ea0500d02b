package vault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
)

// rangesRead is storage that is far away, and adds up what is read of its ranges.
type rangesRead struct {
	*far
	bytes atomic.Int64
}

func (r *rangesRead) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	r.bytes.Add(length)
	return r.far.Read(ctx, key, offset, length)
}

// manyTopics stores 40 topics in one pack, each in a frame of its own. The one in the middle
// is large where a size is given.
func manyTopics(t *testing.T, inner blob.Store, middleBytes int) (views []View) {
	k := newKit(t, inner)
	random := rand.NewChaCha8([32]byte{1})
	var changes Changes
	for i := range 40 {
		s, p := stream(fmt.Sprintf("t%02d", i), 0), piece(k, 0, 10, 1)
		if i == 20 && middleBytes > 0 {
			value := make([]byte, middleBytes)
			_, _ = random.Read(value) // never fails
			b, err := recordbatch.Build([]recordbatch.Absolute{{Offset: 0, TimestampMs: 1, Value: value}}, recordbatch.CodecNone, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
			if err != nil {
				t.Fatal(err)
			}
			p = Piece{FirstOffset: 0, NextOffset: 1, Batches: inLog(b, 0, 1)}
		}
		changes.Scans = append(changes.Scans, begin(s, 0)...)
		changes.Data = append(changes.Data, data(s, p)...)
		views = append(views, View{Stream: s, NextOffset: p.NextOffset, LastEpoch: 1})
	}
	changes.Snapshot = snapshotOf(views...)
	k.commit(k.writer(), changes)
	return views
}

// What internal/pack reads over, and reads at once.
const (
	gapReadOver   = 256 << 10
	togetherBytes = 4 << 20
)

// TestFramesAreReadTogether counts requests for frames of one pack.
func TestFramesAreReadTogether(t *testing.T) {
	for name, c := range map[string]struct {
		middle   int // bytes of the frame in the middle
		leaveOut int // the view in the middle is not read, and every so many
		cache    int64
		requests int
		maxBytes int64
	}{
		"all":              {0, 0, 64 << 20, 1, 64 << 10},
		"every other":      {0, 2, 64 << 20, 1, 64 << 10},
		"a gap read over":  {gapReadOver - 8<<10, 20, 64 << 20, 1, gapReadOver + 64<<10},
		"a large gap":      {gapReadOver + 8<<10, 20, 64 << 20, 2, 64 << 10},
		"one as large":     {togetherBytes, 0, 64 << 20, 3, togetherBytes + 64<<10},
		"no room for more": {0, 0, 1, 40, 64 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			inner := mem.New()
			var views []View
			for i, view := range manyTopics(t, inner, c.middle) {
				if c.leaveOut == 0 || i%c.leaveOut != 0 || i == 0 {
					views = append(views, view)
				}
			}
			store := &rangesRead{far: newFar(inner, 0)}
			h := historyOver(t, store, views, c.cache)
			for _, s := range h.Streams() {
				if err := readAll(t, s); err != nil {
					t.Error(err)
				}
			}
			if *encrypted { // the header, and whole chunks
				c.maxBytes += int64(c.requests) * 128 << 10
				if n := store.counts["read"]; n == c.requests+1 {
					c.requests = n
				}
			}
			if got := store.counts["read"]; got != c.requests || store.bytes.Load() > c.maxBytes {
				t.Errorf("%d requests of %d bytes, want %d of at most %d", got, store.bytes.Load(), c.requests, c.maxBytes)
			}
			if !h.frames.Reserve(c.cache/4, 0) {
				t.Error("memory is still reserved")
			}
		})
	}
}

// TestDamageAmongFramesReadTogether: what is damaged costs its own stream, and nothing of
// those that came with it; what was only misread costs nothing.
func TestDamageAmongFramesReadTogether(t *testing.T) {
	inner := mem.New()
	views := manyTopics(t, inner, 0)
	h := historyOver(t, newFar(&misreadRange{Store: inner, left: 1}, 0), views, 64<<20)
	for _, s := range h.Streams() {
		if err := readAll(t, s); err != nil {
			t.Errorf("misread once: %v", err)
		}
	}

	const damaged = 7
	ref := h.Streams()[damaged].Runs[0].Ref
	pack := body(t, inner, ref.Pack.ID.Key())
	pack[ref.Pack.Starts[ref.Row.Frame]+20] ^= 1
	replace(t, inner, ref.Pack.ID.Key(), pack)
	h = historyOver(t, newFar(inner, 0), views, 64<<20)
	for i, s := range h.Streams() {
		err := readAll(t, s)
		if damage := new(DamageError); (i == damaged) != errors.As(err, &damage) {
			t.Errorf("%s: %v", s.View.Stream.Topic, err)
		}
	}
}

func historyOver(t *testing.T, store blob.Store, views []View, cache int64) *History {
	t.Helper()
	v, err := reopened(t, store)
	if err != nil {
		t.Fatal(err)
	}
	h, err := v.OpenHistory(t.Context(), views, HistoryOptions{CacheBytes: cache})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// readAll reads a stream, which must come up to its end.
func readAll(t *testing.T, s *StreamHistory) error {
	t.Helper()
	next := int64(0)
	for b, err := range s.Batches(t.Context(), 0) {
		if err != nil {
			return err
		}
		next = b.NextOffset()
	}
	if next != s.View.NextOffset {
		t.Errorf("%s was read up to %d of %d", s.View.Stream.Topic, next, s.View.NextOffset)
	}
	return nil
}
