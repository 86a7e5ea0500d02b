package recordbatch

import (
	"encoding/binary"
	"fmt"

	"coldstream"
)

// Record is one record of a batch, in the form of distances to the batch's base offset
// and base timestamp. Slices alias the decoded batch; a null key, value or header value
// is nil, an empty one is not.
type Record struct {
	Attributes     int8
	TimestampDelta int64
	OffsetDelta    int32
	Key, Value     []byte
	Headers        []Header
}

// Header is one header. Its key is bytes as they came: they need not be UTF-8.
type Header struct {
	Key   []byte
	Value []byte
}

// AppendRecord writes a record as it stands in a batch.
func AppendRecord(dst []byte, r *Record) []byte {
	dst = binary.AppendVarint(dst, int64(r.bodySize()))
	dst = append(dst, byte(r.Attributes))
	dst = binary.AppendVarint(dst, r.TimestampDelta)
	dst = binary.AppendVarint(dst, int64(r.OffsetDelta))
	dst = appendNullable(dst, r.Key)
	dst = appendNullable(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendNullable(dst, h.Value)
	}
	return dst
}

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

func (r *Record) bodySize() int {
	n := 1 + varintSize(r.TimestampDelta) + varintSize(int64(r.OffsetDelta)) + nullableSize(r.Key) + nullableSize(r.Value)
	n += varintSize(int64(len(r.Headers)))
	for _, h := range r.Headers {
		n += varintSize(int64(len(h.Key))) + len(h.Key) + nullableSize(h.Value)
	}
	return n
}

// size is the record's length in a batch.
func (r *Record) size() int {
	n := r.bodySize()
	return n + varintSize(int64(n))
}

func nullableSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func varintSize(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// What decoded records take in memory besides their bytes: a [Record] and the [Absolute]
// made of it, and a [Header]. Seven bytes may be a whole record and two a header, so
// without counting them a bound on decompressed bytes would bound little.
const (
	recordCost   = 96 + absoluteCost
	absoluteCost = 88
	headerCost   = 48
	// minRecordSize is that of a record without key, value and headers.
	minRecordSize = 7
	minHeaderSize = 2
)

// errMalformed means that the fields of a record do not fit into its length.
var errMalformed = fmt.Errorf("the record does not fit its length: %w", coldstream.ErrCorrupt)

// recordReader takes decoded records apart. After an error it returns zero values.
type recordReader struct {
	b    []byte
	room int64 // what headers may still take in memory
	err  error // the first that was met
}

func (r *recordReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// int32 reads a number that Kafka reads into 32 bits: of at most five bytes.
func (r *recordReader) int32() int32 {
	v, n := binary.Varint(r.b)
	if n <= 0 || n > binary.MaxVarintLen32 || v != int64(int32(v)) {
		r.fail(errMalformed)
		return 0
	}
	r.b = r.b[n:]
	return int32(v)
}

func (r *recordReader) int64() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errMalformed)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *recordReader) take(n int32) []byte {
	if r.err != nil || n < 0 || int64(n) > int64(len(r.b)) {
		r.fail(errMalformed)
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// nullable reads bytes that may be null. Kafka writes -1 for that, and its brokers and
// clients take any negative length for it.
func (r *recordReader) nullable() []byte {
	n := r.int32()
	if r.err != nil || n < 0 {
		return nil
	}
	if n == 0 {
		return []byte{} // also where nothing is left to alias: empty is not null
	}
	return r.take(n)
}

// record reads a whole record.
func (r *recordReader) record() Record {
	body := recordReader{b: r.take(r.int32()), room: r.room, err: r.err}
	rec := body.fields()
	if len(body.b) > 0 {
		body.fail(errMalformed)
	}
	r.room = body.room
	if body.err != nil {
		r.fail(body.err)
		return Record{}
	}
	return rec
}

func (r *recordReader) fields() Record {
	var rec Record
	if attributes := r.take(1); attributes != nil {
		rec.Attributes = int8(attributes[0])
	}
	rec.TimestampDelta = r.int64()
	rec.OffsetDelta = r.int32()
	rec.Key, rec.Value = r.nullable(), r.nullable()
	rec.Headers = r.headers()
	return rec
}

func (r *recordReader) headers() []Header {
	n := int64(r.int32())
	if r.err != nil || n == 0 {
		return nil
	}
	if n < 0 || n > int64(len(r.b)/minHeaderSize) {
		r.fail(errMalformed)
		return nil
	}
	if r.room -= n * headerCost; r.room < 0 {
		r.fail(ErrTooLarge)
		return nil
	}
	out := make([]Header, n)
	for i := range out {
		out[i].Key = r.take(r.int32()) // a header's key is never null
		out[i].Value = r.nullable()
	}
	return out
}

// decodeRecords decodes a payload which is count records and nothing else. What they
// take in memory besides the payload is bounded by room.
func decodeRecords(payload []byte, count int32, room int64) ([]Record, error) {
	if int64(count) > int64(len(payload)/minRecordSize) {
		return nil, corruptf("%d records in %d bytes", count, len(payload))
	}
	if room -= int64(count) * recordCost; room < 0 {
		return nil, ErrTooLarge
	}
	r := recordReader{b: payload, room: room}
	out := make([]Record, count)
	for i := range out {
		if out[i] = r.record(); r.err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i+1, count, r.err)
		}
	}
	if len(r.b) > 0 {
		return nil, corruptf("%d bytes behind the last record", len(r.b))
	}
	return out, nil
}
