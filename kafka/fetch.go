package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"coldstream"
)

const (
	fetchMaxBytes       = 16 << 20
	fetchPartitionBytes = 4 << 20
	fetchMaxPartitions  = 1000
	fetchMaxWait        = 500 * time.Millisecond

	fetchIdleWait   = 20 * time.Millisecond // between looks for partitions that may be asked for
	fetchRetryWait  = 100 * time.Millisecond
	refreshInterval = 100 * time.Millisecond
	// goneAfter is how long all brokers must agree that a topic is gone: one that is
	// behind with its metadata says so for a moment as well.
	goneAfter = 2 * time.Second
	// badAnswers is how often a partition may answer with bytes that are bad, or with
	// none where there should be some, before that is believed.
	badAnswers = 3
)

// Fetch is [coldstream.Source.Fetch]. At most two answers of about 16 MiB per broker are
// alive at once. Data handed to the sink either is a copy, or a large part of the answer
// that it keeps alive.
func (c *Client) Fetch(ctx context.Context, plan []coldstream.FetchPosition, sink coldstream.FetchSink) error {
	if err := c.openFetchClients(); err != nil {
		return err
	}
	e := &fetchEngine{client: c, sink: sink, done: make(chan struct{}), byTP: map[coldstream.TopicPartition]*fetchPartition{}}
	now := time.Now()
	for i, position := range plan {
		p := &fetchPartition{FetchPosition: position, lane: i % fetchClients, leader: -1, leaderEpoch: -1, lastGood: now, maxBytes: fetchPartitionBytes}
		p.Epochs = append([]coldstream.EpochStart(nil), position.Epochs...)
		e.partitions = append(e.partitions, p)
		e.byTP[p.TopicPartition] = p
		e.live++
	}
	return e.run(ctx)
}

func (c *Client) openFetchClients() error {
	c.fetchMu.Lock()
	defer c.fetchMu.Unlock()
	for len(c.fetches) < fetchClients {
		client, err := c.newKgo()
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
	lastGood    time.Time // when a broker last answered for it without an error
	lastErr     error
	missing     time.Time // since when the brokers say that its topic is gone

	maxBytes  int32 // asked for; grows where a batch is larger
	alone     bool  // ask for nothing else: its next batch is large
	noEpoch   bool  // ask once without the epoch of the last batch
	empty     int   // answers in a row without data
	corrupted int   // answers in a row with bad bytes
	log       coldstream.LogOffsets
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

	mu      sync.Mutex
	live    int
	workers map[fetchWorker]bool
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
		if err := e.giveUp(ctx); err != nil {
			return err
		}
	}
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
	idle := time.NewTimer(0)
	defer idle.Stop()
	for {
		chosen := e.choose(w)
		if len(chosen) > 0 {
			if err := e.ask(ctx, client, w.broker, chosen); err != nil {
				return err
			}
			continue
		}
		idle.Reset(fetchIdleWait)
		select {
		case <-e.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-idle.C:
		}
	}
}

// choose makes the partitions of the next request busy.
func (e *fetchEngine) choose(w fetchWorker) []*fetchPartition {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var out []*fetchPartition
	for _, p := range e.partitions {
		if p.busy || p.ended || p.lane != w.lane || p.leader != w.broker || now.Before(p.retryAt) {
			continue
		}
		if p.alone && len(out) > 0 {
			continue
		}
		p.busy = true
		out = append(out, p)
		if p.alone || len(out) == fetchMaxPartitions {
			break
		}
	}
	return out
}

// ask sends one request and handles its answer. Its error ends the whole fetch.
func (e *fetchEngine) ask(ctx context.Context, client *kgo.Client, broker int32, chosen []*fetchPartition) error {
	defer e.release(chosen)
	answer, err := fetchOnce(ctx, client, broker, chosen)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, p := range chosen {
			p.retry(fmt.Errorf("fetch from broker %d: %w", broker, err))
		}
		return nil
	}
	for _, p := range chosen {
		partition, ok := answer.partitions[p.TopicPartition]
		if !ok {
			p.retry(fmt.Errorf("broker %d left the partition out of its answer", broker))
			continue
		}
		if err := e.take(ctx, p, partition, answer); err != nil {
			return err
		}
	}
	return nil
}

func (e *fetchEngine) release(chosen []*fetchPartition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range chosen {
		p.busy = false
	}
}

// retry asks again a little later, and for the leader before that.
func (p *fetchPartition) retry(err error) {
	p.lastErr = err
	p.leader = -1
	p.retryAt = time.Now().Add(fetchRetryWait)
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
	e.live--
	if e.live == 0 {
		close(e.done)
	}
}

// giveUp fails the partitions that no broker has answered for in too long.
func (e *fetchEngine) giveUp(ctx context.Context) error {
	for _, p := range e.takeIdle(func(p *fetchPartition, now time.Time) bool {
		return now.Sub(p.lastGood) > e.client.patience()
	}) {
		last := p.lastErr
		if last == nil {
			last = errNoLeader
		}
		if err := e.fail(ctx, p, fmt.Errorf("unavailable for %s: %w", e.client.patience(), untemporary(last))); err != nil {
			return err
		}
	}
	return nil
}

// untemporary lets go of the mark that another try may help: there will be none.
func untemporary(err error) error {
	var t temporaryError
	if errors.As(err, &t) && errors.Is(err, errTemporary) {
		return fmt.Errorf("%v", err) //nolint:errorlint // the cause is deliberately not promised
	}
	return err
}

// takeIdle makes those partitions busy that nobody is asking for and that want says.
func (e *fetchEngine) takeIdle(want func(p *fetchPartition, now time.Time) bool) []*fetchPartition {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var out []*fetchPartition
	for _, p := range e.partitions {
		if !p.busy && !p.ended && want(p, now) {
			p.busy = true
			out = append(out, p)
		}
	}
	return out
}
