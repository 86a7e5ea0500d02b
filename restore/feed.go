package restore

import (
	"context"
	"errors"
	"iter"

	"coldstream/recordbatch"
)

const (
	// maxDecoded bounds what one batch may decompress to where it must be decoded.
	maxDecoded = 512 << 20
	// smallDecoded is what a batch of usual size decodes to. Of batches that need more, one
	// at a time is decoded.
	smallDecoded = 4 << 20
	// joinBelow is the size of stored batches below which they are joined: brokers take one
	// batch of a partition in a request, so that small ones would cost a round trip each.
	joinBelow = 4 << 10
	// joinBytes is what records that are joined take, uncompressed.
	joinBytes = 256 << 10
	// joinSpreadMs is how far the times of records that are joined may lie apart: retention and the
	// broker's segments go by the newest record of a batch.
	joinSpreadMs = 3_600_000
)

// outgoing is one batch on its way into the target.
type outgoing struct {
	batch   []byte // without a producer yet
	count   int32
	runs    []mapped // Target is filled in when it is sent
	records int64    // data records; 0 for filler
}

// found is what is to be produced of a stored batch, or of a part of it: records with
// consecutive offsets.
type found struct {
	mapped
	codec recordbatch.Codec
	batch recordbatch.Batch      // all of it can go as it is; else nil
	run   []recordbatch.Absolute // if batch is nil
}

// feed turns a partition's stored batches into batches to produce, in order. Where it cuts them depends
// on what is stored and on nothing else: a restore that is resumed makes the same ones. Who changes
// that counts resumeVersion up.
type feed struct {
	part    *partitionPlan
	fates   *transactions
	decoder *recordbatch.Decoder
	large   largeGate

	droppedAborted, droppedUndecided int64
}

func newFeed(part *partitionPlan) *feed {
	of := part.stream
	if part.whole != nil { // a transaction may have ended behind the part
		of = part.whole
	}
	return &feed{part: part, fates: newTransactions(of.Runs), decoder: recordbatch.NewDecoder()}
}

// largeGate lets one partition at a time decode a large batch. The zero value lets all.
type largeGate struct {
	token chan struct{}
	// paused and resumed are told while a partition waits, so that nobody waits for it.
	paused, resumed func()
}

// enter waits for the others; leave must be called when nothing of the batch is needed any more.
func (g *largeGate) enter(ctx context.Context) (leave func(), err error) {
	if g.token == nil {
		return func() {}, nil
	}
	g.paused()
	defer g.resumed()
	select {
	case g.token <- struct{}{}:
		return func() { <-g.token }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// all yields the data.
func (f *feed) all(ctx context.Context) iter.Seq2[outgoing, error] {
	return func(yield func(outgoing, error) bool) {
		j := &joiner{feed: f, yield: yield}
		for batch, err := range f.part.stream.Batches(ctx, f.part.stream.View.LogStartOffset) {
			if err != nil {
				j.fail(err)
				return
			}
			if !f.one(ctx, batch, func(it found, err error) bool { return j.take(ctx, it, err) }) {
				return
			}
		}
		j.flush()
	}
}

// one yields what is to be produced of a stored batch; it is false when the caller has enough.
func (f *feed) one(ctx context.Context, b recordbatch.Batch, yield func(found, error) bool) bool {
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
		return yield(found{mapped: mapped{Source: b.BaseOffset(), Count: int64(b.RecordCount())}, codec: b.Codec(), batch: b}, nil)
	}
	return f.decoded(ctx, b, yield)
}

// decoded yields the stretches of a batch's records.
func (f *feed) decoded(ctx context.Context, b recordbatch.Batch, yield func(found, error) bool) bool {
	records, err := f.decoder.Absolute(b, smallDecoded)
	if errors.Is(err, recordbatch.ErrTooLarge) {
		var leave func()
		if leave, err = f.large.enter(ctx); err == nil {
			defer leave()
			records, err = f.decoder.Absolute(b, maxDecoded)
		}
	}
	if err != nil {
		yield(found{}, err)
		return false
	}
	view := f.part.stream.View
	for _, run := range recordbatch.Runs(records, view.LogStartOffset, view.NextOffset) {
		if !yield(found{mapped: mapped{Source: run[0].Offset, Count: int64(len(run))}, codec: b.Codec(), run: run}, nil) {
			return false
		}
	}
	return true
}

// joiner makes one batch of what would be many small ones: of records between holes, where the
// target's offsets go on without these, and of stored batches that are small.
type joiner struct {
	feed    *feed
	yield   func(outgoing, error) bool
	builder recordbatch.Builder
	codec   recordbatch.Codec
	runs    []mapped
	firstMs int64
}

// take adds what comes next; it is false when the caller has enough.
func (j *joiner) take(ctx context.Context, it found, err error) bool {
	switch {
	case err != nil:
		return j.fail(err)
	case it.batch == nil:
		return j.add(it)
	case len(it.batch) >= joinBelow:
		return j.flush() && j.yield(outgoing{batch: it.batch, count: int32(it.Count), runs: []mapped{it.mapped}, records: it.Count}, nil)
	}
	return j.feed.decoded(ctx, it.batch, func(it found, err error) bool {
		if err != nil {
			return j.fail(err)
		}
		return j.add(it)
	})
}

func (j *joiner) add(it found) bool {
	if len(j.runs) > 0 && !j.fits(it) && !j.flush() {
		return false
	}
	j.codec = it.codec
	for i := range it.run {
		r := &it.run[i]
		if len(j.runs) == 0 {
			j.firstMs = r.TimestampMs // where a batch begins, no batch before it plays a part
		}
		j.builder.Add(r)
		j.runs = appendRun(j.runs, mapped{Source: r.Offset, Count: 1})
		if j.builder.SizeBytes() >= joinBytes && !j.flush() {
			return false
		}
	}
	return true
}

// fits says that what comes next may be in one batch with what is there.
func (j *joiner) fits(it found) bool {
	apart := it.run[0].TimestampMs - j.firstMs
	return j.codec == it.codec && (!j.feed.part.exact || j.runs[len(j.runs)-1].next() == it.Source) && max(apart, -apart) <= joinSpreadMs
}

// appendRun adds records whose target offsets follow those before.
func appendRun(runs []mapped, r mapped) []mapped {
	if n := len(runs); n > 0 && runs[n-1].next() == r.Source {
		runs[n-1].Count += r.Count
		return runs
	}
	return append(runs, r)
}

// flush yields what was joined.
func (j *joiner) flush() bool {
	n := j.builder.Count()
	if n == 0 {
		return true
	}
	batch, err := j.builder.Build(j.codec, recordbatch.Producer{})
	runs := j.runs
	j.runs = nil
	if err != nil {
		j.yield(outgoing{}, err)
		return false
	}
	return j.yield(outgoing{batch: batch, count: n, runs: runs, records: int64(n)}, nil)
}

// fail ends with an error, behind what came before it.
func (j *joiner) fail(err error) bool {
	if j.flush() {
		j.yield(outgoing{}, err)
	}
	return false
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
