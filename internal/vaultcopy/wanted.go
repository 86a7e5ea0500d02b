package vaultcopy

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"coldstream"
	"coldstream/vault"
)

// wantedStream is a stream of which the target lacks something.
type wantedStream struct {
	stream coldstream.Stream
	// views are to be copied one after the other. Each later one is of a newer reading, or
	// of a newer leader epoch, or goes on behind the one before.
	views []vault.View
	at    position // of the target; what is copied moves it
}

// position is how far the target has got with a stream.
type position struct {
	known      bool
	scan       uint32
	nextOffset int64
	lastEpoch  int32
}

// viewsAtOnce bounds how many views the source is asked for in one reading of its catalog.
const viewsAtOnce = 1000

// gather finds what the target lacks of the views of all snapshots that are due. Of views
// that go on behind each other only the last is read.
func (c *copier) gather(all []due) ([]*wantedStream, error) {
	byStream := map[coldstream.Stream]*wantedStream{}
	for _, d := range all {
		for _, view := range d.views {
			w := byStream[view.Stream]
			if w == nil {
				w = &wantedStream{stream: view.Stream, at: c.position(view.Stream)}
				byStream[view.Stream] = w
			}
			if err := c.want(w, view); err != nil {
				return nil, fmt.Errorf("copy snapshot %s: %s: %w", d.snapshot.ID, view.Stream.TopicPartition(), err)
			}
		}
	}
	var out []*wantedStream
	for _, w := range byStream {
		if len(w.views) > 0 {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b *wantedStream) int { return a.stream.Compare(b.stream) })
	return out, nil
}

func (c *copier) position(s coldstream.Stream) position {
	head, known := c.writer.Head(s)
	at := position{known: known, scan: head.Scan, nextOffset: head.NextOffset, lastEpoch: -1}
	if n := len(head.Epochs); n > 0 {
		at.lastEpoch = head.Epochs[n-1].Epoch
	}
	return at
}

// want adds a view, if the target lacks some of it.
func (c *copier) want(w *wantedStream, view vault.View) error {
	of := scan{view.Stream, view.Scan}
	if start, known := c.starts[of]; known && view.LogStartOffset < start {
		return ErrBelow
	}
	if _, known := c.starts[of]; !known {
		c.starts[of] = view.LogStartOffset
	}
	if w.at.known && (view.Scan < w.at.scan || view.Scan == w.at.scan && view.LastEpoch <= w.at.lastEpoch && view.NextOffset <= w.at.nextOffset) {
		return nil // if it is not there after all, the commit of the snapshot says so
	}
	if n := len(w.views); n > 0 && w.views[n-1].Scan == view.Scan && w.views[n-1].LastEpoch == view.LastEpoch {
		last := &w.views[n-1]
		last.NextOffset = max(last.NextOffset, view.NextOffset)
		return nil
	}
	w.views = append(w.views, view)
	return nil
}

// copyStreams copies all streams, in their order, so that what belongs together lies together.
func (c *copier) copyStreams(ctx context.Context, streams []*wantedStream) error {
	for len(streams) > 0 {
		n, views := 0, []vault.View{}
		for n < len(streams) && (n == 0 || len(views)+len(streams[n].views) <= viewsAtOnce) {
			for _, view := range streams[n].views {
				views = append(views, c.widened(streams[n], view))
			}
			n++
		}
		if err := c.copyViews(ctx, streams[:n], views); err != nil {
			return err
		}
		streams = streams[n:]
	}
	return nil
}

// widened begins a view where the target ends: what lies between is copied too, as far as
// the source has it.
func (c *copier) widened(w *wantedStream, view vault.View) vault.View {
	if w.at.known && w.at.scan == view.Scan {
		view.LogStartOffset = max(c.floor(view), min(view.LogStartOffset, w.at.nextOffset))
		return view
	}
	view.LogStartOffset = c.starts[scan{view.Stream, view.Scan}]
	return view
}

// floor is the lowest offset that the source may still have of a view's stream.
func (c *copier) floor(view vault.View) int64 {
	if head, ok := c.source.Head(view.Stream); ok && head.Scan == view.Scan {
		return min(head.Floor, view.LogStartOffset)
	}
	return 0
}

func (c *copier) copyViews(ctx context.Context, streams []*wantedStream, views []vault.View) error {
	h, err := c.from.OpenHistory(ctx, views, vault.HistoryOptions{})
	if err != nil {
		return err
	}
	histories := h.Streams()
	for _, w := range streams {
		for range w.views {
			if err := c.copyView(ctx, w, histories[0]); err != nil {
				return fmt.Errorf("%s: %w", w.stream.TopicPartition(), err)
			}
			histories = histories[1:]
		}
	}
	return nil
}

// copyView copies what the target lacks of a view, and moves the stream's position.
func (c *copier) copyView(ctx context.Context, w *wantedStream, from *vault.StreamHistory) error {
	view, at := from.View, w.at.nextOffset
	switch {
	case !w.at.known || view.Scan > w.at.scan:
		if w.at.known {
			if err := c.commit(ctx, nil); err != nil { // a reading that is over must be there before the next one
				return err
			}
		}
		at = view.LogStartOffset
		c.pending.scans = append(c.pending.scans, vault.ScanStart{Stream: w.stream, Scan: view.Scan, FirstOffset: at, Started: c.asOf})
		w.at = position{known: true, scan: view.Scan, lastEpoch: -1}
	case at < view.LogStartOffset: // the source has released what is between
		c.addGap(vault.StreamGap{
			Stream: w.stream, Scan: view.Scan, FirstOffset: at, NextOffset: view.LogStartOffset, Cause: coldstream.GapLogStartAdvanced,
		})
		at = view.LogStartOffset
	default:
		at = min(at, forkedAt(from, w.at.lastEpoch))
	}
	w.at.nextOffset, w.at.lastEpoch = max(at, view.NextOffset), max(w.at.lastEpoch, view.LastEpoch)
	if at >= view.NextOffset {
		w.at.nextOffset = at
		return nil
	}
	c.result.Offsets += view.NextOffset - at
	if c.opts.DryRun {
		return nil
	}
	return c.copyRange(ctx, from, at)
}

// forkedAt says where a leader epoch begins that the target has not heard of. If the target
// holds more, then of a log that has lost its end since.
func forkedAt(from *vault.StreamHistory, last int32) int64 {
	for i := range from.Runs {
		for _, e := range from.Runs[i].Epochs() {
			if e.Epoch > last {
				return e.FirstOffset
			}
		}
	}
	return math.MaxInt64
}

// copyRange copies a view from an offset on.
func (c *copier) copyRange(ctx context.Context, from *vault.StreamHistory, at int64) error {
	s := &streamCopy{copier: c, view: from.View, at: at}
	for _, gap := range from.Gaps {
		if gap.NextOffset > at {
			gap.FirstOffset = max(gap.FirstOffset, at)
			s.gaps = append(s.gaps, gap)
		}
	}
	slices.SortFunc(s.gaps, func(a, b coldstream.Gap) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	for batch, err := range from.Batches(ctx, at) {
		if err == nil {
			err = s.add(ctx, batch, batch.BaseOffset(), batch.NextOffset())
		}
		if err != nil {
			return err
		}
		c.result.Batches++
		if !batch.IsControl() {
			c.result.Records += int64(batch.RecordCount())
		}
	}
	return s.finish(ctx)
}
