package recorddiff

import (
	"context"
	"errors"
	"iter"
	"slices"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/restore"
	"coldstream/vault"
)

// maxDecoded bounds what one batch may decompress to.
const maxDecoded = 512 << 20

// Saved is a partition as a vault has it. What was lost to damage is a gap, too.
func Saved(s *vault.StreamHistory) *Side {
	gaps := slices.Clone(s.Gaps)
	for _, lost := range s.Lost {
		gaps = append(gaps, coldstream.Gap{FirstOffset: lost.FirstOffset, NextOffset: lost.NextOffset})
	}
	return &Side{
		LogStartOffset: s.View.LogStartOffset, NextOffset: s.View.NextOffset, Gaps: gaps,
		Records: func(ctx context.Context, firstOffset, nextOffset int64) iter.Seq2[Record, error] {
			return func(yield func(Record, error) bool) {
				opts := restore.RecordsOptions{FirstOffset: firstOffset, NextOffset: nextOffset, Uncommitted: true}
				for r, err := range restore.Records(ctx, s, opts) {
					if !yield(Record{r.Absolute, r.Uncommitted}, err) {
						return
					}
				}
			}
		},
	}
}

// Live is a partition as a cluster has it, between the ends of its log.
func Live(source coldstream.Source, topic *coldstream.Topic, partition int32, ends coldstream.LogOffsets) *Side {
	at := coldstream.TopicPartition{Topic: topic.Name, Partition: partition}
	compacted := coldstream.HasPolicy(topic.CleanupPolicy, "compact")
	s := &Side{LogStartOffset: ends.LogStartOffset, NextOffset: ends.HighWatermark, Compacted: compacted}
	s.Records = func(ctx context.Context, firstOffset, nextOffset int64) iter.Seq2[Record, error] {
		position := coldstream.FetchPosition{
			TopicPartition: at, TopicID: topic.ID, NextOffset: firstOffset, StopOffset: nextOffset, Compacted: compacted,
		}
		return func(yield func(Record, error) bool) { fetch(ctx, source, position, s, yield) }
	}
	return s
}

// fetch yields the records of one partition. A range that the log lost meanwhile becomes a gap
// of the side before the records behind it are yielded.
func fetch(ctx context.Context, source coldstream.Source, position coldstream.FetchPosition, s *Side, yield func(Record, error) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, ended := make(chan coldstream.FetchEvent), make(chan error, 1)
	go func() {
		err := source.Fetch(ctx, []coldstream.FetchPosition{position}, sink(events))
		close(events)
		ended <- err
	}()
	defer func() {
		cancel()
		for range events { // the fetch ends once nobody holds it up
		}
	}()
	decoder := recordbatch.NewDecoder()
	for event := range events {
		var err error
		switch event := event.(type) {
		case *coldstream.Fetched:
			if !yieldBatches(decoder, event.Batches, position, yield) {
				return
			}
		case *coldstream.FetchGap:
			s.Gaps = append(s.Gaps, event.Gap)
		case *coldstream.PartitionFailed:
			err = event.Err
		case *coldstream.Truncated:
			err = errors.New("the log was truncated while it was read")
		}
		if err != nil {
			yield(Record{}, err)
			return
		}
	}
	if err := <-ended; err != nil {
		yield(Record{}, err)
	}
}

func yieldBatches(decoder *recordbatch.Decoder, batches []byte, within coldstream.FetchPosition, yield func(Record, error) bool) bool {
	for len(batches) > 0 {
		b, rest, err := recordbatch.Next(batches)
		if err != nil {
			yield(Record{}, err)
			return false
		}
		batches = rest
		if b.IsControl() {
			continue
		}
		records, err := decoder.Absolute(b, maxDecoded)
		if err != nil {
			yield(Record{}, err)
			return false
		}
		for _, r := range records {
			if r.Offset >= within.NextOffset && r.Offset < within.StopOffset && !yield(Record{Absolute: r}, nil) {
				return false
			}
		}
	}
	return true
}

// sink hands events on, one at a time.
type sink chan coldstream.FetchEvent

func (s sink) Take(ctx context.Context, event coldstream.FetchEvent) error {
	select {
	case s <- event:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
