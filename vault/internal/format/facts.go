package format

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"

	"coldstream"
)

// Facts are what a commit adds to the catalog, and what a row table keeps of it.
type Facts struct {
	Incarnations []coldstream.Incarnation // sorted, no two equal
	Streams      []StreamRef              // sorted, no two equal
	Packs        []Pack                   // sorted by ID, no two equal
	Scans        []Scan                   // sorted by stream, number and first offset, no two equal
	Rows         []Row                    // sorted by stream, scan and first offset
	Gaps         []Gap                    // sorted by stream, scan and first offset
	Released     []Released               // in tables only; sorted likewise
}

// StreamRef is a stream by its incarnation's index.
type StreamRef struct {
	Incarnation int
	Partition   int32
}

// Frame is one frame of a pack. Its place is behind the header and the frames before it.
// A table lists only the frames that its rows need, and Skipped says what it leaves out.
type Frame struct {
	StoredLength  int64 // of the description and the zstd frame
	DecodedLength int64
	Hash          [16]byte // of the stored bytes: the first half of their SHA-256
	// Skipped is how many stored bytes of other frames lie directly before it. It is 0 in
	// commits, and no part of a pack's index.
	Skipped int64
}

// Pack is a pack as the catalog knows it.
type Pack struct {
	ID        PackID
	SizeBytes int64
	KeyID     [keyIDSize]byte // of the data identity it is sealed to; zero without encryption
	Frames    []Frame
}

// Scan says that a complete reading of a stream began at FirstOffset, the log start then.
type Scan struct {
	Stream      int
	Number      uint32
	FirstOffset int64
	StartedMs   int64
}

// EpochStart says at which offset a leader epoch begins.
type EpochStart struct {
	Epoch       int32
	FirstOffset int64
}

// Marker ends a transaction.
type Marker struct {
	Offset        int64
	ProducerID    int64
	ProducerEpoch int16
	Commit        bool
}

// TransactionStart is the first transactional batch of a producer in a row, or the first
// since its last marker there.
type TransactionStart struct {
	ProducerID    int64
	ProducerEpoch int16
	FirstOffset   int64
}

// Row says where the vault holds all that a stream's log held in
// [FirstOffset, NextOffset) when it was fetched.
type Row struct {
	Stream      int
	Scan        uint32
	FirstOffset int64
	NextOffset  int64

	// Where: bytes [Offset, Offset+Length) of a decoded frame. Length is 0 in an empty
	// row, for a compacted tail that never returned data; the rest is then 0 as well, but
	// for BaseOffset, which is FirstOffset, and MaxTimestampMs, which is -1.
	Pack, Frame    int
	Offset, Length int64

	BaseOffset     int64 // of the first batch
	Epochs         []EpochStart
	MaxTimestampMs int64
	CommitMs       int64
	Batches        int64
	Records        int64 // those of control batches are not counted
	MaxBatchBytes  int64
	Markers        []Marker
	Transactions   []TransactionStart
}

// Gap is a range that was due and could not be saved.
type Gap struct {
	Stream                  int
	Scan                    uint32
	FirstOffset, NextOffset int64
	Cause                   coldstream.GapCause
	TimeMs                  int64
}

// Released is a range that was dropped on purpose.
type Released struct {
	Stream                  int
	Scan                    uint32
	FirstOffset, NextOffset int64
}

// StreamAt gives a stream by its index.
func (f *Facts) StreamAt(i int) coldstream.Stream {
	s := f.Streams[i]
	return coldstream.Stream{Incarnation: f.Incarnations[s.Incarnation], Partition: s.Partition}
}

// OfTopic is the same facts without scans, rows, gaps and released ranges of other topics. It
// refers to f.
func (f *Facts) OfTopic(topic string) *Facts {
	from, to := f.streamsOf(topic)
	out := *f
	out.Scans = within(f.Scans, func(s *Scan) int { return s.Stream }, from, to)
	out.Rows = within(f.Rows, func(r *Row) int { return r.Stream }, from, to)
	out.Gaps = within(f.Gaps, func(g *Gap) int { return g.Stream }, from, to)
	out.Released = within(f.Released, func(r *Released) int { return r.Stream }, from, to)
	return &out
}

// OfUsedStreams is the same facts without streams that none of them is about: those that only the
// views of a snapshot need. It refers to f, and f is not to be used again.
func (f *Facts) OfUsedStreams() *Facts {
	index := make([]int, len(f.Streams))
	f.eachStream(func(stream *int) { index[*stream] = 1 })
	var streams []StreamRef
	for i := range index {
		if index[i] > 0 {
			index[i] = len(streams)
			streams = append(streams, f.Streams[i])
		}
	}
	f.eachStream(func(stream *int) { *stream = index[*stream] })
	f.Streams = streams
	return f
}

// eachStream visits where facts say of which stream they are.
func (f *Facts) eachStream(visit func(stream *int)) {
	for i := range f.Scans {
		visit(&f.Scans[i].Stream)
	}
	for i := range f.Rows {
		visit(&f.Rows[i].Stream)
	}
	for i := range f.Gaps {
		visit(&f.Gaps[i].Stream)
	}
	for i := range f.Released {
		visit(&f.Released[i].Stream)
	}
}

// streamsOf are the indexes of a topic's streams: from is one of them, to is not.
func (f *Facts) streamsOf(topic string) (from, to int) {
	at := func(beyond int) int {
		i, _ := slices.BinarySearchFunc(f.Streams, topic, func(s StreamRef, topic string) int {
			return cmp.Or(cmp.Compare(f.Incarnations[s.Incarnation].Topic, topic), beyond)
		})
		return i
	}
	return at(1), at(-1)
}

// within are the facts, sorted by stream, of streams [from, to).
func within[T any](facts []T, stream func(*T) int, from, to int) []T {
	at := func(stop int) int {
		return sort.Search(len(facts), func(i int) bool { return stream(&facts[i]) >= stop })
	}
	first := at(from)
	return facts[first:max(first, at(to))]
}

// gapCauses are the causes by their code; 0 is no code.
func gapCauses() []coldstream.GapCause {
	return []coldstream.GapCause{"", coldstream.GapLogStartAdvanced, coldstream.GapTruncated, coldstream.GapTopicDeleted, coldstream.GapCorrupt}
}

func (f *Facts) append(dst []byte) []byte {
	dst = appendStreams(dst, f.Incarnations, f.Streams)
	dst = binary.AppendUvarint(dst, uint64(len(f.Packs)))
	for i := range f.Packs {
		dst = f.Packs[i].append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.Scans)))
	for _, s := range f.Scans {
		dst = binary.AppendUvarint(dst, uint64(s.Stream))
		dst = binary.AppendUvarint(dst, uint64(s.Number))
		dst = binary.AppendUvarint(dst, uint64(s.FirstOffset))
		dst = appendVarint(dst, s.StartedMs)
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.Rows)))
	for i := range f.Rows {
		dst = f.Rows[i].append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.Gaps)))
	for _, g := range f.Gaps {
		dst = appendRange(dst, rangeOf{g.Stream, g.Scan, g.FirstOffset, g.NextOffset})
		dst = append(dst, byte(slices.Index(gapCauses(), g.Cause)))
		dst = appendVarint(dst, g.TimeMs)
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.Released)))
	for _, g := range f.Released {
		dst = appendRange(dst, rangeOf(g))
	}
	return dst
}

func (f *Facts) read(r *reader) {
	f.Incarnations, f.Streams = readStreams(r)
	f.Packs = readList(r, 43, readPack)
	f.Scans = readList(r, 4, func(r *reader) Scan {
		return Scan{r.index(len(f.Streams)), r.uint32(), r.offset(), r.varint()}
	})
	f.Rows = readList(r, 6, func(r *reader) Row { return f.readRow(r) })
	f.Gaps = readList(r, 6, func(r *reader) Gap { return f.readGap(r) })
	f.Released = readList(r, 4, func(r *reader) Released { return Released(f.readRange(r)) })
	if r.err != nil {
		return
	}
	ordered(r, "packs", f.Packs, func(a, b Pack) int { return a.ID.Compare(b.ID) })
	ordered(r, "scans", f.Scans, func(a, b Scan) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
	sorted(r, "rows", f.Rows, func(a, b Row) int {
		return compareRange(rangeOf{a.Stream, a.Scan, a.FirstOffset, 0}, rangeOf{b.Stream, b.Scan, b.FirstOffset, 0})
	})
	sorted(r, "gaps", f.Gaps, func(a, b Gap) int {
		return compareRange(rangeOf{a.Stream, a.Scan, a.FirstOffset, 0}, rangeOf{b.Stream, b.Scan, b.FirstOffset, 0})
	})
	sorted(r, "released ranges", f.Released, func(a, b Released) int { return compareRange(rangeOf(a), rangeOf(b)) })
}

// readList reads a count and so many elements of at least size bytes each.
func readList[T any](r *reader, size int, read func(*reader) T) []T {
	n := r.count(size)
	if n == 0 {
		return nil
	}
	// An element may take far more room in memory than in bytes: what is not there costs
	// no more than this, and the list of a large cluster is made at once.
	out := make([]T, 0, min(n, 16<<10))
	for range n {
		v := read(r)
		if r.err != nil {
			return nil
		}
		out = append(out, v)
	}
	return out
}

// ordered proves that a list ascends and has no two equal elements.
func ordered[T any](r *reader, what string, list []T, compare func(a, b T) int) {
	for i := 1; i < len(list); i++ {
		if compare(list[i-1], list[i]) >= 0 {
			r.fail("%s are not in order", what)
		}
	}
}

// sorted proves that a list does not descend.
func sorted[T any](r *reader, what string, list []T, compare func(a, b T) int) {
	if !slices.IsSortedFunc(list, compare) {
		r.fail("%s are not in order", what)
	}
}

func appendStreams(dst []byte, incarnations []coldstream.Incarnation, streams []StreamRef) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(incarnations)))
	for _, in := range incarnations {
		dst = appendIncarnation(dst, in)
	}
	dst = binary.AppendUvarint(dst, uint64(len(streams)))
	for _, s := range streams {
		dst = binary.AppendUvarint(dst, uint64(s.Incarnation))
		dst = binary.AppendUvarint(dst, uint64(s.Partition))
	}
	return dst
}

func appendIncarnation(dst []byte, in coldstream.Incarnation) []byte {
	dst = appendString(appendString(dst, in.ClusterID), in.Topic)
	dst = append(dst, in.TopicID[:]...)
	return binary.AppendUvarint(dst, uint64(in.Number))
}

func readIncarnation(r *reader) coldstream.Incarnation {
	in := coldstream.Incarnation{ClusterID: r.string(), Topic: r.string()}
	r.into(in.TopicID[:])
	in.Number = r.uint32()
	if !in.TopicID.IsZero() && in.Number != 0 {
		r.fail("topic %q has both an ID and incarnation number %d", in.Topic, in.Number)
	}
	return in
}

func readStreams(r *reader) ([]coldstream.Incarnation, []StreamRef) {
	incarnations := readList(r, 19, readIncarnation)
	streams := readList(r, 2, func(r *reader) StreamRef {
		return StreamRef{r.index(len(incarnations)), r.partition()}
	})
	ordered(r, "incarnations", incarnations, coldstream.Incarnation.Compare)
	ordered(r, "streams", streams, func(a, b StreamRef) int {
		return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Partition, b.Partition))
	})
	return incarnations, streams
}

// partition is a partition number: 0 or more.
func (r *reader) partition() int32 {
	v := r.uint32()
	if v > 1<<31-1 {
		r.fail("partition %d", v)
		return 0
	}
	return int32(v)
}

func (id PackID) append(dst []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(id.Epoch)), id.Writer[:]...)
	return binary.AppendUvarint(dst, uint64(id.Number))
}

func readPackID(r *reader) PackID {
	id := PackID{Epoch: r.uint32()}
	r.into(id.Writer[:])
	id.Number = r.uint32()
	return id
}

func (p *Pack) append(dst []byte) []byte {
	dst = binary.AppendUvarint(p.ID.append(dst), uint64(p.SizeBytes))
	dst = append(dst, p.KeyID[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(p.Frames)))
	for _, f := range p.Frames {
		dst = f.append(binary.AppendUvarint(dst, uint64(f.Skipped)))
	}
	return dst
}

// skips says that not all of the pack's frames are listed.
func (p *Pack) skips() bool {
	return slices.ContainsFunc(p.Frames, func(f Frame) bool { return f.Skipped != 0 })
}

func (f *Frame) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(f.StoredLength))
	dst = binary.AppendUvarint(dst, uint64(f.DecodedLength))
	return append(dst, f.Hash[:]...)
}

// maxFrame bounds a frame: it holds about 1 MiB, or one batch, which Kafka keeps below
// 2 GiB; a pack's frames add up to far less than an int64.
const maxFrame = 1<<31 + 1<<24

func readFrame(r *reader) Frame {
	f := Frame{StoredLength: r.offset(), DecodedLength: r.offset()}
	r.into(f.Hash[:])
	if f.StoredLength == 0 || f.DecodedLength == 0 || f.StoredLength > maxFrame || f.DecodedLength > maxFrame {
		r.fail("frame of %d bytes that decodes to %d", f.StoredLength, f.DecodedLength)
	}
	return f
}

func readPack(r *reader) Pack {
	p := Pack{ID: readPackID(r), SizeBytes: r.offset()}
	r.into(p.KeyID[:])
	p.Frames = readList(r, 19, func(r *reader) Frame {
		skipped := r.offset()
		f := readFrame(r)
		f.Skipped = skipped
		return f
	})
	if p.KeyID != [keyIDSize]byte{} {
		r.refuse("pack sealed to key %x", p.KeyID)
	}
	var stored int64
	for _, f := range p.Frames {
		if f.Skipped > p.SizeBytes-stored {
			r.fail("frame behind %d bytes in a pack of %d", f.Skipped, p.SizeBytes)
			return p
		}
		stored += f.Skipped + f.StoredLength
	}
	if len(p.Frames) == 0 || p.SizeBytes <= stored {
		r.fail("pack of %d bytes with %d frames of %d bytes", p.SizeBytes, len(p.Frames), stored)
	}
	return p
}

type rangeOf struct {
	Stream                  int
	Scan                    uint32
	FirstOffset, NextOffset int64
}

func compareRange(a, b rangeOf) int {
	return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Scan, b.Scan), cmp.Compare(a.FirstOffset, b.FirstOffset))
}

// appendRange writes the length of a range in place of its end.
func appendRange(dst []byte, g rangeOf) []byte {
	dst = binary.AppendUvarint(dst, uint64(g.Stream))
	dst = binary.AppendUvarint(dst, uint64(g.Scan))
	dst = binary.AppendUvarint(dst, uint64(g.FirstOffset))
	return binary.AppendUvarint(dst, uint64(g.NextOffset-g.FirstOffset))
}

func (f *Facts) readRange(r *reader) rangeOf {
	g := rangeOf{Stream: r.index(len(f.Streams)), Scan: r.uint32(), FirstOffset: r.offset()}
	length := r.offset()
	g.NextOffset = g.FirstOffset + length
	if length == 0 || g.NextOffset < 0 {
		r.fail("range of %d offsets from %d", length, g.FirstOffset)
	}
	return g
}

func (f *Facts) readGap(r *reader) Gap {
	g := f.readRange(r)
	causes := gapCauses()
	cause := int(r.byte())
	switch {
	case cause == 0:
		r.fail("gap cause 0")
	case cause >= len(causes):
		r.refuse("gap cause %d", cause)
	}
	if r.err != nil {
		return Gap{}
	}
	return Gap{g.Stream, g.Scan, g.FirstOffset, g.NextOffset, causes[cause], r.varint()}
}
