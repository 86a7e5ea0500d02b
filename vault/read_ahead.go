package vault

import (
	"context"
	"sync"

	"coldstream/vault/internal/pack"
)

// framesAheadOfOne is how many frames of one stream are read before they are needed, where
// storage is far away. Together, all streams take a quarter of the cache for it at most.
const framesAheadOfOne = 8

// framesAhead reads the frames of one stream's next runs. It is used by one goroutine.
type framesAhead struct {
	stream  *StreamHistory
	ctx     context.Context //nolint:containedctx // of one call of Batches, which waits for stop
	cancel  context.CancelFunc
	reading sync.WaitGroup
	next    int          // the first run that was not looked at yet
	begun   []aheadFrame // in the order of runs, and not used up
	// reserved is the room that these have.
	reserved int64
}

type aheadFrame struct {
	key   pack.FrameKey
	bytes int64
}

// readAhead begins to read ahead; without a need for it the result is nil, which does nothing.
func (s *StreamHistory) readAhead(ctx context.Context) *framesAhead {
	if !s.history.vault.objects.IsFar() {
		return nil
	}
	a := &framesAhead{stream: s}
	s.history.frames.Enter(1)
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
		if !frames.Reserve(last.Entry.DecodedLength, a.reserved) {
			return
		}
		a.reserved += last.Entry.DecodedLength
		a.begun = append(a.begun, aheadFrame{last, last.Entry.DecodedLength})
		a.reading.Go(func() {
			// An error is met again by who needs the frame.
			_, _ = frames.Frame(a.ctx, run.Ref.Pack, run.Ref.Row.Frame)
		})
	}
}

func (a *framesAhead) keyOf(i int) pack.FrameKey {
	ref := a.stream.Runs[i].Ref
	return pack.KeyOf(ref.Pack, ref.Row.Frame)
}

func (a *framesAhead) release() {
	a.stream.history.frames.Unreserve(a.begun[0].bytes)
	a.reserved -= a.begun[0].bytes
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
	a.stream.history.frames.Enter(-1)
}

// want says, for each frame of the history's streams, that it will be read. Where storage
// is near, requests are not worth sparing.
func (h *History) want() {
	if !h.vault.objects.IsFar() {
		return
	}
	for _, s := range h.streams {
		for i := range s.Runs {
			ref := s.Runs[i].Ref
			if ref.Pack != nil {
				h.frames.Want(ref.Pack, ref.Row.Frame)
			}
		}
	}
}
