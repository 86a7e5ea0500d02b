package restore

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream/vault"
)

// Bound is where a part of partitions begins or ends: at an offset, or at the first record that is
// stamped at a time or later.
type Bound struct {
	Offset int64
	Time   time.Time // zero for an offset
}

// String is for people.
func (b *Bound) String() string {
	if b.Time.IsZero() {
		return fmt.Sprintf("offset %d", b.Offset)
	}
	return b.Time.UTC().Format(recordTime)
}

// checkPart refuses a part that ends before it begins.
func (r *Request) checkPart() error {
	if r.Since == nil || r.Until == nil || r.Since.Time.IsZero() != r.Until.Time.IsZero() {
		return nil
	}
	if r.Since.Offset < r.Until.Offset || r.Since.Time.Before(r.Until.Time) {
		return nil
	}
	return &UsageError{Option: OptionUntil, Text: fmt.Sprintf("%s is not behind where the part begins, %s: nothing is between them", r.Until, r.Since)}
}

// boundsAtOnce is how many partitions are looked into together.
const boundsAtOnce = 8

// partViews narrows views to the part that is asked for. Whole are their streams before: with what
// they know of transactions that end behind the part. They are nil where all is asked for.
func (p *Plan) partViews(ctx context.Context, catalog *vault.Catalog, views []vault.View) (part []vault.View, whole []*vault.StreamHistory, err error) {
	if p.req.Since == nil && p.req.Until == nil {
		return views, nil, nil
	}
	history, err := catalog.OpenHistory(ctx, views, vault.HistoryOptions{SnapshotTime: p.shown.AsOf})
	if err != nil {
		return nil, nil, err
	}
	whole = history.Streams()
	part = make([]vault.View, len(views))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(boundsAtOnce)
	for i, s := range whole {
		group.Go(func() (err error) {
			part[i], err = p.req.partOf(ctx, s)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	empty := 0
	for _, view := range part {
		if view.LogStartOffset == view.NextOffset {
			empty++
		}
	}
	if empty > 0 && empty == len(part) {
		p.warn("nothing lies in the part that is asked for: all partitions are restored empty")
	}
	if p.req.Groups || len(p.req.GroupNames) > 0 {
		p.warn("only a part of partitions is restored: consumer groups that stood before it begin where it does, those behind it stand at its end")
	}
	return part, whole, nil
}

// partOf narrows the view of a stream.
func (r *Request) partOf(ctx context.Context, s *vault.StreamHistory) (vault.View, error) {
	view := s.View
	if r.Since != nil {
		first, err := r.Since.in(ctx, s)
		if err != nil {
			return view, err
		}
		view.LogStartOffset = first
	}
	if r.Until != nil {
		next, err := r.Until.in(ctx, s)
		if err != nil {
			return view, err
		}
		view.NextOffset = max(next, view.LogStartOffset)
	}
	return view, nil
}

// in is the offset of the bound in a stream, within its view. By a time it is what Kafka answers: that of
// the first record that is stamped then or later, of whatever transaction.
func (b *Bound) in(ctx context.Context, s *vault.StreamHistory) (int64, error) {
	view := s.View
	if b.Time.IsZero() {
		return min(max(b.Offset, view.LogStartOffset), view.NextOffset), nil
	}
	ms := b.Time.UnixMilli()
	for r, err := range Records(ctx, s, RecordsOptions{SinceMs: ms, Uncommitted: true}) {
		if err != nil {
			return 0, fmt.Errorf("find the first record of %s from %s on: %w", view.Stream.TopicPartition(), b, err)
		}
		if r.TimestampMs >= ms {
			return r.Offset, nil
		}
	}
	return view.NextOffset, nil
}
