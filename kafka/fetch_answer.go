package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/recordbatch"
)

// take handles what a broker answered for one partition. Its error ends the whole fetch.
func (e *fetchEngine) take(ctx context.Context, p *fetchPartition, a *kmsg.FetchResponseTopicPartition, answer *fetchAnswer) error {
	if code := kerr.ErrorForCode(a.ErrorCode); code != nil {
		return e.takeError(ctx, p, a, code)
	}
	if a.HighWatermark < 0 {
		p.retry(errors.New("the broker's answer gives no high watermark"))
		return nil
	}
	p.missing = time.Time{}
	p.log = coldstream.LogOffsets{LogStartOffset: max(a.LogStartOffset, 0), HighWatermark: a.HighWatermark}
	if e.follows {
		p.see(a.HighWatermark)
	}
	if d := a.DivergingEpoch; d.Epoch >= 0 || d.EndOffset >= 0 {
		return e.truncate(ctx, p, coldstream.EpochStart{Epoch: d.Epoch, FirstOffset: d.EndOffset})
	}
	p.noEpoch = false
	return e.takeBatches(ctx, p, a, answer)
}

// answered notes that a broker did its part.
func (p *fetchPartition) answered() { p.failing = failures{} }

func (e *fetchEngine) takeError(ctx context.Context, p *fetchPartition, a *kmsg.FetchResponseTopicPartition, code error) error {
	err := brokerError(a.ErrorCode, nil)
	switch {
	case errors.Is(code, kerr.OffsetOutOfRange):
		return e.resolveRange(ctx, p)
	case errors.Is(code, kerr.CorruptMessage):
		return e.corrupt(ctx, p, fmt.Errorf("%w: %w", coldstream.ErrCorrupt, err))
	case errors.Is(code, kerr.UnknownServerError): // also where it comes upon bad bytes
		return e.corrupt(ctx, p, err)
	case errors.Is(err, coldstream.ErrDenied):
		return e.fail(ctx, p, e.client.lacksOnTopic(err, "Read", p.Topic))
	case errors.Is(err, coldstream.ErrUnknownTopic), errors.Is(code, kerr.InconsistentTopicID):
		p.retry(err) // the metadata will say whether it is gone
	case isTemporary(err):
		p.retry(err)
		if l := a.CurrentLeader; l.LeaderID >= 0 && l.LeaderEpoch > p.leaderEpoch { // KIP-951
			e.moveTo(p, l.LeaderID, l.LeaderEpoch)
		}
	default:
		return e.fail(ctx, p, err)
	}
	return nil
}

// moveTo follows a broker's hint. A leader without a worker is left to the metadata.
func (e *fetchEngine) moveTo(p *fetchPartition, leader, epoch int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.workers[fetchWorker{p.lane, leader}] {
		p.leader, p.leaderEpoch, p.retryAt = leader, epoch, time.Time{}
	}
}

// corrupt believes bad bytes only when they came several times: the next answer may come
// over a better network.
func (e *fetchEngine) corrupt(ctx context.Context, p *fetchPartition, err error) error {
	if p.corrupted++; p.corrupted < badAnswers {
		p.retry(err)
		return nil
	}
	return e.salvage(ctx, p, fmt.Errorf("at offset %d: %w", p.NextOffset, err))
}

// batchRun is the whole batches at the front of an answer.
type batchRun struct {
	bytes      []byte
	nextOffset int64
	err        error // why it is not longer: partial, or corrupt
	cutBytes   int64 // if partial: what the batch that is cut says it has; 0 if not even that is there
}

// split cuts off what the answer holds before and behind the batches wanted, and checks
// those. Work is per batch.
func (p *fetchPartition) split(buf []byte) batchRun {
	run := batchRun{nextOffset: p.NextOffset}
	start, end := 0, 0
	for rest := buf; len(rest) > 0; {
		batch, after, err := recordbatch.Next(rest)
		if err == nil {
			err = batch.Check()
		}
		if err == nil && end > start && batch.BaseOffset() < run.nextOffset {
			err = fmt.Errorf("batch at %d behind one up to %d: %w", batch.BaseOffset(), run.nextOffset, coldstream.ErrCorrupt)
		}
		if err == nil {
			err = p.checkHole(batch, run.nextOffset)
		}
		if err != nil {
			run.err, run.cutBytes = err, announcedBytes(rest)
			break
		}
		at := len(buf) - len(after)
		if batch.NextOffset() <= p.NextOffset { // the broker's index led to a batch before
			start, end = at, at
		} else {
			p.noteEpoch(batch.LeaderEpoch(), batch.BaseOffset())
			p.holey = p.holey || end > start && batch.BaseOffset() > run.nextOffset
			run.nextOffset, end = batch.NextOffset(), at
		}
		rest = after
	}
	run.bytes = buf[start:end:end]
	if len(run.bytes) == 0 && len(buf) > 0 && run.err == nil {
		run.err = fmt.Errorf("the answer ends at offset %d or below: %w", p.NextOffset, coldstream.ErrCorrupt)
	}
	return run
}

// checkHole checks a batch's base offset, which no checksum covers: a wrong one would move
// our position, and what it leaves out would never be read. While producers write, an
// answer may hold more than the high watermark in it says; but nothing is compacted
// there, so that no hole leads over it.
func (p *fetchPartition) checkHole(batch recordbatch.Batch, nextOffset int64) error {
	base := batch.BaseOffset()
	if base > nextOffset && base >= p.log.HighWatermark {
		return fmt.Errorf("batch at %d behind the high watermark %d, and %d was next: %w", base, p.log.HighWatermark, nextOffset, coldstream.ErrCorrupt)
	}
	return nil
}

// announcedBytes is the size that the batch at the front of buf says it has.
func announcedBytes(buf []byte) int64 {
	const lengthAt, lengthAndBefore = 8, 12
	if len(buf) < lengthAndBefore {
		return 0
	}
	return int64(int32(binary.BigEndian.Uint32(buf[lengthAt:]))) + lengthAndBefore
}

func (e *fetchEngine) takeBatches(ctx context.Context, p *fetchPartition, a *kmsg.FetchResponseTopicPartition, answer *fetchAnswer) error {
	run := p.split(a.RecordBatches)
	if len(run.bytes) == 0 {
		return e.takeNothing(ctx, p, run, answer)
	}
	if next := recordbatch.Batch(run.bytes).BaseOffset(); next > p.NextOffset && p.proven != p.NextOffset {
		proof, err := e.proveHole(ctx, p, next)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			p.retry(fmt.Errorf("look for what lies between offsets %d and %d: %w", p.NextOffset, next, err))
			return nil
		case proof != isHole:
			return e.corrupt(ctx, p, fmt.Errorf("at offset %d: the leader cannot read what is before offset %d: %w", p.NextOffset, next, coldstream.ErrCorrupt))
		}
		p.proven = p.NextOffset
	}
	p.answered()
	return e.deliver(ctx, p, run, max(len(a.RecordBatches), answer.sizeBytes*4/smallPart))
}

// deliver hands on what was read, which is a part of an answer of so many bytes.
func (e *fetchEngine) deliver(ctx context.Context, p *fetchPartition, run batchRun, answerBytes int) error {
	p.empty, p.noData, p.corrupted, p.alone, p.maxBytes = 0, failures{}, 0, false, fetchPartitionBytes
	content := run.bytes
	if 4*len(content) < answerBytes {
		content = bytes.Clone(content) // a small part must not keep the whole answer alive
	}
	first := p.NextOffset
	p.NextOffset = run.nextOffset
	err := e.sink.Take(ctx, &coldstream.Fetched{
		TopicPartition: p.TopicPartition, FirstOffset: first, NextOffset: run.nextOffset, Batches: content, LogOffsets: p.log,
	})
	if err != nil {
		return err
	}
	if e.follows {
		p.noteServed(len(content))
		return nil
	}
	if p.NextOffset >= p.StopOffset {
		return e.end(ctx, p)
	}
	return nil
}

// takeNothing handles an answer without a whole batch.
func (e *fetchEngine) takeNothing(ctx context.Context, p *fetchPartition, run batchRun, answer *fetchAnswer) error {
	atEnd := p.log.HighWatermark <= p.NextOffset
	switch {
	case errors.Is(run.err, recordbatch.ErrPartial):
		return e.askForMore(ctx, p, run)
	case run.err != nil:
		return e.corrupt(ctx, p, run.err)
	case e.follows && atEnd && p.NextOffset <= p.log.HighWatermark:
		p.rest()
		return nil
	case answer.first != p && !atEnd:
		// Others filled the answer, or the next batch is larger than maxBytes, which brokers
		// send only of the first partition asked for. The plan's order makes it that.
		p.answered()
		return nil
	}
	if p.empty++; p.empty < badAnswers {
		p.again(fetchRetryWait)
		return nil
	}
	if atEnd {
		return e.resolveEnd(ctx, p)
	}
	return e.resolveEmpty(ctx, p)
}

func (p *fetchPartition) errNoData() error {
	return fmt.Errorf("the broker returned no data for offsets [%d, %d) though the high watermark is %d",
		p.NextOffset, p.StopOffset, p.log.HighWatermark)
}

// askForMore asks for a batch that is larger than what was asked for, and for nothing
// else besides. A batch that is cut even so is not one.
func (e *fetchEngine) askForMore(ctx context.Context, p *fetchPartition, run batchRun) error {
	asked := int64(p.maxBytes)
	switch {
	case run.cutBytes > maxBatchBytes || p.alone && asked >= maxBatchBytes:
		return e.corrupt(ctx, p, fmt.Errorf("batch of %d bytes, of which no answer can hold more than %d: %w", run.cutBytes, maxBatchBytes, coldstream.ErrCorrupt))
	case p.alone && run.cutBytes > 0 && asked >= run.cutBytes:
		return e.corrupt(ctx, p, fmt.Errorf("batch of %d bytes is cut though %d were asked for: %w", run.cutBytes, asked, coldstream.ErrCorrupt))
	}
	p.alone = true
	p.maxBytes = int32(min(max(2*asked, run.cutBytes), maxBatchBytes))
	return nil
}
