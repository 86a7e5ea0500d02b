package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

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
// the log lost its end, or the broker does not know our epoch inside its range. Only the
// first is a gap.
func (e *fetchEngine) resolveRange(ctx context.Context, p *fetchPartition) error {
	out := map[coldstream.TopicPartition]coldstream.LogOffsets{}
	leaders := map[coldstream.TopicPartition]partitionLeader{p.TopicPartition: {id: p.leader, epoch: p.leaderEpoch}}
	e.client.listRound(ctx, []coldstream.TopicPartition{p.TopicPartition}, leaders, out)
	log := out[p.TopicPartition]
	if errors.Is(log.Err, coldstream.ErrDenied) {
		return e.fail(ctx, p, fmt.Errorf("ask for the ends of the log: %w", log.Err))
	}
	if log.Err != nil {
		p.retry(log.Err)
		return ctx.Err()
	}
	p.log = log
	if p.NextOffset < log.LogStartOffset {
		p.answered()
		if err := e.gap(ctx, p, log.LogStartOffset, coldstream.GapLogStartAdvanced); err != nil {
			return err
		}
		if p.NextOffset >= p.StopOffset && !e.follows {
			return e.end(ctx, p)
		}
		return nil
	}
	return e.resolveEpochs(ctx, p)
}

// resolveEpochs decides by leader epochs whether the log has lost what we have.
func (e *fetchEngine) resolveEpochs(ctx context.Context, p *fetchPartition) error {
	beyond := p.NextOffset > p.log.HighWatermark
	end := coldstream.EpochStart{Epoch: -1, FirstOffset: -1}
	for i := len(p.Epochs) - 1; i >= 0 && end.FirstOffset < 0; i-- {
		var err error
		if end, err = e.client.epochEnd(ctx, p, p.Epochs[i].Epoch); err != nil {
			p.retry(fmt.Errorf("ask for the end of leader epoch %d: %w", p.Epochs[i].Epoch, err))
			return ctx.Err()
		}
		if !beyond {
			break // inside the log's range, an epoch that is not known there proves nothing
		}
	}
	switch lost := end.FirstOffset >= 0 && p.common(end) < p.NextOffset; {
	case lost, beyond && len(p.Epochs) > 0 && end.FirstOffset < 0:
		return e.truncate(ctx, p, end)
	case beyond && len(p.Epochs) == 0: // nothing tells more than that the log ends there
		return e.truncate(ctx, p, coldstream.EpochStart{Epoch: -1, FirstOffset: p.log.HighWatermark})
	case beyond, p.noEpoch:
		p.retry(fmt.Errorf("offset %d is said to be out of range, and the log to be [%d, %d)", p.NextOffset, p.log.LogStartOffset, p.log.HighWatermark))
	default:
		p.noEpoch = true
	}
	return nil
}

// resolveEnd finds out why the log ends before the partition's stop offset, though its
// history is ours: the leader may not know yet how far its followers are, as for a moment
// after every election, or the log has lost its end before we had read it.
func (e *fetchEngine) resolveEnd(ctx context.Context, p *fetchPartition) error {
	end := coldstream.EpochStart{Epoch: -1, FirstOffset: -1}
	if p.leaderEpoch >= 0 {
		var err error
		// The leader's own epoch ends where its log does, committed or not.
		if end, err = e.client.epochEnd(ctx, p, p.leaderEpoch); err != nil {
			p.retry(fmt.Errorf("ask for the end of the log: %w", err))
			return ctx.Err()
		}
	}
	if end.FirstOffset < 0 {
		end.FirstOffset = p.log.HighWatermark
	}
	switch {
	case end.FirstOffset == p.NextOffset && e.follows:
		p.rest()
		return nil
	case end.FirstOffset == p.NextOffset:
		p.StopOffset = p.NextOffset
		return e.end(ctx, p)
	case end.FirstOffset > p.NextOffset:
		p.StopOffset = min(p.StopOffset, end.FirstOffset)
	}
	p.retry(fmt.Errorf("the high watermark %d has not reached offset %d yet", p.log.HighWatermark, p.StopOffset))
	return nil
}

// resolveEmpty finds out why a partition stays empty though the log goes on: its bytes may
// be bad, in remote storage they may come late, and of a compacted one the cleaner may have
// removed the tail.
func (e *fetchEngine) resolveEmpty(ctx context.Context, p *fetchPartition) error {
	local, err := e.client.isLocal(ctx, p)
	if err != nil {
		p.retry(fmt.Errorf("ask where the local log starts: %w", err))
		return ctx.Err()
	}
	if local && p.proven != p.NextOffset {
		proof, err := e.proveHole(ctx, p, p.log.HighWatermark)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			p.retry(fmt.Errorf("look for what lies behind offset %d: %w", p.NextOffset, err))
			return nil
		case proof == isNoHole:
			return e.salvage(ctx, p, fmt.Errorf("%w: %w", p.errNoData(), coldstream.ErrCorrupt))
		}
		p.proven = p.NextOffset
	}
	if local && p.Compacted {
		return e.endTail(ctx, p)
	}
	if p.noData.add(p.errNoData()); p.noData.exceed(min(noDataPatience, e.client.patience())) {
		return e.fail(ctx, p, p.noData.err)
	}
	p.answered()
	p.again(p.noData.wait())
	return nil
}

// endTail goes on behind a tail that the cleaner removed.
func (e *fetchEngine) endTail(ctx context.Context, p *fetchPartition) error {
	p.answered()
	first := p.NextOffset
	p.NextOffset, p.empty = min(p.StopOffset, p.log.HighWatermark), 0 // behind it there may be more
	err := e.sink.Take(ctx, &coldstream.Fetched{TopicPartition: p.TopicPartition, FirstOffset: first, NextOffset: p.NextOffset, LogOffsets: p.log})
	if err != nil || p.NextOffset < p.StopOffset || e.follows {
		return err
	}
	return e.end(ctx, p)
}

// isLocal says whether the leader has the partition's position on its own disks. Brokers
// that do not know the question have no other place.
func (c *Client) isLocal(ctx context.Context, p *fetchPartition) (bool, error) {
	tp := p.TopicPartition
	leaders := map[coldstream.TopicPartition]partitionLeader{tp: {epoch: p.leaderEpoch}}
	got, err := c.listOffsets(ctx, p.leader, listOffsetsRequest([]coldstream.TopicPartition{tp}, leaders, earliestLocalOffset))
	if err != nil {
		return false, err
	}
	start, ok := got[tp]
	switch {
	case !ok:
		return false, temporary(errNotInAnswer)
	case errors.Is(start.err, kerr.UnsupportedVersion), start.err == nil && start.offset < 0:
		return true, nil
	}
	return start.offset <= p.NextOffset, start.err
}

// epochEnd asks the leader where a leader epoch ends in its log, or the newest one before
// it. The offset is negative if the leader knows neither.
func (c *Client) epochEnd(ctx context.Context, p *fetchPartition, epoch int32) (coldstream.EpochStart, error) {
	none := coldstream.EpochStart{Epoch: -1, FirstOffset: -1}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = p.Topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.Partition, rp.CurrentLeaderEpoch, rp.LeaderEpoch = p.Partition, p.leaderEpoch, epoch
	t.Partitions = append(t.Partitions, rp)
	req.Topics = append(req.Topics, t)
	kresp, err := c.kgo.Broker(int(p.leader)).Request(ctx, req)
	if err != nil {
		return none, requestError(err)
	}
	for _, t := range kresp.(*kmsg.OffsetForLeaderEpochResponse).Topics {
		for _, a := range t.Partitions {
			if t.Topic == p.Topic && a.Partition == p.Partition {
				return coldstream.EpochStart{Epoch: a.LeaderEpoch, FirstOffset: a.EndOffset}, brokerError(a.ErrorCode, nil)
			}
		}
	}
	return none, temporary(errNotInAnswer)
}

// common is the offset up to which our history and the log's are the same, if the log's
// epoch end.Epoch ends at end.FirstOffset, and our next epoch is not in it: at most that,
// and at most the end of our own newest epoch that is not newer.
func (p *fetchPartition) common(end coldstream.EpochStart) int64 {
	next := p.NextOffset
	for _, epoch := range p.Epochs {
		if epoch.Epoch > end.Epoch {
			next = min(next, epoch.FirstOffset)
			break
		}
	}
	if end.FirstOffset >= 0 {
		next = min(next, end.FirstOffset)
	}
	return next
}

// truncate goes back to where our history and the log's are the same.
func (e *fetchEngine) truncate(ctx context.Context, p *fetchPartition, end coldstream.EpochStart) error {
	was, next := p.NextOffset, p.common(end)
	switch {
	case next >= was && p.noEpoch:
		p.retry(fmt.Errorf("leader epoch %d is said to end at offset %d, which contradicts nothing before %d", end.Epoch, end.FirstOffset, was))
		return nil
	case next >= was:
		// Nothing of ours is beyond the fork: only our epoch is not known there any more.
		p.noEpoch = true
		return nil
	case p.truncations == maxTruncations:
		return e.fail(ctx, p, fmt.Errorf("the log lost its end %d times while it was read", p.truncations))
	}
	p.answered()
	p.truncations++
	p.NextOffset = next
	p.Epochs = slices.DeleteFunc(p.Epochs, func(epoch coldstream.EpochStart) bool { return epoch.FirstOffset >= next })
	return e.sink.Take(ctx, &coldstream.Truncated{
		TopicPartition: p.TopicPartition, Epoch: p.lastEpoch(), NextOffset: p.NextOffset, WasOffset: was,
	})
}
