package restore

import (
	"context"
	"iter"

	"coldstream/recordbatch"
	"coldstream/vault"
)

// RecordsOptions say which records of a view to read.
type RecordsOptions struct {
	// FirstOffset and NextOffset bound the offsets; a NextOffset of 0 is the view's end.
	FirstOffset, NextOffset int64
	// SinceMs leaves batches out, unread where possible, that hold nothing as young as that.
	SinceMs int64
	// Uncommitted yields records of aborted and undecided transactions as well.
	Uncommitted bool
}

// Record is a record as a consumer sees it.
type Record struct {
	recordbatch.Absolute
	LogAppendTime bool
	// Uncommitted records are those of aborted and undecided transactions.
	Uncommitted bool
}

// Records yields the data records of a view in offset order. They alias memory that is not
// used again. Damage ends it with a [*vault.DamageError].
func Records(ctx context.Context, s *vault.StreamHistory, opts RecordsOptions) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		fates, decoder := newTransactions(s.Runs), recordbatch.NewDecoder()
		first, next := max(opts.FirstOffset, s.View.LogStartOffset), s.View.NextOffset
		if opts.NextOffset > 0 {
			next = min(next, opts.NextOffset)
		}
		for _, at := range readable(s.Runs, first, next, opts.SinceMs) {
			for b, err := range s.Batches(ctx, at[0]) {
				if err != nil {
					yield(Record{}, err)
					return
				}
				if b.BaseOffset() >= at[1] {
					break
				}
				if b.IsControl() || b.MaxTimestampMs() < opts.SinceMs {
					continue
				}
				like := Record{LogAppendTime: b.HasLogAppendTime(), Uncommitted: fates.of(b) != committed}
				if like.Uncommitted && !opts.Uncommitted {
					continue
				}
				if !yieldRecords(decoder, b, at, func(r recordbatch.Absolute, err error) bool {
					like.Absolute = r
					return yield(like, err)
				}) {
					return
				}
			}
		}
	}
}

// readable are ranges of offsets that may hold what is wanted: runs that are older than it
// are left out, and what joins is read in one go.
func readable(runs []vault.Run, first, next, sinceMs int64) [][2]int64 {
	var out [][2]int64
	at := first
	for i := range runs {
		if runs[i].MaxTimestampMs >= sinceMs || runs[i].NextOffset <= first {
			continue
		}
		if skip := min(runs[i].FirstOffset, next); skip > at {
			out = append(out, [2]int64{at, skip})
		}
		at = max(at, runs[i].NextOffset)
	}
	if at < next {
		out = append(out, [2]int64{at, next})
	}
	return out
}

func yieldRecords(decoder *recordbatch.Decoder, b recordbatch.Batch, within [2]int64, yield func(recordbatch.Absolute, error) bool) bool {
	records, err := decoder.Absolute(b, maxDecoded)
	if err != nil {
		yield(recordbatch.Absolute{}, err)
		return false
	}
	for _, r := range records {
		if r.Offset >= within[0] && r.Offset < within[1] && !yield(r, nil) {
			return false
		}
	}
	return true
}
