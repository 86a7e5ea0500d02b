package format

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"coldstream"
)

// maker makes random values that are as the format demands.
type maker struct{ *rand.Rand }

// number is 0 or more and less than n; small, large and boundary values are all likely.
func (m maker) number(n int64) int64 {
	switch m.IntN(4) {
	case 0:
		return m.Int64N(min(n, 4))
	case 1:
		return n - 1 - m.Int64N(min(n, 4))
	case 2:
		return m.Int64N(min(n, 1<<m.IntN(40)))
	}
	return m.Int64N(n)
}

func (m maker) time() int64 { return int64(m.Uint64()) >> m.IntN(64) }

func (m maker) fill(b []byte) {
	for i := range b {
		b[i] = byte(m.Uint32())
	}
}

func (m maker) hash() (h Hash) { m.fill(h[:]); return h }

func (m maker) text() string {
	b := make([]byte, m.IntN(20))
	m.fill(b)
	return string(b)
}

// list makes up to n elements in order, and no two that compare as equal.
func list[T any](m maker, n int, one func() T, compare func(a, b T) int) []T {
	var out []T
	for range m.IntN(n + 1) {
		out = append(out, one())
	}
	slices.SortFunc(out, compare)
	return slices.CompactFunc(out, func(a, b T) bool { return compare(a, b) == 0 })
}

func (m maker) ascending(n int, least, next int64) []int64 {
	return list(m, n, func() int64 { return least + m.number(next-least) }, cmp.Compare)
}

func (m maker) streams() ([]coldstream.Incarnation, []StreamRef) {
	incarnations := list(m, 3, func() coldstream.Incarnation {
		in := coldstream.Incarnation{ClusterID: m.text(), Topic: m.text()}
		if m.IntN(2) == 0 {
			in.Number = uint32(m.number(math.MaxUint32 + 1))
		} else {
			m.fill(in.TopicID[:])
		}
		return in
	}, coldstream.Incarnation.Compare)
	if len(incarnations) == 0 {
		return nil, nil
	}
	return incarnations, list(m, 6, func() StreamRef {
		return StreamRef{m.IntN(len(incarnations)), int32(m.number(math.MaxInt32 + 1))}
	}, func(a, b StreamRef) int {
		return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Partition, b.Partition))
	})
}

func (m maker) writer() (w Writer) { m.fill(w[:]); return w }

func (m maker) pack(epoch uint32) Pack {
	p := Pack{ID: PackID{epoch, m.writer(), m.Uint32()}, SizeBytes: 1}
	for range 1 + m.IntN(3) {
		f := Frame{StoredLength: 1 + m.number(maxFrame), DecodedLength: 1 + m.number(maxFrame)}
		m.fill(f.Hash[:])
		p.Frames, p.SizeBytes = append(p.Frames, f), p.SizeBytes+f.StoredLength
	}
	return p
}

func (m maker) offsets(streams int) rangeOf {
	first := m.number(math.MaxInt64)
	return rangeOf{m.IntN(streams), m.Uint32(), first, first + 1 + m.number(math.MaxInt64-first)}
}

func (m maker) row(f *Facts) Row {
	g := m.offsets(len(f.Streams))
	w := Row{
		Stream: g.Stream, Scan: g.Scan, FirstOffset: g.FirstOffset, NextOffset: g.NextOffset,
		BaseOffset: g.FirstOffset, MaxTimestampMs: -1, CommitMs: m.time(),
	}
	if len(f.Packs) == 0 || m.IntN(5) == 0 {
		return w
	}
	w.Pack = m.IntN(len(f.Packs))
	w.Frame = m.IntN(len(f.Packs[w.Pack].Frames))
	decoded := f.Packs[w.Pack].Frames[w.Frame].DecodedLength
	w.Length = 1 + m.number(decoded)
	w.Offset = m.number(decoded - w.Length + 1)
	w.BaseOffset = m.number(w.NextOffset)
	w.MaxTimestampMs = m.time()
	w.Batches, w.MaxBatchBytes, w.Records = 1+m.number(w.Length), 1+m.number(w.Length), m.number(math.MaxInt64)
	epoch := int32(m.IntN(1000))
	for _, at := range m.ascending(3, w.BaseOffset, w.NextOffset) {
		w.Epochs = append(w.Epochs, EpochStart{epoch, at})
		epoch += 1 + int32(m.IntN(1000))
	}
	for _, at := range m.ascending(3, w.BaseOffset, w.NextOffset) {
		w.Markers = append(w.Markers, Marker{at, m.time(), int16(m.Uint32()), m.IntN(2) == 0})
	}
	for _, at := range m.ascending(3, w.BaseOffset, w.NextOffset) {
		w.Transactions = append(w.Transactions, TransactionStart{m.time(), int16(m.Uint32()), at})
	}
	return w
}

func (m maker) facts(epoch uint32) Facts {
	var f Facts
	f.Incarnations, f.Streams = m.streams()
	f.Packs = list(m, 3, func() Pack { return m.pack(epoch) }, func(a, b Pack) int { return a.ID.Compare(b.ID) })
	if len(f.Streams) == 0 {
		return f
	}
	f.Scans = list(m, 3, func() Scan {
		return Scan{m.IntN(len(f.Streams)), m.Uint32(), m.number(math.MaxInt64), m.time()}
	}, func(a, b Scan) int { return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number)) })
	f.Rows = list(m, 5, func() Row { return m.row(&f) }, func(a, b Row) int {
		return compareRange(rangeOf{a.Stream, a.Scan, a.FirstOffset, 0}, rangeOf{b.Stream, b.Scan, b.FirstOffset, 0})
	})
	f.Gaps = list(m, 3, func() Gap {
		g := m.offsets(len(f.Streams))
		return Gap{g.Stream, g.Scan, g.FirstOffset, g.NextOffset, gapCauses()[1+m.IntN(3)], m.time()}
	}, func(a, b Gap) int {
		return compareRange(rangeOf{a.Stream, a.Scan, a.FirstOffset, 0}, rangeOf{b.Stream, b.Scan, b.FirstOffset, 0})
	})
	return f
}

func (m maker) snapshot(epoch uint32, streams int) Snapshot {
	s := Snapshot{TimeMs: m.time(), ClusterID: m.text(), SizeBytes: m.number(math.MaxInt64)}
	m.fill(s.ID[:])
	if streams > 0 {
		s.Views = list(m, 4, func() View {
			first := m.number(math.MaxInt64)
			return View{
				Stream: m.IntN(streams), Scan: m.Uint32(), LogStartOffset: first, NextOffset: first + m.number(math.MaxInt64-first),
				LastEpoch: int32(m.IntN(100)) - 1,
			}
		}, func(a, b View) int { return cmp.Compare(a.Stream, b.Stream) })
	}
	s.Sections = list(m, 3, func() SectionRef {
		if m.IntN(3) == 0 {
			return SectionRef{Name: "n" + m.text(), Missing: "m" + m.text()}
		}
		return SectionRef{Name: "n" + m.text(), Table: TableID{uint32(m.number(int64(epoch) + 1)), m.hash()}, SizeBytes: m.number(maxPayload + 1)}
	}, func(a, b SectionRef) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func (m maker) commit() *Commit {
	epoch := uint32(m.number(math.MaxUint32 + 1))
	c := &Commit{ID: CommitID{epoch, m.writer(), m.Uint32()}, TimeMs: m.time(), BaseHash: m.hash()}
	c.Parents = m.commits(epoch)
	c.Facts = m.facts(epoch - uint32(m.number(min(int64(epoch), 1)+1)))
	if m.IntN(2) == 0 {
		s := m.snapshot(epoch, len(c.Facts.Streams))
		c.Snapshot = &s
		if views := len(s.Views); views > 0 {
			s.Passes = list(m, views, func() Pass { return Pass{m.IntN(views), m.time(), m.number(math.MaxInt64)} },
				func(a, b Pass) int { return cmp.Compare(a.View, b.View) })
		}
	}
	switch incarnations := len(c.Facts.Incarnations); m.IntN(3) {
	case 0:
		c.Reached = &Reached{AsOfMs: m.time(), Name: m.text()}
		if incarnations > 0 {
			c.Reached.Topics = list(m, incarnations, func() int { return m.IntN(incarnations) }, cmp.Compare[int])
		}
	case 1:
		if c.ID.Seq > 0 {
			c.Reached = &Reached{AsOfMs: m.time(), Back: uint32(1 + m.number(int64(c.ID.Seq)))}
			c.Reached.LeftOut = list(m, 3, m.Uint32, cmp.Compare[uint32])
		}
	}
	return c
}

func (m maker) commits(epoch uint32) []CommitRef {
	return list(m, 3, func() CommitRef { return CommitRef{CommitID{epoch, m.writer(), m.Uint32()}, m.hash()} },
		func(a, b CommitRef) int { return a.ID.Compare(b.ID) })
}

func (m maker) table(epoch uint32) TableID {
	return TableID{uint32(m.number(int64(epoch) + 1)), m.hash()}
}

// chapters are of some of the epochs before.
func (m maker) chapters(epoch uint32) []ChapterRef {
	var out []ChapterRef
	for first := uint32(0); first < epoch && len(out) < 3; {
		ref := ChapterRef{FirstEpoch: first + uint32(m.number(int64(epoch-first))), Chapter: m.table(epoch), SizeBytes: m.number(maxPayload + 1)}
		ref.LastEpoch = ref.FirstEpoch + uint32(m.number(int64(epoch-ref.FirstEpoch)))
		if m.IntN(2) == 0 {
			ref.Views, ref.ViewsSizeBytes = m.table(epoch), 1+m.number(maxPayload)
		}
		out, first = append(out, ref), ref.LastEpoch+1
	}
	return out
}

func (m maker) chapter() *Chapter {
	c := &Chapter{FirstEpoch: uint32(m.number(1 << 32))}
	c.LastEpoch = c.FirstEpoch + uint32(m.number(1<<32-int64(c.FirstEpoch)))
	c.Commits = m.commits(c.LastEpoch)
	c.Packs = list(m, 3, func() PackSize {
		return PackSize{PackID{c.FirstEpoch, m.writer(), m.Uint32()}, m.number(math.MaxInt64)}
	},
		func(a, b PackSize) int { return a.ID.Compare(b.ID) })
	c.Snapshots = list(m, 3, func() Snapshot {
		s := m.snapshot(c.LastEpoch, 0)
		s.ParentMs = NoParent
		return s
	}, compareSnapshots)
	if c.ByTime = m.IntN(2) == 0; c.ByTime {
		return c
	}
	m.Shuffle(len(c.Snapshots), func(i, j int) { c.Snapshots[i], c.Snapshots[j] = c.Snapshots[j], c.Snapshots[i] })
	for i := range c.Snapshots {
		c.Snapshots[i].ParentMs = m.time()
	}
	return c
}

func (m maker) views() *Views {
	v := &Views{}
	v.Incarnations, v.Streams = m.streams()
	for range m.IntN(4) {
		s := m.snapshot(0, len(v.Streams))
		v.Snapshots = append(v.Snapshots, SnapshotViews{s.ID, s.Views})
	}
	return v
}

func (m maker) base() *Base {
	b := &Base{Epoch: uint32(m.number(math.MaxUint32 + 1)), TimeMs: m.time()}
	b.CreatedMs = b.TimeMs
	if b.Epoch > 0 {
		b.CreatedMs = m.time()
		b.PreviousHash, b.Removed = m.hash(), m.IntN(2) == 0
	}
	b.Incarnations, b.Streams = m.streams()
	for i := range b.Streams {
		h := Head{Stream: i, Scan: m.Uint32(), NextOffset: m.number(math.MaxInt64), Floor: -1, SizeBytes: m.number(math.MaxInt64)}
		h.Reach = h.NextOffset + m.number(math.MaxInt64-h.NextOffset)
		if h.NextOffset > 0 && m.IntN(2) == 0 {
			h.Floor = 1 + m.number(h.NextOffset)
		}
		for j, at := range m.ascending(3, 0, math.MaxInt64) {
			h.Epochs = append(h.Epochs, HeadEpoch{EpochStart{int32(j * 3), at}, int32(j*3) - 1})
		}
		b.Heads = append(b.Heads, h)
	}
	if n := len(b.Streams); n > 0 {
		b.Passes = list(m, n, func() StreamPass {
			return StreamPass{m.IntN(n), m.Uint32(), m.number(math.MaxInt64), int32(m.IntN(100)) - 1, m.time(), m.number(math.MaxInt64)}
		}, func(a, b StreamPass) int { return cmp.Compare(a.Stream, b.Stream) })
	}
	b.Sections = list(m, 3, func() TableID { return m.table(b.Epoch) }, TableID.Compare)
	b.Chapters = m.chapters(b.Epoch)
	b.Tables = list(m, 3, func() TableRef {
		return TableRef{m.text(), m.table(b.Epoch), m.number(maxPayload + 1)}
	}, func(a, b TableRef) int { return cmp.Or(cmp.Compare(a.Topic, b.Topic), a.Table.Compare(b.Table)) })
	if m.IntN(2) == 0 {
		b.SignatureKey, b.Signature = [keyIDSize]byte{1}, []byte("s"+m.text())
	}
	return b
}

func TestRandomValuesRoundTrip(t *testing.T) {
	m := maker{newRand(t)}
	for range 2000 {
		commit := m.commit()
		roundTrip(t, commit, commit.Append, DecodeCommit)
		base := m.base()
		roundTrip(t, base, base.Append, DecodeBase)
		chapter, views := m.chapter(), m.views()
		roundTrip(t, chapter, chapter.Append, DecodeChapter)
		roundTrip(t, views, views.Append, DecodeViews)
		table := &Table{m.facts(m.Uint32())}
		for i := range table.Facts.Packs {
			p := &table.Facts.Packs[i]
			skipped := m.number(maxFrame)
			p.Frames[0].Skipped, p.SizeBytes = skipped, p.SizeBytes+skipped
		}
		if len(table.Facts.Streams) > 0 {
			table.Facts.Released = []Released{Released(m.offsets(len(table.Facts.Streams)))}
		}
		roundTrip(t, table, table.Append, DecodeTable)
		if t.Failed() {
			return
		}
	}
}

func roundTrip[T any](t *testing.T, want *T, encode func([]byte) ([]byte, error), decode func([]byte) (*T, error)) {
	t.Helper()
	b, err := encode(nil)
	if err != nil {
		t.Errorf("encode %+v: %v", want, err)
		return
	}
	got, err := decode(b)
	if err != nil {
		t.Errorf("decode: %v", err)
		return
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestRandomDamage changes bytes of good values: whatever comes of it, nothing panics, and
// what is accepted is in its one form.
func TestRandomDamage(t *testing.T) {
	m := maker{newRand(t)}
	for range 3000 {
		commit, err := m.commit().Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		base, err := m.base().Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		chapter, err := m.chapter().Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		views, err := m.views().Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			b     []byte
			again func([]byte) ([]byte, error)
		}{{commit, againCommit}, {base, againBase}, {chapter, againChapter}, {views, againViews}} {
			for range 1 + m.IntN(3) {
				c.b[m.IntN(len(c.b))] = byte(m.Uint32())
			}
			again, err := c.again(c.b)
			checkError(t, err)
			if err == nil && string(again) != string(c.b) {
				t.Errorf("encoded again it is\n%q, not\n%q", again, c.b)
			}
		}
	}
}
