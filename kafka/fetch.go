package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"coldstream"
)

const (
	fetchMaxBytes       = 8 << 20
	fetchMinBytes       = 1 << 20
	fetchPartitionBytes = 4 << 20
	fetchMaxPartitions  = 1000
	fetchMaxWait        = 500 * time.Millisecond
	// maxBatchBytes is the largest batch that is asked for: with what comes around it, it
	// must be an answer that is still read.
	maxBatchBytes = maxBrokerRead - fetchMinBytes

	// smallPart is the share of an answer, 1/smallPart, below which data is copied.
	smallPart = 32

	fetchIdleWait   = 20 * time.Millisecond // between looks for partitions that may be asked for
	fetchRetryWait  = 100 * time.Millisecond
	refreshInterval = 100 * time.Millisecond
	// badAnswers is how often a partition may answer with bytes that are bad, or with
	// none where there should be some, before that is believed. It is also the least
	// number of failed tries before a partition is given up, however long they took.
	badAnswers = 3
	// maxTruncations is how often one fetch of a partition goes back: a log that loses its
	// end again and again would be read for ever.
	maxTruncations = 100
	// noDataPatience is how long a partition may come back empty although the log goes on:
	// what is in remote storage only may take its time.
	noDataPatience     = 30 * time.Second
	findBrokersTimeout = 5 * time.Second
)

// Fetch is [coldstream.Source.Fetch]. Two answers per broker are alive at once, of 8 MiB
// or less, so that all of them are [Config.FetchBytes]; at least 1 MiB each, and more only
// where a batch is larger. Data handed to the sink either is a copy, or at least a 32nd of the
// answer that it keeps alive and a quarter of what the answer holds of its partition: so
// who keeps all that came keeps little more, and copies only where many share an answer.
func (c *Client) Fetch(ctx context.Context, plan []coldstream.FetchPosition, sink coldstream.FetchSink) error {
	if err := c.openFetchClients(); err != nil {
		return err
	}
	e := &fetchEngine{client: c, sink: sink, done: make(chan struct{}), byTP: map[coldstream.TopicPartition]*fetchPartition{}}
	for i, position := range plan {
		p := newFetchPartition(position, i)
		e.partitions = append(e.partitions, p)
		e.byTP[p.TopicPartition] = p
		e.live++
	}
	return e.run(ctx)
}

func newFetchPartition(position coldstream.FetchPosition, number int) *fetchPartition {
	p := &fetchPartition{FetchPosition: position, lane: number % fetchClients, leader: -1, leaderEpoch: -1, maxBytes: fetchPartitionBytes}
	p.Epochs = append([]coldstream.EpochStart(nil), position.Epochs...)
	return p
}

func (c *Client) openFetchClients() error {
	c.fetchMu.Lock()
	defer c.fetchMu.Unlock()
	if c.closed.Load() {
		return kgo.ErrClientClosed
	}
	for len(c.fetches) < fetchClients {
		client, err := c.newKgo(maxBrokerRead)
		if err != nil {
			return err
		}
		c.fetches = append(c.fetches, client)
	}
	return nil
}

// fetchPartition is one partition of a fetch. While busy it belongs to the one that made
// it so; else its engine's mutex guards it.
type fetchPartition struct {
	coldstream.FetchPosition
	lane int

	busy, ended bool
	leader      int32
	leaderEpoch int32
	retryAt     time.Time
	failing     failures
	missing     time.Time // since when the brokers say that its topic is gone

	maxBytes    int32    // asked for; grows where a batch is larger
	alone       bool     // ask for nothing else: its next batch is large
	noEpoch     bool     // ask once without the epoch of the last batch
	empty       int      // answers in a row without data
	noData      failures // such answers, as long as the brokers do nothing else wrong
	holey       bool     // a cleaner has taken records from between others
	proven      int64    // offset at which it was proved that a hole is one
	corrupted   int      // answers in a row with bad bytes
	others      failures // of replicas that were asked for what the leader cannot read
	truncations int
	log         coldstream.LogOffsets
	followed    followState
}

// failures are the tries in a row that came to nothing. Patience is measured from the
// first to the last of them: a partition that nobody asked for meanwhile, because others
// were before it or because the sink took its time, has not been unavailable.
type failures struct {
	count       int
	first, last time.Time
	err         error
}

func (f *failures) add(err error) {
	f.last, f.err = time.Now(), err
	if f.count++; f.count == 1 {
		f.first = f.last
	}
}

func (f *failures) exceed(patience time.Duration) bool {
	return f.count >= badAnswers && f.last.Sub(f.first) >= patience
}

// wait is the time before the next try.
func (f *failures) wait() time.Duration {
	return min(fetchRetryWait<<min(max(f.count-1, 0), 10), maxRetryWait)
}

func (p *fetchPartition) lastEpoch() int32 {
	if len(p.Epochs) == 0 {
		return -1
	}
	return p.Epochs[len(p.Epochs)-1].Epoch
}

// noteEpoch keeps where a leader epoch begins.
func (p *fetchPartition) noteEpoch(epoch int32, firstOffset int64) {
	if epoch > p.lastEpoch() {
		p.Epochs = append(p.Epochs, coldstream.EpochStart{Epoch: epoch, FirstOffset: firstOffset})
	}
}

// fetchEngine runs one fetch: a worker for each connection to each broker asks for the
// partitions that it leads, in the order of the plan, so that what lies together in the
// plan comes together. Answers are handled by the worker that asked: so one partition's
// events are in order, and a sink that blocks holds only this connection.
type fetchEngine struct {
	client     *Client
	sink       coldstream.FetchSink
	partitions []*fetchPartition
	byTP       map[coldstream.TopicPartition]*fetchPartition
	done       chan struct{} // closed when no partition is live
	follows    bool          // it has no end, and partitions come and go

	mu      sync.Mutex
	live    int
	workers map[fetchWorker]bool
	added   int // partitions, in all
	// restingAsked is when partitions that are read to their ends were asked for last.
	restingAsked map[fetchWorker]time.Time
}

// fetchWorker is a connection to a broker.
type fetchWorker struct {
	lane   int
	broker int32
}

func (e *fetchEngine) run(ctx context.Context) error {
	for _, p := range e.partitions {
		if p.NextOffset >= p.StopOffset {
			p.busy = true
			if err := e.end(ctx, p); err != nil {
				return err
			}
		}
	}
	if e.live == 0 {
		return nil
	}
	e.workers = map[fetchWorker]bool{}
	return e.runWorkers(ctx)
}

// runWorkers fetches until no partition is live.
func (e *fetchEngine) runWorkers(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.keepMetadata(ctx, group) })
	return group.Wait()
}

// keepMetadata refreshes leaders while any partition needs it, starts workers for the
// brokers it finds, and gives up partitions that patience has run out for.
func (e *fetchEngine) keepMetadata(ctx context.Context, group *errgroup.Group) error {
	ticker := time.NewTicker(refreshInterval)
	defer ticker.Stop()
	for {
		if e.client.closed.Load() {
			return kgo.ErrClientClosed
		}
		if topics := e.staleTopics(); len(topics) > 0 {
			if err := e.refresh(ctx, topics); err != nil {
				return err
			}
			e.startWorkers(ctx, group)
		}
		select {
		case <-e.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := errors.Join(e.dismiss(ctx), e.giveUp(ctx)); err != nil {
			return err
		}
		if wait := e.longWait(); wait != nil && e.client.waits.isNews(wait) {
			group.Go(func() error { e.client.waits.announce(ctx, wait); return nil })
		}
	}
}

// longWait tells of the partitions that nothing has come of for a while, if there are any.
// Those that are being asked for belong to others, and are looked at next time.
func (e *fetchEngine) longWait() *coldstream.Waiting {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var failing []*fetchPartition
	wait := &coldstream.Waiting{For: "records of partitions that cannot be read now", AtMost: e.client.patience()}
	for _, p := range e.partitions {
		if p.busy || p.ended || p.failing.count == 0 || now.Sub(p.failing.first) < e.client.waits.after {
			continue
		}
		failing = append(failing, p)
		wait.Elapsed = max(wait.Elapsed, now.Sub(p.failing.first))
	}
	if len(failing) == 0 {
		return nil
	}
	wait.Cause = failuresOf(failing, func(p *fetchPartition) error { return fmt.Errorf("%s: %w", p.TopicPartition, p.failing.err) }).Error()
	return wait
}

func (e *fetchEngine) startWorkers(ctx context.Context, group *errgroup.Group) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.partitions {
		if p.busy || p.ended || p.leader < 0 { // a busy one has its worker
			continue
		}
		w := fetchWorker{p.lane, p.leader}
		if e.workers[w] {
			continue
		}
		e.workers[w] = true
		group.Go(func() error { return e.work(ctx, w) })
	}
}

// work asks one broker over one connection, again and again, until the fetch is over.
func (e *fetchEngine) work(ctx context.Context, w fetchWorker) error {
	client := e.client.fetches[w.lane]
	idle, idleWait := time.NewTimer(0), fetchIdleWait
	if e.follows {
		idleWait = followIdleWait
	}
	defer idle.Stop()
	for {
		turn := e.choose(w)
		if len(turn.partitions) > 0 {
			if err := e.ask(ctx, client, turn); err != nil {
				return err
			}
			continue
		}
		idle.Reset(idleWait)
		select {
		case <-e.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-idle.C:
		}
	}
}

// fetchTurn is what one request asks for.
type fetchTurn struct {
	broker     int32
	partitions []*fetchPartition
	maxBytes   int32
	maxWait    time.Duration // for data that may come
}

// choose makes the partitions of the next request busy.
func (e *fetchEngine) choose(w fetchWorker) fetchTurn {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	turn := fetchTurn{broker: w.broker, maxBytes: answerBytes(e.client.cfg.FetchBytes, len(e.workers)), maxWait: fetchMaxWait}
	if e.follows {
		return e.chooseFollowed(w, turn)
	}
	for _, p := range e.partitions {
		if !p.isFor(w, now) || p.alone && len(turn.partitions) > 0 {
			continue
		}
		p.busy = true
		turn.partitions = append(turn.partitions, p)
		if p.alone || len(turn.partitions) == fetchMaxPartitions {
			break
		}
	}
	return turn
}

// isFor says whether a worker may ask for the partition now. One that waits after an answer
// without data is left out meanwhile, so that those behind it in the plan have their turn.
func (p *fetchPartition) isFor(w fetchWorker, now time.Time) bool {
	return !p.busy && !p.ended && !p.followed.remove && p.lane == w.lane && p.leader == w.broker && !now.Before(p.retryAt)
}

// answerBytes is the share of one of several connections.
func answerBytes(total, connections int) int32 {
	return int32(min(fetchMaxBytes, max(fetchMinBytes, total/max(connections, 1))))
}

// ask sends one request and handles its answer. Its error ends the whole fetch.
func (e *fetchEngine) ask(ctx context.Context, client *kgo.Client, turn fetchTurn) error {
	defer e.release(turn.partitions)
	waiting := e.client.waits.begin(ctx, fmt.Sprintf("broker %d to answer a fetch", turn.broker), e.client.patience())
	answer, err := fetchOnce(ctx, client, turn)
	waiting.end()
	if err == nil {
		err = e.checkIncarnations(ctx, client, turn, answer)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		for _, p := range turn.partitions {
			p.retry(fmt.Errorf("fetch from broker %d: %w", turn.broker, err))
		}
		findBrokers(ctx, client)
		return nil
	}
	for _, p := range turn.partitions {
		partition, ok := answer.partitions[p.TopicPartition]
		switch {
		case answer.throttled: // the broker keeps a quota and left out everything
			p.again(fetchRetryWait)
		case !ok:
			p.retry(fmt.Errorf("broker %d left the partition out of its answer", turn.broker))
		default:
			if err := e.take(ctx, p, partition, answer); err != nil {
				return err
			}
		}
	}
	return nil
}

// findBrokers makes a client learn where the brokers are now, which one that only fetches
// does not ask by itself. If that fails the next request fails as well.
func findBrokers(ctx context.Context, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, findBrokersTimeout)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	_, _ = req.RequestWith(ctx, client)
}

func (e *fetchEngine) release(chosen []*fetchPartition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range chosen {
		p.busy = false
		if e.follows {
			p.noteSeen()
		}
	}
}

// retry notes a try that came to nothing, asks again a little later, and for the leader
// before that.
func (p *fetchPartition) retry(err error) {
	p.failing.add(err)
	p.empty, p.noData, p.leader = 0, failures{}, -1
	p.retryAt = time.Now().Add(p.failing.wait())
}

// again asks the same leader again a little later.
func (p *fetchPartition) again(wait time.Duration) { p.retryAt = time.Now().Add(wait) }

// end reports that a partition reached its stop offset.
func (e *fetchEngine) end(ctx context.Context, p *fetchPartition) error {
	e.finish(p)
	return e.sink.Take(ctx, &coldstream.PartitionDone{TopicPartition: p.TopicPartition, NextOffset: p.NextOffset, LogOffsets: p.log})
}

// fail reports that a partition is given up.
func (e *fetchEngine) fail(ctx context.Context, p *fetchPartition, err error) error {
	e.finish(p)
	return e.sink.Take(ctx, &coldstream.PartitionFailed{TopicPartition: p.TopicPartition, Err: err})
}

// finish is deferred work for done: the last partition closes it only after its event
// was taken, because whoever closes it is still in a worker that is waited for.
func (e *fetchEngine) finish(p *fetchPartition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	if e.follows {
		e.forget(p)
		return
	}
	if e.live--; e.live == 0 {
		close(e.done)
	}
}

// takeIdle makes those partitions busy that nobody is asking for and that want says.
func (e *fetchEngine) takeIdle(want func(p *fetchPartition) bool) []*fetchPartition {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*fetchPartition
	for _, p := range e.partitions {
		if !p.busy && !p.ended && want(p) {
			p.busy = true
			out = append(out, p)
		}
	}
	return out
}
