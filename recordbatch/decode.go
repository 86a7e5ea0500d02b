package recordbatch

import (
	"encoding/binary"
	"fmt"
)

// Decode returns the records of a magic 2 batch. They alias the batch, or memory that
// the decoder does not use again. What they take in memory, decompressed and decoded, is
// at most limit, and while decompressing several times that and, for zstd, a window of up
// to 128 MiB. Records that need more are an error that wraps [coldstream.ErrUnsupported].
func (d *Decoder) Decode(b Batch, limit int64) ([]Record, error) {
	if b.legacy() {
		return nil, corruptf("message of magic %d at offset %d has no records", b.Magic(), b.BaseOffset())
	}
	if err := b.checkCounts(); err != nil {
		return nil, err
	}
	payload := b.payload()
	if b.RecordCount() > 0 || len(payload) > 0 { // what compaction emptied is not even a frame
		var err error
		if payload, err = d.decompress(b.Codec(), payload, limit); err != nil {
			return nil, fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
		}
	}
	records, err := decodeRecords(payload, b.RecordCount(), limit-int64(len(payload)))
	if err != nil {
		return nil, fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
	}
	return records, nil
}

// Absolute is a record with its own offset and timestamp, whatever batch it is in.
type Absolute struct {
	Offset      int64
	TimestampMs int64 // -1 if there is none
	Key, Value  []byte
	Headers     []Header
}

// Absolute returns the records of a batch of any magic, as a consumer sees them: with
// LogAppendTime all have the batch's timestamp.
func (d *Decoder) Absolute(b Batch, limit int64) ([]Absolute, error) {
	if b.legacy() {
		return d.legacy(b, limit)
	}
	records, err := d.Decode(b, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Absolute, len(records))
	last := int64(-1)
	for i := range records {
		r := &records[i]
		if r.OffsetDelta < 0 || r.OffsetDelta > b.LastOffsetDelta() || int64(r.OffsetDelta) <= last {
			return nil, corruptf("batch at offset %d: record at +%d", b.BaseOffset(), r.OffsetDelta)
		}
		last = int64(r.OffsetDelta)
		out[i] = Absolute{
			Offset: b.BaseOffset() + last, TimestampMs: b.BaseTimestampMs() + r.TimestampDelta,
			Key: r.Key, Value: r.Value, Headers: r.Headers,
		}
		if b.HasLogAppendTime() {
			out[i].TimestampMs = b.MaxTimestampMs()
		}
	}
	return out, nil
}

// legacy decodes a message of magic 0 or 1, which may be a compressed set of others.
func (d *Decoder) legacy(b Batch, limit int64) ([]Absolute, error) {
	key, value, err := b.legacyBody()
	if err != nil {
		return nil, err
	}
	if b.Codec() == CodecNone {
		return []Absolute{{Offset: b.BaseOffset(), TimestampMs: b.BaseTimestampMs(), Key: key, Value: value}}, nil
	}
	inner, err := d.decompressSet(b, value, limit)
	if err == nil {
		var records []Absolute
		if records, err = b.innerRecords(inner, limit-int64(len(inner))); err == nil {
			return records, nil
		}
	}
	return nil, fmt.Errorf("message at offset %d: %w", b.BaseOffset(), err)
}

func (d *Decoder) decompressSet(b Batch, value []byte, limit int64) ([]byte, error) {
	switch {
	case b.Codec() == CodecZstd: // Kafka refuses it, too
		return nil, corruptf("zstd in a message of magic %d", b.Magic())
	case b.Codec() == CodecLZ4 && b.Magic() == 0:
		return d.read(CodecLZ4, d.lz4Reader(mendLZ4Header(value)), limit)
	}
	return d.decompress(b.Codec(), value, limit)
}

// innerRecords reads the messages in a compressed one. What they take in memory besides
// the bytes is bounded by room.
func (b Batch) innerRecords(inner []byte, room int64) ([]Absolute, error) {
	var out []Absolute
	for len(inner) > 0 {
		m, rest, err := Next(inner)
		if err != nil || !m.legacy() || m.Codec() != CodecNone {
			return nil, corruptf("bad inner message %d", len(out)+1)
		}
		if err := m.Check(); err != nil {
			return nil, fmt.Errorf("inner %w", err)
		}
		key, value, err := m.legacyBody()
		if err != nil {
			return nil, fmt.Errorf("inner %w", err)
		}
		if room -= absoluteCost; room < 0 {
			return nil, ErrTooLarge
		}
		record := Absolute{Offset: m.BaseOffset(), TimestampMs: m.BaseTimestampMs(), Key: key, Value: value}
		if b.HasLogAppendTime() && m.Magic() > 0 {
			record.TimestampMs = b.BaseTimestampMs()
		}
		out, inner = append(out, record), rest
	}
	if len(out) == 0 {
		return nil, corruptf("no inner message")
	}
	return out, b.placeInner(out)
}

// placeInner turns inner offsets into absolute ones: magic 1 counts them from the first,
// and the outer message has the offset of the last. No record may be placed behind that,
// where the next batch is.
func (b Batch) placeInner(records []Absolute) error {
	shift := int64(0)
	if b.Magic() == 1 {
		shift = b.BaseOffset() - records[len(records)-1].Offset
	}
	before := int64(-1)
	for i := range records {
		at := records[i].Offset
		if shift < 0 || at <= before || at > b.BaseOffset()-shift {
			return corruptf("inner offset %d", at)
		}
		before = at
		records[i].Offset = at + shift
	}
	return nil
}

// legacyBody returns key and value of a message of magic 0 or 1.
func (b Batch) legacyBody() (key, value []byte, err error) {
	rest := b[legacyTimeAt:]
	if b.Magic() == 1 {
		rest = rest[8:]
	}
	key, rest, keyFits := cutLegacyBytes(rest)
	value, rest, valueFits := cutLegacyBytes(rest)
	if !keyFits || !valueFits || len(rest) > 0 {
		return nil, nil, corruptf("message at offset %d: key and value do not fit its length", b.BaseOffset())
	}
	return key, value, nil
}

// cutLegacyBytes cuts off bytes with their length in front; any negative length is null.
func cutLegacyBytes(b []byte) (value, rest []byte, fits bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int32(binary.BigEndian.Uint32(b))
	b = b[4:]
	if n < 0 {
		return nil, b, true
	}
	if int64(n) > int64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}
