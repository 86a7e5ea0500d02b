package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// collector gathers what the source brings, encodes it when there is a buffer of it, and
// sends it on its way into the vault when there is a pack of that, or when it has waited long enough.
// Meanwhile the next is gathered; a source that is faster waits.
type collector struct {
	run   *run
	ahead pending     // belongs to whoever encodes: one at a time
	sent  []*shipment // behind which ahead comes, the oldest first; belongs to the same
	byTP  map[coldstream.TopicPartition]*partition
	ready chan struct{} // one token: there may be something to commit
	// follows is the backup that goes on, if it is one: what happens is told at once, and not
	// kept for a result.
	follows *Follower
	sending errgroup.Group // what is on its way in one

	mu      sync.Mutex
	room    *sync.Cond // signaled when waiting was taken, or the fetch ended
	waiting gathered
	fetches int   // of the source, begun so far
	stopped error // set once nothing more of the fetch will be committed
	outcome Result
	below   int64 // records that are stored with others of their batches, and shown by nobody
}

// pending is what the next commit will hold so far.
type pending struct {
	parts []*vault.Part
	bytes int64 // that the parts take in a pack
	last  int64 // of these, those of the last part
	rows  int
	gaps  []vault.StreamGap
	scans []vault.ScanStart
}

// maxRows keeps a commit small, and with it what it takes to make and to read one, where
// many partitions bring little each.
const maxRows = 32 << 10

// isFull says that one part more, as large as the last, would be too much.
func (p *pending) isFull(packBytes int) bool {
	return p.bytes+p.last > int64(packBytes) || p.rows >= maxRows
}

// gathered is what waits to be encoded. Pieces belong to it.
type gathered struct {
	pieces map[coldstream.TopicPartition][]vault.Piece
	order  []coldstream.TopicPartition
	gaps   []vault.StreamGap
	scans  []vault.ScanStart
	bytes  int
}

func newCollector(r *run) *collector {
	c := &collector{run: r, byTP: map[coldstream.TopicPartition]*partition{}, ready: make(chan struct{}, 1)}
	c.room = sync.NewCond(&c.mu)
	for _, p := range r.plan.partitions {
		c.byTP[p.stream.TopicPartition()] = p
	}
	return c
}

// fetch runs the source to its end, committing as it goes. What is left waiting at the
// end is committed by finish or keep.
func (c *collector) fetch(ctx context.Context) error {
	c.waiting.scans = c.run.plan.scans()
	for _, p := range c.run.plan.partitions {
		if gap, due := p.gapAhead(); due {
			c.addGap(p, p.head.Scan, gap)
		}
	}
	c.announce(c.run.plan.partitions)
	if err := c.fetchAndCommit(ctx, c.run.plan.partitions); err != nil {
		return err
	}
	return c.readAgain(ctx)
}

// finish commits what is left together with the snapshot.
func (c *collector) finish(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.encodeWaiting(ctx); err != nil {
		return err
	}
	c.warnDoubtful()
	for {
		c.run.snapshotTime = c.run.opts.Now()
		_, err := c.commit(ctx, vault.Changes{Snapshot: c.run.plan.snapshot(c.run.snapshotTime), Reached: c.run.plan.reached()})
		if !errors.Is(err, vault.ErrReleased) {
			return err
		}
	}
}

// keep commits what an interrupted run has fetched, so that the next need not fetch it
// again, and returns the interruption. The store's own time limits bound it.
func (c *collector) keep(ctx context.Context, interruption error) error {
	if err := c.commitWaiting(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("commit what was fetched before the interruption: %w", err)
	}
	return interruption
}

func (c *collector) fetchAndCommit(ctx context.Context, partitions []*partition) error {
	this := c.beginFetch()
	group, groupCtx := errgroup.WithContext(ctx)
	fetched := make(chan struct{})
	group.Go(func() error {
		defer close(fetched)
		return c.run.source.Fetch(groupCtx, positions(partitions), c)
	})
	group.Go(func() error { return c.commitLoop(ctx, group, this, fetched) })
	stop := context.AfterFunc(groupCtx, func() { c.stop(this, context.Cause(groupCtx)) })
	defer stop()
	return group.Wait()
}

// commitLoop encodes when the buffer is full, and sends what there is when that is a pack or the
// interval is over, until the fetch has ended. It uses ctx, not the group's: a failed fetch must not tear a commit.
func (c *collector) commitLoop(ctx context.Context, group *errgroup.Group, fetch int, fetched <-chan struct{}) error {
	ticker := time.NewTicker(c.run.opts.Interval)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-fetched:
			return nil
		case <-c.ready:
			if err = c.encodeWaiting(ctx); err == nil && c.ahead.isFull(c.run.opts.PackBytes) {
				err = c.send(ctx, group)
			}
		case <-ticker.C:
			if err = c.encodeWaiting(ctx); err == nil {
				err = c.send(ctx, group)
			}
		}
		if err != nil {
			if isInterrupt(ctx, err) {
				return ctx.Err()
			}
			c.stop(fetch, err)
			return err
		}
	}
}

// beginFetch gives the number of the fetch that begins.
func (c *collector) beginFetch() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetches++
	c.stopped = nil
	return c.fetches
}

// stop lets go of everyone of a fetch who waits for room. The end of one that is over may
// be told while the next goes on.
func (c *collector) stop(fetch int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fetch != c.fetches {
		return
	}
	if c.stopped == nil {
		c.stopped = err
	}
	c.room.Broadcast()
}

// commitWaiting commits what was sent and not committed, and what was gathered since, if
// there is anything.
func (c *collector) commitWaiting(ctx context.Context) error {
	if err := c.commitSent(ctx); err != nil {
		return err
	}
	if err := c.encodeWaiting(ctx); err != nil {
		return err
	}
	if c.ahead.isEmpty() {
		return nil
	}
	_, err := c.commit(ctx, vault.Changes{})
	return err
}

func (p *pending) isEmpty() bool { return len(p.parts)+len(p.gaps) == 0 }

// commit commits what is pending, and what else is in changes. On an error it stays so, and can be tried once more.
func (c *collector) commit(ctx context.Context, changes vault.Changes) (vault.Receipt, error) {
	if err := c.commitSent(ctx); err != nil {
		return vault.Receipt{}, err
	}
	changes.Parts, changes.Gaps, changes.Scans = c.ahead.parts, c.ahead.gaps, c.ahead.scans
	receipt, err := c.commitChanges(ctx, changes)
	if err == nil {
		c.ahead = pending{}
	}
	return receipt, err
}

// encodeWaiting makes what was gathered so far ready for a commit. On an error it is put
// back in front, so that it can be tried once more.
func (c *collector) encodeWaiting(ctx context.Context) error {
	g := c.takeWaiting()
	err := c.encode(ctx, &g)
	if err != nil {
		c.putBack(g)
	}
	return err
}

func (c *collector) encode(ctx context.Context, g *gathered) error {
	if len(g.order) > 0 {
		part, err := c.run.plan.writer.Encode(ctx, c.data(g))
		if err != nil {
			return err
		}
		c.ahead.parts = append(c.ahead.parts, part)
		c.ahead.last = part.StoredBytes()
		c.ahead.bytes += c.ahead.last
		c.ahead.rows += part.Rows()
	}
	c.ahead.gaps = append(c.ahead.gaps, g.gaps...)
	c.ahead.scans = append(c.ahead.scans, g.scans...)
	return nil
}

func (c *collector) takeWaiting() gathered {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.waiting
	c.waiting = gathered{}
	c.room.Broadcast()
	return g
}

func (c *collector) putBack(g gathered) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tp := range c.waiting.order {
		for _, piece := range c.waiting.pieces[tp] {
			g.add(tp, piece)
		}
	}
	g.gaps = append(g.gaps, c.waiting.gaps...)
	g.scans = append(g.scans, c.waiting.scans...)
	c.waiting = g
}

func (c *collector) data(g *gathered) []vault.StreamData {
	var data []vault.StreamData
	for _, tp := range g.order {
		p := c.byTP[tp]
		data = append(data, vault.StreamData{Stream: p.stream, Scan: p.scan, Pieces: g.pieces[tp]})
	}
	slices.SortFunc(data, func(a, b vault.StreamData) int { return a.Stream.Compare(b.Stream) })
	return data
}

// add keeps a piece, joined to the one before where it goes on from there.
func (g *gathered) add(tp coldstream.TopicPartition, piece vault.Piece) {
	if g.pieces == nil {
		g.pieces = map[coldstream.TopicPartition][]vault.Piece{}
	}
	if _, known := g.pieces[tp]; !known {
		g.order = append(g.order, tp)
	}
	g.pieces[tp] = append(g.pieces[tp], piece)
	g.bytes += len(piece.Batches)
}

// Take is the [coldstream.FetchSink].
func (c *collector) Take(ctx context.Context, event coldstream.FetchEvent) error {
	switch e := event.(type) {
	case *coldstream.Fetched:
		return c.takeData(ctx, e)
	case *coldstream.FetchGap:
		p := c.byTP[e.TopicPartition]
		c.addGap(p, p.scan, e.Gap)
	case *coldstream.Truncated:
		c.takeTruncated(e)
	case *coldstream.PartitionDone:
		// The log may have lost its end before that was read. Where it lost what was saved,
		// that was told as a truncation.
		if p := c.byTP[e.TopicPartition]; c.follows == nil && !p.truncated && e.NextOffset < p.highWatermark {
			c.addGap(p, p.scan, coldstream.Gap{
				TopicPartition: e.TopicPartition, FirstOffset: e.NextOffset, NextOffset: p.highWatermark, Cause: coldstream.GapTruncated,
			})
		}
		c.finishPartition(e.TopicPartition, e.LogOffsets)
	case *coldstream.PartitionFailed:
		c.fail(e)
	}
	return nil
}

// takeData takes what was fetched, and then holds up the next as long as the rate says: what came
// can be saved meanwhile.
func (c *collector) takeData(ctx context.Context, f *coldstream.Fetched) error {
	sizeBytes := len(f.Batches)
	if err := c.keepData(ctx, f); err != nil {
		return err
	}
	return c.run.limit.wait(ctx, sizeBytes)
}

func (c *collector) keepData(ctx context.Context, f *coldstream.Fetched) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// An empty buffer takes a piece of any size, so that the largest batch passes.
	for c.waiting.bytes > 0 && c.waiting.bytes+len(f.Batches) > c.run.opts.BufferBytes && c.stopped == nil {
		c.signal()
		c.room.Wait()
	}
	if c.stopped != nil {
		return c.stopped
	}
	p := c.byTP[f.TopicPartition]
	c.waiting.add(f.TopicPartition, vault.Piece{FirstOffset: f.FirstOffset, NextOffset: f.NextOffset, Batches: f.Batches})
	c.advance(p, f.NextOffset, f.LogOffsets)
	p.readOffsets, p.readBytes = p.readOffsets+f.NextOffset-f.FirstOffset, p.readBytes+int64(len(f.Batches))
	p.watch.watchData(f, c.run.opts.Now())
	c.below += recordsBelow(f)
	if epoch, ok := vault.LastLeaderEpoch(f.Batches); ok {
		p.lastEpoch = epoch
	}
	c.outcome.BytesRead += int64(len(f.Batches))
	if c.waiting.bytes >= c.run.opts.BufferBytes {
		c.signal()
	}
	c.run.opts.Observer.Observe(&coldstream.Progress{
		Activity: activity, Offsets: f.NextOffset - f.FirstOffset, Bytes: int64(len(f.Batches)),
	})
	return ctx.Err()
}

// signal wakes the commit loop; one token is enough.
func (c *collector) signal() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

func (c *collector) advance(p *partition, nextOffset int64, ends coldstream.LogOffsets) {
	p.nextOffset = nextOffset
	p.logStartOffset = max(p.logStartOffset, ends.LogStartOffset)
}

func (c *collector) addGap(p *partition, scan uint32, gap coldstream.Gap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting.gaps = append(c.waiting.gaps, vault.StreamGap{
		Stream: p.stream, Scan: scan,
		FirstOffset: gap.FirstOffset, NextOffset: gap.NextOffset, Cause: gap.Cause,
	})
	if c.follows == nil {
		c.outcome.Gaps = append(c.outcome.Gaps, gap)
	} else {
		c.run.opts.Observer.Observe(&coldstream.GapFound{Gap: gap})
	}
	if scan == p.scan {
		p.nextOffset = max(p.nextOffset, gap.NextOffset)
	}
}

func (c *collector) takeTruncated(e *coldstream.Truncated) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byTP[e.TopicPartition]
	fork := Fork{TopicPartition: e.TopicPartition, Epoch: e.Epoch, FirstOffset: e.NextOffset, NextOffset: e.WasOffset}
	if c.follows == nil {
		c.outcome.Forks = append(c.outcome.Forks, fork)
	} else {
		c.run.opts.Observer.Observe(&coldstream.ForkFound{TopicPartition: fork.TopicPartition, Epoch: fork.Epoch, FirstOffset: fork.FirstOffset, NextOffset: fork.NextOffset})
	}
	p.nextOffset, p.lastEpoch, p.truncated = e.NextOffset, e.Epoch, true
	if p.watch != nil {
		// What follows was written by another leader, perhaps before the end was last seen.
		p.watch.truncated = true
	}
}

func (c *collector) finishPartition(tp coldstream.TopicPartition, ends coldstream.LogOffsets) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byTP[tp]
	c.advance(p, p.nextOffset, ends)
	p.ended = true
	c.run.opts.Observer.Observe(&coldstream.Progress{Activity: activity, Partitions: 1})
	c.run.opts.Observer.Observe(&coldstream.Detail{Text: fmt.Sprintf("read %s: offsets [%d, %d)", tp, p.firstOffset, p.nextOffset)})
}

func (c *collector) fail(e *coldstream.PartitionFailed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.byTP[e.TopicPartition]
	p.failed, p.err, p.ended = true, e.Err, true
	if c.follows != nil {
		c.signal()
		return
	}
	failure := PartitionError{TopicPartition: e.TopicPartition, Err: e.Err}
	if errors.Is(e.Err, coldstream.ErrDenied) {
		c.outcome.Denied = append(c.outcome.Denied, failure)
	} else {
		c.outcome.Failed = append(c.outcome.Failed, failure)
	}
	c.run.opts.Observer.Observe(&coldstream.Progress{Activity: activity, Partitions: 1})
}

func (c *collector) count(receipt vault.Receipt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcome.Batches += receipt.Batches
	c.outcome.Records += receipt.Records
	c.outcome.ObjectsStored += receipt.Objects
	c.outcome.BytesStored += receipt.BytesStored
	c.outcome.VaultHash, c.outcome.Snapshot = receipt.VaultHash, receipt.Snapshot
	c.outcome.SnapshotTime, c.outcome.ParentTime = c.run.snapshotTime, receipt.ParentTime
	c.run.opts.Observer.Observe(&coldstream.Progress{Activity: activity, Records: receipt.Records, Stored: receipt.BytesStored})
}

// report adds what happened since the plan to a result.
func (c *collector) report(result *Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.outcome
	result.Batches, result.Records, result.BytesRead = o.Batches, max(0, o.Records-c.below), o.BytesRead
	result.BytesStored, result.ObjectsStored = o.BytesStored, o.ObjectsStored
	result.Snapshot, result.VaultHash = o.Snapshot, o.VaultHash
	result.SnapshotTime, result.ParentTime = o.SnapshotTime, o.ParentTime
	result.Gaps = append(result.Gaps, o.Gaps...)
	result.Forks = append(result.Forks, o.Forks...)
	result.Failed = append(result.Failed, o.Failed...)
	result.Denied = append(result.Denied, o.Denied...)
	if o.Snapshot != (vault.SnapshotID{}) {
		result.Rescanned = c.run.plan.rescanned()
	}
	result.Damage = c.run.plan.writer.Damage() // the snapshot may have met more
}

const activity = "backup"

func (c *collector) announce(partitions []*partition) {
	var offsets int64
	topics := map[string]bool{}
	for _, p := range partitions {
		offsets += max(0, p.stopOffset-p.nextOffset)
		topics[p.stream.Topic] = true
	}
	c.run.opts.Observer.Observe(&coldstream.Planned{
		Activity: activity, Topics: len(topics), Partitions: len(partitions), Offsets: offsets,
	})
}

// recordsBelow counts the records of a first batch that lie below the offset that was asked for:
// they are in the log no more.
func recordsBelow(f *coldstream.Fetched) int64 {
	batch, _, err := recordbatch.Next(f.Batches)
	if err != nil || batch.BaseOffset() >= f.FirstOffset || batch.IsControl() {
		return 0
	}
	if int64(batch.RecordCount()) == batch.NextOffset()-batch.BaseOffset() {
		return f.FirstOffset - batch.BaseOffset()
	}
	records, err := recordbatch.NewDecoder().Absolute(batch, maxDecoded)
	if err != nil {
		return 0 // a count is not worth more
	}
	n := int64(0)
	for _, r := range records {
		if r.Offset < f.FirstOffset {
			n++
		}
	}
	return n
}

// maxDecoded bounds what a batch may become to be counted.
const maxDecoded = 64 << 20
