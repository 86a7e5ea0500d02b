package recordbatch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Decode returns the records of a magic 2 batch. They alias the batch, or memory that
// the decoder does not use again. decompressed bytes are bounded by limit.
func (d *Decoder) Decode(b Batch, limit int64) ([]Record, error) {
	if b.legacy() {
		return nil, corruptf("message of magic %d at offset %d has no records", b.Magic(), b.BaseOffset())
	}
	payload, err := d.decompress(b.Codec(), b.payload(), limit)
	if err != nil {
		return nil, fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
	}
	records, err := decodeRecords(payload, b.RecordCount())
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
	inner, err := d.decompress(b.Codec(), value, limit)
	if err != nil {
		return nil, fmt.Errorf("message at offset %d: %w", b.BaseOffset(), err)
	}
	var out []Absolute
	for len(inner) > 0 {
		m, rest, err := Next(inner)
		if err != nil || !m.legacy() || m.Codec() != CodecNone {
			return nil, corruptf("message at offset %d: bad inner message", b.BaseOffset())
		}
		if err := m.Check(); err != nil {
			return nil, err
		}
		k, v, err := m.legacyBody()
		if err != nil {
			return nil, err
		}
		out = append(out, Absolute{Offset: m.BaseOffset(), TimestampMs: m.BaseTimestampMs(), Key: k, Value: v})
		inner = rest
	}
	return b.placeInner(out)
}

// placeInner turns inner offsets into absolute ones: magic 1 counts them from the first,
// and the outer message has the offset of the last.
func (b Batch) placeInner(records []Absolute) ([]Absolute, error) {
	if len(records) == 0 {
		return nil, nil
	}
	shift := int64(0)
	if b.Magic() == 1 {
		shift = b.BaseOffset() - records[len(records)-1].Offset
	}
	last := int64(-1)
	for i := range records {
		r := &records[i]
		if r.Offset > math.MaxInt64-max(shift, 0) || r.Offset+shift <= last {
			return nil, corruptf("message at offset %d: bad inner offsets", b.BaseOffset())
		}
		r.Offset += shift
		last = r.Offset
		if b.HasLogAppendTime() {
			r.TimestampMs = b.BaseTimestampMs()
		}
	}
	return records, nil
}

// legacyBody returns key and value of a message of magic 0 or 1.
func (b Batch) legacyBody() (key, value []byte, err error) {
	rest := b[legacyTimeAt:]
	if b.Magic() == 1 {
		rest = rest[8:]
	}
	if key, rest, err = cutLegacyBytes(rest); err == nil {
		value, rest, err = cutLegacyBytes(rest)
	}
	if err != nil || len(rest) > 0 {
		return nil, nil, corruptf("message at offset %d: key and value do not fit its length", b.BaseOffset())
	}
	return key, value, nil
}

func cutLegacyBytes(b []byte) (value, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, ErrPartial
	}
	n := int32(binary.BigEndian.Uint32(b))
	b = b[4:]
	switch {
	case n == -1:
		return nil, b, nil
	case n < 0 || int64(n) > int64(len(b)):
		return nil, nil, ErrPartial
	}
	return b[:n:n], b[n:], nil
}
