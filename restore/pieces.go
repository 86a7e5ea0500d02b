package restore

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"

	"coldstream"
)

// A compacted topic may have as many holes as records, and each is a run of an offset map. Maps
// leave memory, and one document does not have to hold them: what has grown to pieceRuns runs is
// written as a record of the restore, the first of which is recordPiece.

const (
	recordPiece = 3
	// pieceRuns is how many runs of offset maps a piece has at most, or little more: some 3 MB of JSON.
	pieceRuns = 50_000
	// resultVersion is what a result with pieces says: versions that do not know them must not
	// go through half a map.
	resultVersion = 2
)

// pieceRecord is a record from recordPiece on.
type pieceRecord struct {
	OffsetMaps map[string][]mapped `json:"offset_maps"` // by partition of the target
}

// pieceOf says which record has a stretch of a partition's offset map.
type pieceOf struct {
	Record uint32 `json:"record"`
	// First is the source offset of the stretch's first record, Next the one behind its last.
	First int64 `json:"first_source_offset"`
	Next  int64 `json:"next_source_offset"`
}

// pieces writes the offset maps of a restore.
type pieces struct {
	put    func(ctx context.Context, n uint32, document any) error
	atMost int // runs that are kept

	mu      sync.Mutex
	records uint32 // that were begun
	written map[coldstream.TopicPartition][]pieceOf
	// closed are maps that grow no more, and are not written; closedRuns is how many runs they have.
	closed     map[coldstream.TopicPartition]*offsetMap
	closedRuns int
}

func newPieces(atMost int, put func(ctx context.Context, n uint32, document any) error) *pieces {
	return &pieces{
		put: put, atMost: atMost,
		written: map[coldstream.TopicPartition][]pieceOf{}, closed: map[coldstream.TopicPartition]*offsetMap{},
	}
}

// grown writes what a map has, if that is enough for a piece.
func (p *pieces) grown(ctx context.Context, tp coldstream.TopicPartition, m *offsetMap) error {
	if len(m.runs) < p.atMost {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.write(ctx, map[coldstream.TopicPartition]*offsetMap{tp: m})
}

// close takes a map that grows no more. Small ones are written together. Where that fails it is
// tried again with the next one, and what is never written is in the result.
func (p *pieces) close(ctx context.Context, tp coldstream.TopicPartition, m *offsetMap) {
	if len(m.runs) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed[tp] = m
	p.closedRuns += len(m.runs)
	if p.closedRuns >= p.atMost && p.write(ctx, p.closed) == nil {
		p.closed, p.closedRuns = map[coldstream.TopicPartition]*offsetMap{}, 0
	}
}

// write makes a record of maps, which forget it then. A number is taken once: nobody knows
// whether a record that could not be stored is there.
func (p *pieces) write(ctx context.Context, offsetMaps map[coldstream.TopicPartition]*offsetMap) error {
	record := pieceRecord{map[string][]mapped{}}
	for tp, m := range offsetMaps {
		record.OffsetMaps[tp.String()] = m.runs
	}
	n := recordPiece + p.records
	p.records++
	if err := p.put(ctx, n, record); err != nil {
		return err
	}
	for tp, m := range offsetMaps {
		p.written[tp] = append(p.written[tp], pieceOf{n, m.runs[0].Source, m.runs[len(m.runs)-1].next()})
		m.forget()
	}
	return nil
}

// forget lets go of runs that were written, but for the answers that will be asked for.
func (m *offsetMap) forget() {
	next := m.runs[len(m.runs)-1].next()
	for _, offset := range m.wanted {
		if offset >= m.written && offset < next {
			m.answers[offset] = m.translate(offset)
		}
	}
	m.runs, m.written = nil, next
}

// find is translate for a map whose beginning was written.
func (m *offsetMap) find(offset int64) (int64, error) {
	if offset >= m.written {
		return m.translate(offset), nil
	}
	answer, ok := m.answers[offset]
	if !ok {
		return 0, fmt.Errorf("offset %d was not kept of the offset map", offset)
	}
	return answer, nil
}

// pastMap is the offset map of a partition that an earlier restore left: pieces, then the rest.
type pastMap struct {
	tp     coldstream.TopicPartition // of the target
	pieces []pieceOf
	offsetMap
}

// check proves that the map can be searched.
func (m *pastMap) check() error {
	at := int64(0)
	for _, piece := range m.pieces {
		if piece.Record < recordPiece || piece.First < at || piece.Next <= piece.First {
			return fmt.Errorf("%w: pieces are in no order at offset %d", coldstream.ErrCorrupt, piece.First)
		}
		at = piece.Next
	}
	if len(m.runs) > 0 && m.runs[0].Source < at {
		return fmt.Errorf("%w: pieces and the rest are in no order at offset %d", coldstream.ErrCorrupt, at)
	}
	return m.offsetMap.check()
}

// pieceWith is the piece that an offset is translated by, or 0 for the rest.
func (m *pastMap) pieceWith(offset int64) uint32 {
	i := sort.Search(len(m.pieces), func(i int) bool { return m.pieces[i].Next > offset })
	if i == len(m.pieces) {
		return 0
	}
	return m.pieces[i].Record
}

// through translates an offset by a piece.
func (m *pastMap) through(piece *pieceRecord, n uint32, offset int64) (int64, error) {
	part := offsetMap{runs: piece.OffsetMaps[m.tp.String()], next: m.next}
	if err := part.check(); err != nil {
		return 0, err
	}
	i := slices.IndexFunc(m.pieces, func(it pieceOf) bool { return it.Record == n })
	if len(part.runs) == 0 || part.runs[0].Source != m.pieces[i].First || part.runs[len(part.runs)-1].next() != m.pieces[i].Next {
		return 0, fmt.Errorf("%w: it does not have the offsets [%d, %d)", coldstream.ErrCorrupt, m.pieces[i].First, m.pieces[i].Next)
	}
	return part.translate(offset), nil
}

// translatePast finds the targets of groups' offsets in the map of an earlier restore, with one
// of its pieces in memory at a time.
func (p *Plan) translatePast(ctx context.Context) error {
	byPiece := map[uint32][]*groupOffset{}
	for _, g := range p.groups {
		for i := range g.offsets {
			o := &g.offsets[i]
			if n := o.past.pieceWith(o.recorded.Offset); n > 0 {
				byPiece[n] = append(byPiece[n], o)
			} else {
				o.target = o.past.translate(o.recorded.Offset)
			}
		}
	}
	for n, offsets := range byPiece {
		var piece pieceRecord
		if err := readRecord(ctx, p.trail, p.past.id, n, &piece); err != nil {
			return err
		}
		for _, o := range offsets {
			var err error
			if o.target, err = o.past.through(&piece, n, o.recorded.Offset); err != nil {
				return fmt.Errorf("record %d of restore %s, offset map of %s: %w", n, p.past.id, o.into, err)
			}
		}
	}
	return nil
}
