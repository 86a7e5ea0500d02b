package kafka

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// staleTopics are those with a partition whose leader is not known.
func (e *fetchEngine) staleTopics() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, p := range e.partitions {
		if !p.ended && !p.busy && p.leader < 0 {
			names = append(names, p.Topic)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// refresh asks for leaders. Brokers that do not answer are asked again at the next tick:
// patience is counted by partition.
func (e *fetchEngine) refresh(ctx context.Context, topics []string) error {
	tryCtx, cancel := context.WithTimeout(ctx, tryTimeout)
	cluster, err := e.client.describeCluster(tryCtx, topics)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		for _, p := range e.takeIdle(func(p *fetchPartition, _ time.Time) bool { return p.leader < 0 }) {
			p.lastErr = err
			e.release([]*fetchPartition{p})
		}
		return nil
	}
	byName := map[string]*coldstream.Topic{}
	for i := range cluster.Topics {
		byName[cluster.Topics[i].Name] = &cluster.Topics[i]
	}
	for _, p := range e.takeIdle(func(p *fetchPartition, _ time.Time) bool { return p.leader < 0 && byName[p.Topic] != nil }) {
		err := e.place(ctx, p, byName[p.Topic])
		e.release([]*fetchPartition{p})
		if err != nil {
			return err
		}
	}
	return nil
}

// place gives a partition its leader, or finds that its topic is gone.
func (e *fetchEngine) place(ctx context.Context, p *fetchPartition, t *coldstream.Topic) error {
	l := leaderIn(t, p.TopicPartition)
	if t.Err == nil && !p.TopicID.IsZero() && !t.ID.IsZero() && t.ID != p.TopicID {
		l.err = fmt.Errorf("%w: it was deleted and made again with ID %s", coldstream.ErrUnknownTopic, t.ID)
	}
	now := time.Now()
	switch {
	case l.err == nil:
		if p.TopicID.IsZero() {
			p.TopicID = t.ID
		}
		p.leader, p.leaderEpoch = l.id, l.epoch
		return nil
	case isTemporary(l.err):
		p.lastErr = l.err
		return nil
	case isUnknownTopic(l.err):
		if p.missing.IsZero() {
			p.missing = now
		}
		if now.Sub(p.missing) < goneAfter {
			return nil
		}
		return e.gone(ctx, p, l.err)
	}
	return e.fail(ctx, p, l.err)
}

// gone reports the offsets that were due as lost with their topic.
func (e *fetchEngine) gone(ctx context.Context, p *fetchPartition, err error) error {
	if p.NextOffset < p.StopOffset {
		if err := e.gap(ctx, p, p.StopOffset, coldstream.GapTopicDeleted); err != nil {
			return err
		}
	}
	return e.fail(ctx, p, err)
}

func (e *fetchEngine) gap(ctx context.Context, p *fetchPartition, nextOffset int64, cause coldstream.GapCause) error {
	gap := coldstream.Gap{TopicPartition: p.TopicPartition, FirstOffset: p.NextOffset, NextOffset: nextOffset, Cause: cause}
	p.NextOffset = nextOffset
	return e.sink.Take(ctx, &coldstream.FetchGap{Gap: gap})
}

// resolveRange finds out what an offset out of range means: the log start has passed us,
// the log lost its end, or the broker does not know our epoch inside its range.
func (e *fetchEngine) resolveRange(ctx context.Context, p *fetchPartition) error {
	out := map[coldstream.TopicPartition]coldstream.LogOffsets{}
	leaders := map[coldstream.TopicPartition]partitionLeader{p.TopicPartition: {id: p.leader, epoch: p.leaderEpoch}}
	e.client.listRound(ctx, []coldstream.TopicPartition{p.TopicPartition}, leaders, out)
	log := out[p.TopicPartition]
	if log.Err != nil {
		p.retry(log.Err)
		return ctx.Err()
	}
	p.lastGood, p.log = time.Now(), log
	switch {
	case p.NextOffset < log.LogStartOffset:
		if err := e.gap(ctx, p, log.LogStartOffset, coldstream.GapLogStartAdvanced); err != nil {
			return err
		}
		if p.NextOffset >= p.StopOffset {
			return e.end(ctx, p)
		}
	case p.NextOffset > log.HighWatermark:
		end, err := e.client.epochEnd(ctx, p)
		if err != nil {
			p.retry(err)
			return ctx.Err()
		}
		if end.FirstOffset < 0 { // the broker knows nothing of our epochs
			end.FirstOffset = log.HighWatermark
		}
		return e.truncate(ctx, p, coldstream.EpochStart{Epoch: end.Epoch, FirstOffset: min(end.FirstOffset, log.HighWatermark)})
	case p.noEpoch:
		p.retry(fmt.Errorf("offset %d is said to be out of range [%d, %d]", p.NextOffset, log.LogStartOffset, log.HighWatermark))
	default:
		p.noEpoch = true
	}
	return nil
}

// epochEnd asks the leader where the last leader epoch that we know ends in its log, or
// the newest one before it.
func (c *Client) epochEnd(ctx context.Context, p *fetchPartition) (coldstream.EpochStart, error) {
	none := coldstream.EpochStart{Epoch: -1, FirstOffset: -1}
	if p.lastEpoch() < 0 {
		return none, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = p.Topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.Partition, rp.CurrentLeaderEpoch, rp.LeaderEpoch = p.Partition, p.leaderEpoch, p.lastEpoch()
	t.Partitions = append(t.Partitions, rp)
	req.Topics = append(req.Topics, t)
	kresp, err := c.kgo.Broker(int(p.leader)).Request(ctx, req)
	if err != nil {
		return none, requestError(err)
	}
	for _, t := range kresp.(*kmsg.OffsetForLeaderEpochResponse).Topics {
		for _, a := range t.Partitions {
			return coldstream.EpochStart{Epoch: a.LeaderEpoch, FirstOffset: a.EndOffset}, brokerError(a.ErrorCode, nil)
		}
	}
	return none, temporary(errNoLeader)
}

// truncate goes back to where our history and the log's are the same: at most to the end
// of the leader's epoch, and at most to the end of our own newest epoch that is not newer.
func (e *fetchEngine) truncate(ctx context.Context, p *fetchPartition, end coldstream.EpochStart) error {
	was, next := p.NextOffset, p.NextOffset
	for len(p.Epochs) > 0 && p.lastEpoch() > end.Epoch {
		next = min(next, p.Epochs[len(p.Epochs)-1].FirstOffset)
		p.Epochs = p.Epochs[:len(p.Epochs)-1]
	}
	if end.FirstOffset >= 0 {
		next = min(next, end.FirstOffset)
	}
	for len(p.Epochs) > 0 && p.Epochs[len(p.Epochs)-1].FirstOffset >= next {
		p.Epochs = p.Epochs[:len(p.Epochs)-1]
	}
	p.NextOffset = max(next, p.log.LogStartOffset)
	if p.NextOffset >= was {
		// Nothing of ours is beyond the fork: only our epoch is not known there any more.
		p.noEpoch = true
		return nil
	}
	p.StopOffset = max(p.NextOffset, min(p.StopOffset, p.log.HighWatermark))
	err := e.sink.Take(ctx, &coldstream.Truncated{
		TopicPartition: p.TopicPartition, Epoch: p.lastEpoch(), NextOffset: p.NextOffset, WasOffset: was,
	})
	if err == nil && p.NextOffset >= p.StopOffset {
		err = e.end(ctx, p)
	}
	return err
}
