package backup

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// watcher calls back at each progress, one at a time.
type watcher struct {
	mu       sync.Mutex
	progress func(*coldstream.Progress)
}

func (w *watcher) Observe(e coldstream.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p, ok := e.(*coldstream.Progress); ok {
		w.progress(p)
	}
}

// cloneStore copies all objects of a store into a new one.
func cloneStore(t *testing.T, s blob.Store) *mem.Store {
	t.Helper()
	out := mem.New()
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, err := blob.ReadAll(t.Context(), s, e.Key, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Create(t.Context(), e.Key, body); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Every storage operation of a backup, in turn, fails, loses its answer, or is the last
// one before the process dies. What was acknowledged is there; the next run completes the
// rest, and nothing is lost or comes twice.
func TestEveryStorageOperationFails(t *testing.T) {
	w := newWorld(t)
	want := []string{}
	for _, topic := range []string{"a", "b", "c"} {
		w.create(t, topic, 1)
		w.produce(t, topic, 0, 3)
	}
	w.run(t, Options{})
	for i, topic := range []string{"a", "b", "c"} {
		w.produce(t, topic, 0, 4)
		want = append(want, fmt.Sprintf("%s-0 [0, 7) 7 records", topic))
		if i == 1 {
			w.deleteRecords(t, topic, 5)
			want[i] = "b-0 [5, 7) 2 records"
		}
	}
	w.eachFault(t, Options{BufferBytes: 1, PackBytes: 1}, func(store blob.Store) bool { return w.runOver(t, store, want) }, func(second *Result) {
		w.holds(t, second.Snapshot, want...)
	})
}

// eachFault lets each storage operation of a run, in turn, fail, lose its answer, or be
// the last one before the process dies. cameThrough is true of a run that did what it was
// to do; whole judges the run after it, which must come through.
func (w *world) eachFault(t *testing.T, next Options, cameThrough func(blob.Store) bool, whole func(second *Result)) {
	t.Helper()
	next.Now = w.now
	begin := w.store
	for _, do := range []faultblob.Action{faultblob.Fail, faultblob.FailForGood, faultblob.LoseAnswer, faultblob.DieBefore, faultblob.DieAfter} {
		failed := 0
		for n := 1; ; n++ {
			w.store = cloneStore(t, begin)
			store := faultblob.New(w.store, faultblob.Fault{At: n, Do: do})
			if !cameThrough(store) {
				failed++
			}
			if len(store.Ops()) < n {
				break // there is no n-th operation
			}
			w.reopen(t)
			second, err := Run(t.Context(), w.source, w.vault, next)
			if err != nil {
				t.Fatalf("action %d at operation %d: the next run: %v", do, n, err)
			}
			whole(second)
			if t.Failed() {
				t.Fatalf("action %d at operation %d", do, n)
			}
		}
		if failed < 5 {
			t.Errorf("action %d let only %d runs fail", do, failed)
		}
	}
}

// runOver makes a backup into a store, and is true if it came through. What it then says
// is saved must be, as a process sees it that knows nothing of this one.
func (w *world) runOver(t *testing.T, store blob.Store, want []string) bool {
	t.Helper()
	v, err := vault.Open(t.Context(), store)
	if err != nil {
		return false
	}
	r, err := Run(t.Context(), w.source, v, Options{Now: w.now, BufferBytes: 1, PackBytes: 1})
	w.reopen(t)
	if err != nil {
		if r.HasSnapshot() {
			t.Errorf("a failed run acknowledges snapshot %s", r.Snapshot)
		}
		return false
	}
	w.holds(t, r.Snapshot, want...)
	return true
}

func (w *world) reopen(t *testing.T) {
	t.Helper()
	var err error
	if w.vault, err = vault.Open(t.Context(), w.store); err != nil {
		t.Fatal(err)
	}
}

// Fetched data waits for its commit no longer than the interval, though the run goes on.
func TestIntervalCommits(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a", 1)
	w.create(t, "b", 1)
	w.produce(t, "a", 0, 1)
	w.produce(t, "b", 0, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	committed := false
	id := w.fake.TopicInfo("b").TopicID // asked for here: the cluster answers nothing while it is controlled
	isB := func(r kmsg.Request) bool {
		f, ok := r.(*kmsg.FetchRequest)
		return ok && slices.ContainsFunc(f.Topics, func(topic kmsg.FetchRequestTopic) bool { return topic.Topic == "b" || topic.TopicID == id })
	}
	w.fake.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		if isB(r) {
			w.fake.SleepControl(func() { committed = w.awaitCommit(ctx) })
		}
		return nil, nil, false
	})
	r := w.run(t, Options{Interval: time.Millisecond})
	if !committed {
		t.Error("nothing was committed while the run waited for the other topic")
	}
	w.holds(t, r.Snapshot, "a-0 [0, 1) 1 records", "b-0 [0, 1) 1 records")
}

func (w *world) awaitCommit(ctx context.Context) bool {
	for ctx.Err() == nil {
		for _, err := range w.store.List(ctx, "commits/", "") {
			return err == nil
		}
		runtime.Gosched()
	}
	return false
}

// slowStore makes no pack before it is told to.
type slowStore struct {
	*mem.Store
	await func()
}

func (s *slowStore) Create(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, "packs/") {
		s.await()
	}
	return s.Store.Create(ctx, key, body)
}

// While a store is slow the source waits: no more than two packs under way, one that fills and one
// buffer that waits are in memory.
func TestBuffersAreBoundedInBytes(t *testing.T) {
	const partitions, pieceBytes = 12, 100_000
	w := newWorld(t)
	w.create(t, "orders", partitions)
	for p := range int32(partitions) {
		if err := w.append(t.Context(), "orders", p, pieceBytes); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	taken, saved, most := int64(0), int64(0), int64(0)
	watch := &watcher{progress: func(p *coldstream.Progress) {
		mu.Lock()
		defer mu.Unlock()
		taken, saved = taken+p.Offsets, saved+p.Records
		most = max(most, taken-saved)
	}}
	var once sync.Once
	full := func() bool { mu.Lock(); defer mu.Unlock(); return taken >= 8 }
	store := &slowStore{w.store, func() {
		once.Do(func() {
			deadline := time.Now().Add(20 * time.Second)
			for !full() && time.Now().Before(deadline) {
				runtime.Gosched()
			}
			for range 100_000 { // a source that does not wait goes on now
				runtime.Gosched()
			}
		})
	}}
	v, err := vault.Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	// Two pieces fit into the buffer, three do not.
	r, err := Run(t.Context(), w.source, v, Options{Now: w.now, BufferBytes: pieceBytes * 5 / 2, PackBytes: 1, Observer: watch})
	if err != nil {
		t.Fatal(err)
	}
	if most != 8 || r.Records != partitions {
		t.Errorf("%d pieces were in memory at once, want 2 in each of 2 packs under way, 2 in the next one, and 2 that wait; %d records", most, r.Records)
	}
}

// A batch that is larger than the buffer passes alone.
func TestBatchLargerThanTheBuffer(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 2)
	for range 3 {
		for p := range int32(2) {
			if err := w.append(t.Context(), "orders", p, 5000); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := w.run(t, Options{BufferBytes: 100})
	w.holds(t, r.Snapshot, "orders-0 [0, 3) 3 records", "orders-1 [0, 3) 3 records")
}

// What an interrupted run has read is committed, and there is no snapshot; the next run
// reads the rest only.
func TestInterruptedRun(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a", 1)
	w.create(t, "b", 1)
	w.produce(t, "a", 0, 3)
	w.produce(t, "b", 0, 4)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := &watcher{progress: func(p *coldstream.Progress) {
		if p.Offsets > 0 {
			cancel()
		}
	}}
	r, err := Run(ctx, w.source, w.vault, Options{Now: w.now, Observer: watch})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the interruption", err)
	}
	if r.HasSnapshot() || len(w.snapshots(t)) > 0 {
		t.Error("an interrupted run made a snapshot")
	}
	if r.Records == 0 || r.BytesStored == 0 {
		t.Errorf("nothing of what was read is saved: %+v", r)
	}
	next := w.run(t, Options{})
	if r.Records+next.Records != 7 {
		t.Errorf("%d records before the interruption and %d after it, want 7 together", r.Records, next.Records)
	}
	w.holds(t, next.Snapshot, "a-0 [0, 3) 3 records", "b-0 [0, 4) 4 records")
	done, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Run(done, w.source, w.vault, Options{Now: w.now}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v", err)
	}
}

// cancelingStore interrupts the run when it makes its first pack, and does not make it.
type cancelingStore struct {
	*mem.Store
	once   sync.Once
	cancel context.CancelFunc
}

func (s *cancelingStore) Create(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, "packs/") {
		s.once.Do(s.cancel)
	}
	return s.Store.Create(ctx, key, body)
}

// An interruption tears the commit that is in the making: what it was to save is saved
// before the run ends.
func TestRunThatIsInterruptedWhileItCommits(t *testing.T) {
	w := newWorld(t)
	w.create(t, "a", 1)
	w.produce(t, "a", 0, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v, err := vault.Open(ctx, &cancelingStore{Store: w.store, cancel: cancel})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(ctx, w.source, v, Options{Now: w.now, BufferBytes: 1, PackBytes: 1})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the interruption", err)
	}
	if r.Records != 3 || r.HasSnapshot() {
		t.Errorf("saved %d of 3 records that were read, snapshot %v", r.Records, r.HasSnapshot())
	}
	next := w.run(t, Options{})
	if next.Records != 0 {
		t.Errorf("the next run read %d records again", next.Records)
	}
	w.holds(t, next.Snapshot, "a-0 [0, 3) 3 records")
}

// A partition may fail when its log start has passed it already: its view is empty, and
// never begins behind its end.
func TestViewOfAPartitionThatTheLogStartPassed(t *testing.T) {
	for floor, want := range map[int64][2]int64{0: {5, 5}, 5: {5, 5}, 7: {7, 7}} {
		p := partition{logStartOffset: 9, nextOffset: 5, lastEpoch: -1}
		if view := p.view(floor); view.LogStartOffset != want[0] || view.NextOffset != want[1] {
			t.Errorf("the view with floor %d is [%d, %d), want %v", floor, view.LogStartOffset, view.NextOffset, want)
		}
	}
	p := partition{logStartOffset: 3, nextOffset: 20, lastEpoch: -1}
	if view := p.view(10); view.LogStartOffset != 10 || view.NextOffset != 20 {
		t.Errorf("the view of what is not released is [%d, %d)", view.LogStartOffset, view.NextOffset)
	}
}

// A view knows the leader epoch of its end: by it a reader tells what came after a fork.
func TestLeaderEpochsOfViews(t *testing.T) {
	w := newWorld(t, kfake.NumBrokers(2))
	w.create(t, "orders", 1)
	for moves := range 3 {
		if moves > 0 {
			if err := w.fake.MoveTopicPartition("orders", 0, 1-w.fake.LeaderFor("orders", 0)); err != nil {
				t.Fatal(err)
			}
			w.connectApp(t)
		}
		w.produce(t, "orders", 0, 2)
		epoch := w.fake.PartitionInfo("orders", 0).Epoch
		for range 2 { // with and without anything new
			r := w.run(t, Options{})
			if got := w.views(t, r.Snapshot)[0].LastEpoch; got != epoch {
				t.Errorf("after %d moves the view ends in leader epoch %d, want %d", moves, got, epoch)
			}
			w.holds(t, r.Snapshot, fmt.Sprintf("orders-0 [0, %d) %[1]d records", 2*(moves+1)))
		}
	}
}

// The log lost its end, which the vault holds, and goes on differently in a newer leader
// epoch: the lost end is a fork, and the two are never mixed.
func TestTruncatedLog(t *testing.T) {
	w := newWorld(t, kfake.NumBrokers(2))
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 10)
	first := w.run(t, Options{})
	w.pretend(t, 10, 15) // what a broker had that is gone
	fork := w.run(t, Options{})
	wantFork := Fork{TopicPartition: coldstream.TopicPartition{Topic: "orders"}, Epoch: w.fake.PartitionInfo("orders", 0).Epoch, FirstOffset: 10, NextOffset: 15}
	if len(fork.Forks) != 1 || fork.Forks[0] != wantFork || !fork.Incomplete() {
		t.Errorf("forks are %+v, want %+v", fork.Forks, wantFork)
	}
	w.holds(t, fork.Snapshot, "orders-0 [0, 10) 10 records")

	leader := w.fake.LeaderFor("orders", 0)
	if err := w.fake.MoveTopicPartition("orders", 0, 1-leader); err != nil {
		t.Fatal(err)
	}
	w.connectApp(t)
	w.produce(t, "orders", 0, 2)
	after := w.run(t, Options{})
	if after.Records != 2 {
		t.Errorf("saved %d records, want the 2 of the new epoch", after.Records)
	}
	w.holds(t, after.Snapshot, "orders-0 [0, 12) 12 records")
	w.holds(t, first.Snapshot, "orders-0 [0, 10) 10 records")
	w.produce(t, "orders", 0, 2)
	last := w.run(t, Options{})
	if last.Incomplete() || last.Records != 2 {
		t.Errorf("the run after: %+v", last)
	}
	w.holds(t, last.Snapshot, "orders-0 [0, 14) 14 records")
}

// pretend stores records in the vault that the cluster does not have, or no more.
func (w *world) pretend(t *testing.T, firstOffset, nextOffset int64) {
	t.Helper()
	writer, err := w.vault.NewWriter(t.Context(), vault.WriterOptions{Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	var records []recordbatch.Absolute
	for at := firstOffset; at < nextOffset; at++ {
		records = append(records, recordbatch.Absolute{Offset: at, Value: []byte("lost")})
	}
	b, err := recordbatch.Build(records, recordbatch.CodecNone, recordbatch.Producer{})
	if err != nil {
		t.Fatal(err)
	}
	info := w.fake.PartitionInfo("orders", 0)
	b[7] = byte(firstOffset) // the base offset, and the leader epoch: no checksum covers them
	copy(b[12:16], []byte{0, 0, 0, byte(info.Epoch)})
	stream := w.views(t, w.snapshots(t)[0].ID)[0].Stream
	if _, err := writer.Commit(t.Context(), vault.Changes{Data: []vault.StreamData{{
		Stream: stream, Pieces: []vault.Piece{{FirstOffset: firstOffset, NextOffset: nextOffset, Batches: b}},
	}}}); err != nil {
		t.Fatal(err)
	}
}
