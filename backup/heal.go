package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// Healed is offsets that only damaged packs held, and that were fetched again.
type Healed struct {
	coldstream.TopicPartition
	FirstOffset int64
	NextOffset  int64
}

// healing fetches again what damaged packs of the vault cost and the cluster still has. It
// is a phase of its own: nothing of it moves the position of a partition.
type healing struct {
	run    *run
	losses *vault.Losses
	ranges []*lostRange
	// apart are losses that no partition of the run can bring back, and why.
	apart []*vault.DamageError

	mu      sync.Mutex
	current map[coldstream.TopicPartition]*lostRange // of the round
	waiting []waitingPiece
	bytes   int
	stored  vault.Receipt
}

// lostRange is offsets that the vault has lost, one behind the other, as far as the log
// may still have them.
type lostRange struct {
	*partition
	firstOffset, nextOffset int64
	epochs                  []coldstream.EpochStart
	dense                   bool // each offset held a data record
	parts                   []vault.LostRange

	stopped error // why no more is taken
	healed  []Healed
}

type waitingPiece struct {
	of *lostRange
	vault.Piece
}

var (
	errNotInCluster = errors.New("the cluster does not have them any more")
	errOtherHistory = errors.New("the cluster's log has another history there")
	errNothingThere = errors.New("the cluster's log holds nothing there")
)

// planHealing finds out what is lost, and what of it the logs may have.
func (r *run) planHealing(ctx context.Context) (*healing, error) {
	losses, err := r.plan.writer.Losses(ctx, r.plan.isChosen)
	if err != nil {
		return nil, err
	}
	h := &healing{run: r, losses: losses}
	partitions := map[coldstream.Stream]*partition{}
	for _, p := range r.plan.partitions {
		partitions[p.stream] = p
	}
	for _, lost := range losses.Ranges {
		p := partitions[lost.Damage.Stream]
		if p != nil && p.before != nil && p.scan > lost.Scan {
			continue // a dry run of what is read again in full
		}
		if p == nil || p.begins || p.scan != lost.Scan {
			h.apart = append(h.apart, because(lost.Damage, r.plan.whyNot(lost.Damage.Stream)))
			continue
		}
		h.add(p, lost)
	}
	return h, nil
}

// whyNot says why a stream is not among a plan's partitions.
func (p *plan) whyNot(s coldstream.Stream) error {
	for _, e := range slices.Concat(p.failed, p.denied) {
		if e.TopicPartition == s.TopicPartition() || e.Topic == s.Topic && e.Partition < 0 {
			return e.Err
		}
	}
	return errNotInCluster
}

// add joins ranges that touch: their edges may be inside a batch.
func (h *healing) add(p *partition, lost vault.LostRange) {
	first, next := max(lost.Damage.FirstOffset, p.logStartOffset), min(lost.Damage.NextOffset, p.highWatermark)
	if n := len(h.ranges); n > 0 && h.ranges[n-1].partition == p && h.ranges[n-1].nextOffset == first && first < next {
		r := h.ranges[n-1]
		r.nextOffset, r.dense, r.parts = next, r.dense && lost.Dense, append(r.parts, lost)
		return
	}
	h.ranges = append(h.ranges, &lostRange{
		partition: p, firstOffset: first, nextOffset: max(next, first), epochs: lost.Epochs, dense: lost.Dense,
		parts: []vault.LostRange{lost},
	})
}

// heal marks what is damaged, so that readers prefer what follows, and fetches and commits
// that. An error is that of the vault, or ctx's.
func (h *healing) heal(ctx context.Context, v *vault.Vault) error {
	if err := v.MarkLosses(ctx, h.losses); err != nil {
		return err
	}
	for left := h.ranges; len(left) > 0; {
		var round []coldstream.FetchPosition
		h.current = map[coldstream.TopicPartition]*lostRange{}
		left = slices.DeleteFunc(slices.Clone(left), func(r *lostRange) bool {
			tp := r.stream.TopicPartition()
			if h.current[tp] != nil {
				return false // its partition is busy in this round
			}
			h.current[tp] = r
			if r.firstOffset < r.nextOffset && r.stopped == nil {
				round = append(round, r.position())
			}
			return true
		})
		if err := h.run.source.Fetch(ctx, round, h); err != nil {
			return err
		}
	}
	return h.commit(ctx)
}

// position asks for a range without the leader epochs before it: what comes is held
// against the epochs of what was lost, batch by batch.
func (r *lostRange) position() coldstream.FetchPosition {
	return coldstream.FetchPosition{
		TopicPartition: r.stream.TopicPartition(), TopicID: r.stream.TopicID,
		NextOffset: r.firstOffset, StopOffset: r.nextOffset, Compacted: r.compacted,
	}
}

// Take is the [coldstream.FetchSink]. While it commits the fetch rests.
func (h *healing) Take(ctx context.Context, event coldstream.FetchEvent) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch e := event.(type) {
	case *coldstream.Fetched:
		return h.takeData(ctx, e)
	case *coldstream.Truncated:
		h.current[e.TopicPartition].stop(errOtherHistory)
	case *coldstream.PartitionFailed:
		for _, r := range h.ranges { // waiting once more for the same partition is of no use
			if r.stream.TopicPartition() == e.TopicPartition {
				r.stop(e.Err)
			}
		}
	}
	return ctx.Err()
}

func (h *healing) takeData(ctx context.Context, f *coldstream.Fetched) error {
	r := h.current[f.TopicPartition]
	piece := r.cut(f)
	if piece.NextOffset <= piece.FirstOffset {
		return ctx.Err()
	}
	if h.bytes > 0 && h.bytes+len(piece.Batches) > h.run.opts.BufferBytes {
		if err := h.commit(ctx); err != nil {
			return err
		}
	}
	h.waiting = append(h.waiting, waitingPiece{r, piece})
	h.bytes += len(piece.Batches)
	return ctx.Err()
}

// cut takes of what was fetched what is of the range: whole batches that begin in it, up to
// the first that is not one of those that were lost. The piece is empty if there is none.
func (r *lostRange) cut(f *coldstream.Fetched) vault.Piece {
	piece := vault.Piece{FirstOffset: f.FirstOffset, NextOffset: f.FirstOffset}
	kept := 0
	for rest := f.Batches; len(rest) > 0 && r.stopped == nil; {
		batch, after, err := recordbatch.Next(rest)
		switch {
		case err != nil:
			r.stop(err)
			continue
		case batch.BaseOffset() >= r.nextOffset:
			rest = nil
			continue
		case batch.LeaderEpoch() != epochAt(r.epochs, batch.BaseOffset()):
			r.stop(errOtherHistory)
			continue
		case !r.mayHaveHoles() && batch.BaseOffset() > piece.NextOffset:
			r.stop(errNothingThere)
			continue
		}
		kept, piece.NextOffset, rest = len(f.Batches)-len(after), batch.NextOffset(), after
	}
	if r.stopped == nil && piece.NextOffset < min(f.NextOffset, r.nextOffset) {
		// The log has nothing more there: the next batch begins behind the range.
		if r.mayHaveHoles() {
			piece.NextOffset = min(f.NextOffset, r.nextOffset)
		} else {
			r.stop(errNothingThere)
		}
	}
	piece.Batches = f.Batches[:kept:kept]
	if 4*kept < len(f.Batches) {
		piece.Batches = bytes.Clone(piece.Batches) // a small part must not keep the whole alive
	}
	return piece
}

// mayHaveHoles says that the log may hold less than was lost, or that this had holes too.
func (r *lostRange) mayHaveHoles() bool { return r.compacted || !r.dense }

func (r *lostRange) stop(err error) { r.stopped = cmp.Or(r.stopped, err) }

// epochAt is the leader epoch of the batches at an offset; -1 before the first.
func epochAt(epochs []coldstream.EpochStart, offset int64) int32 {
	at := int32(-1)
	for _, e := range epochs {
		if e.FirstOffset > offset {
			break
		}
		at = e.Epoch
	}
	return at
}

// commit stores what waits. Its rows lie below the heads, as those of a slower writer would.
func (h *healing) commit(ctx context.Context) error {
	if len(h.waiting) == 0 {
		return nil
	}
	slices.SortStableFunc(h.waiting, func(a, b waitingPiece) int { return a.of.stream.Compare(b.of.stream) })
	// The run's snapshot never showed what had been lost before: this is what it shows.
	changes := vault.Changes{AsOf: h.run.snapshotTime}
	for _, p := range h.waiting {
		n := len(changes.Data)
		if n == 0 || changes.Data[n-1].Stream != p.of.stream {
			changes.Data = append(changes.Data, vault.StreamData{Stream: p.of.stream, Scan: p.of.scan})
			n++
		}
		changes.Data[n-1].Pieces = append(changes.Data[n-1].Pieces, p.Piece)
	}
	receipt, err := h.run.plan.writer.Commit(ctx, changes)
	if err != nil {
		return fmt.Errorf("store again what was damaged: %w", err)
	}
	h.stored.Objects += receipt.Objects
	h.stored.BytesStored += receipt.BytesStored
	h.stored.VaultHash = receipt.VaultHash
	for _, p := range h.waiting {
		p.of.note(p.FirstOffset, p.NextOffset)
	}
	h.waiting, h.bytes = nil, 0
	return nil
}

// note keeps what is healed, joined where it touches.
func (r *lostRange) note(firstOffset, nextOffset int64) {
	nextOffset = min(nextOffset, r.nextOffset)
	if n := len(r.healed); n > 0 && r.healed[n-1].NextOffset == firstOffset {
		r.healed[n-1].NextOffset = nextOffset
		return
	}
	r.healed = append(r.healed, Healed{r.stream.TopicPartition(), firstOffset, nextOffset})
}

// foresee takes for healed what a dry run would ask for.
func (h *healing) foresee() {
	for _, r := range h.ranges {
		if r.firstOffset < r.nextOffset {
			r.note(r.firstOffset, r.nextOffset)
		}
	}
}

// report adds to a result what was healed, and as damage what was not.
func (h *healing) report(result *Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	result.BytesStored += h.stored.BytesStored
	result.ObjectsStored += h.stored.Objects
	result.VaultHash = cmp.Or(h.stored.VaultHash, result.VaultHash)
	for _, d := range h.apart {
		h.tell(result, d, !errors.Is(d, errNotInCluster))
	}
	for _, r := range h.ranges {
		result.Healed = append(result.Healed, r.healed...)
		for _, lost := range r.parts {
			for _, d := range r.remaining(lost.Damage) {
				h.tell(result, d, d.NextOffset > r.partition.logStartOffset)
			}
		}
	}
}

// tell adds damage to a result, unless its loss was accepted: apart, where no newest state
// is concerned.
func (h *healing) tell(result *Result, d *vault.DamageError, newest bool) {
	switch {
	case h.losses.IsAccepted(d):
	case newest:
		result.Damage = append(result.Damage, d)
	default:
		result.OlderDamage = append(result.OlderDamage, d)
	}
}

// remaining is what of a loss was not healed.
func (r *lostRange) remaining(lost *vault.DamageError) []*vault.DamageError {
	var out []*vault.DamageError
	cause := cmp.Or(r.stopped, errNotInCluster)
	at := lost.FirstOffset
	for _, h := range append(slices.Clone(r.healed), Healed{FirstOffset: lost.NextOffset, NextOffset: lost.NextOffset}) {
		if next := min(h.FirstOffset, lost.NextOffset); at < next {
			d := because(lost, cause)
			d.FirstOffset, d.NextOffset = at, next
			out = append(out, d)
		}
		at = max(at, h.NextOffset)
	}
	return out
}

// because adds to damage why it was not healed.
func because(lost *vault.DamageError, cause error) *vault.DamageError {
	d := *lost
	d.Cause = fmt.Errorf("%w (they were not fetched again: %w)", lost.Cause, cause)
	return &d
}
