package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/vault"
)

// atEndWithin is how long ago the end of a log may have been seen that counts as its end now. A
// broker holds a question for the end for at most two seconds.
const atEndWithin = 10 * time.Second

var errNotReadYet = errors.New("it was not read to its end when the snapshot was made")

// cut is what was fetched up to one moment: what waits for its commit, and where each
// partition stands with it.
type cut struct {
	taken    time.Time
	gathered gathered
	encoded  bool
	plan     *plan // of copies
	original []*partition
	seen     map[coldstream.TopicPartition]coldstream.LogSeen
}

// cut takes what was fetched up to now.
func (f *Follower) cut() *cut {
	k := &cut{seen: map[coldstream.TopicPartition]coldstream.LogSeen{}}
	for _, seen := range f.following.Seen() { // before the positions are
		k.seen[seen.TopicPartition] = seen
	}
	c, p := f.collector, f.run.plan
	k.taken = f.opts.Now()
	k.plan = &plan{writer: p.writer, began: k.taken, metadata: p.metadata, isChosen: p.isChosen, denied: p.denied, failed: p.failed}
	c.mu.Lock()
	defer c.mu.Unlock()
	k.gathered, c.waiting = c.waiting, gathered{}
	c.room.Broadcast()
	for _, part := range p.partitions {
		k.original = append(k.original, part)
		f.complete(part)
		one := *part
		if part.watch != nil {
			w := *part.watch
			one.watch = &w
		}
		k.plan.partitions = append(k.plan.partitions, &one)
	}
	return k
}

// complete ends a reading in full that came to where it is to stand in for the one before.
func (f *Follower) complete(p *partition) {
	if p.before == nil || p.failed || p.nextOffset < p.rescanStop {
		return
	}
	f.opts.Observer.Observe(&coldstream.ReadAgain{TopicPartition: p.stream.TopicPartition(), Why: p.why, Done: true})
	p.before = nil
}

// reached are the topics that are saved up to their ends with a cut.
func (k *cut) reached() *vault.Reached {
	out := &vault.Reached{AsOf: k.taken}
	whole := map[coldstream.Incarnation]bool{}
	for _, p := range k.plan.partitions {
		in := p.stream.Incarnation
		if _, known := whole[in]; !known {
			whole[in] = true
		}
		whole[in] = whole[in] && k.isAtEnd(p)
	}
	for _, e := range slices.Concat(k.plan.denied, k.plan.failed) {
		for in := range whole {
			whole[in] = whole[in] && (in.Topic != e.Topic || e.Partition < 0) // of a whole topic only configs are missing
		}
	}
	for _, p := range k.plan.partitions { // sorted by topic
		in := p.stream.Incarnation
		if !whole[in] {
			continue
		}
		if at := k.seen[p.stream.TopicPartition()].At; at.Before(out.AsOf) {
			out.AsOf = at
		}
		if n := len(out.Topics); n == 0 || out.Topics[n-1] != in {
			out.Topics = append(out.Topics, in)
		}
	}
	return out
}

// isAtEnd says that all was read that was there when the end was seen last, and that this was
// lately.
func (k *cut) isAtEnd(p *partition) bool {
	seen := k.seen[p.stream.TopicPartition()]
	return !p.ended && !p.failed && p.before == nil && !seen.At.IsZero() && k.taken.Sub(seen.At) <= atEndWithin && p.nextOffset >= seen.HighWatermark
}

// fill encodes what waits, and sends it when there is a pack of it.
func (f *Follower) fill(ctx context.Context) error {
	c := f.collector
	return f.persist(ctx, func(ctx context.Context) error {
		if err := c.redoSent(ctx); err != nil {
			return err
		}
		if !c.ahead.isFull(f.opts.PackBytes) {
			if err := c.encodeWaiting(ctx); err != nil {
				return err
			}
		}
		if !c.ahead.isFull(f.opts.PackBytes) {
			return nil
		}
		return c.send(ctx, &c.sending)
	})
}

// commit saves what was fetched up to now.
func (f *Follower) commit(ctx context.Context) error {
	k := f.cut()
	return f.save(ctx, k, nil)
}

// save commits a cut, with a snapshot if there is one.
func (f *Follower) save(ctx context.Context, k *cut, snapshot func() *vault.NewSnapshot) error {
	c, reached := f.collector, k.reached()
	var receipt vault.Receipt
	err := f.persist(ctx, func(ctx context.Context) (err error) {
		if err = c.settleSent(ctx); err != nil {
			return err
		}
		if !k.encoded {
			if err = c.encode(ctx, &k.gathered); err != nil {
				return err
			}
			k.encoded = true
		}
		changes := vault.Changes{Reached: reached}
		for {
			if snapshot != nil {
				changes.Snapshot = snapshot()
				f.run.snapshotTime = changes.Snapshot.Time
			} else if c.ahead.isEmpty() && !f.mustNote(k, reached) {
				return nil
			}
			if receipt, err = c.commit(ctx, changes); !errors.Is(err, vault.ErrReleased) || snapshot == nil {
				return err
			}
		}
	})
	if err != nil {
		if !k.encoded {
			c.putBack(k.gathered)
		}
		return err
	}
	f.saved(k, reached, receipt)
	return f.turnIfLong(ctx)
}

// mustNote says that nothing is to be saved, and that it is time to say so: to who looks into the
// vault a record in a topic at rest would else seem to wait since the last commit.
func (f *Follower) mustNote(k *cut, reached *vault.Reached) bool {
	return len(reached.Topics) > 0 && k.taken.Sub(f.noted) >= f.opts.NoteEvery
}

// saved takes note of what a commit saved.
func (f *Follower) saved(k *cut, reached *vault.Reached, receipt vault.Receipt) {
	c := f.collector
	if receipt.VaultHash != "" {
		f.noted = k.taken
	}
	var late []coldstream.TopicPartition
	settled := false
	c.mu.Lock()
	for i, p := range k.original {
		was := k.plan.partitions[i]
		p.savedOffset = was.nextOffset
		if was.ended && !p.settled {
			p.settled, settled = true, true
		}
		switch w := p.watch; {
		case w == nil || was.ended:
		case w.missed && !w.fresh && p.before == nil:
			late = append(late, p.stream.TopicPartition())
		case !w.missed && !w.inDoubt && k.isAtEnd(was):
			// All tombstones up to then are in the vault.
			w.since, w.retention, w.fresh = k.seen[p.stream.TopicPartition()].At, w.kept, false
		}
	}
	c.mu.Unlock()
	f.following.Remove(late...) // they are read in full from their heads on
	f.keepReached(k, reached, receipt)
	f.endedPartitions()
	if settled {
		f.lookAtOnce()
	}
}

// turnIfLong makes the vault quick to open again.
func (f *Follower) turnIfLong(ctx context.Context) error {
	w := f.run.plan.writer
	if f.vault.IsPermanent() || w.EpochCommits() < f.opts.TurnAfter && w.EpochBytes() < vault.TurnAfterBytes {
		return nil
	}
	f.run.turn(ctx, f.vault)
	return ctx.Err()
}

// snapshot makes a restore point: groups first, then the ends of the logs, then the data at least
// to these, for which it waits so long at most. So no saved group points behind the saved data.
func (f *Follower) snapshot(ctx context.Context, patience time.Duration) error {
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := f.metadataToRead().read(asked, f)
	if err != nil {
		if ctx.Err() == nil {
			f.fails(coldstream.SideCluster, err, f.opts.SnapshotEvery)
			err = f.commit(ctx)
		}
		return err
	}
	if err := f.reachEnds(ctx, m.ends, patience); err != nil {
		return err
	}
	_, err = f.makeSnapshot(ctx, m)
	return err
}

// askForMetadata begins a periodic snapshot, unless the one before is not made yet.
func (f *Follower) askForMetadata(ctx context.Context, group *errgroup.Group) {
	if f.wishing || f.wish != nil {
		return
	}
	f.wishing = true
	m := f.metadataToRead()
	f.ask(ctx, group, func(ctx context.Context) func(context.Context) error {
		asked, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		m, err := m.read(asked, f)
		return func(context.Context) error {
			f.wishing = false
			if err != nil {
				f.fails(coldstream.SideCluster, err, f.opts.SnapshotEvery)
				return nil //nolint:nilerr // it was told, and is asked again
			}
			f.serves(coldstream.SideCluster)
			f.wish = m
			return nil
		}
	})
}

// grantWish makes the snapshot that is wished for once its data is there, or has taken too long.
func (f *Follower) grantWish(ctx context.Context) error {
	m := f.wish
	patience := wishPatience
	if f.snapshots == 0 {
		patience = max(patience, f.opts.SnapshotEvery) // it catches up first
	}
	if m == nil || !f.haveReached(m.ends) && f.opts.Now().Sub(m.began) < patience {
		return nil
	}
	k, err := f.makeSnapshot(ctx, m)
	if err != nil {
		return err
	}
	f.wish = nil
	return f.lookAround(ctx, k)
}

// makeSnapshot commits what was fetched up to now with a snapshot that shows it.
func (f *Follower) makeSnapshot(ctx context.Context, m *snapshotMetadata) (*cut, error) {
	k := f.cut()
	m.metadata.Cluster, m.metadata.Topics = f.run.plan.metadata.Cluster, f.run.plan.metadata.Topics
	k.plan.metadata, k.plan.began = m.metadata, m.began
	for _, p := range k.plan.partitions {
		end, known := m.ends[p.stream.TopicPartition()]
		if known && end.Err == nil {
			p.highWatermark = end.HighWatermark
			if !p.failed && p.nextOffset < end.HighWatermark {
				p.failed, p.err = true, errNotReadYet
			}
		}
	}
	var made *vault.NewSnapshot
	err := f.save(ctx, k, func() *vault.NewSnapshot {
		made = k.plan.snapshot(f.opts.Now())
		return made
	})
	if err == nil {
		f.tellSnapshot(made, m)
	}
	return k, err
}

// snapshotMetadata is what a snapshot has besides data.
type snapshotMetadata struct {
	metadata      vault.Metadata
	groupsMissing []coldstream.MissingGroups
	began         time.Time // before the ends were asked for
	partitions    []coldstream.TopicPartition
	ends          map[coldstream.TopicPartition]coldstream.LogOffsets
}

// metadataToRead is for a snapshot of what is followed now.
func (f *Follower) metadataToRead() *snapshotMetadata {
	m := &snapshotMetadata{metadata: f.run.plan.metadata}
	m.metadata.Missing = map[string]string{}
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	for _, part := range f.run.plan.partitions {
		if !part.ended {
			m.partitions = append(m.partitions, part.stream.TopicPartition())
		}
	}
	return m
}

// read asks the cluster. It is not of the loop.
func (m *snapshotMetadata) read(ctx context.Context, f *Follower) (*snapshotMetadata, error) {
	p := &plan{metadata: m.metadata}
	if err := p.readDefaults(ctx, f.source, f.opts.Observer); err != nil {
		return nil, err
	}
	if err := p.readAdministration(ctx, f.source); err != nil {
		return nil, err
	}
	if err := p.readGroups(ctx, f.source, f.opts.Observer); err != nil {
		return nil, err
	}
	m.metadata, m.groupsMissing, m.began = p.metadata, p.groupsMissing, f.opts.Now()
	var err error
	if m.ends, err = f.source.LogOffsetsWithin(ctx, m.partitions, endsPatience); err != nil {
		return nil, fmt.Errorf("read log offsets: %w", err)
	}
	return m, nil
}

// reachEnds waits until all was read that lies before these ends, and goes on encoding meanwhile.
func (f *Follower) reachEnds(ctx context.Context, ends map[coldstream.TopicPartition]coldstream.LogOffsets, patience time.Duration) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !f.haveReached(ends) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			return nil
		case <-f.collector.ready:
			if err := f.fill(ctx); err != nil {
				return err
			}
		case <-tick.C:
		}
	}
	return nil
}

func (f *Follower) haveReached(ends map[coldstream.TopicPartition]coldstream.LogOffsets) bool {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	return !slices.ContainsFunc(f.run.plan.partitions, func(p *partition) bool {
		end, known := ends[p.stream.TopicPartition()]
		return known && end.Err == nil && !p.ended && p.nextOffset < end.HighWatermark
	})
}

func (f *Follower) tellSnapshot(s *vault.NewSnapshot, m *snapshotMetadata) {
	f.collector.mu.Lock()
	id := f.collector.outcome.Snapshot
	f.collector.mu.Unlock()
	f.mu.Lock()
	f.status.Snapshot, f.status.SnapshotTime = id.String(), s.Time
	f.mu.Unlock()
	f.opts.Observer.Observe(&coldstream.SnapshotMade{
		ID: id.String(), Time: s.Time, Topics: len(s.Metadata.Topics), Partitions: len(s.Views), Short: s.Metadata.Short, GroupsMissing: m.groupsMissing,
	})
}

// lookAround does after a snapshot what need not be done often: it looks what others have
// saved, and fetches again what damaged packs have lost.
func (f *Follower) lookAround(ctx context.Context, k *cut) error {
	if err := f.lookAtOthers(ctx); err != nil && ctx.Err() == nil {
		f.fails(coldstream.SideStorage, err, f.opts.SnapshotEvery)
		return nil
	}
	if f.snapshots++; f.snapshots%healEvery != 1 || f.vault.IsPermanent() || ctx.Err() != nil {
		return ctx.Err()
	}
	r := &run{opts: f.opts.Options, source: f.source, plan: k.plan, result: &Result{}, limit: f.run.limit}
	if err := r.heal(ctx, f.vault); err != nil {
		return err
	}
	for _, damage := range r.result.Damage {
		f.opts.Observer.Observe(&coldstream.DamageFound{Err: damage})
	}
	for _, h := range r.result.Healed {
		err := fmt.Errorf("offsets [%d, %d) of %s: %w", h.FirstOffset, h.NextOffset, h.TopicPartition, coldstream.ErrCorrupt)
		f.opts.Observer.Observe(&coldstream.DamageFound{Err: err, Healed: true})
	}
	return nil
}

// lookAtOthers reads how far the vault has got with the commits of other processes, and goes
// on from there where they are ahead.
func (f *Follower) lookAtOthers(ctx context.Context) error {
	standing, err := f.vault.OpenStanding(ctx, func(string) bool { return false })
	if err != nil {
		return err
	}
	f.noteWriters(standing)
	if len(f.savedFurther(standing.Head)) == 0 {
		return nil
	}
	writer, err := f.newWriter(ctx) // which leaves out what does not join
	if err != nil {
		return err
	}
	if ahead := f.savedFurther(writer.Head); len(ahead) > 0 {
		f.run.plan.writer = writer // what is ended goes on from its heads
		f.own[writer.ID()] = true
		f.following.Remove(ahead...)
	}
	return nil
}

// savedFurther are the partitions whose heads are ahead of what was read here.
func (f *Follower) savedFurther(head func(s coldstream.Stream) (vault.Head, bool)) (ahead []coldstream.TopicPartition) {
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	for _, p := range f.run.plan.partitions {
		h, known := head(p.stream)
		if known && !p.ended && (h.Scan > p.scan || h.Scan == p.scan && h.NextOffset > p.nextOffset) {
			ahead = append(ahead, p.stream.TopicPartition())
		}
	}
	return ahead
}

// noteWriters says who else has written to the vault since this process began.
func (f *Follower) noteWriters(standing *vault.Standing) {
	var others []coldstream.WriterSeen
	for _, w := range standing.Writers(f.opts.Now().Add(-3 * f.opts.SnapshotEvery)) {
		if !f.own[w.ID] && w.Newest.After(f.status.Began) {
			others = append(others, coldstream.WriterSeen{Writer: w.Name, Time: w.Newest})
		}
	}
	f.mu.Lock()
	f.status.Writers = others
	f.mu.Unlock()
	for i := range others {
		f.opts.Observer.Observe(&others[i])
	}
}
