package backup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// A cleaner keeps a tombstone for delete.retention.ms, and then removes it. Whoever reads
// later has the deleted record and not the tombstone, and would bring the record back. So a
// compacted partition is read again in full, in a new scan, unless no tombstone can have
// been missed:
//
//   - The vault's newest pass over the stream says that what lies behind it was written after
//     some time. A tombstone there was in the log for as long as the cleaner keeps it after that.
//   - What a cleaner removed leaves a hole: where each offset has its record nothing was missed,
//     however late it was read. That needs no clock.
//   - A hole that was read in time held no tombstone that was due.
//
// So only a hole that was read late is in doubt, and so is all where nothing is known of the
// pass before, or where clocks went backwards.

// Rescanned is a compacted partition that was read again in full, and why.
type Rescanned struct {
	coldstream.TopicPartition
	Why string
}

// watch follows whether a compacted partition's tombstones may have been missed.
type watch struct {
	// kept is how long the cleaner keeps tombstones now; retention is the shorter of that and
	// of how long it did when the pass before was made.
	kept, retention time.Duration
	// since is a time up to which no tombstone was removed that is not in the vault and
	// deletes what is: they are kept for their retention from then on.
	since time.Time
	// inDoubt says that the vault's pass is, and that nothing was written since.
	inDoubt bool
	// fresh says that the scan began in this run: another one would not be better.
	fresh     bool
	truncated bool
	missed    bool
	// never says that the partition is not read again in full, whatever was missed. What is saved
	// of it stays in doubt then: once it may be read again, it is.
	never bool
}

// earlier is what a new scan stands in for once it is complete; until then snapshots show it.
type earlier struct {
	scan       uint32
	nextOffset int64
	lastEpoch  int32
	asOf       time.Time
	retention  time.Duration
}

// isLate says that a tombstone may have come and gone before a time. A tenth of the retention
// is left for clocks that do not agree.
func (w *watch) isLate(at time.Time) bool {
	return w.truncated || at.Before(w.since) || at.Sub(w.since) > w.retention-w.retention/10
}

// noteHole takes in that offsets were read that have no record any more.
func (w *watch) noteHole(at time.Time) { w.missed = w.missed || w.isLate(at) }

const (
	whyUnknown     = "it is not known when this compacted partition was last read to its end in time: tombstones may have been missed"
	whyInterrupted = "reading it in full was interrupted, and is not to be finished in time: tombstones may have been missed"
	whyLate        = "the cleaner has removed records since the last backup, and may have removed tombstones before they could be saved"
)

// watchTombstones decides where to go on with a compacted partition, when the ends of its
// log are known: where the vault's head is, or, if that cannot be relied on, at the log's
// start. now is a time before the ends were asked for.
func (p *partition) watchTombstones(now time.Time) {
	w := p.watch
	if w == nil {
		return
	}
	if p.begins {
		w.fresh, w.since = true, now
		return
	}
	pass, before := p.head.Pass, earlier{scan: p.head.Scan, nextOffset: p.head.NextOffset, lastEpoch: p.lastEpoch}
	if pass != nil {
		before = earlier{pass.Scan, pass.NextOffset, pass.LastEpoch, pass.AsOf, pass.Retention}
	}
	switch {
	case pass != nil && pass.Scan == p.head.Scan && !pass.AsOf.IsZero():
		w.since, w.retention = pass.AsOf, min(w.retention, pass.Retention)
		if !p.head.HolesAt.IsZero() {
			w.noteHole(p.head.HolesAt)
		}
	case pass != nil && pass.Scan == p.head.Scan && p.head.NextOffset == pass.NextOffset && p.highWatermark <= pass.NextOffset:
		w.inDoubt = true // and with nothing new it would be no less so
	case w.never && (pass != nil && pass.Scan == p.head.Scan || p.head.Started.IsZero()):
		w.inDoubt = true
	case pass != nil && pass.Scan == p.head.Scan || p.head.Started.IsZero():
		p.readAgain(now, before, whyUnknown)
	default:
		// A reading in full that did not come to its end yet goes on.
		w.since = p.head.Started
		if !p.head.HolesAt.IsZero() {
			w.noteHole(p.head.HolesAt)
		}
		late := w.missed || w.isLate(now)
		if late && !w.never {
			p.readAgain(now, before, whyInterrupted)
			return
		}
		w.inDoubt = late
		if pass != nil {
			p.before, p.why = &before, whyUnknown
		}
	}
}

// readAgain begins a new scan at the log's start.
func (p *partition) readAgain(now time.Time, before earlier, why string) {
	p.before, p.why = &before, why
	p.scan++
	p.begins = true
	p.nextOffset, p.firstOffset = p.logStartOffset, p.logStartOffset
	p.epochs, p.lastEpoch = nil, -1
	p.watch = &watch{kept: p.watch.kept, retention: p.watch.kept, since: now, fresh: true}
	p.started = now
}

// mayReadAgain says that a compacted partition is read in full if what is new of it has holes.
func (p *partition) mayReadAgain(now time.Time) bool {
	w := p.watch
	return w != nil && !w.fresh && !w.never && (w.missed || w.isLate(now) && p.nextOffset < p.stopOffset)
}

// isIncomplete says that a snapshot cannot show the partition's scan: a reading in full has
// not come to its end.
func (p *partition) isIncomplete() bool {
	return p.before != nil && (p.failed || p.nextOffset < p.rescanStop)
}

// rescanned are the partitions that were read again in full, or, before that, are to be.
func (p *plan) rescanned() []Rescanned {
	var out []Rescanned
	for _, part := range p.partitions {
		if part.before != nil && !part.failed {
			out = append(out, Rescanned{part.stream.TopicPartition(), part.why})
		}
	}
	return out
}

// compactedView says what the shown view of a compacted partition can be relied on for.
func (p *partition) compactedView(began time.Time) vault.CompactedView {
	out := vault.CompactedView{Stream: p.stream, AsOf: began, Retention: p.watch.kept}
	switch w := p.watch; {
	case p.isIncomplete():
		out.AsOf, out.Retention = p.before.asOf, p.before.retention
	case w.missed || w.inDoubt:
		out.AsOf = time.Time{}
	case p.failed: // what it did not come to is as old as before
		out.AsOf, out.Retention = w.since, w.retention
	}
	return out
}

// watchData takes in what was read of a compacted partition.
func (w *watch) watchData(f *coldstream.Fetched, now time.Time) {
	if w != nil && !isDense(f) {
		w.noteHole(now)
	}
}

// isDense says that each offset still has its record.
func isDense(f *coldstream.Fetched) bool {
	at := f.FirstOffset
	for rest := f.Batches; len(rest) > 0; {
		batch, after, err := recordbatch.Next(rest)
		if err != nil || batch.BaseOffset() > at || int64(batch.RecordCount()) != batch.NextOffset()-batch.BaseOffset() {
			return false
		}
		at, rest = batch.NextOffset(), after
	}
	return at == f.NextOffset
}

// readAgain reads in full what may lack tombstones, once all else is read and saved. What
// was read before stays what snapshots show until that is complete.
func (c *collector) readAgain(ctx context.Context) error {
	var again []*partition
	for _, p := range c.run.plan.partitions {
		if p.watch != nil && p.watch.missed && !p.watch.fresh && !p.watch.never && !p.failed {
			again = append(again, p)
		}
	}
	if len(again) == 0 {
		return nil
	}
	if err := c.commitWaiting(ctx); err != nil { // of the scans that are over
		return err
	}
	now := c.run.opts.Now()
	for _, p := range again {
		stop := p.nextOffset
		p.readAgain(now, earlier{scan: p.scan, nextOffset: p.nextOffset, lastEpoch: p.lastEpoch}, whyLate)
		p.stopOffset = stop
		c.waiting.scans = append(c.waiting.scans, p.scanStart())
	}
	c.announce(again)
	return c.fetchAndCommit(ctx, again)
}

// warnDoubtful says where even reading all of a partition took longer than its cleaner
// keeps tombstones.
func (c *collector) warnDoubtful() {
	for _, p := range c.run.plan.partitions {
		if p.watch != nil && p.watch.fresh && p.watch.missed && !p.failed {
			c.run.opts.Observer.Observe(&coldstream.Warning{
				Text: fmt.Sprintf("%s: reading it in full took longer than its cleaner keeps tombstones (delete.retention.ms is %d): keys that were deleted meanwhile may come back at a restore",
					p.stream.TopicPartition(), p.watch.kept.Milliseconds()),
				Hint: "raise delete.retention.ms of the topic; the next backup reads it again in full once it has new records",
			})
		}
	}
}

// sortedCompacted are the compacted views of a snapshot.
func (p *plan) sortedCompacted() []vault.CompactedView {
	var out []vault.CompactedView
	for _, part := range p.partitions {
		if part.watch != nil {
			out = append(out, part.compactedView(p.began))
		}
	}
	slices.SortFunc(out, func(a, b vault.CompactedView) int { return a.Stream.Compare(b.Stream) })
	return out
}
