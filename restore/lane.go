package restore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/recordbatch"
)

const (
	// requestBytes is the size of the batches that a lane sends at once: larger requests
	// were slower, smaller ones too.
	requestBytes = 1 << 20
	// DefaultMemory is what decoded batches may take: half of it the frames that partitions
	// are read from, a quarter what waits to be sent, and a quarter the frames that are
	// kept for other partitions. Where storage is far away these get what the first leave.
	DefaultMemory = 96 << 20
	openShare     = 2
	aheadShare    = 4
	keptShare     = 4
	// frameBytes is about what a vault's frame decodes to, unless one batch is larger.
	frameBytes = 1 << 20
	// readerBytes is more than a reader takes besides.
	readerBytes = 16 << 10
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
			l := x.newLane(n, parts)
			group.Go(func() error { return l.run(ctx) })
		}
	}
	return group.Wait()
}

const activity = "restore"

// lane produces its partitions, a request at a time, while their readers get ready what
// comes next.
type lane struct {
	*execution
	number  int
	ready   *ready
	waiting []*partitionPlan
	open    []*openPartition
	// openBytes is what the open partitions take, at most mayOpen if they are several.
	openBytes, mayOpen int64
	buffer             []byte
}

// openPartition is a partition that is being produced. held is its batch under way.
type openPartition struct {
	part     *partitionPlan
	progress *partitionProgress
	feed     *feed
	line     line
	held     outgoing
}

func (x *execution) newLane(number int, parts []*partitionPlan) *lane {
	memory := x.plan.req.MemoryBytes / int64(x.plan.target.Lanes())
	return &lane{execution: x, number: number, ready: newReady(x.plan.requestBytes, int(memory/aheadShare)), waiting: parts, mayOpen: memory / openShare}
}

func (l *lane) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var readers errgroup.Group
	defer func() {
		cancel()
		l.ready.stop()
		_ = readers.Wait() // errors are in the lines
	}()
	defer context.AfterFunc(ctx, l.ready.stop)()
	for {
		l.begin(ctx, &readers)
		if len(l.open) == 0 {
			return ctx.Err()
		}
		sending, finished := l.ready.take()
		for _, o := range finished {
			l.close(ctx, o)
		}
		if len(sending) > 0 {
			l.send(ctx, sending)
		}
		if err := ctx.Err(); err != nil {
			for _, o := range l.open {
				o.progress.err = cmp.Or(o.progress.err, err)
			}
			for _, part := range l.waiting {
				l.partitions[part].err = err
			}
			return err
		}
	}
}

// begin opens partitions as long as there is memory for what they are read from.
func (l *lane) begin(ctx context.Context, readers *errgroup.Group) {
	for len(l.waiting) > 0 && (len(l.open) == 0 || l.openBytes+l.waiting[0].readBytes() <= l.mayOpen) {
		part := l.waiting[0]
		l.waiting = l.waiting[1:]
		o := &openPartition{part: part, progress: l.partitions[part], feed: newFeed(part)}
		o.feed.large = largeGate{l.large, l.ready.pause, l.ready.resume}
		o.progress.offsets.start = part.at + part.filler
		o.progress.offsets.next = part.at
		l.open = append(l.open, o)
		l.openBytes += part.readBytes()
		l.ready.begin()
		readers.Go(func() error {
			l.ready.end(o, l.read(ctx, o))
			return nil
		})
	}
}

// readBytes is about what reading a partition takes: its largest frame, of which small
// partitions share one with their neighbors, and where batches are decoded what they decode to.
func (p *partitionPlan) readBytes() int64 {
	if p.takesBytes > 0 {
		return p.takesBytes
	}
	var size, largest int64
	for i := range p.stream.Runs {
		size += p.stream.Runs[i].SizeBytes
		largest = max(largest, p.stream.Runs[i].MaxBatchBytes)
	}
	p.takesBytes = max(readerBytes, largest, min(size, frameBytes))
	if !p.exact || largest < joinBelow {
		p.takesBytes += min(decodedShare*size, smallDecoded+joinBytes)
	}
	return p.takesBytes
}

// decodedShare is how much more than stored records may take once they are decoded.
const decodedShare = 8

// read puts a partition's batches in until nobody wants more.
func (l *lane) read(ctx context.Context, o *openPartition) error {
	passing := o.progress.isLeft()
	if passing {
		l.ready.pause()
	}
	defer func() {
		if passing {
			l.ready.resume()
		}
	}()
	for batch, err := range o.feed.stream(ctx) {
		if err != nil {
			o.progress.notRead = mayBeReadLater(err)
			return err
		}
		if passing {
			if err := l.passOver(ctx, o, batch); err != nil {
				return err
			}
			if passing = o.progress.isLeft(); !passing {
				l.ready.resume()
			}
			continue
		}
		if !l.ready.put(o, batch) {
			return nil
		}
	}
	if passing {
		return fmt.Errorf("%s ends at offset %d, and the restore ends at %d: another producer wrote to it", o.part.target, o.progress.left, o.progress.next)
	}
	return nil
}

func (l *lane) close(ctx context.Context, o *openPartition) {
	o.progress.err = cmp.Or(o.progress.err, o.line.err)
	l.open = slices.DeleteFunc(l.open, func(other *openPartition) bool { return other == o })
	l.openBytes -= o.part.readBytes()
	o.progress.aborted, o.progress.pending = o.feed.droppedAborted, o.feed.droppedUndecided
	o.progress.offsets.next = o.progress.next
	l.pieces.close(ctx, o.part.target, &o.progress.offsets)
	l.plan.req.Observer.Observe(&coldstream.Progress{Activity: activity, Partitions: 1})
	l.plan.req.Observer.Observe(&coldstream.Detail{Text: fmt.Sprintf("wrote %s from %s: %d records up to offset %d",
		o.part.target, o.part.stream.View.Stream.TopicPartition(), o.progress.records, o.progress.next)})
}

// send sends the held batches of partitions, and waits for the answers.
func (l *lane) send(ctx context.Context, sending []*openPartition) {
	size := 0
	for _, o := range sending {
		size += len(o.held.batch)
	}
	if cap(l.buffer) < size {
		l.buffer = make([]byte, 0, size)
	}
	buffer := l.buffer[:0]
	batches := make([]coldstream.ProduceBatch, 0, len(sending))
	for _, o := range sending {
		start := len(buffer)
		buffer = l.patched(buffer, o.held, o.progress.sequence)
		batches = append(batches, coldstream.ProduceBatch{
			TopicPartition: o.part.target, TopicID: o.progress.topicID, Batch: buffer[start:len(buffer):len(buffer)],
		})
	}
	if err := awaitTurn(ctx, l.rate, len(buffer)); err != nil {
		l.giveUp(sending, err)
		return
	}
	for _, o := range sending {
		o.progress.sent = true
	}
	for i, result := range l.plan.target.Produce(ctx, l.number, batches) {
		o := sending[i]
		if err := l.settle(ctx, o, result); err != nil {
			o.progress.err = err
			l.ready.drop(o)
		} else {
			l.ready.settled(o)
		}
		o.held = outgoing{} // it keeps a frame
	}
	if cap(l.buffer) > 4*requestBytes {
		l.buffer = nil // one giant batch must not keep its room
	}
}

// giveUp ends partitions whose held batches were never sent.
func (l *lane) giveUp(sending []*openPartition, err error) {
	for _, o := range sending {
		o.progress.err = err
		l.ready.drop(o)
		o.held = outgoing{}
	}
}

// settle takes the broker's answer in. An error ends the partition.
func (l *lane) settle(ctx context.Context, o *openPartition, result coldstream.ProduceResult) error {
	p := o.progress
	err := result.Err
	if err == nil && result.BaseOffset == -1 {
		err = l.findDuplicate(ctx, o)
	} else if err == nil && result.BaseOffset != p.next {
		err = &coldstream.BaseOffsetError{TopicPartition: o.part.target, Want: p.next, Got: result.BaseOffset}
	}
	if err != nil {
		return err
	}
	return l.took(ctx, o, o.held)
}

// took notes that the target's log has a partition's next batch.
func (l *lane) took(ctx context.Context, o *openPartition, out outgoing) error {
	p := o.progress
	at := p.next
	for _, run := range out.runs {
		run.Target = at
		p.offsets.add(run)
		at += run.Count
	}
	p.segment.add(out.batch)
	p.next += int64(out.count)
	p.sequence = recordbatch.NextSequence(p.sequence, out.count)
	p.records += out.records
	l.plan.req.Observer.Observe(&coldstream.Progress{
		Activity: activity, Offsets: out.records, Records: out.records, Bytes: int64(len(out.batch)),
	})
	return l.pieces.grown(ctx, o.part.target, &p.offsets)
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
