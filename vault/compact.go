package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/pack"
)

// What is worth moving.
const (
	// smallPackBytes is what a pack of few seconds stays below. There must be manySmall of them.
	smallPackBytes = 1 << 20
	// smallFrameBytes is what a frame stays below that costs a request of its own for little, decoded.
	smallFrameBytes = 256 << 10
	manySmall       = 16
	// movedFrameBytes is about what frames have that rows are moved into.
	movedFrameBytes = 1 << 20
	// rowsPerRound and chunkBytes bound the memory of a round.
	rowsPerRound = 200_000
	chunkBytes   = 32 << 20
	partBytes    = 8 << 20
)

// CompactOptions say what is not read from the surroundings.
type CompactOptions struct {
	Now func() time.Time
	// PackBytes is what packs stay below; 48 MiB by default.
	PackBytes int
	// Turn is how epochs are turned; what it takes away is nothing.
	Turn TurnOptions
	// Observer is told of progress.
	Observer coldstream.Observer
}

// CompactReport is what was moved, or would be.
type CompactReport struct {
	Rows, Frames int
	// PacksRead are those that rows are moved out of, PacksFreed those of them that nothing needs then.
	PacksRead, PacksFreed, PacksMade int
	BytesRead, BytesFreed, BytesMade int64
	// Damaged is what could not be read, and stays where it is.
	Damaged []*DamageError
}

// ForeseeCompaction says what [Vault.Compact] would do, and changes nothing. What packs would be made of
// is known only when they are made.
func (v *Vault) ForeseeCompaction(ctx context.Context) (*CompactReport, error) {
	out := &CompactReport{}
	_, err := v.withFacts(ctx, catalogOptions{reader: true, chapters: true}, func(c *Catalog) error {
		*out = CompactReport{}
		s := &compactSearch{vault: v, catalog: c, report: out}
		return s.each(ctx, func(*topicRows, []*movedFrame) error { return nil })
	})
	return out, err
}

// Compact moves the rows of small packs, of small frames, and of packs that are needed less than half, into
// new packs, topic by topic and partition by partition. What rows say stays as it is, and
// their bytes are proven to be the same before the old ones are given up. Nothing that is needed is
// ever in one place only that is not yet named: it may run beside everything else, be cut off, and be begun again.
//
// In rounds: packs are stored, then the epoch turns, and the base names the new places of those rows
// that are still there (rule "redo"). New packs are of the last epochs, else they would be garbage already, and the round counts for nothing.
func (v *Vault) Compact(ctx context.Context, opts CompactOptions) (*CompactReport, error) {
	if v.IsPermanent() {
		return nil, fmt.Errorf("compact: the storage takes nothing away: %w", coldstream.ErrUnsupported)
	}
	total := &CompactReport{}
	stays := map[format.PackID]bool{} // with damage
	for {
		r := &compactRound{vault: v, opts: &opts, stays: stays}
		if err := r.gather(ctx); err != nil {
			return total, fmt.Errorf("compact: %w", err)
		}
		total.Damaged = append(total.Damaged, r.report.Damaged...)
		if len(r.moves.to) == 0 {
			return total, nil
		}
		turn := opts.Turn
		turn.moves, turn.Forget, turn.Release = r.moves, nil, false
		freed, err := v.turnMoved(ctx, turn)
		if err != nil {
			return total, err
		}
		total.add(r.report, freed)
		if !r.isFull {
			return total, nil
		}
	}
}

func (r *CompactReport) add(round *CompactReport, freed Freed) {
	r.Rows, r.Frames = r.Rows+round.Rows, r.Frames+round.Frames
	r.PacksRead, r.BytesRead = r.PacksRead+round.PacksRead, r.BytesRead+round.BytesRead
	r.PacksMade, r.BytesMade = r.PacksMade+round.PacksMade, r.BytesMade+round.BytesMade
	r.PacksFreed, r.BytesFreed = r.PacksFreed+freed.Packs, r.BytesFreed+freed.Bytes
}

// rowPlace is a row as a fold has it, with where it lies.
type rowPlace struct {
	stream                  coldstream.Stream
	scan                    uint32
	firstOffset, nextOffset int64
	commitMs                int64
	pack                    format.PackID
	start, offset, length   int64
}

func placeOf(row *tableRow) rowPlace {
	return rowPlace{row.stream, row.Scan, row.FirstOffset, row.NextOffset, row.CommitMs, row.pack, row.start, row.Offset, row.Length}
}

// newPlace is where a row lies from now on.
type newPlace struct {
	pack   *format.Pack
	frame  int
	start  int64
	offset int64
}

// moves are rows with their new places.
type moves struct {
	epoch uint32 // of the packs
	to    map[rowPlace]newPlace
	packs map[format.PackID]int64 // sizes
}

// standIn says that a base may name the packs: those of epochs up to n-3 may be garbage.
func (m *moves) standIn(base uint32) bool { return m != nil && m.epoch+2 >= base }

// apply gives rows their new places, those that are still there.
func (m *moves) apply(t *tableMaker) (changed bool, err error) {
	for i := range t.rows {
		row := &t.rows[i]
		if row.Length == 0 {
			continue
		}
		to, ok := m.to[placeOf(row)]
		if !ok {
			continue
		}
		if err := t.addFrame(to.pack, to.start, to.pack.Frames[to.frame]); err != nil {
			return false, err
		}
		row.pack, row.start, row.Offset, changed = to.pack.ID, to.start, to.offset, true
	}
	if changed {
		t.dropFrames()
	}
	return changed, nil
}

// movedFrame is a frame whose rows are moved.
type movedFrame struct {
	place  *format.PlacedPack // with this frame alone
	stored int64
	start  int64
	rows   []*tableRow
}

// topicRows are the rows of one topic.
type topicRows struct {
	topic string
	made  *tableMaker
}

// packUse is what of a pack is needed.
type packUse struct{ size, needed, moved int64 }

// compactSearch finds what is worth moving.
type compactSearch struct {
	vault   *Vault
	catalog *Catalog
	stays   map[format.PackID]bool
	report  *CompactReport
	packs   map[format.PackID]*packUse
	small   int // packs
}

// each shows the frames of one topic after the other that are worth moving.
func (s *compactSearch) each(ctx context.Context, take func(*topicRows, []*movedFrame) error) error {
	if err := s.catalog.readFacts(); err != nil {
		return err
	}
	marked, err := s.vault.listMarks(ctx, nil)
	if err != nil {
		return err
	}
	s.packs = map[format.PackID]*packUse{}
	topics := s.catalog.topics()
	for _, topic := range topics {
		rows, err := s.readTopic(ctx, topic)
		if err != nil {
			return err
		}
		s.count(rows)
	}
	for _, use := range s.packs {
		if use.size < smallPackBytes {
			s.small++
		}
	}
	for _, topic := range topics {
		rows, err := s.readTopic(ctx, topic)
		if err != nil {
			return err
		}
		frames := s.choose(rows, marked)
		if len(frames) == 0 {
			continue
		}
		if err := take(rows, frames); err != nil {
			return err
		}
	}
	for _, use := range s.packs {
		if use.moved > 0 {
			s.report.PacksRead++
		}
		if use.moved > 0 && use.moved == use.needed {
			s.report.PacksFreed++
			s.report.BytesFreed += use.size
		}
	}
	return nil
}

func (s *compactSearch) readTopic(ctx context.Context, topic string) (*topicRows, error) {
	tables := tablesByTopic{topic: newTableMaker()}
	before := len(s.catalog.damage)
	err := s.catalog.eachFactsOf(ctx, topic, func(object string, facts *format.Facts) error {
		if err := tables.add(facts); err != nil {
			return &DamageError{Object: object, Kind: KindAltered, Cause: err}
		}
		return nil
	})
	if err == nil && len(s.catalog.damage) > before {
		err = s.catalog.damage[len(s.catalog.damage)-1] // nothing is built on damage
	}
	return &topicRows{topic, tables[topic]}, err
}

func (s *compactSearch) count(t *topicRows) {
	for id, p := range t.made.packs {
		use := s.packs[id]
		if use == nil {
			use = &packUse{size: p.SizeBytes}
			s.packs[id] = use
		}
		for _, f := range p.frames {
			use.needed += f.StoredLength
		}
	}
}

// choose finds the frames of a topic that are worth moving.
func (s *compactSearch) choose(t *topicRows, marked marks) []*movedFrame {
	var chosen, small []*movedFrame
	var smallBytes int64
	frames := map[format.PackID]map[int64]*movedFrame{}
	for _, id := range slices.SortedFunc(maps.Keys(t.made.packs), format.PackID.Compare) {
		p, use := t.made.packs[id], s.packs[id]
		if s.stays[id] || use == nil {
			continue
		}
		frames[id] = map[int64]*movedFrame{}
		header := int64(format.PackHeaderSize(s.vault.info.ID, id))
		for start, f := range p.frames {
			if marked.has(id, header+start) {
				continue
			}
			m := &movedFrame{stored: f.StoredLength, start: start}
			switch {
			case use.size < smallPackBytes && s.small >= manySmall, 2*use.needed < use.size:
				chosen = append(chosen, m)
			case f.DecodedLength < smallFrameBytes:
				small, smallBytes = append(small, m), smallBytes+f.DecodedLength
			default:
				continue
			}
			frames[id][start] = m
		}
	}
	if n := int64(len(small)); n >= manySmall && n >= 2*(1+smallBytes/movedFrameBytes) {
		chosen = append(chosen, small...)
	}
	for i := range t.made.rows {
		row := &t.made.rows[i]
		if m := frames[row.pack][row.start]; row.Length > 0 && m != nil {
			m.rows = append(m.rows, row)
		}
	}
	chosen = slices.DeleteFunc(chosen, func(m *movedFrame) bool { return len(m.rows) == 0 })
	for _, m := range chosen {
		m.place = t.placed(s.vault.info.ID, m)
		id := m.rows[0].pack
		s.packs[id].moved += m.stored
		s.report.Rows += len(m.rows)
		s.report.Frames++
		s.report.BytesRead += m.stored
	}
	return chosen
}

// placed is the pack of a frame with this frame alone.
func (t *topicRows) placed(vaultID format.VaultID, m *movedFrame) *format.PlacedPack {
	p := t.made.packs[m.rows[0].pack]
	one := p.Pack
	f := p.frames[m.start]
	f.Skipped = m.start
	one.Frames = []format.Frame{f}
	return one.Place(vaultID)
}

// compactRound stores packs with rows that are to be moved.
type compactRound struct {
	vault  *Vault
	opts   *CompactOptions
	stays  map[format.PackID]bool
	writer *Writer
	report *CompactReport
	moves  *moves
	isFull bool // there may be more to move
	parts  []*Part
	from   []rowPlace // of the parts' blocks
	bytes  int64      // of the parts
}

var errRoundIsFull = errors.New("enough for one round")

func (r *compactRound) gather(ctx context.Context) error {
	_, err := r.vault.withFacts(ctx, catalogOptions{reader: true, chapters: true}, func(c *Catalog) (err error) {
		if d := c.Damage(); len(d) > 0 {
			return d[0] // nothing is built on damage
		}
		r.report, r.parts, r.from, r.bytes, r.isFull = &CompactReport{}, nil, nil, 0, false
		if r.writer, err = r.vault.NewWriter(ctx, WriterOptions{Now: r.opts.Now, PackBytes: r.opts.PackBytes}); err != nil {
			return err
		}
		r.moves = &moves{epoch: r.writer.packEpoch, to: map[rowPlace]newPlace{}, packs: map[format.PackID]int64{}}
		s := &compactSearch{vault: r.vault, catalog: c, stays: r.stays, report: r.report}
		err = s.each(ctx, func(t *topicRows, frames []*movedFrame) error { return r.move(ctx, frames) })
		if errors.Is(err, errRoundIsFull) {
			r.isFull, err = true, nil
		}
		if err != nil {
			return err
		}
		return r.storePack(ctx)
	})
	return err
}

// move puts the rows of a topic's frames into packs: as many frames at a time as fit into memory, each
// read once, and of these the rows in the order of streams and offsets.
func (r *compactRound) move(ctx context.Context, frames []*movedFrame) error {
	if err := r.vault.mayRemove(); err != nil {
		return err // before anything is stored that no base could name
	}
	slices.SortFunc(frames, func(a, b *movedFrame) int {
		return cmp.Or(a.place.ID.Compare(b.place.ID), cmp.Compare(a.start, b.start))
	})
	for len(frames) > 0 {
		n, size, rows := 0, int64(0), len(r.moves.to)+len(r.from)
		for n < len(frames) && (n == 0 || size+frames[n].place.Frames[0].DecodedLength <= chunkBytes) {
			size, rows, n = size+frames[n].place.Frames[0].DecodedLength, rows+len(frames[n].rows), n+1
		}
		if err := r.moveChunk(ctx, frames[:n]); err != nil {
			return err
		}
		frames = frames[n:]
		if rows >= rowsPerRound {
			return errRoundIsFull
		}
	}
	return nil
}

// movedRow is a row with its bytes, and where it lies.
type movedRow struct {
	pack.Moved
	from rowPlace
}

func (r *compactRound) moveChunk(ctx context.Context, frames []*movedFrame) error {
	read := make([][]movedRow, len(frames))
	damage := make([]*DamageError, len(frames))
	reader := pack.NewReader(r.vault.objects, 1)
	err := r.vault.each(ctx, len(frames), func(ctx context.Context, i int) (err error) {
		read[i], err = readMoved(ctx, reader, frames[i])
		if errors.Is(err, coldstream.ErrCorrupt) {
			damage[i] = &DamageError{Object: frames[i].place.ID.Key(), Kind: KindAltered, Cause: err}
			errors.As(err, &damage[i])
			err = nil
		}
		return err
	})
	if err != nil {
		return err
	}
	var rows []movedRow
	for i := range frames {
		if damage[i] != nil { // it stays where it is
			r.stays[frames[i].place.ID] = true
			r.report.Damaged = append(r.report.Damaged, damage[i])
			if damage[i].Kind != KindMissing {
				r.vault.markIfPossible(ctx, format.Mark{Pack: frames[i].place.ID, Start: frames[i].place.Starts[0]})
			}
			continue
		}
		rows = append(rows, read[i]...)
	}
	slices.SortFunc(rows, func(a, b movedRow) int {
		return cmp.Or(a.Stream.Compare(b.Stream), cmp.Compare(a.Row.Scan, b.Row.Scan), cmp.Compare(a.Row.FirstOffset, b.Row.FirstOffset), cmp.Compare(a.Row.NextOffset, b.Row.NextOffset))
	})
	for len(rows) > 0 {
		n, size := 0, int64(0)
		for n < len(rows) && size < partBytes {
			size, n = size+rows[n].Row.Length, n+1
		}
		if err := r.addPart(ctx, rows[:n]); err != nil {
			return err
		}
		if r.opts.Observer != nil {
			r.opts.Observer.Observe(&coldstream.Progress{Activity: "compact", Bytes: size})
		}
		rows = rows[n:]
	}
	return nil
}

// readMoved gives the rows of a frame with their bytes.
func readMoved(ctx context.Context, reader *pack.Reader, m *movedFrame) ([]movedRow, error) {
	frame, err := reader.Frame(ctx, m.place, 0)
	if err != nil {
		return nil, err
	}
	out := make([]movedRow, 0, len(m.rows))
	for _, row := range m.rows {
		content, err := frame.Of(row.stream, &row.Row)
		if err == nil {
			err = pack.CheckRow(content, &row.Row)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, movedRow{pack.Moved{Stream: row.stream, Row: row.Row, Batches: content}, placeOf(row)})
	}
	return out, nil
}

func (r *compactRound) addPart(ctx context.Context, rows []movedRow) error {
	moved := make([]pack.Moved, len(rows))
	for i := range rows {
		moved[i] = rows[i].Moved
		r.from = append(r.from, rows[i].from)
	}
	part, err := r.writer.encoder.Move(ctx, moved)
	if err != nil {
		return err
	}
	r.parts, r.bytes = append(r.parts, part), r.bytes+part.StoredBytes()
	if r.bytes >= int64(cmp.Or(r.opts.PackBytes, defaultPackBytes)) {
		return r.storePack(ctx)
	}
	return nil
}

// storePack stores what waits as one pack, and notes where rows lie now.
func (r *compactRound) storePack(ctx context.Context) error {
	if len(r.parts) == 0 {
		return nil
	}
	p := r.writer.Pack(r.parts)
	if err := p.Store(ctx); err != nil {
		return err
	}
	made := &p.stored[0]
	starts := made.FrameStarts()
	for i, b := range p.blocks {
		r.moves.to[r.from[i]] = newPlace{made, b.Row.Frame, starts[b.Row.Frame], b.Row.Offset}
	}
	r.moves.packs[made.ID] = made.SizeBytes
	r.report.PacksMade++
	r.report.BytesMade += made.SizeBytes
	r.writer.encoder.Reuse(p.body)
	r.parts, r.from, r.bytes = nil, nil, 0
	return nil
}
