package restore

import (
	"context"
	"iter"

	"coldstream/recordbatch"
)

// maxDecoded bounds what one batch may decompress to where it must be decoded.
const maxDecoded = 512 << 20

// outgoing is one batch on its way into the target.
type outgoing struct {
	batch   []byte // without a producer yet
	count   int32
	mapped  mapped // Target is filled in when it is sent
	records int64  // data records; 0 for filler
}

// feed turns a partition's stored batches into batches to produce, in order.
type feed struct {
	part    *partitionPlan
	fates   *transactions
	decoder *recordbatch.Decoder

	droppedAborted, droppedUndecided int64
}

func newFeed(part *partitionPlan) *feed {
	return &feed{part: part, fates: newTransactions(part.stream.Runs), decoder: recordbatch.NewDecoder()}
}

// all yields the data.
func (f *feed) all(ctx context.Context) iter.Seq2[outgoing, error] {
	return func(yield func(outgoing, error) bool) {
		for batch, err := range f.part.stream.Batches(ctx, f.part.stream.View.LogStartOffset) {
			if err != nil {
				yield(outgoing{}, err)
				return
			}
			if !f.one(batch, yield) {
				return
			}
		}
	}
}

// one yields what is produced for a stored batch; it is false when the caller has enough.
func (f *feed) one(b recordbatch.Batch, yield func(outgoing, error) bool) bool {
	view := f.part.stream.View
	need := b.Need(view.LogStartOffset, view.NextOffset)
	if need == recordbatch.Skip {
		return true
	}
	switch f.fates.of(b) {
	case aborted:
		f.droppedAborted += int64(b.RecordCount())
		return true
	case undecided:
		f.droppedUndecided += int64(b.RecordCount())
		return true
	case committed:
	}
	if need == recordbatch.HeaderOnly {
		count := b.RecordCount()
		return yield(outgoing{batch: b, count: count, records: int64(count), mapped: mapped{Source: b.BaseOffset(), Count: int64(count)}}, nil)
	}
	records, err := f.decoder.Absolute(b, maxDecoded)
	if err != nil {
		yield(outgoing{}, err)
		return false
	}
	for _, run := range recordbatch.Runs(records, view.LogStartOffset, view.NextOffset) {
		batch, err := recordbatch.Build(run, b.Codec(), recordbatch.Producer{})
		if err != nil {
			yield(outgoing{}, err)
			return false
		}
		n := int64(len(run))
		if !yield(outgoing{batch: batch, count: int32(n), records: n, mapped: mapped{Source: run[0].Offset, Count: n}}, nil) {
			return false
		}
	}
	return true
}

const noTimestamp = -1

// stream is what the target's log will be: filler for the offsets below the source's log
// start, then the data. Filler is a moment older than the first record: so a broker that
// is asked for the newest record, or for one at some time, never means filler.
func (f *feed) stream(ctx context.Context) iter.Seq2[outgoing, error] {
	return func(yield func(outgoing, error) bool) {
		filled := false
		for o, err := range f.all(ctx) {
			if !filled && err == nil {
				filled = true
				if !f.filler(max(noTimestamp, recordbatch.Batch(o.batch).BaseTimestampMs()-1), yield) {
					return
				}
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
		if !filled {
			f.filler(0, yield)
		}
	}
}

// filler yields batches of empty records; it is false when the caller has enough.
func (f *feed) filler(timestampMs int64, yield func(outgoing, error) bool) bool {
	for left := f.part.filler; left > 0; {
		n := int32(min(left, recordbatch.MaxFiller))
		batch, err := recordbatch.Filler(n, timestampMs, recordbatch.Producer{})
		if err != nil {
			yield(outgoing{}, err)
			return false
		}
		if !yield(outgoing{batch: batch, count: n}, nil) {
			return false
		}
		left -= int64(n)
	}
	return true
}
