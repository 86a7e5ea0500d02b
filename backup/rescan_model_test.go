package backup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "the seed of random tests; 0 takes a new one")
	stepsFlag = flag.Int("steps", 60, "steps of a random history")
)

// cutSource hands over what the cluster's source fetches batch by batch, and breaks off, or
// gives a partition up, after some of them.
type cutSource struct {
	coldstream.Source
	interrupt, fail int // after how many batches; below 0: never
	cancel          func()
}

func (s *cutSource) Fetch(ctx context.Context, plan []coldstream.FetchPosition, sink coldstream.FetchSink) error {
	return s.Source.Fetch(ctx, plan, &cutSink{cutSource: s, sink: sink})
}

type cutSink struct {
	*cutSource
	sink   coldstream.FetchSink
	failed bool
}

func (s *cutSink) Take(ctx context.Context, event coldstream.FetchEvent) error {
	f, isData := event.(*coldstream.Fetched)
	switch {
	case s.failed:
		return nil
	case !isData:
		return s.sink.Take(ctx, event)
	}
	at := f.FirstOffset
	for rest := f.Batches; len(rest) > 0; {
		batch, after, err := recordbatch.Next(rest)
		if err != nil {
			return err
		}
		if s.interrupt == 0 {
			s.cancel()
			return ctx.Err()
		}
		if s.fail == 0 {
			s.failed = true
			return s.sink.Take(ctx, &coldstream.PartitionFailed{TopicPartition: f.TopicPartition, Err: errors.New("given up by the test")})
		}
		s.interrupt, s.fail = s.interrupt-1, s.fail-1
		piece := &coldstream.Fetched{TopicPartition: f.TopicPartition, FirstOffset: at, NextOffset: batch.NextOffset(), Batches: batch, LogOffsets: f.LogOffsets}
		at, rest = piece.NextOffset, after
		if len(rest) == 0 {
			piece.NextOffset = f.NextOffset
		}
		if err := s.sink.Take(ctx, piece); err != nil {
			return err
		}
	}
	if len(f.Batches) == 0 {
		return s.sink.Take(ctx, event)
	}
	return nil
}

// compactedWorld is a compacted topic with one partition, and what is in it by its keys.
type compactedWorld struct {
	*world
	t         *testing.T
	random    *rand.Rand
	retention time.Duration
	truth     map[string]string
	newest    time.Time // when the last tombstone was written
	done      []string
	never     bool // it is not to be read again in full
}

func (w *compactedWorld) configure(retention time.Duration) {
	ms := fmt.Sprint(retention.Milliseconds())
	_, err := w.admin.AlterTopicConfigs(w.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "delete.retention.ms", Value: &ms}}, "t")
	if err != nil {
		w.t.Fatal(err)
	}
}

func newCompactedWorld(t *testing.T, random *rand.Rand) *compactedWorld {
	t.Helper()
	w := &compactedWorld{world: newWorld(t), t: t, random: random, retention: time.Hour, truth: map[string]string{}}
	if err := w.fake.CreateTopic("t", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	w.configure(w.retention)
	w.put("first", "stays, for kfake moves the log start to the first record that does")
	return w
}

func (w *compactedWorld) put(key, value string) {
	w.t.Helper()
	r := &kgo.Record{Topic: "t", Key: []byte(key), Value: []byte(value)}
	w.truth[key] = value
	if value == "" {
		r.Value = nil
		delete(w.truth, key)
		w.newest = w.now()
	}
	if err := w.app.ProduceSync(w.t.Context(), r).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *compactedWorld) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// expire lets time go by until the cleaner need not keep any tombstone, and removes all.
func (w *compactedWorld) expire() {
	w.pass(max(0, w.newest.Add(w.retention).Sub(w.now())))
	w.configure(0)
	w.fake.Compact()
	w.configure(w.retention)
}

// tried makes a backup that may be cut.
func (w *compactedWorld) tried(interrupt, fail int) (*Result, error) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	source := &cutSource{Source: w.source, interrupt: interrupt, fail: fail, cancel: cancel}
	return Run(ctx, source, w.vault, Options{Now: w.now, BufferBytes: 1, PackBytes: 1, TurnAfter: 1 + w.random.IntN(12), NeverRescan: func(string) bool { return w.never }})
}

// latest is what a snapshot shows of the topic, by keys.
func (w *compactedWorld) latest(id vault.SnapshotID) map[string]string {
	w.t.Helper()
	h, err := w.vault.OpenHistory(w.t.Context(), w.views(w.t, id), vault.HistoryOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	for _, s := range h.Streams() {
		for b, err := range s.Batches(w.t.Context(), s.View.LogStartOffset) {
			if err != nil {
				w.t.Fatal(err)
			}
			records, err := recordbatch.NewDecoder().Absolute(b, 1<<20)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, r := range records {
				if delete(out, string(r.Key)); r.Value != nil {
					out[string(r.Key)] = string(r.Value)
				}
			}
		}
	}
	return out
}

// step does something at random. It is true if a whole backup was made.
func (w *compactedWorld) step() (*Result, bool) {
	did := func(format string, args ...any) { w.done = append(w.done, fmt.Sprintf(format, args...)) }
	switch w.random.IntN(12) {
	case 0, 1, 2:
		key := fmt.Sprint(w.random.IntN(6))
		did("put %s", key)
		w.put(key, fmt.Sprintf("value %d", w.random.IntN(1000)))
	case 3, 4:
		key := fmt.Sprint(w.random.IntN(6))
		did("delete %s", key)
		w.put(key, "")
	case 5:
		did("compact")
		w.fake.Compact()
	case 6, 7:
		did("expire")
		w.expire()
	case 8:
		d := time.Duration(w.random.Int64N(int64(w.retention)))
		did("wait %s", d)
		w.pass(d)
	case 9:
		n := w.random.IntN(6)
		did("backup interrupted after %d", n)
		if r, err := w.tried(n, -1); err == nil {
			return r, true
		} else if !errors.Is(err, context.Canceled) {
			w.t.Fatal(err)
		}
	case 10:
		n := w.random.IntN(6)
		did("backup with a partition given up after %d", n)
		r, err := w.tried(-1, n)
		if err != nil {
			w.t.Fatal(err)
		}
		return r, len(r.Failed) == 0
	default:
		did("backup")
		r, err := w.tried(-1, -1)
		if err != nil {
			w.t.Fatal(err)
		}
		return r, true
	}
	return nil, false
}

// TestDeletedKeysStayDeleted lets an application, a cleaner, clocks and backups that are cut
// short go about a compacted topic. Each whole snapshot shows the latest value of each key
// that the topic has, and no key that was deleted.
func TestDeletedKeysStayDeleted(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	rescans, wholes := 0, 0
	for n := range uint64(12) {
		w := newCompactedWorld(t, rand.New(rand.NewPCG(seed, n)))
		reached := int64(0)
		for range *stepsFlag {
			r, whole := w.step()
			if r != nil {
				view := w.views(t, r.Snapshot)[0]
				if view.NextOffset < reached {
					t.Fatalf("repeat with -seed %d\nhistory %d: %q\nthe snapshot shows offsets up to %d, and one before it %d", seed, n, w.done, view.NextOffset, reached)
				}
				reached = view.NextOffset
			}
			if !whole {
				continue
			}
			wholes++
			rescans += len(r.Rescanned)
			if diff := cmp.Diff(maps.Clone(w.truth), w.latest(r.Snapshot)); diff != "" {
				t.Fatalf("repeat with -seed %d\nhistory %d: %q\nthe snapshot shows (-want +got):\n%s", seed, n, w.done, diff)
			}
		}
	}
	if rescans == 0 || rescans == wholes {
		t.Errorf("%d of %d backups read the topic again in full (-seed %d)", rescans, wholes, seed)
	}
	t.Logf("%d of %d backups read the topic again in full", rescans, wholes)
}
