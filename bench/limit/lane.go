package main

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"coldstream/bench/wire"
)

// lane is what waits for one connection. A request has one batch of as many partitions as
// fit, and a partition has one batch under way.
type lane struct {
	requestBytes, lookAhead, atOnce int

	mu     sync.Mutex
	change *sync.Cond
	queues map[int32][]wire.Batch
	order  []int32 // partitions with something waiting and nothing under way
	busy   map[int32]bool
	ready  int // bytes of the first batches of those in order
	bytes  int // of all that waits
	ended  bool
	failed bool
}

func newLane(o *options) *lane {
	l := &lane{
		requestBytes: o.requestBytes, lookAhead: o.lookAheadBytes, atOnce: o.requestsAtOnceInLane,
		queues: map[int32][]wire.Batch{}, busy: map[int32]bool{},
	}
	l.change = sync.NewCond(&l.mu)
	return l
}

// push waits for room, and is false if nobody will send the batch.
func (l *lane) push(b wire.Batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.bytes >= l.lookAhead && !l.ended {
		l.change.Wait()
	}
	if l.ended {
		return false
	}
	q := l.queues[b.Partition]
	l.queues[b.Partition] = append(q, b)
	l.bytes += len(b.Bytes)
	if len(q) == 0 && !l.busy[b.Partition] {
		l.offer(b.Partition)
	}
	l.change.Broadcast()
	return true
}

func (l *lane) offer(partition int32) {
	l.order = append(l.order, partition)
	l.ready += len(l.queues[partition][0].Bytes)
}

// end says that nothing more will come.
func (l *lane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.change.Broadcast()
}

func (l *lane) run(ctx context.Context, send func([]wire.Batch) error) error {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failed = true
		l.change.Broadcast()
	})
	defer stop()
	var group errgroup.Group
	for range l.atOnce {
		group.Go(func() error {
			for {
				batches := l.take()
				if len(batches) == 0 {
					return ctx.Err()
				}
				if err := send(batches); err != nil {
					l.fail()
					return err
				}
				l.sent(batches)
			}
		})
	}
	return group.Wait()
}

func (l *lane) fail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = true
	l.change.Broadcast()
}

// take waits until a request can be filled, or nothing more can come to fill it. It
// returns nothing at the end.
func (l *lane) take() []wire.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.failed && l.ready < l.requestBytes && (l.bytes > 0 || !l.ended) && (len(l.order) == 0 || !l.ended && l.bytes < l.lookAhead) {
		l.change.Wait()
	}
	if l.failed {
		return nil
	}
	var batches []wire.Batch
	size := 0
	for len(l.order) > 0 {
		p := l.order[0]
		b := l.queues[p][0]
		if len(batches) > 0 && size+len(b.Bytes) > l.requestBytes {
			break
		}
		batches = append(batches, b)
		size += len(b.Bytes)
		l.order, l.queues[p], l.busy[p] = l.order[1:], l.queues[p][1:], true
	}
	l.ready -= size
	l.bytes -= size
	l.change.Broadcast()
	return batches
}

// sent lets the partitions' next batches go.
func (l *lane) sent(batches []wire.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range batches {
		delete(l.busy, b.Partition)
		if len(l.queues[b.Partition]) > 0 {
			l.offer(b.Partition)
		}
	}
	l.change.Broadcast()
}
