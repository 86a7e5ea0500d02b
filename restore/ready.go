package restore

import "sync"

// ready holds what the readers of a lane's partitions have ready to send. Each puts its
// batches in, in order. The lane takes one batch of as many partitions as a request holds,
// and no other of a partition before it has settled that one: of two under way, the second
// could be appended first.
type ready struct {
	requestBytes int
	// aheadBytes bounds what waits, beyond a batch of each partition: those always may, so
	// that there is something to send, and are bounded by who begins a partition.
	aheadBytes int

	mu sync.Mutex
	// filled wakes the lane, room the readers: there are many, and only what is taken
	// makes room.
	filled, room *sync.Cond
	// turns are the partitions whose first batch may be taken, in the order in which they
	// had one; firstBytes is the size of these batches, bytes that of all that wait.
	turns             []*openPartition
	firstBytes, bytes int
	// live counts the partitions that have a batch, or may get one.
	live     int
	finished []*openPartition
	stopped  bool
}

// line is a partition's part of ready, and guarded by its lock.
type line struct {
	waiting []outgoing
	bytes   int
	// busy says that the partition has a turn, or a batch that is not settled.
	busy, ended, dropped bool
	err                  error // that ended it
}

func newReady(requestBytes, aheadBytes int) *ready {
	r := &ready{requestBytes: requestBytes, aheadBytes: aheadBytes}
	r.filled, r.room = sync.NewCond(&r.mu), sync.NewCond(&r.mu)
	return r
}

// begin counts a partition in, whose reader will call put, and end.
func (r *ready) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live++
}

// pause says that a partition waits for another one: the lane must not wait for it. resume
// ends that.
func (r *ready) pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live--
	r.filled.Signal()
	r.room.Broadcast()
}

func (r *ready) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live++
}

// put adds a partition's next batch, and waits until there is room for another, which is
// not read before. It is false if nobody wants more.
func (r *ready) put(o *openPartition, batch outgoing) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || o.line.dropped {
		return false
	}
	o.line.waiting = append(o.line.waiting, batch)
	o.line.bytes += len(batch.batch)
	r.bytes += len(batch.batch)
	r.offer(o)
	r.filled.Signal()
	for !r.stopped && len(o.line.waiting) > 0 && !r.hasRoom(o) {
		r.room.Wait()
	}
	return !r.stopped && !o.line.dropped
}

// hasRoom gives each partition the same share: one that is read fast must not keep the
// others from having a batch in each request.
func (r *ready) hasRoom(o *openPartition) bool {
	return r.bytes < r.aheadBytes && o.line.bytes < r.aheadBytes/max(1, r.live)
}

func (r *ready) offer(o *openPartition) {
	if !o.line.busy && len(o.line.waiting) > 0 {
		o.line.busy = true
		r.turns = append(r.turns, o)
		r.firstBytes += len(o.line.waiting[0].batch)
	}
}

// end says that a partition's reader will put nothing more in, and why.
func (r *ready) end(o *openPartition, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.line.ended, o.line.err = true, err
	r.finish(o)
	r.filled.Signal()
}

func (r *ready) finish(o *openPartition) {
	if !o.line.ended || o.line.busy || len(o.line.waiting) > 0 {
		return
	}
	if !o.line.dropped {
		r.live--
		r.room.Broadcast() // the others have larger shares
	}
	r.finished = append(r.finished, o)
}

// take waits for partitions that are finished, or else for enough to fill a request, and
// gives each partition to send its held batch. It returns nothing after stop.
//
// It does not wait for what may not come: when every partition has had its turn, or the
// readers are so far ahead that only a slow one is missing.
func (r *ready) take() (sending, finished []*openPartition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.stopped && len(r.finished) == 0 &&
		(len(r.turns) == 0 || r.firstBytes < r.requestBytes && len(r.turns) < r.live && r.bytes < r.aheadBytes/2) {
		r.filled.Wait()
	}
	if r.stopped {
		return nil, nil
	}
	if finished, r.finished = r.finished, nil; len(finished) > 0 {
		return nil, finished
	}
	size := 0
	for _, o := range r.turns {
		first := o.line.waiting[0]
		if len(sending) > 0 && size+len(first.batch) > r.requestBytes {
			break
		}
		size += len(first.batch)
		o.held, o.line.waiting[0] = first, outgoing{}
		o.line.waiting = o.line.waiting[1:]
		o.line.bytes -= len(first.batch)
		sending = append(sending, o)
	}
	r.turns = r.turns[len(sending):]
	r.firstBytes -= size
	r.bytes -= size
	r.room.Broadcast()
	return sending, nil
}

// settled lets a partition's next batch have its turn.
func (r *ready) settled(o *openPartition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.line.busy = false
	r.offer(o)
	r.finish(o)
	r.filled.Signal()
}

// drop throws away what a partition has: its batch could not be sent.
func (r *ready) drop(o *openPartition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.line.busy, o.line.dropped = false, true
	r.live--
	r.bytes -= o.line.bytes
	o.line.waiting, o.line.bytes = nil, 0
	r.finish(o)
	r.filled.Signal()
	r.room.Broadcast()
}

// stop lets nobody wait any more.
func (r *ready) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.filled.Signal()
	r.room.Broadcast()
}
