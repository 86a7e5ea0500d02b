package vault

import (
	"context"
	"sync"
)

// framesAheadOfOne is how many frames of one stream are read before they are needed, where
// storage is far away. Together, all streams take half of the cache for it at most.
const framesAheadOfOne = 8

// framesAhead reads the frames of one stream's next runs. It is used by one goroutine.
type framesAhead struct {
	stream  *StreamHistory
	ctx     context.Context //nolint:containedctx // of one call of Batches, which waits for stop
	cancel  context.CancelFunc
	reading sync.WaitGroup
	next    int          // the first run that was not looked at yet
	begun   []aheadFrame // in the order of runs, and not used up
}

type aheadFrame struct {
	key   frameKey
	bytes int64
}

// readAhead begins to read ahead; without a need for it the result is nil, which does nothing.
func (s *StreamHistory) readAhead(ctx context.Context) *framesAhead {
	if !s.history.vault.objects.IsFar() {
		return nil
	}
	a := &framesAhead{stream: s}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// at says that run i is read next: frames before it are used up, and those behind it are
// begun as far as there is room.
func (a *framesAhead) at(i int) {
	if a == nil || a.stream.Runs[i].Ref.Pack == nil {
		return
	}
	current := a.keyOf(i)
	for len(a.begun) > 0 && a.begun[0].key != current {
		a.release()
	}
	last := current
	if n := len(a.begun); n > 0 {
		last = a.begun[n-1].key
	}
	frames := a.stream.history.frames
	for a.next = max(a.next, i+1); a.next < len(a.stream.Runs) && len(a.begun) < framesAheadOfOne; a.next++ {
		run := &a.stream.Runs[a.next]
		if run.Ref.Pack == nil || a.keyOf(a.next) == last {
			continue
		}
		last = a.keyOf(a.next)
		if !frames.reserve(last.entry.DecodedLength) {
			return
		}
		a.begun = append(a.begun, aheadFrame{last, last.entry.DecodedLength})
		a.reading.Go(func() {
			// An error is met again by who needs the frame.
			_, _ = frames.get(a.ctx, a.stream.history.vault, run.Ref.Pack, run.Ref.Row.Frame)
		})
	}
}

func (a *framesAhead) keyOf(i int) frameKey {
	ref := a.stream.Runs[i].Ref
	return keyOf(ref.Pack, ref.Row.Frame)
}

func (a *framesAhead) release() {
	a.stream.history.frames.unreserve(a.begun[0].bytes)
	a.begun = a.begun[1:]
}

// stop ends it, and returns when nothing is being read any more.
func (a *framesAhead) stop() {
	if a == nil {
		return
	}
	a.cancel()
	a.reading.Wait()
	for len(a.begun) > 0 {
		a.release()
	}
}

// reserve takes room for a frame that is to be read ahead.
func (c *frameCache) reserve(bytes int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead+bytes > c.bound/2 {
		return false
	}
	c.ahead += bytes
	return true
}

func (c *frameCache) unreserve(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead -= bytes
}
