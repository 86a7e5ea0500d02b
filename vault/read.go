package vault

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
	"coldstream/vault/internal/pack"
)

// Batches yields the whole batches that overlap [firstOffset, View.NextOffset), in offset
// order and checked against the catalog's hashes and their own checksums. The first may
// begin below firstOffset. Batches alias buffers that are never written again; keeping
// one keeps its frame of about 1 MiB. What is lost or damaged is yielded last, as a
// [*DamageError]; damage is marked, where the store allows it, so that the next backup
// fetches again what the cluster still has.
func (s *StreamHistory) Batches(ctx context.Context, firstOffset int64) iter.Seq2[recordbatch.Batch, error] {
	return func(yield func(recordbatch.Batch, error) bool) {
		i, _ := slices.BinarySearchFunc(s.Runs, firstOffset, func(r Run, at int64) int {
			if r.NextOffset <= at {
				return -1
			}
			return 1
		})
		ahead := s.readAhead(ctx)
		defer ahead.stop()
		for reached := firstOffset; i < len(s.Runs); i++ {
			run := &s.Runs[i]
			ahead.at(i)
			if lost := s.lostBefore(firstOffset, run.FirstOffset); lost != nil {
				yield(nil, lost)
				return
			}
			// A batch that overlaps the end of a run may be stored with the next run too.
			reached = max(reached, run.FirstOffset)
			more, err := s.readRun(ctx, run, reached, func(b recordbatch.Batch, err error) bool {
				reached = b.NextOffset()
				return yield(b, err)
			})
			if err != nil {
				s.goOn(ctx, failedRun{run, reached, err}, yield)
				return
			}
			if !more {
				return
			}
		}
		if lost := s.lostBefore(firstOffset, s.View.NextOffset); lost != nil {
			yield(nil, lost)
		}
	}
}

// failedRun is a run that could not be read from an offset on.
type failedRun struct {
	*Run
	from int64
	err  error
}

// goOn reads the rest after an error. What is missing may have been moved or released by
// a newer epoch, which then says where it is now; if there is none, it is damage.
func (s *StreamHistory) goOn(ctx context.Context, failed failedRun, yield func(recordbatch.Batch, error) bool) {
	err := s.located(failed.err, failed.Run)
	var damage *DamageError
	if !errors.As(err, &damage) {
		yield(nil, err)
		return
	}
	v, ref := s.history.vault, failed.Ref
	if damage.Kind != KindMissing {
		v.markIfPossible(ctx, format.Mark{Pack: ref.Pack.ID, Start: ref.Pack.Starts[ref.Row.Frame]})
		yield(nil, err)
		return
	}
	now, lookErr := v.look(ctx, s.history.found.newest)
	if lookErr != nil {
		yield(nil, errors.Join(err, lookErr))
		return
	}
	if now.isStill(&s.history.found) {
		v.markIfPossible(ctx, format.Mark{Pack: ref.Pack.ID, Start: format.WholePack})
		yield(nil, err)
		return
	}
	again, openErr := v.OpenHistory(ctx, []View{s.View}, s.history.opts)
	if openErr != nil {
		yield(nil, openErr)
		return
	}
	for b, err := range again.streams[0].Batches(ctx, failed.from) {
		if !yield(b, err) {
			return
		}
	}
}

// lostBefore finds a lost range that begins in [firstOffset, nextOffset).
func (s *StreamHistory) lostBefore(firstOffset, nextOffset int64) *DamageError {
	for _, l := range s.Lost {
		if l.NextOffset > firstOffset && l.FirstOffset < nextOffset {
			return l
		}
	}
	return nil
}

// located adds to damage which offsets it costs.
func (s *StreamHistory) located(err error, run *Run) error {
	var damage *DamageError
	if !errors.As(err, &damage) {
		return fmt.Errorf("read %s offsets [%d, %d): %w", s.View.Stream.TopicPartition(), run.FirstOffset, run.NextOffset, err)
	}
	d := *damage
	d.Stream, d.FirstOffset, d.NextOffset = s.View.Stream, run.FirstOffset, run.NextOffset
	return &d
}

func (s *StreamHistory) readRun(ctx context.Context, run *Run, from int64, yield func(recordbatch.Batch, error) bool) (bool, error) {
	if run.Ref.Pack == nil {
		return true, nil
	}
	row, key := run.Ref.Row, run.Ref.Pack.ID.Key()
	frame, err := s.history.frames.Frame(ctx, run.Ref.Pack, row.Frame)
	if err != nil {
		return false, err
	}
	rest, err := frame.Of(s.View.Stream, row)
	if err != nil {
		return false, object.AsDamage(key, err)
	}
	for len(rest) > 0 {
		var batch recordbatch.Batch
		if batch, rest, err = pack.NextBatch(rest); err != nil {
			return false, object.AsDamage(key, err)
		}
		if batch.NextOffset() <= from {
			continue
		}
		if batch.BaseOffset() >= run.NextOffset || run.Forked && batch.NextOffset() > run.NextOffset {
			break
		}
		if !yield(batch, nil) {
			return false, nil
		}
	}
	return true, nil
}
