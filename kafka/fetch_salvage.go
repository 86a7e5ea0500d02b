package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"coldstream"
	"coldstream/recordbatch"
)

// A broker sends what lies in its log's files unchecked, from the place where its index and
// the lengths of batches lead it to the end of the file. So behind a batch whose bytes are
// bad the next ones come with it. Where a length is destroyed, it cannot find its way past it:
// a fetch from there on is an error, or is empty, or begins in the next file, up to the next
// entry of the index. But an answer that begins before the damage holds what lies behind
// it, and one that begins behind the entry is good again.

const (
	// lookBytes is asked for to look around: more than what lies between two entries of an
	// index, unless batches are large. maxLookBytes is asked for where they are.
	lookBytes    = 4 << 20
	maxLookBytes = 64 << 20
	// proofBytes are to hold what follows a batch.
	proofBytes = 64 << 10
)

// look is an answer to a question about one offset.
type look struct {
	bytes    []byte
	log      coldstream.LogOffsets
	unread   error // why the broker cannot read there
	isFilled bool  // it may be cut
}

// lookAt asks a broker for what lies at an offset, and for nothing else. An error says that
// it did not tell.
func (e *fetchEngine) lookAt(ctx context.Context, p *fetchPartition, broker int32, offset int64, maxBytes int32) (look, error) {
	q := *p
	q.NextOffset, q.maxBytes, q.alone, q.noEpoch = offset, maxBytes, true, true
	client := e.client.fetches[p.lane]
	turn := fetchTurn{broker: broker, partitions: []*fetchPartition{&q}, maxBytes: maxBytes}
	answer, err := fetchOnce(ctx, client, turn)
	if err == nil {
		err = e.checkIncarnations(ctx, client, turn, answer)
	}
	if err != nil {
		return look{}, fmt.Errorf("fetch from broker %d: %w", broker, err)
	}
	a := answer.partitions[p.TopicPartition]
	if a == nil {
		return look{}, temporary(fmt.Errorf("fetch from broker %d: %w", broker, errNotInAnswer))
	}
	switch code := kerr.ErrorForCode(a.ErrorCode); {
	case code == nil:
		return look{
			bytes: a.RecordBatches, isFilled: 8*len(a.RecordBatches) >= 7*int(maxBytes),
			log: coldstream.LogOffsets{LogStartOffset: max(a.LogStartOffset, 0), HighWatermark: a.HighWatermark},
		}, nil
	case errors.Is(code, kerr.CorruptMessage), errors.Is(code, kerr.UnknownServerError), errors.Is(code, kerr.OffsetOutOfRange):
		return look{unread: code}, nil
	}
	return look{}, fmt.Errorf("fetch from broker %d: %w", broker, brokerError(a.ErrorCode, nil))
}

// salvage finds out what is left at and behind a position that cannot be read: first of the
// other replicas, then behind it. Only when all that are there have answered is what
// nobody can read a gap.
func (e *fetchEngine) salvage(ctx context.Context, p *fetchPartition, cause error) error {
	err := e.trySalvage(ctx, p, cause)
	var take *takeError
	switch {
	case errors.As(err, &take):
		return take.error
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		p.retry(fmt.Errorf("%w (and: %w)", cause, err))
	}
	return nil
}

// takeError is the sink's, which ends the whole fetch.
type takeError struct{ error }

func taken(err error) error {
	if err == nil {
		return nil
	}
	return &takeError{err}
}

func (e *fetchEngine) trySalvage(ctx context.Context, p *fetchPartition, cause error) error {
	if err := e.updateEnds(ctx, p); err != nil {
		return err
	}
	if p.NextOffset < p.log.LogStartOffset || p.NextOffset >= p.log.HighWatermark {
		p.again(fetchRetryWait) // the next answer says so itself
		return nil
	}
	if done, err := e.askOthers(ctx, p); done || err != nil {
		return err
	}
	found, isBad, err := e.findBehind(ctx, p)
	switch {
	case err != nil:
		return err
	case len(found.bytes) > 0:
		return taken(e.resume(ctx, p, found))
	case !isBad && errors.Is(cause, coldstream.ErrCorrupt):
		// Nothing behind can be read, and no bytes were seen that are bad: another time it may
		// be otherwise, and a gap lasts.
		return taken(e.fail(ctx, p, cause))
	case !isBad:
		return errNothingBad
	}
	if err := e.gap(ctx, p, p.StopOffset, coldstream.GapCorrupt); err != nil || e.follows {
		return taken(err)
	}
	return taken(e.end(ctx, p))
}

var errNothingBad = errors.New("no bytes were found that are bad")

// resume goes on behind damage.
func (e *fetchEngine) resume(ctx context.Context, p *fetchPartition, found foundBatches) error {
	p.answered()
	if found.firstOffset > p.NextOffset && !found.isHole {
		if err := e.gap(ctx, p, found.firstOffset, coldstream.GapCorrupt); err != nil {
			return err
		}
	}
	return e.deliver(ctx, p, p.split(found.bytes), math.MaxInt)
}

// updateEnds asks the leader where its log begins and ends: answers that are errors do not say.
func (e *fetchEngine) updateEnds(ctx context.Context, p *fetchPartition) error {
	out := map[coldstream.TopicPartition]coldstream.LogOffsets{}
	leaders := map[coldstream.TopicPartition]partitionLeader{p.TopicPartition: {id: p.leader, epoch: p.leaderEpoch}}
	e.client.listRound(ctx, []coldstream.TopicPartition{p.TopicPartition}, leaders, out)
	if log := out[p.TopicPartition]; log.Err == nil {
		p.log = log
		return nil
	}
	return out[p.TopicPartition].Err
}

// askOthers reads on from another replica, whose copy may be whole. Brokers answer for
// partitions that they follow since version 11 of the request. It is true if one could be read.
// A replica that does not answer is waited for, as long as patience says.
func (e *fetchEngine) askOthers(ctx context.Context, p *fetchPartition) (done bool, err error) {
	cluster, err := e.client.describeCluster(ctx, []string{p.Topic})
	if err != nil {
		return false, fmt.Errorf("ask for the replicas: %w", err)
	}
	var replicas []int32
	for i := range cluster.Topics {
		for _, part := range cluster.Topics[i].Partitions {
			if cluster.Topics[i].Name == p.Topic && part.ID == p.Partition {
				replicas = part.Replicas
			}
		}
	}
	var silent error
	for _, id := range replicas {
		if id == p.leader {
			continue
		}
		l, err := e.lookAt(ctx, p, id, p.NextOffset, lookBytes)
		if err != nil {
			silent = err
			continue
		}
		run := p.split(l.bytes)
		if len(run.bytes) == 0 || recordbatch.Batch(run.bytes).BaseOffset() > p.NextOffset && !p.Compacted {
			continue
		}
		p.answered()
		return true, taken(e.deliver(ctx, p, run, math.MaxInt))
	}
	if silent == nil {
		return false, nil
	}
	p.others.add(silent)
	if p.others.exceed(e.client.patience()) {
		return false, nil // it may never come back
	}
	p.answered() // the leader does its part: it is another that is waited for
	p.again(p.others.wait())
	return true, nil
}

// foundBatches are whole batches at or behind a position.
type foundBatches struct {
	bytes       []byte
	firstOffset int64
	isHole      bool // the log holds nothing before them
}

// findBehind looks for the first batch behind bad bytes: in what the leader sends from there,
// in what it sends from before, and where its index leads to behind. It also says whether it
// has seen bytes that are bad.
func (e *fetchEngine) findBehind(ctx context.Context, p *fetchPartition) (found foundBatches, isBad bool, err error) {
	l, err := e.lookAt(ctx, p, p.leader, p.NextOffset, lookBytes)
	if err != nil {
		return found, false, err
	}
	found, isBad = p.search(l)
	if len(found.bytes) > 0 && (isBad || found.firstOffset <= p.NextOffset) {
		return found, isBad, nil
	}
	// What was found is of the next file, if the broker has passed over the rest of this one.
	before, isWorse, err := e.lookBack(ctx, p, lookBytes)
	isBad = isBad || isWorse
	if err != nil || len(before.bytes) > 0 {
		return before, isBad, err
	}
	behind, err := e.lookAhead(ctx, p, found)
	return behind, isBad, err
}

// search looks for the first batch in an answer that goes on from the position. Bytes that are
// no batch are passed over.
func (p *fetchPartition) search(l look) (found foundBatches, isBad bool) {
	rest := skipBefore(l.bytes, p.NextOffset)
	for len(rest) > 0 {
		if b, ok := p.isNext(rest); ok {
			return foundBatches{bytes: rest, firstOffset: max(b.BaseOffset(), p.NextOffset)}, isBad
		}
		_, _, err := recordbatch.Next(rest)
		rest = p.passOver(rest, l)
		// An answer that is filled may end in the middle of a batch; a file does not.
		isBad = isBad || len(rest) > 0 || !l.isFilled || !errors.Is(err, recordbatch.ErrPartial)
	}
	return foundBatches{}, isBad
}

// skipBefore cuts off whole batches that end at or before an offset.
func skipBefore(buf []byte, offset int64) []byte {
	for len(buf) > 0 {
		b, after, err := recordbatch.Next(buf)
		if err != nil || b.Check() != nil || b.NextOffset() > offset {
			break
		}
		buf = after
	}
	return buf
}

// isNext says that a batch that may follow the position stands at the front.
func (p *fetchPartition) isNext(buf []byte) (recordbatch.Batch, bool) {
	b, _, err := recordbatch.Next(buf)
	if err != nil || b.Check() != nil || b.NextOffset() <= p.NextOffset || b.BaseOffset() >= p.log.HighWatermark {
		return nil, false
	}
	epoch := b.LeaderEpoch()
	return b, epoch < 0 || epoch >= p.lastEpoch() && (p.leaderEpoch < 0 || epoch <= p.leaderEpoch)
}

// mayBegin says that the front looks like a batch that may follow, as far as it is there.
func (p *fetchPartition) mayBegin(buf []byte) bool {
	if len(buf) < recordbatch.HeaderSize {
		return true
	}
	base := recordbatch.Batch(buf[:recordbatch.HeaderSize]).BaseOffset()
	return base >= p.NextOffset && base < p.log.HighWatermark
}

// passOver cuts off bytes up to the next that may be a batch: where the bad one says that it
// ends, or else where a batch begins that is followed by another, or by the end. The
// bytes of a record may hold a batch, but nothing of that kind follows it.
func (p *fetchPartition) passOver(buf []byte, l look) []byte {
	if _, after, err := recordbatch.Next(buf); err == nil {
		if _, ok := p.isNext(after); ok {
			return after
		}
	}
	const magicAt, magic = 16, 2
	for at := 1; at+recordbatch.HeaderSize <= len(buf); at++ {
		i := bytes.IndexByte(buf[at+magicAt:], magic)
		if i < 0 {
			return nil
		}
		if at += i; at+recordbatch.HeaderSize > len(buf) {
			return nil
		}
		if b, ok := p.isNext(buf[at:]); ok && p.isFollowed(buf[at+len(b):], l) {
			return buf[at:]
		}
	}
	return nil
}

func (p *fetchPartition) isFollowed(rest []byte, l look) bool {
	_, ok := p.isNext(rest)
	_, _, err := recordbatch.Next(rest)
	return ok || len(rest) == 0 || l.isFilled && errors.Is(err, recordbatch.ErrPartial) && p.mayBegin(rest)
}

// lookBack asks from ever earlier offsets on, until an answer begins well, and searches it. It
// says whether what stands at the position there is bad.
func (e *fetchEngine) lookBack(ctx context.Context, p *fetchPartition, maxBytes int32) (found foundBatches, isBad bool, err error) {
	for step, at := int64(1), p.NextOffset-1; at >= p.log.LogStartOffset; {
		l, err := e.lookAt(ctx, p, p.leader, at, maxBytes)
		if err != nil {
			return found, isBad, err
		}
		if b, _, err := recordbatch.Next(l.bytes); err == nil && b.Check() == nil && b.BaseOffset() < p.NextOffset {
			found, isBad = p.search(l)
			found.isHole = !isBad
			if len(found.bytes) > 0 || !l.isFilled || maxBytes == maxLookBytes {
				return found, isBad, nil
			}
			maxBytes = min(4*maxBytes, maxLookBytes) // it does not reach far enough
			continue
		}
		step *= 2
		at = p.NextOffset - step
	}
	return found, isBad, nil
}

// lookAhead asks from ever later offsets on, until an answer begins well, and then for the
// first offset from which one does. What is known to be readable is found before.
func (e *fetchEngine) lookAhead(ctx context.Context, p *fetchPartition, known foundBatches) (foundBatches, error) {
	end := p.log.HighWatermark
	if known.firstOffset > 0 {
		end = known.firstOffset
	}
	// Nothing before end is read from bad on, and something is from good on.
	bad, good, found := p.NextOffset, end, known
	for step, isFound := int64(1), false; good-bad > 1; step *= 2 {
		at := min(p.NextOffset+step, end-1)
		if isFound {
			at = bad + (good-bad)/2
		}
		f, err := e.lookFor(ctx, p, at, end)
		switch {
		case err != nil:
			return found, err
		case len(f.bytes) > 0:
			good, found, isFound = at, f, true
		default:
			bad = at
		}
	}
	return found, nil
}

// lookFor asks from an offset on, and takes what begins before end.
func (e *fetchEngine) lookFor(ctx context.Context, p *fetchPartition, at, end int64) (foundBatches, error) {
	l, err := e.lookAt(ctx, p, p.leader, at, lookBytes)
	if err != nil {
		return foundBatches{}, err
	}
	l.bytes = skipBefore(l.bytes, at)
	found, _ := p.search(l)
	if len(found.bytes) == 0 || found.firstOffset >= end {
		return foundBatches{}, nil
	}
	return found, nil
}

// proveHole finds out whether offsets without a batch in front of what was answered are a
// hole that the log has, or a place where the leader cannot read. Where the next batch stands
// directly behind the last one in the leader's file, it is a hole. Where the next one begins
// another file nothing proves it: then it is one if a cleaner has made others.
func (e *fetchEngine) proveHole(ctx context.Context, p *fetchPartition, next int64) (holeProof, error) {
	found, isBad, err := e.lookBack(ctx, p, proofBytes)
	switch {
	case err != nil || isBad || len(found.bytes) > 0:
	case p.Compacted:
		return isHole, nil
	default:
		found, err = e.lookAhead(ctx, p, foundBatches{firstOffset: next})
		if found.firstOffset >= next && !p.holey {
			return isNotProven, err
		}
	}
	if isBad || found.firstOffset < next {
		return isNoHole, err
	}
	return isHole, err
}

// holeProof is what is known of offsets without a batch.
type holeProof int

const (
	isHole holeProof = iota
	isNoHole
	isNotProven
)
