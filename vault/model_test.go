package vault

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// modelLog is a partition's log, as a broker would have it.
type modelLog struct {
	stream   coldstream.Stream
	batches  []recordbatch.Batch
	logStart int64
	next     int64
	epoch    int32
	// cut says that the log was truncated. Then nothing more is compacted away: where the
	// first batches of an epoch are gone, nobody can see where it began, and a fork shows
	// up to there.
	cut    bool
	starts []coldstream.EpochStart
}

func (l *modelLog) append(t *testing.T, random *rand.Rand) {
	if len(l.starts) == 0 || l.starts[len(l.starts)-1].Epoch != l.epoch {
		l.starts = append(l.starts, coldstream.EpochStart{Epoch: l.epoch, FirstOffset: l.next})
	} else if !l.cut && random.IntN(5) == 0 {
		l.next += random.Int64N(4) // what was here was compacted away
	}
	n := 1 + random.IntN(4)
	codec := recordbatch.CodecNone
	if random.IntN(3) == 0 {
		codec = recordbatch.CodecSnappy
	}
	l.batches = append(l.batches, batchOf(t, l.next, n, l.epoch, codec))
	l.next += int64(n)
}

// truncate is an unclean election: the log loses its end and gets a new leader epoch.
func (l *modelLog) truncate(random *rand.Rand) {
	first := slices.IndexFunc(l.batches, func(b recordbatch.Batch) bool { return b.BaseOffset() >= l.logStart })
	if first < 0 {
		return
	}
	keep := first + random.IntN(len(l.batches)-first+1)
	if keep < len(l.batches) {
		l.next = l.batches[keep].BaseOffset()
		l.batches = slices.Clone(l.batches[:keep])
	}
	l.starts = slices.DeleteFunc(slices.Clone(l.starts), func(e coldstream.EpochStart) bool { return e.FirstOffset >= l.next })
	l.epoch += 1 + random.Int32N(2)
	l.cut = true
}

// retain deletes records up to an offset, which may be inside a batch.
func (l *modelLog) retain(random *rand.Rand) {
	if l.next > l.logStart {
		l.logStart += random.Int64N(l.next - l.logStart + 1)
	}
}

// common is how far a position's history is that of the log: what a broker says to a
// fetch with the last fetched epoch.
func (l *modelLog) common(head Head) int64 {
	at := head.NextOffset
	for i, e := range slices.Backward(head.Epochs) {
		j := slices.IndexFunc(l.starts, func(s coldstream.EpochStart) bool { return s.Epoch == e.Epoch })
		if j >= 0 {
			ourEnd, end := head.NextOffset, l.next
			if i+1 < len(head.Epochs) {
				ourEnd = head.Epochs[i+1].FirstOffset
			}
			if j+1 < len(l.starts) {
				end = l.starts[j+1].FirstOffset
			}
			return min(ourEnd, end)
		}
		at = e.FirstOffset
	}
	return min(at, l.next)
}

// in is the batches that overlap a range.
func (l *modelLog) in(firstOffset, nextOffset int64) []byte {
	var out []byte
	for _, b := range l.batches {
		if nextOffset > firstOffset && b.NextOffset() > firstOffset && b.BaseOffset() < nextOffset {
			out = append(out, b...)
		}
	}
	return out
}

func (l *modelLog) lastEpoch(before int64) int32 {
	epoch := int32(-1)
	for _, b := range l.batches {
		if b.BaseOffset() < before {
			epoch = b.LeaderEpoch()
		}
	}
	return epoch
}

// model is a cluster, a vault that any number of writers keep up with it, and what was
// acknowledged.
type model struct {
	kit
	random *rand.Rand
	logs   []*modelLog
	shots  map[SnapshotID]map[coldstream.Stream][]byte // what each snapshot must show
}

func newModel(t *testing.T, seed uint64) *model {
	store := blob.Store(mem.New())
	if seed%2 == 1 {
		store = metered{store}
	}
	m := &model{kit: *newKit(t, store), random: rand.New(rand.NewPCG(seed, 2)), shots: map[SnapshotID]map[coldstream.Stream][]byte{}}
	for p := range int32(3) {
		m.logs = append(m.logs, &modelLog{stream: stream("orders", p)})
	}
	return m
}

func (m *model) live() {
	for _, l := range m.logs {
		for range m.random.IntN(6) {
			l.append(m.T, m.random)
		}
		switch m.random.IntN(8) {
		case 0:
			l.truncate(m.random)
		case 1:
			l.retain(m.random)
		}
	}
}

// backup brings a writer's vault up to the logs, or some way there, and takes a snapshot.
func (m *model) backup(w *Writer) (Changes, map[coldstream.Stream][]byte) {
	var changes Changes
	shot := map[coldstream.Stream][]byte{}
	snapshot := snapshotOf()
	snapshot.Time = m.now()
	for _, l := range m.logs {
		at := l.logStart
		if head, known := w.Head(l.stream); known {
			at = min(head.NextOffset, l.common(head))
			if at < l.logStart {
				changes.Gaps = append(changes.Gaps, StreamGap{Stream: l.stream, FirstOffset: at, NextOffset: l.logStart, Cause: coldstream.GapLogStartAdvanced})
				at = l.logStart
			}
		} else {
			changes.Scans = append(changes.Scans, begin(l.stream, at)...)
		}
		var pieces []Piece
		for at < l.next && m.random.IntN(6) > 0 {
			p := m.fetch(l, at)
			pieces, at = append(pieces, p), p.NextOffset
		}
		if len(pieces) > 0 {
			changes.Data = append(changes.Data, StreamData{Stream: l.stream, Pieces: pieces})
		}
		snapshot.Views = append(snapshot.Views, View{Stream: l.stream, LogStartOffset: l.logStart, NextOffset: at, LastEpoch: l.lastEpoch(at)})
		shot[l.stream] = l.in(l.logStart, at)
	}
	changes.Snapshot = snapshot
	return changes, shot
}

// fetch is an answer of some whole batches, up to the end of the last.
func (m *model) fetch(l *modelLog, at int64) Piece {
	p := Piece{FirstOffset: at}
	for _, b := range l.batches {
		if b.NextOffset() > at && (len(p.Batches) == 0 || m.random.IntN(3) > 0) {
			p.Batches, p.NextOffset = append(p.Batches, b...), b.NextOffset()
		} else if len(p.Batches) > 0 {
			break
		}
	}
	if len(p.Batches) == 0 {
		p.NextOffset = l.next
	}
	return p
}

// check opens the vault, its objects listed in any order, and reads every snapshot.
func (m *model) check() {
	m.vault.useStore(&shuffled{m.store, m.random})
	defer m.vault.useStore(m.store)
	c := m.catalog()
	if damage := c.Damage(); len(damage) > 0 {
		m.Fatalf("damage: %v\n%s", damage, m.dump())
	}
	found := 0
	for _, s := range c.Snapshots() {
		shot, ok := m.shots[s.ID]
		if !ok {
			continue // of a commit whose answer was lost
		}
		found++
		for _, h := range m.history(m.views(s)...) {
			var got []byte
			for b, err := range h.Batches(m.Context(), h.View.LogStartOffset) {
				if err != nil {
					m.Fatalf("snapshot %s, %+v: %v\n%s", s.ID, h.View, err, m.dump())
				}
				got = append(got, b...)
			}
			if want := shot[h.View.Stream]; !bytes.Equal(got, want) || len(h.Gaps)+len(h.Lost) > 0 {
				m.Fatalf("snapshot %s, %+v: got %s, want %s, gaps %v, lost %v\n%s", s.ID, h.View, describe(got), describe(want), h.Gaps, h.Lost, m.dump())
			}
		}
	}
	if found != len(m.shots) {
		m.Fatalf("%d of %d acknowledged snapshots are there", found, len(m.shots))
	}
	m.mustBeSound()
}

// dump writes what each commit says, for a person to read.
func (m *model) dump() string {
	out := ""
	_, err := m.vault.openCatalog(m.Context(), catalogOptions{reader: true, taken: func(c *format.Commit) {
		out += fmt.Sprintf("%s seq %d", c.ID.Writer, c.ID.Seq)
		for _, p := range c.Parents {
			out += fmt.Sprintf(" <- %s seq %d", p.ID.Writer, p.ID.Seq)
		}
		out += "\n"
		for _, r := range c.Facts.Rows {
			out += fmt.Sprintf("  %d: [%d, %d) %v\n", c.Facts.StreamAt(r.Stream).Partition, r.FirstOffset, r.NextOffset, r.Epochs)
		}
		for _, g := range c.Facts.Gaps {
			out += fmt.Sprintf("  %d: gap [%d, %d)\n", c.Facts.StreamAt(g.Stream).Partition, g.FirstOffset, g.NextOffset)
		}
		for _, s := range c.Facts.Scans {
			out += fmt.Sprintf("  %d: begins at %d\n", c.Facts.StreamAt(s.Stream).Partition, s.FirstOffset)
		}
		if c.Snapshot != nil {
			for _, v := range c.Snapshot.Views {
				out += fmt.Sprintf("  %d: view [%d, %d) epoch %d\n", c.Facts.StreamAt(v.Stream).Partition, v.LogStartOffset, v.NextOffset, v.LastEpoch)
			}
		}
	}})
	if err != nil {
		m.Fatal(err)
	}
	return out
}

func describe(batches []byte) string {
	out := ""
	for len(batches) > 0 {
		b, rest, _ := recordbatch.Next(batches)
		out += fmt.Sprintf(" %d-%d@%d", b.BaseOffset(), b.LastOffset(), b.LeaderEpoch())
		batches = rest
	}
	return out
}

func histories(t *testing.T, f func(t *testing.T, seed uint64)) {
	n := uint64(150)
	if testing.Short() {
		n = uint64(30 / sweepStep(3))
	}
	for i := range n {
		t.Run(fmt.Sprintf("seed=%d", *seed+i), func(t *testing.T) { f(t, *seed+i) })
		if t.Failed() {
			return
		}
	}
}

// TestHistories lets a log grow, be truncated and retained, and writers come, go, overtake
// each other and die in any operation; each acknowledged snapshot shows its logs.
func TestHistories(t *testing.T) {
	histories(t, func(t *testing.T, seed uint64) {
		m := newModel(t, seed)
		var writers []*Writer
		for range 12 {
			m.live()
			if len(writers) < 3 && m.random.IntN(2) == 0 || len(writers) == 0 {
				writers = append(writers, m.writer())
			}
			i := m.random.IntN(len(writers))
			m.vault.useStore(m.store)
			dies := m.random.IntN(3) == 0
			if dies {
				m.vault.useStore(&failing{Store: m.store, left: 1 + m.random.IntN(7), answered: m.random.IntN(2) == 0})
			}
			changes, shot := m.backup(writers[i])
			r, err := writers[i].Commit(t.Context(), changes)
			m.vault.useStore(m.store)
			if err != nil && !dies {
				t.Fatal(err)
			}
			if err != nil && m.random.IntN(2) == 0 {
				writers = slices.Delete(writers, i, i+1)
				continue
			}
			if err != nil { // the same process tries again
				if r, err = writers[i].Commit(t.Context(), changes); err != nil {
					t.Fatal(err)
				}
			}
			m.shots[r.Snapshot] = shot
			if m.random.IntN(4) == 0 {
				writers = slices.Delete(writers, i, i+1)
			}
		}
		m.check()
	})
}

// TestNothingTwiceInHistories has one writer at a time, which follows the heads.
func TestNothingTwiceInHistories(t *testing.T) {
	histories(t, func(t *testing.T, seed uint64) {
		m := newModel(t, seed)
		w := m.writer()
		seen := map[string]bool{}
		for range 8 {
			m.live()
			if m.random.IntN(2) == 0 {
				w = m.writer()
			}
			changes, shot := m.backup(w)
			m.shots[m.commit(w, changes).Snapshot] = shot
		}
		_, err := m.vault.openCatalog(t.Context(), catalogOptions{taken: func(c *format.Commit) {
			facts := &c.Facts
			for _, r := range facts.Rows {
				for _, e := range r.Epochs {
					key := fmt.Sprint(facts.StreamAt(r.Stream).Partition, e)
					if seen[key] {
						t.Errorf("partition, epoch and offset %s were stored twice", key)
					}
					seen[key] = true
				}
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		m.check()
	})
}
