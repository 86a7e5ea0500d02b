package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream"
)

// foundTopics are the topics of the cluster that are meant.
type foundTopics struct {
	cluster   *coldstream.Cluster
	topics    []coldstream.Topic
	unmatched []string
	// ends are those of the partitions that are not followed and may be; as of a time before.
	ends map[coldstream.TopicPartition]coldstream.LogOffsets
	at   time.Time
}

// look asks the cluster for its topics. A pattern that matches none waits for one.
func (f *Follower) look(ctx context.Context) (*foundTopics, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cluster, err := f.source.Metadata(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read cluster metadata: %w", err)
	}
	patterns := f.patterns()
	if err := addHidden(ctx, f.source, cluster, patterns); err != nil {
		return nil, err
	}
	found := &foundTopics{cluster: cluster}
	found.topics, err = selectTopics(cluster.Topics, patterns)
	found.unmatched = unmatched(err)
	if err := f.source.TopicConfigs(ctx, found.topics); err != nil {
		return nil, err
	}
	found.at = f.opts.Now()
	if missing := f.missing(found); len(missing) > 0 {
		if found.ends, err = f.source.LogOffsetsWithin(ctx, missing, endsPatience); err != nil {
			return nil, fmt.Errorf("read log offsets: %w", err)
		}
	}
	return found, nil
}

// unmatched are the words of patterns that match no topic.
func unmatched(err error) []string {
	if err == nil {
		return nil
	}
	var several interface{ Unwrap() []error }
	if !errors.As(err, &several) {
		return []string{err.Error()}
	}
	var out []string
	for _, one := range several.Unwrap() {
		out = append(out, one.Error())
	}
	return out
}

// askForTopics looks for topics beside the loop. A cluster that is away is waited for.
func (f *Follower) askForTopics(ctx context.Context, group *errgroup.Group) {
	if f.looking {
		return
	}
	f.looking = true
	f.ask(ctx, group, func(ctx context.Context) func(context.Context) error {
		found, err := f.look(ctx)
		return func(ctx context.Context) error {
			f.looking = false
			if err != nil {
				f.fails(coldstream.SideCluster, err, f.opts.RefreshEvery)
				return nil //nolint:nilerr // it was told, and is asked again
			}
			f.serves(coldstream.SideCluster)
			if len(found.ends) > 0 { // partitions that have ended are taken up from the vault's heads
				if err := f.commit(ctx); err != nil {
					return err
				}
			}
			f.takeIn(found)
			return nil
		}
	})
}

// takeIn follows what is new of the topics that were found, and follows no more what is not meant.
func (f *Follower) takeIn(found *foundTopics) {
	p := f.run.plan
	p.denied, p.failed, p.missesConfigs = nil, nil, nil
	p.metadata.Cluster, p.metadata.Topics = *found.cluster, nil
	p.metadata.Cluster.Topics = nil
	p.isChosen = chosen(found.topics, found.cluster.Topics, f.patterns())
	f.tellUnmatched(found.unmatched)
	wanted := map[coldstream.TopicPartition]coldstream.TopicID{}
	fresh := &plan{writer: p.writer, began: found.at, neverRescan: f.opts.NeverRescan}
	for i := range found.topics {
		t := &found.topics[i]
		if t.Err == nil {
			p.metadata.Topics = append(p.metadata.Topics, *t)
		}
		for _, part := range t.Partitions {
			wanted[coldstream.TopicPartition{Topic: t.Name, Partition: part.ID}] = t.ID
		}
		fresh.takeTopics(found.cluster.ID, []coldstream.Topic{f.withEnds(found, t)})
	}
	f.dropUnwanted(found, wanted)
	f.follow(fresh, found.ends)
	f.tellTopics(found)
	f.tellTrouble(append(slices.Clone(fresh.denied), fresh.failed...))
	p.denied, p.failed = append(p.denied, fresh.denied...), append(p.failed, fresh.failed...)
	f.keepStatus(found)
}

// missing are the partitions that are not followed and may be tried now.
func (f *Follower) missing(found *foundTopics) []coldstream.TopicPartition {
	var out []coldstream.TopicPartition
	for i := range found.topics {
		for _, part := range found.topics[i].Partitions {
			if tp := (coldstream.TopicPartition{Topic: found.topics[i].Name, Partition: part.ID}); f.mayFollow(tp, found.at) {
				out = append(out, tp)
			}
		}
	}
	return out
}

// mayFollow says that a partition is not followed, and that it is time to try.
func (f *Follower) mayFollow(tp coldstream.TopicPartition, now time.Time) bool {
	f.collector.mu.Lock()
	p := f.collector.byTP[tp]
	followed := p != nil && !p.settled
	f.collector.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.retries[tp]
	return !followed && (r == nil || !now.Before(r.at))
}

// withEnds is a topic with those partitions only whose ends were asked for.
func (f *Follower) withEnds(found *foundTopics, t *coldstream.Topic) coldstream.Topic {
	some := *t
	some.Partitions = slices.DeleteFunc(slices.Clone(t.Partitions), func(part coldstream.Partition) bool {
		tp := coldstream.TopicPartition{Topic: t.Name, Partition: part.ID}
		_, asked := found.ends[tp]
		return !asked || !f.mayFollow(tp, found.at)
	})
	return some
}

// dropUnwanted ends partitions of topics that nobody asks for any more. Of a topic that is
// deleted the fetch finds out by itself, with what was lost.
func (f *Follower) dropUnwanted(found *foundTopics, wanted map[coldstream.TopicPartition]coldstream.TopicID) {
	there := map[string]bool{}
	for i := range found.cluster.Topics {
		there[found.cluster.Topics[i].Name] = true
	}
	f.collector.mu.Lock()
	defer f.collector.mu.Unlock()
	var gone []coldstream.TopicPartition
	for tp := range f.collector.byTP {
		if _, is := wanted[tp]; !is && there[tp.Topic] {
			gone = append(gone, tp)
		}
	}
	f.following.Remove(gone...)
}

// follow adds the partitions of a plan, from the vault's heads on. What waits of them was
// committed before.
func (f *Follower) follow(fresh *plan, ends map[coldstream.TopicPartition]coldstream.LogOffsets) {
	fresh.takeEnds(ends)
	for _, e := range slices.Concat(fresh.denied, fresh.failed) {
		if e.Partition >= 0 {
			f.gaveUp(e.TopicPartition)
		}
	}
	if len(fresh.partitions) == 0 {
		return
	}
	c := f.collector
	for _, part := range fresh.partitions {
		if w := part.watch; w != nil && w.missed && !w.fresh && !w.never && part.before == nil {
			part.readAgain(fresh.began, earlier{scan: part.scan, nextOffset: part.nextOffset, lastEpoch: part.lastEpoch}, whyLate)
		}
		c.mu.Lock()
		f.run.plan.replace(part)
		c.byTP[part.stream.TopicPartition()] = part
		if part.begins {
			c.waiting.scans = append(c.waiting.scans, part.scanStart())
		}
		c.mu.Unlock()
		if part.before != nil {
			part.rescanStop = part.highWatermark
			f.opts.Observer.Observe(&coldstream.ReadAgain{TopicPartition: part.stream.TopicPartition(), Why: part.why})
		}
		if gap, due := part.gapAhead(); due {
			c.addGap(part, part.head.Scan, gap)
		}
	}
	c.announce(fresh.partitions)
	f.following.Add(positions(fresh.partitions)...)
}

// replace puts a partition in the place of the one of its topic and number, or beside the others.
func (p *plan) replace(part *partition) {
	tp := part.stream.TopicPartition()
	p.partitions = slices.DeleteFunc(p.partitions, func(other *partition) bool { return other.stream.TopicPartition() == tp })
	p.partitions = append(p.partitions, part)
	slices.SortFunc(p.partitions, func(a, b *partition) int {
		return cmp.Or(a.stream.TopicPartition().Compare(b.stream.TopicPartition()), a.stream.Compare(b.stream))
	})
}

// topicCounts are the numbers of partitions that are followed, by topic.
func (p *plan) topicCounts() map[coldstream.Incarnation]int {
	out := map[coldstream.Incarnation]int{}
	for _, part := range p.partitions {
		out[part.stream.Incarnation]++
	}
	return out
}

// tellTopics says which topics came, grew or went.
func (f *Follower) tellTopics(found *foundTopics) {
	now := f.run.plan.topicCounts()
	for in, n := range now {
		if n > f.followed[in] {
			f.opts.Observer.Observe(&coldstream.TopicFound{Topic: in.Topic, TopicID: in.TopicID, Partitions: n, Before: f.followed[in]})
		}
	}
	for in := range f.followed {
		if now[in] == 0 {
			there := slices.ContainsFunc(found.cluster.Topics, func(t coldstream.Topic) bool { return t.Name == in.Topic && t.ID == in.TopicID })
			f.opts.Observer.Observe(&coldstream.TopicGone{Topic: in.Topic, TopicID: in.TopicID, Deleted: !there})
		}
	}
	f.followed = now
}

// tellUnmatched says once of each pattern that nothing matches it.
func (f *Follower) tellUnmatched(texts []string) {
	f.mu.Lock()
	before := f.status.Unmatched
	f.status.Unmatched = texts
	f.mu.Unlock()
	for _, text := range texts {
		if !slices.Contains(before, text) {
			f.opts.Observer.Observe(&coldstream.Warning{Text: text, Hint: "it is waited for"})
		}
	}
}

// tellTrouble says what cannot be read now, and what can be again.
func (f *Follower) tellTrouble(errs []PartitionError) {
	now := map[coldstream.TopicPartition]bool{}
	for _, e := range errs {
		now[e.TopicPartition] = true
		f.noteTrouble(e)
	}
	for tp := range f.trouble {
		if now[tp] || !f.mayRetry(tp) {
			continue // or it is not tried yet
		}
		f.opts.Observer.Observe(&coldstream.PartitionWell{TopicPartition: tp, Since: f.troubleAt[tp]})
		delete(f.trouble, tp)
		delete(f.troubleAt, tp)
	}
}

// noteTrouble says that something cannot be read, once for each reason.
func (f *Follower) noteTrouble(e PartitionError) {
	before, text := f.trouble[e.TopicPartition], e.Err.Error()
	if before == "" {
		f.troubleAt[e.TopicPartition] = f.opts.Now()
	}
	if f.trouble[e.TopicPartition] = text; before != text {
		f.opts.Observer.Observe(&coldstream.PartitionTrouble{TopicPartition: e.TopicPartition, Since: f.troubleAt[e.TopicPartition], Err: e.Err})
	}
}

// mayRetry says that a partition was not given up, or that it is time to try again; then that
// it was is forgotten.
func (f *Follower) mayRetry(tp coldstream.TopicPartition) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.retries[tp]; r != nil && f.opts.Now().Before(r.at) {
		return false
	}
	delete(f.retries, tp)
	return true
}

// gaveUp keeps when a partition that the fetch gave up is tried again. The collector's lock is
// not held.
func (f *Follower) gaveUp(tp coldstream.TopicPartition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.retries[tp]
	if r == nil {
		r = &retry{}
		f.retries[tp] = r
	}
	r.at = f.opts.Now().Add(min(firstRetry<<min(r.count, 10), lastRetry))
	r.count++
}

// endedPartitions takes note of partitions that the fetch ended, and tells of those that it gave up.
func (f *Follower) endedPartitions() {
	c := f.collector
	c.mu.Lock()
	var failed []PartitionError
	unknown := false
	for _, p := range f.run.plan.partitions {
		if p.ended && !p.endTold {
			p.endTold = true
			if p.err != nil {
				failed = append(failed, PartitionError{TopicPartition: p.stream.TopicPartition(), Err: p.err})
				unknown = unknown || errors.Is(p.err, coldstream.ErrUnknownTopic)
			}
		}
	}
	f.run.plan.partitions = slices.DeleteFunc(f.run.plan.partitions, func(p *partition) bool {
		return p.ended && (p.err == nil || errors.Is(p.err, coldstream.ErrUnknownTopic))
	})
	c.mu.Unlock()
	for _, e := range failed {
		if errors.Is(e.Err, coldstream.ErrUnknownTopic) {
			continue
		}
		f.gaveUp(e.TopicPartition)
		f.noteTrouble(e)
	}
	if unknown {
		f.lookAtOnce() // a topic of the name may be there again
	}
}
