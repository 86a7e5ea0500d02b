package backup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/vault"
)

// FollowOptions say how a continuous backup goes on. Interval is how long fetched data waits
// for its commit.
type FollowOptions struct {
	Options
	// SnapshotEvery is the time between two snapshots; 10 minutes by default.
	SnapshotEvery time.Duration
	// RefreshEvery is the time between two looks for topics and partitions; 15 s by default.
	RefreshEvery time.Duration
	// NoteEvery is how often a commit without data says that all is saved, while nothing is
	// written; 1 minute by default.
	NoteEvery time.Duration
	// Grace is how long a clean stop may take; 25 s by default.
	Grace time.Duration
}

// Follower is a continuous backup. [Run] stops at the ends that it sees at its start; a
// Follower goes on, and takes in what comes and goes.
type Follower struct {
	opts   FollowOptions
	source coldstream.Follower
	vault  *vault.Vault

	// What follows belongs to the goroutine of Run.
	run       *run
	collector *collector
	following coldstream.Following
	answers   chan func(ctx context.Context) error // of questions to the cluster that were asked beside
	looking   bool                                 // one of them is for topics
	wish      *snapshotMetadata                    // a snapshot that waits for its data; nil if there is none
	wishing   bool                                 // its metadata is asked for
	trouble   map[coldstream.TopicPartition]string // that was told of
	troubleAt map[coldstream.TopicPartition]time.Time
	followed  map[coldstream.Incarnation]int // partitions that were told of
	snapshots int
	own       map[string]bool // IDs of this process's writers
	noted     time.Time       // when a commit last said what is saved

	reload  chan struct{} // one token: look for topics at once
	mu      sync.Mutex
	retries map[coldstream.TopicPartition]*retry // partitions that were given up
	topics  *coldstream.Patterns
	status  Status
	outages map[coldstream.Side]*coldstream.Outage
}

// retry says when a partition that was given up is tried again.
type retry struct {
	at    time.Time
	count int
}

const (
	// firstRetry is the wait after a partition was given up for the first time, and lastRetry
	// the longest.
	firstRetry = 5 * time.Second
	lastRetry  = 5 * time.Minute
	// askTimeout bounds each question to the cluster: while it is away, what was fetched is
	// still committed.
	askTimeout = 30 * time.Second
	// endsPatience is how long the ends of partitions without a leader are waited for.
	endsPatience = 5 * time.Second
	// wishPatience is how long a snapshot waits for the data up to the ends that were asked for.
	wishPatience = time.Minute
	checkEvery   = 100 * time.Millisecond
	// firstStorageWait and lastStorageWait are between attempts to commit.
	firstStorageWait = time.Second
	lastStorageWait  = 30 * time.Second
	healEvery        = 6 // snapshots
)

// NewFollower makes a continuous backup, which begins with Run.
func NewFollower(source coldstream.Follower, v *vault.Vault, opts FollowOptions) *Follower {
	opts.Options = opts.withDefaults()
	if opts.SnapshotEvery <= 0 {
		opts.SnapshotEvery = 10 * time.Minute
	}
	if opts.RefreshEvery <= 0 {
		opts.RefreshEvery = 15 * time.Second
	}
	if opts.NoteEvery <= 0 {
		opts.NoteEvery = time.Minute
	}
	if opts.Grace <= 0 {
		opts.Grace = 25 * time.Second
	}
	return &Follower{
		opts: opts, source: source, vault: v, topics: opts.Topics,
		retries: map[coldstream.TopicPartition]*retry{}, trouble: map[coldstream.TopicPartition]string{},
		troubleAt: map[coldstream.TopicPartition]time.Time{},
		answers:   make(chan func(context.Context) error),
		reload:    make(chan struct{}, 1), outages: map[coldstream.Side]*coldstream.Outage{},
	}
}

// SetTopics follows other topics from now on, and tries at once what was given up. It is safe for
// use while Run goes on.
func (f *Follower) SetTopics(topics *coldstream.Patterns) {
	f.mu.Lock()
	f.topics = topics
	clear(f.retries)
	f.mu.Unlock()
	f.lookAtOnce()
}

// SetMaxRate bounds what is read, in bytes per second, from now on; 0 is no bound.
func (f *Follower) SetMaxRate(bytesPerSecond int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opts.MaxRate = bytesPerSecond
	if f.run != nil {
		f.run.limit.set(bytesPerSecond)
	}
}

func (f *Follower) lookAtOnce() {
	select {
	case f.reload <- struct{}{}:
	default:
	}
}

func (f *Follower) patterns() *coldstream.Patterns {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.topics
}

// Run follows until ctx is done. Then it commits what was fetched, makes a snapshot, within
// Grace, and returns nil. It returns an error if it cannot begin, or if something is wrong
// that waiting does not mend.
func (f *Follower) Run(ctx context.Context) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	fetching, stopFetching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFetching()
	var group errgroup.Group
	fetched := make(chan error, 1)
	group.Go(func() error {
		fetched <- f.following.Run(fetching)
		return nil
	})
	err := f.loop(ctx, fetching, &group, fetched)
	if err == nil {
		err = f.stop(ctx, stopFetching)
	}
	stopFetching()
	f.collector.stop(1, context.Canceled)
	_, _ = group.Wait(), f.collector.sending.Wait() // what failed of it was told
	return err
}

// begin opens the vault and looks for topics. What it cannot do is an error: a service
// manager starts the process again.
func (f *Follower) begin(ctx context.Context) error {
	r := &run{opts: f.opts.Options, source: f.source, result: &Result{}, limit: newLimit(f.opts.MaxRate)}
	writer, err := f.newWriter(ctx)
	if err != nil {
		return err
	}
	f.own = map[string]bool{writer.ID(): true}
	r.plan = &plan{writer: writer, began: f.opts.Now(), metadata: vault.Metadata{Missing: map[string]string{}, Tags: f.opts.Tags}}
	c := newCollector(r)
	c.follows = f
	c.beginFetch()
	f.mu.Lock()
	f.run, f.collector, f.following = r, c, f.source.Follow(c)
	f.status.Began = f.opts.Now()
	f.mu.Unlock()
	found, err := f.look(ctx)
	if err != nil {
		return err
	}
	for _, damage := range writer.Damage() {
		f.opts.Observer.Observe(&coldstream.DamageFound{Err: damage})
	}
	f.vault.Describe(append([]string{found.cluster.ID}, names(found.topics)...)...)
	f.takeIn(found)
	return nil
}

func names(topics []coldstream.Topic) []string {
	out := make([]string, len(topics))
	for i := range topics {
		out[i] = topics[i].Name
	}
	return out
}

func (f *Follower) newWriter(ctx context.Context) (*vault.Writer, error) {
	o := &f.opts
	return f.vault.NewWriter(ctx, vault.WriterOptions{Now: o.Now, Name: o.Name, NoReadBack: o.NoReadBack, PackBytes: o.PackBytes + o.BufferBytes})
}

// loop commits, looks for topics and makes snapshots, until ctx is done. What it asks the cluster
// is asked beside it, until fetching is done: a broker that hangs must not hold up a commit.
func (f *Follower) loop(ctx, fetching context.Context, group *errgroup.Group, fetched <-chan error) error {
	commit, refresh, snapshot := time.NewTicker(f.opts.Interval), time.NewTicker(f.opts.RefreshEvery), time.NewTicker(f.opts.SnapshotEvery)
	check := time.NewTicker(checkEvery)
	for _, ticker := range []*time.Ticker{commit, refresh, snapshot, check} {
		defer ticker.Stop()
	}
	f.askForMetadata(fetching, group) // the first snapshot is made as soon as all is caught up with
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err := <-fetched:
			return fmt.Errorf("read from the cluster: %w", err)
		case <-f.collector.ready:
			err = f.fill(ctx)
		case <-commit.C:
			err = f.commit(ctx)
		case <-refresh.C:
			f.askForTopics(fetching, group)
		case <-f.reload:
			f.askForTopics(fetching, group)
		case <-snapshot.C:
			f.askForMetadata(fetching, group)
		case answer := <-f.answers:
			err = answer(ctx)
		case <-check.C:
			err = f.grantWish(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// ask asks the cluster something beside the loop, which takes the answer in.
func (f *Follower) ask(ctx context.Context, group *errgroup.Group, question func(ctx context.Context) (answer func(ctx context.Context) error)) {
	group.Go(func() error {
		select {
		case f.answers <- question(ctx):
		case <-ctx.Done():
		}
		return nil
	})
}

// stop ends a clean run: all that was there when it was asked for is saved, as far as the time
// allows, with a snapshot.
func (f *Follower) stop(ctx context.Context, stopFetching context.CancelFunc) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.opts.Grace)
	defer cancel()
	err := f.snapshot(last, f.opts.Grace/2)
	stopFetching()
	if err == nil {
		err = f.vault.Flush(last)
	}
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the time to stop (%s) was over before all that was fetched was saved; nothing is lost that the cluster still has: %w", f.opts.Grace, err)
	}
	return err
}

// serves says that a side did what it was asked for.
func (f *Follower) serves(side coldstream.Side) {
	f.mu.Lock()
	before := f.outages[side]
	delete(f.outages, side)
	f.mu.Unlock()
	if before != nil {
		f.opts.Observer.Observe(&coldstream.OutageOver{Of: side, Since: before.Since})
	}
}

// fails says that a side did not, and when it is asked again.
func (f *Follower) fails(side coldstream.Side, err error, again time.Duration) {
	f.mu.Lock()
	o := coldstream.Outage{Of: side, Since: f.opts.Now(), Err: err, Again: again}
	if before := f.outages[side]; before != nil {
		o.Since = before.Since
	}
	f.outages[side] = &o
	f.mu.Unlock()
	f.opts.Observer.Observe(&o)
}

// persist tries until it succeeds, or ctx is done: storage that is away comes back. What is
// wrong for ever is an error.
func (f *Follower) persist(ctx context.Context, try func(ctx context.Context) error) error {
	for wait := firstStorageWait; ; wait = min(2*wait, lastStorageWait) {
		err := try(ctx)
		switch {
		case err == nil:
			f.serves(coldstream.SideStorage)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, vault.ErrReadBack):
			return err
		}
		f.fails(coldstream.SideStorage, err, wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
