package vault

import (
	"cmp"
	"fmt"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
)

// tableMaker gathers the facts of one topic for its row table.
type tableMaker struct {
	packs    map[format.PackID]*tablePack
	rows     []tableRow
	gaps     []streamFact[format.Gap]
	scans    []streamFact[format.Scan]
	released []streamFact[format.Released]
}

// tablePack is a pack with those of its frames that rows of the topic need, by where
// they begin behind the pack's header.
type tablePack struct {
	format.Pack
	frames map[int64]format.Frame
}

type tableRow struct {
	stream coldstream.Stream
	format.Row
	pack  format.PackID
	start int64 // of the frame, behind the pack's header
}

type streamFact[T any] struct {
	stream coldstream.Stream
	fact   T
}

func newTableMaker() *tableMaker { return &tableMaker{packs: map[format.PackID]*tablePack{}} }

// tablesByTopic splits facts by topics.
type tablesByTopic map[string]*tableMaker

func (t tablesByTopic) of(s coldstream.Stream) *tableMaker {
	m := t[s.Topic]
	if m == nil {
		m = newTableMaker()
		t[s.Topic] = m
	}
	return m
}

// add takes facts in. Facts that describe a pack otherwise than others did are corrupt.
func (t tablesByTopic) add(facts *format.Facts) error {
	starts := make([][]int64, len(facts.Packs))
	for i := range facts.Rows {
		r := &facts.Rows[i]
		row := tableRow{stream: facts.StreamAt(r.Stream), Row: *r}
		m := t.of(row.stream)
		if r.Length > 0 {
			pack := &facts.Packs[r.Pack]
			if starts[r.Pack] == nil {
				starts[r.Pack] = pack.FrameStarts()
			}
			row.pack, row.start = pack.ID, starts[r.Pack][r.Frame]
			if err := m.addFrame(pack, row.start, pack.Frames[r.Frame]); err != nil {
				return err
			}
		}
		m.rows = append(m.rows, row)
	}
	for _, g := range facts.Gaps {
		s := facts.StreamAt(g.Stream)
		t.of(s).gaps = append(t.of(s).gaps, streamFact[format.Gap]{s, g})
	}
	for _, scan := range facts.Scans {
		s := facts.StreamAt(scan.Stream)
		t.of(s).scans = append(t.of(s).scans, streamFact[format.Scan]{s, scan})
	}
	for _, released := range facts.Released {
		s := facts.StreamAt(released.Stream)
		t.of(s).released = append(t.of(s).released, streamFact[format.Released]{s, released})
	}
	return nil
}

func (m *tableMaker) addFrame(pack *format.Pack, start int64, frame format.Frame) error {
	p := m.packs[pack.ID]
	if p == nil {
		p = &tablePack{Pack: *pack, frames: map[int64]format.Frame{}}
		m.packs[pack.ID] = p
	}
	frame.Skipped = 0
	known, ok := p.frames[start]
	if p.SizeBytes != pack.SizeBytes || ok && known != frame {
		return fmt.Errorf("it describes %s otherwise than others do: %w", pack.ID.Key(), coldstream.ErrCorrupt)
	}
	p.frames[start] = frame
	return nil
}

// addEarlier takes in the facts of an earlier table of the same topic.
func (m *tableMaker) addEarlier(earlier *tableMaker) error {
	for _, p := range earlier.packs {
		for start, frame := range p.frames {
			if err := m.addFrame(&p.Pack, start, frame); err != nil {
				return err
			}
		}
	}
	m.rows = append(m.rows, earlier.rows...)
	m.gaps = append(m.gaps, earlier.gaps...)
	m.scans = append(m.scans, earlier.scans...)
	m.released = append(m.released, earlier.released...)
	return nil
}

// build gives the table. Equal facts give equal bytes, whatever order they came in.
func (m *tableMaker) build() *format.Table {
	facts := &format.Facts{}
	index := m.buildStreams(facts)
	packs, frames := m.buildPacks(facts)
	for i := range m.rows {
		r := m.rows[i].Row
		r.Stream = index[m.rows[i].stream]
		if r.Length > 0 {
			r.Pack = packs[m.rows[i].pack]
			r.Frame = frames[framePlace{r.Pack, m.rows[i].start}]
		}
		facts.Rows = append(facts.Rows, r)
	}
	for _, g := range m.gaps {
		g.fact.Stream = index[g.stream]
		facts.Gaps = append(facts.Gaps, g.fact)
	}
	for _, s := range m.scans {
		s.fact.Stream = index[s.stream]
		facts.Scans = append(facts.Scans, s.fact)
	}
	for _, r := range m.released {
		r.fact.Stream = index[r.stream]
		facts.Released = append(facts.Released, r.fact)
	}
	sortFacts(facts)
	return &format.Table{Facts: *facts}
}

// buildStreams lists the streams of all facts.
func (m *tableMaker) buildStreams(facts *format.Facts) map[coldstream.Stream]int {
	index := map[coldstream.Stream]int{}
	var streams []coldstream.Stream
	note := func(s coldstream.Stream) {
		if _, ok := index[s]; !ok {
			index[s] = 0
			streams = append(streams, s)
		}
	}
	for i := range m.rows {
		note(m.rows[i].stream)
	}
	for _, g := range m.gaps {
		note(g.stream)
	}
	for _, s := range m.scans {
		note(s.stream)
	}
	for _, r := range m.released {
		note(r.stream)
	}
	facts.Incarnations, facts.Streams = listStreams(streams)
	for i := range facts.Streams {
		index[facts.StreamAt(i)] = i
	}
	return index
}

// listStreams sorts streams and brings them into the form of the format.
func listStreams(streams []coldstream.Stream) (incarnations []coldstream.Incarnation, refs []format.StreamRef) {
	slices.SortFunc(streams, coldstream.Stream.Compare)
	for _, s := range streams {
		if n := len(incarnations); n == 0 || incarnations[n-1] != s.Incarnation {
			incarnations = append(incarnations, s.Incarnation)
		}
		refs = append(refs, format.StreamRef{Incarnation: len(incarnations) - 1, Partition: s.Partition})
	}
	return incarnations, refs
}

type framePlace struct {
	pack  int
	start int64
}

func (m *tableMaker) buildPacks(facts *format.Facts) (packs map[format.PackID]int, frames map[framePlace]int) {
	packs, frames = map[format.PackID]int{}, map[framePlace]int{}
	var ids []format.PackID
	for id := range m.packs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, format.PackID.Compare)
	for i, id := range ids {
		p := m.packs[id]
		out := p.Pack
		out.Frames = nil
		var starts []int64
		for start := range p.frames {
			starts = append(starts, start)
		}
		slices.Sort(starts)
		end := int64(0)
		for j, start := range starts {
			f := p.frames[start]
			f.Skipped = start - end
			end = start + f.StoredLength
			out.Frames = append(out.Frames, f)
			frames[framePlace{i, start}] = j
		}
		packs[id] = i
		facts.Packs = append(facts.Packs, out)
	}
	return packs, frames
}

func sortFacts(f *format.Facts) {
	slices.SortFunc(f.Rows, func(a, b format.Row) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Scan, b.Scan), cmp.Compare(a.FirstOffset, b.FirstOffset),
			cmp.Compare(a.NextOffset, b.NextOffset), cmp.Compare(a.CommitMs, b.CommitMs),
			cmp.Compare(a.Pack, b.Pack), cmp.Compare(a.Frame, b.Frame), cmp.Compare(a.Offset, b.Offset))
	})
	slices.SortFunc(f.Gaps, func(a, b format.Gap) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Scan, b.Scan), cmp.Compare(a.FirstOffset, b.FirstOffset),
			cmp.Compare(a.NextOffset, b.NextOffset), cmp.Compare(a.TimeMs, b.TimeMs), cmp.Compare(a.Cause, b.Cause))
	})
	slices.SortFunc(f.Scans, func(a, b format.Scan) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number), cmp.Compare(a.FirstOffset, b.FirstOffset),
			cmp.Compare(a.StartedMs, b.StartedMs))
	})
	// A scan that was begun twice at one offset, by two writers or tried again, began once.
	f.Scans = slices.CompactFunc(f.Scans, func(a, b format.Scan) bool {
		return a.Stream == b.Stream && a.Number == b.Number && a.FirstOffset == b.FirstOffset
	})
	slices.SortFunc(f.Released, func(a, b format.Released) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Scan, b.Scan), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
}
