package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"coldstream"
	"coldstream/recordbatch"
)

// takeUpProducer makes the execution that of the restore that was cut off.
func (x *execution) takeUpProducer() {
	r := &x.plan.resumes.plan
	x.producer = coldstream.ProducerIdentity{ID: r.ProducerID, Epoch: r.ProducerEpoch}
	x.pieces.records = x.plan.resumes.nextRecord - recordPiece
}

// meetLeft looks, before anything is changed, how far the restore came that was cut off. What it
// has still under way may land later: then the broker has it twice, and appends it once.
func (x *execution) meetLeft(ctx context.Context) error {
	cluster, err := x.plan.target.Metadata(ctx, x.plan.targetNames())
	if err != nil {
		return fmt.Errorf("read the target's metadata: %w", err)
	}
	found := map[string]coldstream.Topic{}
	for _, topic := range cluster.Topics {
		found[topic.Name] = topic
	}
	var tps []coldstream.TopicPartition
	for _, t := range x.plan.topics {
		topic := found[t.target]
		isGone := errors.Is(topic.Err, coldstream.ErrUnknownTopic)
		switch {
		case isGone && !t.isThere:
			continue
		case topic.Err != nil && !isGone:
			return fmt.Errorf("read the target's metadata: topic %s: %w", t.target, topic.Err)
		case isGone, t.isThere && topic.ID != t.existing.ID:
			return fmt.Errorf("topic %s was deleted, or made again, since the plan", t.target)
		}
		t.isThere, t.existing = true, topic
		for _, part := range t.partitions {
			tps = append(tps, part.target)
		}
	}
	if len(tps) == 0 {
		return nil
	}
	ends, err := x.plan.target.LogOffsets(ctx, tps)
	if err != nil {
		return fmt.Errorf("read the target's log offsets: %w", err)
	}
	return x.meetLogs(ctx, ends)
}

// meetLogs finds the ends that the logs have, and what is last in those that have something.
func (x *execution) meetLogs(ctx context.Context, ends map[coldstream.TopicPartition]coldstream.LogOffsets) error {
	t := &tails{last: map[coldstream.TopicPartition]recordbatch.Batch{}}
	var positions []coldstream.FetchPosition
	for part, progress := range x.partitions {
		end, ok := ends[part.target]
		if !ok {
			continue
		}
		if err := part.checkLeft(end); err != nil {
			return err
		}
		if progress.left = end.HighWatermark; progress.left > part.at {
			progress.sent = true
			positions = append(positions, coldstream.FetchPosition{
				TopicPartition: part.target, TopicID: x.plan.topicInto(part).existing.ID, NextOffset: progress.left - 1, StopOffset: progress.left, Compacted: true,
			})
		}
	}
	if len(positions) == 0 {
		return nil
	}
	if err := x.plan.target.Fetch(ctx, positions, t); err != nil {
		return fmt.Errorf("read the ends of the target's logs: %w", err)
	}
	for part, progress := range x.partitions {
		progress.tail = t.last[part.target]
	}
	return nil
}

func (p *Plan) topicInto(part *partitionPlan) *topicPlan {
	for _, t := range p.topics {
		if t.target == part.target.Topic {
			return t
		}
	}
	return nil
}

// tails keeps the header of the last batch of each partition.
type tails struct {
	mu   sync.Mutex
	last map[coldstream.TopicPartition]recordbatch.Batch
}

// Take is [coldstream.FetchSink.Take]. What may not be read is not proved: a broker proves by the
// sequence numbers that follow it, too.
func (t *tails) Take(_ context.Context, event coldstream.FetchEvent) error {
	switch e := event.(type) {
	case *coldstream.Fetched:
		for rest := e.Batches; len(rest) > 0; {
			batch, after, err := recordbatch.Next(rest)
			if err != nil {
				return err
			}
			t.mu.Lock()
			t.last[e.TopicPartition] = bytes.Clone(batch[:min(len(batch), recordbatch.HeaderSize)])
			t.mu.Unlock()
			rest = after
		}
	case *coldstream.PartitionFailed:
		if !errors.Is(e.Err, coldstream.ErrDenied) {
			return fmt.Errorf("%s: %w", e.TopicPartition, e.Err)
		}
	}
	return nil
}

// passOver takes a batch for sent that is in the target's log: it ends where the log did, or
// before. The last one must be ours to the number: sequence numbers and offsets went up
// together, so that all before it are ours too, and nobody else's are between them.
func (l *lane) passOver(ctx context.Context, o *openPartition, out outgoing) error {
	p := o.progress
	end := p.next + int64(out.count)
	switch tail := p.tail; {
	case end > p.left:
		return fmt.Errorf("%s ends at offset %d, and no batch of restore %s ends there: another producer wrote to it", o.part.target, p.left, l.plan.ID)
	case end < p.left || tail == nil:
	case tail.ProducerID() != l.producer.ID || tail.ProducerEpoch() != l.producer.Epoch || tail.BaseOffset() != p.next ||
		tail.NextOffset() != end || tail.BaseSequence() != p.sequence:
		return fmt.Errorf("%s ends with a batch of offsets [%d, %d) that restore %s did not write: another producer wrote to it",
			o.part.target, tail.BaseOffset(), tail.NextOffset(), l.plan.ID)
	}
	return l.took(ctx, o, out)
}

// isLeft says that a batch may be in the target's log.
func (p *partitionProgress) isLeft() bool { return p.next < p.left }

// isUnfinished says that the restore has not ended, and can be resumed: it was interrupted, or brokers or
// storage were out of reach for too long. One that goes on and broke off as a whole stays as it was: what was restored before is
// in the target, and only this restore knows it.
func (x *execution) isUnfinished(ctx context.Context) bool {
	if len(x.plan.req.Command) == 0 {
		return false
	}
	if errors.Is(x.broke, coldstream.ErrGaveUp) || x.broke != nil && x.plan.resumes != nil {
		return true
	}
	for _, progress := range x.partitions {
		if progress.notRead || errors.Is(progress.err, coldstream.ErrGaveUp) || errors.Is(progress.configsErr, coldstream.ErrGaveUp) {
			return true
		}
	}
	return ctx.Err() != nil
}

// mayBeReadLater tells storage that does not answer from what it holds: damage is there the next time too.
func mayBeReadLater(err error) bool {
	for _, stays := range []error{coldstream.ErrCorrupt, coldstream.ErrForgotten, coldstream.ErrUnsupported, fs.ErrNotExist} {
		if errors.Is(err, stays) {
			return false
		}
	}
	return true
}
