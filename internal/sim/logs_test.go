package sim_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

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

// plan is what a backup would commit now: what the logs hold behind the writer's heads, or
// a part of it, and a snapshot of that.
func plan(logs []*partitionLog, w *vault.Writer, now time.Time, random *rand.Rand) vault.Changes {
	changes := vault.Changes{}
	snapshot := &vault.NewSnapshot{Time: now, ClusterID: "cluster-1", Metadata: vault.Metadata{
		Cluster: coldstream.Cluster{ID: "cluster-1"},
		Topics: []coldstream.Topic{ // sections come and go
			{Name: "orders", Partitions: []coldstream.Partition{{Leader: -1, LeaderEpoch: -1}}},
			{Name: fmt.Sprintf("other-%d", random.IntN(4)), Partitions: []coldstream.Partition{{Leader: -1, LeaderEpoch: -1}}},
		},
	}}
	for _, l := range logs {
		at := l.logStart
		head, known := w.Head(l.stream)
		if known {
			if at = min(head.NextOffset, l.common(head)); at < l.logStart {
				changes.Gaps = append(changes.Gaps, vault.StreamGap{
					Stream: l.stream, FirstOffset: at, NextOffset: l.logStart, Cause: coldstream.GapLogStartAdvanced,
				})
				at = l.logStart
			}
		} else {
			changes.Scans = append(changes.Scans, vault.ScanStart{Stream: l.stream, FirstOffset: at, Started: now})
		}
		data := vault.StreamData{Stream: l.stream}
		for at < l.next && random.IntN(4) > 0 {
			p := l.fetch(at, random)
			data.Pieces, at = append(data.Pieces, p), p.NextOffset
		}
		if len(data.Pieces) > 0 {
			changes.Data = append(changes.Data, data)
		}
		// What was released cannot be shown, although the log may have it still.
		start := max(l.logStart, head.Floor)
		at = max(at, start)
		snapshot.Views = append(snapshot.Views, vault.View{
			Stream: l.stream, LogStartOffset: start, NextOffset: at, LastEpoch: l.lastEpoch(at),
		})
	}
	if random.IntN(3) > 0 {
		changes.Snapshot = snapshot
	}
	return changes
}
