package restore

import (
	"context"
	"errors"

	"coldstream/vault"
)

// counted is what becomes of a run's records, as far as only its batches tell.
type counted struct {
	runs             []mapped // Target is not filled in
	aborted, pending int64
}

// Count reads those parts of the vault whose rows alone do not tell how many records are
// restored, and to which offsets groups are translated: runs with transactions that did not
// end well or not at all, runs of which the snapshot shows a part, and runs with holes in which
// a group stands. [Plan.DryRun] is then what Execute will do. Damage that is met is in Damage.
func (p *Plan) Count(ctx context.Context) error {
	wanted := p.wantedOffsets()
	for _, t := range p.topics {
		for _, part := range t.partitions {
			if part.counted != nil {
				continue
			}
			part.counted = map[int]*counted{}
			err := part.count(ctx, wanted[part])
			var damage *vault.DamageError
			if errors.As(err, &damage) {
				p.Damage = append(p.Damage, damage)
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// wantedOffsets are the offsets of all groups, by the partitions that they are in.
func (p *Plan) wantedOffsets() map[*partitionPlan][]int64 {
	out := map[*partitionPlan][]int64{}
	for _, g := range p.groups {
		for _, o := range g.offsets {
			out[o.part] = append(out[o.part], o.recorded.Offset)
		}
	}
	return out
}

// count goes through the partition's runs, those beside each other in one go: a batch on the
// border of two is stored with both.
func (p *partitionPlan) count(ctx context.Context, groups []int64) error {
	feed := newFeed(p)
	runs := p.stream.Runs
	for i := 0; i < len(runs); i++ {
		first := i
		for i < len(runs) && feed.mustRead(&runs[i], groups) {
			i++
		}
		if i == first {
			continue
		}
		if err := p.countRuns(ctx, feed, first, i); err != nil {
			return err
		}
	}
	return nil
}

// mustRead says whether a run's row is not enough.
func (f *feed) mustRead(run *vault.Run, groups []int64) bool {
	if run.Partial {
		return true
	}
	for _, t := range run.Transactions {
		if f.fates.after(t.ProducerID, t.FirstOffset) != committed {
			return true
		}
	}
	if run.Dense() {
		return false
	}
	for _, offset := range groups {
		if run.FirstOffset < offset && offset < run.NextOffset {
			return true
		}
	}
	return false
}

// countRuns counts runs [first, next), all as of the first.
func (p *partitionPlan) countRuns(ctx context.Context, feed *feed, first, next int) error {
	from, to := p.stream.Runs[first].FirstOffset, p.stream.Runs[next-1].NextOffset
	sum := &counted{}
	aborted, pending := feed.droppedAborted, feed.droppedUndecided
	for batch, err := range p.stream.Batches(ctx, from) {
		if err == nil && batch.BaseOffset() >= to {
			break
		}
		if err == nil {
			feed.one(ctx, batch, func(it found, broken error) bool {
				if broken == nil {
					sum.runs = append(sum.runs, it.mapped)
				}
				err = broken
				return broken == nil
			})
		}
		if err != nil {
			return err
		}
	}
	sum.aborted, sum.pending = feed.droppedAborted-aborted, feed.droppedUndecided-pending
	for i := first; i < next; i++ {
		p.counted[i] = &counted{}
	}
	p.counted[first] = sum
	return nil
}

// expected is the progress of a partition that comes through, from its rows and from what was
// counted.
func (p *partitionPlan) expected() *partitionProgress {
	progress := &partitionProgress{next: p.at + p.filler}
	progress.offsets.start = progress.next
	add := func(m mapped) {
		m.Target = progress.next
		progress.offsets.add(m)
		progress.records += m.Count
		progress.next += m.Count
	}
	for i := range p.stream.Runs {
		run := &p.stream.Runs[i]
		c, ok := p.counted[i]
		if !ok {
			add(mapped{Source: run.FirstOffset, Count: run.Records})
			continue
		}
		for _, m := range c.runs {
			add(m)
		}
		progress.aborted += c.aborted
		progress.pending += c.pending
	}
	progress.offsets.next = progress.next
	return progress
}
