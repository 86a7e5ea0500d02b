package restore

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/recordbatch"
)

const (
	// laneBytes is the size of the batches that a lane sends at once: larger requests
	// were slower, smaller ones too.
	laneBytes = 1 << 20
	// laneOpen bounds the partitions that a lane reads at once, and with them the
	// decoded frames that stay in memory.
	laneOpen = 32
)

// produceAll spreads partitions over the target's lanes. Errors of single partitions
// stay in their progress; the error returned is that of ctx.
func (x *execution) produceAll(ctx context.Context) error {
	lanes := x.plan.target.Lanes()
	work := make([][]*partitionPlan, lanes)
	i := 0
	var offsets int64
	for _, t := range x.plan.topics {
		for _, part := range t.partitions {
			work[i%lanes] = append(work[i%lanes], part)
			i++
			offsets += part.stream.View.NextOffset - part.stream.View.LogStartOffset
		}
	}
	x.plan.req.Observer.Observe(&coldstream.Planned{Activity: activity, Topics: len(x.plan.topics), Partitions: i, Offsets: offsets})
	group, ctx := errgroup.WithContext(ctx)
	for n, parts := range work {
		if len(parts) > 0 {
			l := &lane{execution: x, number: n, waiting: parts}
			group.Go(func() error { return l.run(ctx) })
		}
	}
	return group.Wait()
}

const activity = "restore"

// lane produces its partitions, a round at a time: one batch of as many of them as fit.
type lane struct {
	*execution
	number  int
	waiting []*partitionPlan
	open    []*openPartition
	buffer  []byte
}

// openPartition is a partition that is being produced. held is its next batch.
type openPartition struct {
	part     *partitionPlan
	progress *partitionProgress
	feed     *feed
	next     func() (outgoing, error, bool)
	stop     func()
	held     outgoing
}

func (l *lane) run(ctx context.Context) error {
	defer func() {
		for _, o := range l.open {
			o.stop()
		}
	}()
	for {
		for len(l.open) < laneOpen && len(l.waiting) > 0 {
			l.begin(ctx, l.waiting[0])
			l.waiting = l.waiting[1:]
		}
		if len(l.open) == 0 {
			return ctx.Err()
		}
		l.round(ctx)
		if err := ctx.Err(); err != nil {
			for _, o := range l.open {
				o.progress.err = err
			}
			for _, part := range l.waiting {
				l.partitions[part].err = err
			}
			return err
		}
	}
}

func (l *lane) begin(ctx context.Context, part *partitionPlan) {
	o := &openPartition{part: part, progress: l.partitions[part], feed: newFeed(part)}
	o.progress.offsets.start = part.at + part.filler
	o.progress.offsets.next = part.at
	o.next, o.stop = iter.Pull2(o.feed.stream(ctx))
	if l.advance(o) {
		l.open = append(l.open, o)
	}
}

// advance takes a partition's next batch. It is false when there is none, and the
// partition is closed.
func (l *lane) advance(o *openPartition) bool {
	held, err, ok := o.next()
	if ok && err == nil {
		o.held = held
		return true
	}
	if err != nil {
		o.progress.err = err
	}
	l.close(o)
	return false
}

func (l *lane) close(o *openPartition) {
	o.stop()
	o.progress.aborted, o.progress.pending = o.feed.droppedAborted, o.feed.droppedUndecided
	o.progress.offsets.next = o.progress.next
	l.plan.req.Observer.Observe(&coldstream.Progress{Activity: activity, Partitions: 1})
	l.plan.req.Observer.Observe(&coldstream.Detail{Text: fmt.Sprintf("wrote %s from %s: %d records up to offset %d",
		o.part.target, o.part.stream.View.Stream.TopicPartition(), o.progress.records, o.progress.next)})
}

// round sends the next batches of the open partitions, as many as fit, and waits for
// them. Those that were sent go to the back, so that all take their turn.
func (l *lane) round(ctx context.Context) {
	var batches []coldstream.ProduceBatch
	size, n := 0, 0
	for n < len(l.open) && (n == 0 || size+len(l.open[n].held.batch) <= laneBytes) {
		size += len(l.open[n].held.batch)
		n++
	}
	if cap(l.buffer) < size {
		l.buffer = make([]byte, 0, size)
	}
	buffer := l.buffer[:0]
	for _, o := range l.open[:n] {
		o.progress.sent = true
		start := len(buffer)
		buffer = l.patched(buffer, o.held, o.progress.sequence)
		batches = append(batches, coldstream.ProduceBatch{
			TopicPartition: o.part.target, TopicID: o.progress.topicID, Batch: buffer[start:len(buffer):len(buffer)],
		})
	}
	sent, rest := l.open[:n], l.open[n:]
	l.open = append([]*openPartition{}, rest...)
	for i, result := range l.plan.target.Produce(ctx, l.number, batches) {
		if l.settle(ctx, sent[i], result) && l.advance(sent[i]) {
			l.open = append(l.open, sent[i])
		}
	}
	if cap(l.buffer) > 4*laneBytes {
		l.buffer = nil // one giant batch must not keep its room
	}
}

// settle takes the broker's answer in. It is false if the partition ends with it.
func (l *lane) settle(ctx context.Context, o *openPartition, result coldstream.ProduceResult) bool {
	p := o.progress
	err := result.Err
	if err == nil && result.BaseOffset == -1 {
		err = l.findDuplicate(ctx, o)
	} else if err == nil && result.BaseOffset != p.next {
		err = &coldstream.BaseOffsetError{TopicPartition: o.part.target, Want: p.next, Got: result.BaseOffset}
	}
	if err != nil {
		p.err = err
		l.close(o)
		return false
	}
	if o.held.records > 0 {
		o.held.mapped.Target = p.next
		p.offsets.add(o.held.mapped)
	}
	p.segment.add(o.held.batch)
	p.next += int64(o.held.count)
	p.sequence = recordbatch.NextSequence(p.sequence, o.held.count)
	p.records += o.held.records
	l.plan.req.Observer.Observe(&coldstream.Progress{
		Activity: activity, Offsets: o.held.mapped.Count, Records: o.held.records, Bytes: int64(len(o.held.batch)),
	})
	return true
}

// findDuplicate judges by the log's end where a broker recognized a repeated batch and
// no longer knew where it had put it.
func (l *lane) findDuplicate(ctx context.Context, o *openPartition) error {
	want := o.progress.next + int64(o.held.count)
	offsets, err := l.plan.target.LogOffsets(ctx, []coldstream.TopicPartition{o.part.target})
	if err != nil {
		return err
	}
	if log := offsets[o.part.target]; log.Err != nil || log.HighWatermark != want {
		return &coldstream.BaseOffsetError{TopicPartition: o.part.target, Want: want, Got: log.HighWatermark}
	}
	return nil
}
