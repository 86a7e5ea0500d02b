package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coldstream"
)

// staleTopics are those with a partition whose leader is to be asked for now.
func (e *fetchEngine) staleTopics() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var names []string
	for _, p := range e.partitions {
		if !p.ended && !p.busy && p.isStale(now) {
			names = append(names, p.Topic)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (p *fetchPartition) isStale(now time.Time) bool { return p.leader < 0 && !now.Before(p.retryAt) }

// refresh asks for leaders. Brokers that do not answer are asked again later: patience is
// counted by partition.
func (e *fetchEngine) refresh(ctx context.Context, topics []string) error {
	tryCtx, cancel := context.WithTimeout(ctx, tryTimeout)
	cluster, err := e.client.describeCluster(tryCtx, topics)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	byName := map[string]*coldstream.Topic{}
	if err == nil {
		for i := range cluster.Topics {
			byName[cluster.Topics[i].Name] = &cluster.Topics[i]
		}
	}
	now := time.Now()
	stale := e.takeIdle(func(p *fetchPartition) bool {
		_, asked := slices.BinarySearch(topics, p.Topic)
		return asked && p.isStale(now)
	})
	defer e.release(stale)
	for _, p := range stale {
		if err != nil {
			p.retry(fmt.Errorf("ask for the leader: %w", err))
			continue
		}
		if err := e.place(ctx, p, byName[p.Topic]); err != nil {
			return err
		}
	}
	return nil
}

// place gives a partition its leader, or finds that its topic is gone.
func (e *fetchEngine) place(ctx context.Context, p *fetchPartition, t *coldstream.Topic) error {
	l := leaderIn(t, p.TopicPartition)
	if t != nil && t.Err == nil && !p.TopicID.IsZero() && !t.ID.IsZero() && t.ID != p.TopicID {
		l.err = fmt.Errorf("%w: it was deleted and made again with ID %s", coldstream.ErrUnknownTopic, t.ID)
	}
	switch {
	case isUnknownTopic(l.err) && t.Err == nil && !p.TopicID.IsZero() && t.ID == p.TopicID:
		l.err = temporary(l.err) // the same topic, and topics lose no partitions: the broker is behind
	case isUnknownTopic(l.err):
		return e.miss(ctx, p, l.err)
	}
	p.missing = time.Time{}
	switch {
	case isTemporary(l.err):
		p.retry(l.err)
	case l.err != nil:
		return e.fail(ctx, p, l.err)
	case !p.TopicID.IsZero() && l.epoch < p.leaderEpoch && l.epoch >= 0:
		// A broker that is behind names a leader of the past, which may not know it either.
		p.retry(fmt.Errorf("metadata of leader epoch %d, after %d", l.epoch, p.leaderEpoch))
	default:
		if p.TopicID.IsZero() {
			p.TopicID = l.topicID
		}
		p.leader, p.leaderEpoch = l.id, l.epoch
	}
	return nil
}

// miss believes that a topic is gone when the brokers have agreed on it without a break:
// one that is behind with its metadata says so as well, and the offsets of a topic that
// is gone are never asked for again.
func (e *fetchEngine) miss(ctx context.Context, p *fetchPartition, err error) error {
	now := time.Now()
	if p.missing.IsZero() {
		p.missing = now
	}
	if now.Sub(p.missing) >= min(unknownTopicPatience, e.client.patience()) {
		return e.gone(ctx, p, err)
	}
	p.retry(err)
	return nil
}

// giveUp fails the partitions that every try has failed for in too long.
func (e *fetchEngine) giveUp(ctx context.Context) error {
	patience := e.client.patience()
	for _, p := range e.takeIdle(func(p *fetchPartition) bool { return p.missing.IsZero() && p.failing.exceed(patience) }) {
		if err := e.fail(ctx, p, fmt.Errorf("unavailable for %s: %w", patience, untemporary(p.failing.err))); err != nil {
			return err
		}
	}
	return nil
}

// untemporary lets go of the mark that another try may help: there will be none.
func untemporary(err error) error {
	if errors.Is(err, errTemporary) {
		return fmt.Errorf("%v", err) //nolint:errorlint // the cause is deliberately not promised
	}
	return err
}
