package vault

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/vault/internal/lineage"
)

// Shown is what a choice shows: the snapshot that it goes by, which has the metadata, and views of
// the topics' streams.
type Shown struct {
	Snapshot *Snapshot
	Topics   []coldstream.Topic
	// Views are of the topics' streams, sorted.
	Views []View
	// Cuts say of each of the views how sharply it ends at [Choice].At; nil without.
	Cuts []Cut
	// Added are streams that the snapshot does not show.
	Added []coldstream.Stream
	// ReadBefore are streams of which the vault also holds earlier readings, which an archive leaves out.
	ReadBefore []coldstream.Stream
	// Damage is what was met where a cut was looked for. The view ends before it.
	Damage []*DamageError
	// AsOf is the time that the views are of; zero where they are of none.
	AsOf time.Time

	ofSnapshot map[coldstream.Stream]View
}

// Cut is how sharply a view ends at a time. What lies below CommittedNextOffset was saved by
// then, and so it was there. What lies at or above BoundNextOffset had not come when the log's end was
// next looked at. Between the two, timestamps of batches decide: the view ends before the first batch
// with a later one.
type Cut struct {
	CommittedNextOffset, BoundNextOffset int64
	// Bound is the snapshot that looked at the end next; nil if none did, and the end is that of all
	// that the vault holds.
	Bound *Snapshot
	// LeftOutMs is the timestamp of the batch that the view ends before; -1 if no batch decided.
	LeftOutMs int64
	// Reread says that the log was read again from its start between the two, as that of a compacted
	// topic is: what came between the two cannot be told from what was there.
	Reread bool
}

// IsSharp says that nothing had to be decided by timestamps.
func (c *Cut) IsSharp() bool { return c.CommittedNextOffset == c.BoundNextOffset }

// Show finds the snapshot that is meant, as [Catalog.Choose] does, and views of the topics chosen:
//   - those of the snapshot;
//   - with [Choice].At as the logs were then: all that was committed by that time, and what else came
//     before the next look at a log's end as far as timestamps say so. Each log begins where the
//     snapshot's does;
//   - with [Choice].Archive all that the vault holds of the streams, whatever snapshots show. Of
//     a stream that was read in full several times that is the newest reading that came to the end.
//
// With At it may read batches, of one row for each stream.
func (c *Catalog) Show(ctx context.Context, choice *Choice) (*Shown, error) {
	for {
		shown, err := c.show(ctx, choice)
		if !errors.Is(err, errTurned) {
			return shown, err
		}
		if c, err = c.vault.OpenCatalog(ctx); err != nil {
			return nil, err
		}
	}
}

func (c *Catalog) show(ctx context.Context, choice *Choice) (*Shown, error) {
	snapshot, topics, err := c.Choose(ctx, choice)
	if err != nil {
		return nil, err
	}
	shown := &Shown{Snapshot: snapshot, Topics: topics, AsOf: snapshot.Time, ofSnapshot: map[coldstream.Stream]View{}}
	views, err := snapshot.Views(ctx)
	if err != nil {
		return nil, err
	}
	chosen := map[topicIdentity]bool{}
	for _, t := range topics {
		chosen[topicIdentity{t.Name, t.ID}] = true
	}
	for _, view := range views {
		if chosen[topicIdentity{view.Stream.Topic, view.Stream.TopicID}] {
			shown.Views = append(shown.Views, view)
			shown.ofSnapshot[view.Stream] = view
		}
	}
	switch {
	case choice.Archive:
		shown.AsOf = time.Time{}
		return shown, c.showAll(ctx, shown)
	case !choice.At.IsZero():
		shown.AsOf = choice.At
		return shown, c.showAt(ctx, shown, choice.At)
	}
	return shown, nil
}

// topicIdentity tells a topic from another of its name.
type topicIdentity struct {
	name string
	id   coldstream.TopicID
}

// streamsOf are the streams of the topics: those of the snapshot, and others that the vault holds.
func (c *Catalog) streamsOf(shown *Shown) []coldstream.Stream {
	var out []coldstream.Stream
	of := map[coldstream.Incarnation]bool{}
	for s := range shown.ofSnapshot {
		out, of[s.Incarnation] = append(out, s), true
	}
	for s := range c.heads {
		if _, known := shown.ofSnapshot[s]; !known && of[s.Incarnation] {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, coldstream.Stream.Compare)
	return out
}

// collect reads all rows of some streams.
func (c *Catalog) collect(ctx context.Context, streams []coldstream.Stream) (*rowCollector, error) {
	rows := newRowCollector(c.vault, nil)
	for _, s := range streams {
		rows.addStream(s)
	}
	return rows, c.eachFacts(ctx, rows.wants, rows.visit)
}

// committedBy is the view of a stream with all that was committed by a time, of the newest scan that
// had come as far as those before it by then. It is false if there was nothing.
func (c *Catalog) committedBy(rows *rowCollector, shown *Shown, stream coldstream.Stream, ms int64) (best View, found bool) {
	best, found = shown.ofSnapshot[stream]
	if set := rows.wanted[scanOf{stream, best.Scan}]; found && set != nil {
		best = set.CommittedBy(best, ms)
	}
	head := c.heads[stream]
	if head == nil {
		return best, found
	}
	for scan := best.Scan; scan <= head.scan; scan++ {
		set := rows.wanted[scanOf{stream, scan}]
		if set == nil || found && scan == best.Scan {
			continue
		}
		view, ok := c.begin(stream, scan, set)
		if !ok {
			continue
		}
		first := view.NextOffset
		if view = set.CommittedBy(view, ms); view.NextOffset > first && (!found || view.NextOffset >= best.NextOffset) {
			best, found = view, true
		}
	}
	return best, found
}

// begin is an empty view of a scan, where what the vault holds of it begins. It is false if the vault
// holds nothing of it.
func (c *Catalog) begin(stream coldstream.Stream, scan uint32, set *lineage.Set) (View, bool) {
	first, ok := set.FirstOffset()
	if head := c.heads[stream]; head != nil && head.scan == scan {
		first = max(first, head.floor)
	}
	return View{Stream: stream, Scan: scan, LogStartOffset: first, NextOffset: first, LastEpoch: lineage.NoEpoch}, ok
}

// showAll makes views of all that the vault holds.
func (c *Catalog) showAll(ctx context.Context, shown *Shown) error {
	streams := c.streamsOf(shown)
	rows, err := c.collect(ctx, streams)
	if err != nil {
		return err
	}
	readings := rows.readings()
	shown.Views = nil
	for _, s := range streams {
		view, found := c.committedBy(rows, shown, s, math.MaxInt64)
		if !found {
			continue
		}
		others := readings[s]
		if set := rows.wanted[scanOf{s, view.Scan}]; set != nil && len(set.Rows) > 0 {
			others--
		}
		if others > 0 {
			shown.ReadBefore = append(shown.ReadBefore, s)
		}
		if set := rows.wanted[scanOf{s, view.Scan}]; set != nil {
			// A snapshot may begin before the first row, at a gap.
			if all, ok := c.begin(s, view.Scan, set); ok {
				view.LogStartOffset = min(view.LogStartOffset, all.LogStartOffset)
			}
		}
		shown.add(view)
	}
	return nil
}

// add takes a view in, behind those before it.
func (s *Shown) add(view View) {
	s.Views = append(s.Views, view)
	if _, known := s.ofSnapshot[view.Stream]; !known {
		s.Added = append(s.Added, view.Stream)
	}
}

// readings counts the scans of each stream that there are rows of.
func (c *rowCollector) readings() map[coldstream.Stream]int {
	out := map[coldstream.Stream]int{}
	for of, set := range c.wanted {
		if len(set.Rows) > 0 {
			out[of.stream]++
		}
	}
	return out
}

// cutAt is where the end of a stream's view is being looked for.
type cutAt struct {
	view View
	set  *lineage.Set
	Cut
	lastEpoch int32 // of the bound
	pending   bool  // no bound is known yet
}

// showAt makes the views of a time.
func (c *Catalog) showAt(ctx context.Context, shown *Shown, at time.Time) error {
	streams := c.streamsOf(shown)
	rows, err := c.collect(ctx, streams)
	if err != nil {
		return err
	}
	var cuts []*cutAt
	for _, s := range streams {
		view, found := c.committedBy(rows, shown, s, at.UnixMilli())
		if !found {
			continue
		}
		cut := &cutAt{view: view, set: rows.wanted[scanOf{s, view.Scan}], Cut: Cut{view.NextOffset, view.NextOffset, nil, -1, false}}
		cuts = append(cuts, cut)
		head := c.heads[s]
		if cut.set == nil {
			continue
		}
		all := cut.set.CommittedBy(view, math.MaxInt64)
		cut.pending = all != view || head != nil && head.scan > view.Scan
		cut.BoundNextOffset, cut.lastEpoch = all.NextOffset, all.LastEpoch
	}
	if err := c.bound(ctx, shown, cuts, at); err != nil {
		return err
	}
	if err := c.decide(ctx, shown, rows, cuts, at); err != nil {
		return err
	}
	shown.Views, shown.Cuts = nil, nil
	for _, cut := range cuts {
		shown.add(cut.view)
		shown.Cuts = append(shown.Cuts, cut.Cut)
	}
	return nil
}

// bound finds who looked at the ends next, behind a time.
func (c *Catalog) bound(ctx context.Context, shown *Shown, cuts []*cutAt, at time.Time) error {
	pending := map[coldstream.Stream]*cutAt{}
	for _, cut := range cuts {
		if cut.pending {
			pending[cut.view.Stream] = cut
		}
	}
	behind := false
	for i := range c.snapshots {
		s := &c.snapshots[i]
		switch {
		case s.ID == shown.Snapshot.ID:
			behind = true
			continue
		case !behind || len(pending) == 0 || s.ClusterID != shown.Snapshot.ClusterID || !s.Time.After(at):
			continue
		}
		views, err := s.Views(ctx)
		if errors.Is(err, coldstream.ErrCorrupt) || errors.Is(err, coldstream.ErrForgotten) {
			continue // the next one tells more loosely
		}
		if err != nil {
			return err
		}
		for _, view := range views {
			if cut := pending[view.Stream]; cut != nil {
				cut.boundBy(s, view)
				delete(pending, view.Stream)
			}
		}
	}
	return nil
}

// boundBy takes the view of the snapshot that looked next.
func (c *cutAt) boundBy(s *Snapshot, next View) {
	c.Bound, c.lastEpoch = s, next.LastEpoch
	c.Reread = next.Scan != c.view.Scan
	c.BoundNextOffset = max(next.NextOffset, c.view.NextOffset)
}

// rest is what may have been there too. It is false if nothing is: also where the log lost what it
// would go on from.
func (c *cutAt) rest() (View, bool) {
	rest := View{
		Stream: c.view.Stream, Scan: c.view.Scan, LogStartOffset: c.view.NextOffset, NextOffset: c.BoundNextOffset, LastEpoch: c.lastEpoch,
	}
	if c.Reread || c.set == nil || rest.NextOffset <= rest.LogStartOffset {
		return rest, false
	}
	if !c.set.GoesOn(c.view, c.lastEpoch) {
		c.BoundNextOffset = c.view.NextOffset
		return rest, false
	}
	return rest, true
}

// cutsAtOnce is how many rows are read together where cuts are looked for.
const cutsAtOnce = 8

// decide ends each view before the first batch that is stamped later.
func (c *Catalog) decide(ctx context.Context, shown *Shown, rows *rowCollector, cuts []*cutAt, at time.Time) error {
	var of []*cutAt
	for _, cut := range cuts {
		if rest, ok := cut.rest(); ok {
			of, rows.views = append(of, cut), append(rows.views, rest)
		}
	}
	if len(of) == 0 {
		return nil
	}
	h := newHistory(c, HistoryOptions{})
	if err := h.cover(ctx, c, rows); err != nil {
		return err
	}
	damage := make([]*DamageError, len(of))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cutsAtOnce)
	for i, s := range h.streams {
		group.Go(func() error {
			next, leftOut, err := s.firstLater(ctx, at.UnixMilli())
			if err != nil && !errors.As(err, &damage[i]) {
				return err
			}
			cut := of[i]
			cut.view.NextOffset, cut.LeftOutMs = next, leftOut
			cut.view.LastEpoch = max(cut.view.LastEpoch, cut.set.LastEpochBelow(s.View, next))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	shown.Damage = slices.DeleteFunc(damage, func(d *DamageError) bool { return d == nil })
	return nil
}

// firstLater is the offset of the first batch that is stamped later, with its timestamp, or where the last
// run ends. With an error it is how far that could be told.
func (s *StreamHistory) firstLater(ctx context.Context, ms int64) (at, stampMs int64, err error) {
	at = s.View.LogStartOffset
	for i := range s.Runs {
		run := &s.Runs[i]
		if run.MaxTimestampMs <= ms {
			at = run.NextOffset
			continue
		}
		for b, err := range s.Batches(ctx, run.FirstOffset) {
			if err != nil {
				return at, -1, err
			}
			if b.BaseOffset() >= run.NextOffset {
				break
			}
			if b.MaxTimestampMs() > ms {
				return max(at, b.BaseOffset()), b.MaxTimestampMs(), nil
			}
			at = max(at, min(b.NextOffset(), run.NextOffset))
		}
		at = run.NextOffset
	}
	return at, -1, nil
}
