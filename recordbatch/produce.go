package recordbatch

import (
	"encoding/binary"
	"errors"
	"math"
)

// Need says what a stored batch needs before a broker accepts it through Produce.
type Need int

// The needs of a batch.
const (
	// HeaderOnly: the header is patched, the records stay as they are.
	HeaderOnly Need = iota
	// Reencode: the broker would refuse the batch, or change what consumers see.
	Reencode
	// Skip: there is nothing to produce: a control batch, or one that compaction emptied.
	Skip
)

// Need looks at the batch for producing the part of it that is in
// [firstOffset, nextOffset). The cases are those that Kafka's LogValidator refuses.
func (b Batch) Need(firstOffset, nextOffset int64) Need {
	switch {
	case b.legacy(): // Produce takes magic 2 only
		return Reencode
	case b.IsControl(), b.RecordCount() == 0:
		return Skip
	case int64(b.RecordCount()) != int64(b.LastOffsetDelta())+1: // compaction left holes
		return Reencode
	case b.HasLogAppendTime(): // a producer cannot say this; records have other times inside
		return Reencode
	case b.BaseOffset() < firstOffset, b.NextOffset() > nextOffset:
		return Reencode
	}
	return HeaderOnly
}

// Producer is what marks a batch as that of an idempotent producer.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32 // of the batch's first record
}

// NextSequence is the sequence after count records, which wraps to 0 as Kafka's does.
func NextSequence(sequence int32, count int32) int32 {
	return int32((int64(sequence) + int64(count)) & math.MaxInt32)
}

// AppendPatched appends a copy of the batch made ready for producing: base offset 0, no
// leader epoch, the given producer, the bits of transactions, of LogAppendTime and of
// delete horizons cleared, the checksum made anew. The batch itself is not changed. It
// must be one that [Batch.Need] calls [HeaderOnly].
func (b Batch) AppendPatched(dst []byte, p Producer) []byte {
	start := len(dst)
	dst = append(dst, b...)
	out := Batch(dst[start:])
	binary.BigEndian.PutUint64(out, 0)
	binary.BigEndian.PutUint32(out[12:], math.MaxUint32)
	attributes := out.attributes() &^ (bitTransactional | bitLogAppendTime | bitDeleteHorizon)
	binary.BigEndian.PutUint16(out[21:], attributes)
	out.setProducer(p)
	out.seal()
	return dst
}

func (b Batch) setProducer(p Producer) {
	binary.BigEndian.PutUint64(b[43:], uint64(p.ID))
	binary.BigEndian.PutUint16(b[51:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(p.Sequence))
}

func (b Batch) seal() { binary.BigEndian.PutUint32(b[17:], b.checksum()) }

// Build makes a batch for producing out of records with consecutive offsets: base offset
// 0, CreateTime, the given codec and producer.
func Build(records []Absolute, codec Codec, p Producer) (Batch, error) {
	if len(records) == 0 || len(records) > math.MaxInt32 {
		return nil, errors.New("a batch needs records")
	}
	var b Builder
	for i := range records {
		if records[i].Offset != records[0].Offset+int64(i) {
			return nil, errors.New("the records of a batch to produce must have consecutive offsets")
		}
		b.Add(&records[i])
	}
	return b.Build(codec, p)
}

// Builder makes batches for producing, record by record. The records follow each other in the
// batch, whatever their own offsets are. The zero value is empty.
type Builder struct {
	raw           []byte
	count         int32
	baseMs, maxMs int64
}

// Add puts a record behind those that are there. It keeps a copy.
func (b *Builder) Add(r *Absolute) {
	if b.count == 0 {
		b.baseMs, b.maxMs = r.TimestampMs, r.TimestampMs
	}
	b.maxMs = max(b.maxMs, r.TimestampMs)
	relative := r.relative(int(b.count), b.baseMs)
	b.raw = AppendRecord(b.raw, &relative)
	b.count++
}

// Count is the number of records that were added.
func (b *Builder) Count() int32 { return b.count }

// SizeBytes is what the records that were added take before they are compressed.
func (b *Builder) SizeBytes() int { return len(b.raw) }

// Build makes a batch as [Build] does, and leaves the builder empty, for the next.
func (b *Builder) Build(codec Codec, p Producer) (Batch, error) {
	if b.count == 0 {
		return nil, errors.New("a batch needs records")
	}
	batch, err := assemble(header{codec: codec, count: b.count, baseMs: b.baseMs, maxMs: b.maxMs}, b.raw, p)
	b.raw, b.count = b.raw[:0], 0
	if cap(b.raw) > maxKeptRaw {
		b.raw = nil // one giant record must not keep its room
	}
	return batch, err
}

// maxKeptRaw bounds what a builder keeps for its next batch.
const maxKeptRaw = 1 << 20

// Place says where a batch stands in a log. No checksum covers that.
func (b Batch) Place(baseOffset int64, leaderEpoch int32) {
	binary.BigEndian.PutUint64(b, uint64(baseOffset))
	binary.BigEndian.PutUint32(b[12:], uint32(leaderEpoch))
}

// relative is the record as the i-th of a batch.
func (r *Absolute) relative(i int, baseMs int64) Record {
	return Record{TimestampDelta: r.TimestampMs - baseMs, OffsetDelta: int32(i), Key: r.Key, Value: r.Value, Headers: r.Headers}
}

type header struct {
	codec         Codec
	count         int32
	baseMs, maxMs int64
}

func assemble(h header, raw []byte, p Producer) (Batch, error) {
	payload, err := compress(h.codec, raw)
	if err != nil {
		return nil, err
	}
	if int64(len(payload)) > math.MaxInt32-HeaderSize {
		return nil, errors.New("the batch would be larger than 2 GiB")
	}
	b := make(Batch, HeaderSize, HeaderSize+len(payload))
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-logOverhead))
	binary.BigEndian.PutUint32(b[12:], math.MaxUint32)
	b[magicAt] = currentMagic
	binary.BigEndian.PutUint16(b[21:], uint16(h.codec))
	binary.BigEndian.PutUint32(b[23:], uint32(h.count-1))
	binary.BigEndian.PutUint64(b[27:], uint64(h.baseMs))
	binary.BigEndian.PutUint64(b[35:], uint64(h.maxMs))
	binary.BigEndian.PutUint32(b[57:], uint32(h.count))
	b.setProducer(p)
	b.seal()
	return b, nil
}

// MaxFiller is the largest number of records in one filler batch: a broker's validator
// holds them all in memory.
const MaxFiller = 100_000

// Filler makes a batch of count records without key and value: what takes up offsets
// that a log start will hide. Compressed it takes less than a byte for each.
func Filler(count int32, timestampMs int64, p Producer) (Batch, error) {
	if count <= 0 || count > MaxFiller {
		return nil, errors.New("a filler batch has 1 to 100,000 records")
	}
	raw := make([]byte, 0, 9*int(count))
	for i := range count {
		raw = AppendRecord(raw, &Record{OffsetDelta: i})
	}
	return assemble(header{codec: CodecZstd, count: count, baseMs: timestampMs, maxMs: timestampMs}, raw, p)
}

// Runs cuts records, ascending by offset, into stretches of consecutive offsets, leaving
// out what is not in [firstOffset, nextOffset).
func Runs(records []Absolute, firstOffset, nextOffset int64) [][]Absolute {
	var out [][]Absolute
	start := 0
	for start < len(records) && records[start].Offset < firstOffset {
		start++
	}
	for start < len(records) && records[start].Offset < nextOffset {
		n := start + 1
		for n < len(records) && records[n].Offset == records[n-1].Offset+1 && records[n].Offset < nextOffset {
			n++
		}
		out = append(out, records[start:n])
		start = n
	}
	return out
}
