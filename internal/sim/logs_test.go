package sim_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// partitionLog is a partition as its leader has it.
type partitionLog struct {
	stream   coldstream.Stream
	batches  []recordbatch.Batch
	logStart int64
	next     int64
	epoch    int32
	starts   []coldstream.EpochStart // of leader epochs
	ever     map[string]bool         // all batches that there ever were
	lines    []line                  // of each leader epoch, in their order
}

// line is how a log was while one leader epoch lasted: what earlier ones left, and what
// it wrote.
type line struct {
	epoch int32
	holds map[string]bool
}

// lineOf is the line of an epoch, or of the one that it follows if it wrote nothing.
func (l *partitionLog) lineOf(epoch int32) map[string]bool {
	for _, line := range slices.Backward(l.lines) {
		if line.epoch <= epoch {
			return line.holds
		}
	}
	return nil
}

func newLog(partition int32) *partitionLog {
	in := coldstream.Incarnation{ClusterID: "cluster-1", Topic: "orders"}
	copy(in.TopicID[:], "orders-0123456789")
	return &partitionLog{stream: coldstream.Stream{Incarnation: in, Partition: partition}, ever: map[string]bool{}}
}

func (l *partitionLog) append(random *rand.Rand) {
	if len(l.starts) == 0 || l.starts[len(l.starts)-1].Epoch != l.epoch {
		l.starts = append(l.starts, coldstream.EpochStart{Epoch: l.epoch, FirstOffset: l.next})
	}
	records := make([]recordbatch.Absolute, 1+random.IntN(3))
	for i := range records {
		at := l.next + int64(i)
		records[i] = recordbatch.Absolute{
			Offset: at, TimestampMs: at, Key: []byte{byte(l.stream.Partition)},
			Value: fmt.Appendf(nil, "offset %d in epoch %d of %d", at, l.epoch, random.IntN(1000)),
		}
	}
	b, err := recordbatch.Build(records, recordbatch.CodecNone, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
	if err != nil {
		panic(err)
	}
	// Not under the checksum: the broker's.
	binary.BigEndian.PutUint64(b, uint64(l.next))
	binary.BigEndian.PutUint32(b[12:], uint32(l.epoch))
	l.batches, l.next = append(l.batches, b), l.next+int64(len(records))
	l.ever[string(b)] = true
	if n := len(l.lines); n == 0 || l.lines[n-1].epoch != l.epoch {
		l.lines = append(l.lines, line{l.epoch, map[string]bool{}})
		for _, before := range l.batches {
			l.lines[n].holds[string(before)] = true
		}
	}
	l.lines[len(l.lines)-1].holds[string(b)] = true
}

// truncate is an unclean election: the log loses its end, and goes on in a new epoch.
func (l *partitionLog) truncate(random *rand.Rand) {
	first := slices.IndexFunc(l.batches, func(b recordbatch.Batch) bool { return b.BaseOffset() >= l.logStart })
	if first < 0 {
		return
	}
	if keep := first + random.IntN(len(l.batches)-first+1); keep < len(l.batches) {
		l.next = l.batches[keep].BaseOffset()
		l.batches = slices.Clone(l.batches[:keep])
	}
	l.starts = slices.DeleteFunc(slices.Clone(l.starts), func(e coldstream.EpochStart) bool { return e.FirstOffset >= l.next })
	l.epoch++
}

// common is what a broker answers to one who has fetched so far: how far its history is
// the log's.
func (l *partitionLog) common(head vault.Head) int64 {
	at := head.NextOffset
	for i, e := range slices.Backward(head.Epochs) {
		j := slices.IndexFunc(l.starts, func(s coldstream.EpochStart) bool { return s.Epoch == e.Epoch })
		if j < 0 {
			at = e.FirstOffset
			continue
		}
		theirs, ours := head.NextOffset, l.next
		if i+1 < len(head.Epochs) {
			theirs = head.Epochs[i+1].FirstOffset
		}
		if j+1 < len(l.starts) {
			ours = l.starts[j+1].FirstOffset
		}
		return min(theirs, ours)
	}
	return min(at, l.next)
}

// in is the bytes of the batches that overlap a range.
func (l *partitionLog) in(firstOffset, nextOffset int64) []byte {
	var out []byte
	for _, b := range l.batches {
		if nextOffset > firstOffset && b.NextOffset() > firstOffset && b.BaseOffset() < nextOffset {
			out = append(out, b...)
		}
	}
	return out
}

func (l *partitionLog) lastEpoch(before int64) int32 {
	epoch := int32(-1)
	for _, b := range l.batches {
		if b.BaseOffset() < before {
			epoch = b.LeaderEpoch()
		}
	}
	return epoch
}

// fetch is an answer of one or a few whole batches.
func (l *partitionLog) fetch(at int64, random *rand.Rand) vault.Piece {
	p := vault.Piece{FirstOffset: at}
	for _, b := range l.batches {
		if b.NextOffset() <= at {
			continue
		}
		if len(p.Batches) > 0 && random.IntN(2) == 0 {
			break
		}
		p.Batches, p.NextOffset = append(p.Batches, b...), b.NextOffset()
	}
	return p
}
