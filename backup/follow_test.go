package backup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault"
)

// seenEvents keeps what an observer was told.
type seenEvents struct {
	mu     sync.Mutex
	events []coldstream.Event
}

func (s *seenEvents) Observe(event coldstream.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

// has says whether an event was told that is as wanted.
func has[E coldstream.Event](s *seenEvents, wanted func(E) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, event := range s.events {
		if e, is := event.(E); is && wanted(e) {
			return true
		}
	}
	return false
}

// following is a continuous backup of a world.
type following struct {
	*Follower
	events *seenEvents
	stop   func() error
}

func (w *world) follow(t *testing.T, opts FollowOptions) *following {
	t.Helper()
	f := &following{events: &seenEvents{}}
	opts.Now, opts.Observer = time.Now, f.events
	if opts.Interval == 0 {
		opts.Interval = 50 * time.Millisecond
	}
	if opts.RefreshEvery == 0 {
		opts.RefreshEvery = 100 * time.Millisecond
	}
	f.Follower = NewFollower(w.source, w.vault, opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	var once sync.Once
	var err error
	f.stop = func() error {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	t.Cleanup(func() { _ = f.stop() })
	return f
}

// awaitSaved waits until the vault holds a partition up to an offset.
func (w *world) awaitSaved(t *testing.T, topic string, partition int32, next int64) {
	t.Helper()
	await(t, fmt.Sprintf("%s-%d is saved up to %d", topic, partition, next), func() bool {
		return w.savedTo(t, topic, partition) >= next
	})
}

// savedTo is the head of the newest incarnation of a topic.
func (w *world) savedTo(t *testing.T, topic string, partition int32) int64 {
	t.Helper()
	writer, err := w.vault.NewWriter(t.Context(), vault.WriterOptions{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := w.source.Metadata(t.Context(), []string{topic})
	if err != nil {
		t.Fatal(err)
	}
	head, known := writer.Head(coldstream.Stream{
		Incarnation: coldstream.Incarnation{ClusterID: cluster.ID, Topic: topic, TopicID: cluster.Topics[0].ID}, Partition: partition,
	})
	if !known {
		return -1
	}
	return head.NextOffset
}

func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); !there(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// What comes, grows, goes and comes again is followed, and all of it is in the snapshot of a clean stop.
func TestFollowerTakesInWhatComes(t *testing.T) {
	w := newWorld(t)
	w.create(t, "first", 2)
	w.produce(t, "first", 0, 5)
	f := w.follow(t, FollowOptions{})
	w.awaitSaved(t, "first", 0, 5)
	w.produce(t, "first", 1, 3)
	w.awaitSaved(t, "first", 1, 3)

	w.create(t, "second", 1)
	w.produce(t, "second", 0, 7)
	w.awaitSaved(t, "second", 0, 7)
	if _, err := w.admin.CreatePartitions(t.Context(), 1, "first"); err != nil {
		t.Fatal(err)
	}
	w.connectApp(t)
	w.produce(t, "first", 2, 4)
	w.awaitSaved(t, "first", 2, 4)

	if _, err := w.admin.DeleteTopic(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	await(t, "the topic is gone", func() bool {
		return has(f.events, func(e *coldstream.TopicGone) bool { return e.Topic == "second" })
	})
	w.create(t, "second", 1)
	w.connectApp(t)
	w.produce(t, "second", 0, 2)
	w.awaitSaved(t, "second", 0, 2)

	await(t, "the status says that all is saved", func() bool {
		s := f.Status()
		for _, topic := range s.Topics {
			if !topic.AtEnds || topic.RPO(s) != 0 || topic.SavedAt.IsZero() {
				return false
			}
		}
		return len(s.Topics) == 2
	})
	w.produce(t, "first", 0, 6)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	made := ""
	if !has(f.events, func(e *coldstream.SnapshotMade) bool {
		made = e.ID
		return e.Topics == 2 && e.Partitions == 4 && len(e.Short) == 0
	}) {
		t.Errorf("no whole snapshot was made")
	}
	w.awaitSaved(t, "first", 0, 11)
	catalog, err := w.vault.OpenCatalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := catalog.Snapshots()
	if last := all[len(all)-1]; last.ID.String() != made {
		t.Errorf("the newest snapshot is %s, told was %s", last.ID, made)
	}
	// A backup has nothing left to do.
	r, err := Run(t.Context(), w.source, w.vault, Options{Now: time.Now})
	if err != nil || r.BytesRead != 0 || r.Incomplete() {
		t.Errorf("a backup afterwards: %v, %+v", err, r)
	}
}

// Other topics are followed once that is asked for, and a pattern that matches nothing waits.
func TestFollowerTopicsCanBeChanged(t *testing.T) {
	w := newWorld(t)
	w.create(t, "one", 1)
	w.create(t, "two", 1)
	w.produce(t, "one", 0, 1)
	f := w.follow(t, FollowOptions{Options: Options{Topics: patternsOf(t, "one", "later-*")}})
	w.awaitSaved(t, "one", 0, 1)
	if !has(f.events, func(*coldstream.Warning) bool { return true }) {
		t.Error("nobody is told that a pattern matches nothing")
	}
	w.create(t, "later-1", 1)
	w.produce(t, "later-1", 0, 2)
	w.awaitSaved(t, "later-1", 0, 2)
	f.SetTopics(patternsOf(t, "two"))
	w.produce(t, "two", 0, 3)
	w.awaitSaved(t, "two", 0, 3)
	await(t, "one is not followed", func() bool {
		return has(f.events, func(e *coldstream.TopicGone) bool { return e.Topic == "one" })
	})
	w.produce(t, "one", 0, 1)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	if got := w.savedTo(t, "one", 0); got != 1 {
		t.Errorf("one is saved up to %d", got)
	}
}

func patternsOf(t *testing.T, texts ...string) *coldstream.Patterns {
	t.Helper()
	p, err := coldstream.ParsePatterns(texts, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// outage is storage that can be away.
type outage struct {
	blob.Store
	away atomic.Bool
}

func (o *outage) Create(ctx context.Context, key string, body []byte) error {
	if o.away.Load() {
		return errors.New("the storage is away")
	}
	return o.Store.Create(ctx, key, body)
}

// Storage that is away is waited for, and so is a snapshot that was due meanwhile.
func TestFollowerWaitsForStorage(t *testing.T) {
	w := newWorld(t)
	storage := &outage{Store: w.store}
	var err error
	if w.vault, err = vault.Open(t.Context(), storage); err != nil {
		t.Fatal(err)
	}
	w.create(t, "topic", 1)
	w.produce(t, "topic", 0, 3)
	f := w.follow(t, FollowOptions{SnapshotEvery: 200 * time.Millisecond, Options: Options{BufferBytes: 200}})
	w.awaitSaved(t, "topic", 0, 3)
	await(t, "a snapshot is made", func() bool { return has(f.events, func(*coldstream.SnapshotMade) bool { return true }) })
	storage.away.Store(true)
	w.produce(t, "topic", 0, 10) // more than the buffer holds
	await(t, "the outage is told", func() bool {
		return has(f.events, func(e *coldstream.Outage) bool { return e.Of == coldstream.SideStorage })
	})
	if s := f.Status(); s.Storage == nil || s.Topics[0].AtEnds {
		t.Errorf("the status does not say it: %+v", s)
	}
	storage.away.Store(false)
	w.awaitSaved(t, "topic", 0, 13)
	await(t, "its end is told", func() bool {
		return has(f.events, func(e *coldstream.OutageOver) bool { return e.Of == coldstream.SideStorage })
	})
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	w.holds(t, w.snapshots(t)[len(w.snapshots(t))-1].ID, "topic-0 [0, 13) 13 records")
}

// Two that follow the same cluster by accident store nothing wrong, and the one that is behind goes on where
// the other is.
func TestTwoFollowersOfOneCluster(t *testing.T) {
	w := newWorld(t)
	w.create(t, "topic", 1)
	w.produce(t, "topic", 0, 3)
	a := w.follow(t, FollowOptions{SnapshotEvery: 200 * time.Millisecond, Options: Options{Name: "a"}})
	b := w.follow(t, FollowOptions{SnapshotEvery: 300 * time.Millisecond, Options: Options{Name: "b"}})
	for n := range int64(5) {
		w.produce(t, "topic", 0, 10)
		w.awaitSaved(t, "topic", 0, 3+10*(n+1))
	}
	await(t, "each knows of the other", func() bool {
		return has(a.events, func(e *coldstream.WriterSeen) bool { return e.Writer == "b" }) &&
			has(b.events, func(e *coldstream.WriterSeen) bool { return e.Writer == "a" })
	})
	if err := errors.Join(a.stop(), b.stop()); err != nil {
		t.Fatal(err)
	}
	w.holds(t, w.snapshots(t)[len(w.snapshots(t))-1].ID, "topic-0 [0, 53) 53 records")
}

// While nothing is written the vault is told now and then that all is saved, and not each time.
func TestFollowerNotesThatAllIsSaved(t *testing.T) {
	w := newWorld(t)
	w.create(t, "topic", 1)
	w.produce(t, "topic", 0, 1)
	f := w.follow(t, FollowOptions{NoteEvery: 500 * time.Millisecond})
	w.awaitSaved(t, "topic", 0, 1)
	count := func() int { return w.objects(t, w.store, "commits/") }
	first := count()
	await(t, "it is noted twice", func() bool { return count() >= first+2 })
	if n := count(); n > first+4 {
		t.Errorf("%d commits without data", n-first)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}
