package vaultcopy_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
	"coldstream/internal/vaultcopy"
	"coldstream/recordbatch"
	"coldstream/vault"
)

var (
	seed  = flag.Uint64("seed", 0, "a seed to run alone")
	count = flag.Uint64("seeds", 0, "how many seeds to run, instead of the usual number")
)

// world is a vault that is written to by chance.
type world struct {
	t       *testing.T
	r       *rand.Rand
	v       *vault.Vault
	w       *vault.Writer
	clock   time.Time
	streams []*log
}

// log is a partition as its source has it.
type log struct {
	stream      coldstream.Stream
	scan        uint32
	start, next int64
	epoch       int32
	begun       bool
	batches     []span // that the log still has, and the backup has read
}

// span is a batch: its leader epoch and where it ends.
type span struct {
	epoch int32
	next  int64
}

// loseEnd takes the newest batches away, as an unclean election does.
func (l *log) loseEnd(n int) {
	l.batches = l.batches[:len(l.batches)-n]
	if l.next = l.start; len(l.batches) > 0 {
		l.next = max(l.next, l.batches[len(l.batches)-1].next)
	}
	l.epoch += 2
}

func (l *log) lastEpoch() int32 {
	if len(l.batches) == 0 {
		return -1
	}
	return l.batches[len(l.batches)-1].epoch
}

func newWorld(t *testing.T, r *rand.Rand) *world {
	w := &world{t: t, r: r, clock: time.UnixMilli(1_700_000_000_000)}
	var err error
	if w.v, err = vault.Init(t.Context(), mem.New(), vault.InitOptions{Now: w.now}); err != nil {
		t.Fatal(err)
	}
	if w.w, err = w.v.NewWriter(t.Context(), vault.WriterOptions{Now: w.now}); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"a", "b", "__c"} {
		for p := range int32(1 + r.IntN(3)) {
			w.streams = append(w.streams, &log{stream: coldstream.Stream{
				Incarnation: coldstream.Incarnation{ClusterID: "cluster", Topic: topic, TopicID: coldstream.TopicID{1, topic[0]}}, Partition: p,
			}})
		}
	}
	slices.SortFunc(w.streams, func(a, b *log) int { return a.stream.Compare(b.stream) })
	return w
}

func (w *world) now() time.Time {
	w.clock = w.clock.Add(time.Second)
	return w.clock
}

func batchOf(t *testing.T, base int64, count int, epoch int32, value string) []byte {
	t.Helper()
	var records []recordbatch.Absolute
	for i := range count {
		records = append(records, recordbatch.Absolute{Offset: int64(i), TimestampMs: 1_700_000_000_000 + base, Value: fmt.Appendf(nil, "%s-%d", value, base+int64(i))})
	}
	b, err := recordbatch.Build(records, recordbatch.CodecNone, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
	if err != nil {
		t.Fatal(err)
	}
	b.Place(base, epoch)
	return b
}

// grow commits something for some streams: data with holes, gaps, a new reading, a lost
// end. Sometimes with a snapshot.
func (w *world) grow(snapshot bool) {
	changes := vault.Changes{}
	for _, l := range w.streams {
		if !l.begun || w.r.IntN(20) == 0 {
			if l.begun {
				l.scan++
			}
			l.begun = true
			l.start += int64(w.r.IntN(10))
			l.next, l.batches = l.start, nil
			changes.Scans = append(changes.Scans, vault.ScanStart{Stream: l.stream, Scan: l.scan, FirstOffset: l.next, Started: w.clock})
		} else if w.r.IntN(8) == 0 && len(l.batches) > 1 {
			l.loseEnd(1 + w.r.IntN(len(l.batches)-1))
		} else if w.r.IntN(8) == 0 {
			gap := vault.StreamGap{Stream: l.stream, Scan: l.scan, FirstOffset: l.next, NextOffset: l.next + int64(1+w.r.IntN(20)), Cause: coldstream.GapLogStartAdvanced}
			l.next = gap.NextOffset
			l.start = l.next
			changes.Gaps = append(changes.Gaps, gap)
		}
		d := vault.StreamData{Stream: l.stream, Scan: l.scan}
		for range w.r.IntN(3) {
			p := vault.Piece{FirstOffset: l.next}
			for range w.r.IntN(3) {
				base := l.next
				if n := len(l.batches); n == 0 || l.batches[n-1].epoch == l.epoch { // a new leader leaves no hole behind
					base += int64(w.r.IntN(2) * w.r.IntN(5))
				}
				count := 1 + w.r.IntN(5)
				p.Batches = append(p.Batches, batchOf(w.t, base, count, l.epoch, fmt.Sprint(l.stream.Topic, l.epoch, w.r.IntN(1000)))...)
				l.next = base + int64(count)
				l.batches = append(l.batches, span{l.epoch, l.next})
			}
			if len(p.Batches) > 0 {
				l.next += int64(w.r.IntN(2))
			}
			if p.NextOffset = l.next; p.NextOffset > p.FirstOffset {
				d.Pieces = append(d.Pieces, p)
			}
		}
		if len(d.Pieces) > 0 {
			changes.Data = append(changes.Data, d)
		}
	}
	if snapshot {
		w.snapshot(&changes)
	}
	if _, err := w.w.Commit(w.t.Context(), changes); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) snapshot(changes *vault.Changes) {
	s := &vault.NewSnapshot{Time: w.now(), ClusterID: "cluster", Metadata: vault.Metadata{
		Cluster: coldstream.Cluster{ID: "cluster"}, Missing: map[string]string{},
		Groups: []coldstream.Group{{Name: "g", State: "Empty", Offsets: []coldstream.GroupOffset{{TopicPartition: coldstream.TopicPartition{Topic: "a"}, Offset: 3}}}},
	}}
	for _, l := range w.streams {
		if l.stream.Topic == "a" {
			s.Compacted = append(s.Compacted, vault.CompactedView{Stream: l.stream, AsOf: w.clock, Retention: time.Hour})
		}
		s.Views = append(s.Views, vault.View{Stream: l.stream, Scan: l.scan, LogStartOffset: l.start, NextOffset: l.next, LastEpoch: l.lastEpoch()})
		if n := len(s.Metadata.Topics); n == 0 || s.Metadata.Topics[n-1].Name != l.stream.Topic {
			s.Metadata.Topics = append(s.Metadata.Topics, coldstream.Topic{Name: l.stream.Topic, ID: l.stream.TopicID, Partitions: []coldstream.Partition{{ID: 0}}})
		}
	}
	changes.Snapshot = s
}

// shown is all that a snapshot shows, in words.
func shown(t *testing.T, v *vault.Vault, topics ...string) map[string][]string {
	t.Helper()
	c, err := v.OpenCatalog(t.Context())
	if err != nil || len(c.Damage()) > 0 {
		t.Fatal(err, c.Damage())
	}
	out := map[string][]string{}
	for _, s := range c.Snapshots() {
		views, err := s.Views(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		views = slices.DeleteFunc(views, func(v vault.View) bool { return len(topics) > 0 && !slices.Contains(topics, v.Stream.Topic) })
		h, err := v.OpenHistory(t.Context(), views, vault.HistoryOptions{SnapshotTime: s.Time})
		if err != nil {
			t.Fatal(err)
		}
		m, err := v.Metadata(t.Context(), &s)
		if err != nil {
			t.Fatal(err)
		}
		text := []string{fmt.Sprint(s.Time.UnixMilli(), s.ClusterID, len(m.Groups), m.Groups[0].Offsets)}
		for _, stream := range h.Streams() {
			text = append(text, fmt.Sprint(stream.View, stream.Gaps, stream.Lost, stream.Fewer))
			for b, err := range stream.Batches(t.Context(), stream.View.LogStartOffset) {
				if err != nil {
					t.Fatal(s.ID, stream.View, err)
				}
				text = append(text, fmt.Sprintf("%d %x", b.BaseOffset(), []byte(b)))
			}
		}
		out[s.ID.String()] = text
	}
	return out
}

func newTarget(t *testing.T, store blob.Store, w *world) *vault.Vault {
	t.Helper()
	v, err := vault.Init(t.Context(), store, vault.InitOptions{Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mustBeCopy compares all snapshots of both, and proves the copy.
func mustBeCopy(t *testing.T, from, to *vault.Vault, topics ...string) {
	t.Helper()
	if d := cmp.Diff(shown(t, from, topics...), shown(t, to, topics...)); d != "" {
		t.Fatalf("(-source +copy)\n%s", d)
	}
	report, err := to.Verify(t.Context(), vault.VerifyOptions{Deep: true})
	if err != nil || len(report.Problems) > 0 {
		t.Fatal(err, report.Problems)
	}
}

func seeds(t *testing.T, n uint64) []uint64 {
	t.Helper()
	if *seed > 0 {
		return []uint64{*seed}
	}
	out := make([]uint64, max(n, *count))
	for i := range out {
		out[i] = uint64(i + 1)
	}
	return out
}

// TestCopies: whatever a vault holds, each snapshot shows the same in its copy, a second
// copy stores nothing, a later one only news, and a backup goes on from it.
func TestCopies(t *testing.T) {
	for _, s := range seeds(t, 40) {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			w := newWorld(t, rand.New(rand.NewPCG(s, 1)))
			to := newTarget(t, mem.New(), w)
			opts := vaultcopy.Options{Now: w.now, BufferBytes: 1 + w.r.IntN(2000)}
			for range 1 + w.r.IntN(4) {
				for range 1 + w.r.IntN(4) {
					w.grow(w.r.IntN(2) == 0)
				}
				w.grow(true)
				if _, err := vaultcopy.Copy(t.Context(), w.v, to, opts); err != nil {
					t.Fatal(err)
				}
				mustBeCopy(t, w.v, to)
				again, err := vaultcopy.Copy(t.Context(), w.v, to, opts)
				if err != nil || again.ObjectsStored > 0 || len(again.Copied) > 0 {
					t.Fatalf("a second copy stored %d objects, %v", again.ObjectsStored, err)
				}
			}
			ours, err := w.v.NewWriter(t.Context(), vault.WriterOptions{Now: w.now})
			if err != nil {
				t.Fatal(err)
			}
			copied, err := to.NewWriter(t.Context(), vault.WriterOptions{Now: w.now})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range w.streams {
				a, _ := ours.Head(l.stream)
				b, _ := copied.Head(l.stream)
				if a.Scan != b.Scan || b.NextOffset < l.next || !cmp.Equal(a.Pass, b.Pass) {
					t.Errorf("%v ends at %v, its copy at %v", l.stream, a, b)
				}
			}
			w.w, w.v = copied, to
			w.grow(true) // a backup goes on
			mustBeCopy(t, to, to)
		})
	}
}

// TestCopyThatIsCutOff: a copy whose storage fails at each operation in turn goes on when it is started again.
func TestCopyThatIsCutOff(t *testing.T) {
	for _, s := range seeds(t, 8) {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			w := newWorld(t, rand.New(rand.NewPCG(s, 2)))
			for range 6 {
				w.grow(true)
			}
			store := mem.New()
			newTarget(t, store, w)
			for n := 1; ; n += 1 + w.r.IntN(5) {
				failing := faultblob.New(store, faultblob.Fault{At: n, Do: []faultblob.Action{faultblob.Fail, faultblob.LoseAnswer, faultblob.DieAfter}[n%3]})
				to, err := vault.Open(t.Context(), failing)
				if err == nil {
					_, err = vaultcopy.Copy(t.Context(), w.v, to, vaultcopy.Options{Now: w.now, BufferBytes: 500})
				}
				if err == nil {
					break
				}
			}
			to, err := vault.Open(t.Context(), store)
			if err != nil {
				t.Fatal(err)
			}
			mustBeCopy(t, w.v, to)
		})
	}
}

// Chosen topics and snapshots are copied alone, in any order that the target can hold.
func TestCopyOfAPart(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(3, 3)))
	for range 3 {
		w.grow(true)
	}
	patterns := func(names ...string) *coldstream.Patterns {
		p, err := coldstream.ParsePatterns(names, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	to := newTarget(t, mem.New(), w)
	if _, err := vaultcopy.Copy(t.Context(), w.v, to, vaultcopy.Options{Now: w.now, Topics: patterns("a", "__c")}); err != nil {
		t.Fatal(err)
	}
	mustBeCopy(t, w.v, to, "a", "__c")
	all, err := vaultcopy.Copy(t.Context(), w.v, to, vaultcopy.Options{Now: w.now})
	if err != nil || len(all.Partial) != 3 {
		t.Errorf("snapshots that are there in part: %v, %v", all.Partial, err)
	}
	var mistyped *coldstream.PatternError
	if _, err := vaultcopy.Copy(t.Context(), w.v, to, vaultcopy.Options{Now: w.now, Topics: patterns("d")}); !errors.As(err, &mistyped) {
		t.Errorf("a topic that is nowhere: %v", err)
	}
}

// An interrupted copy keeps what it has read.
func TestCopyThatIsInterrupted(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(4, 4)))
	for range 10 {
		w.grow(true)
	}
	to := newTarget(t, mem.New(), w)
	ctx, cancel := context.WithCancel(t.Context())
	stop := observe(func() { cancel() })
	if _, err := vaultcopy.Copy(ctx, w.v, to, vaultcopy.Options{Now: w.now, BufferBytes: 10, Observer: stop}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := vaultcopy.Copy(t.Context(), w.v, to, vaultcopy.Options{Now: w.now}); err != nil {
		t.Fatal(err)
	}
	mustBeCopy(t, w.v, to)
}

type observe func()

func (o observe) Observe(e coldstream.Event) {
	if _, is := e.(*coldstream.Progress); is {
		o()
	}
}
