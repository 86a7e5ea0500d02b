package recordbatch

import "encoding/binary"

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

// recordReader takes decoded records apart. After an error it returns zero values.
type recordReader struct {
	b   []byte
	bad bool
}

func (r *recordReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *recordReader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *recordReader) nullable() []byte {
	n := r.varint()
	if n == -1 {
		return nil
	}
	if n == 0 {
		return []byte{} // also where nothing is left to alias: empty is not null
	}
	return r.take(n)
}

func decodeRecords(payload []byte, count int32) ([]Record, error) {
	r := &recordReader{b: payload}
	// Seven bytes are the least that a record takes: the count cannot make us allocate
	// more than the payload is worth.
	out := make([]Record, 0, min(int64(count), int64(len(payload)/7)+1))
	for range count {
		length := r.varint()
		body := &recordReader{b: r.take(length)}
		if r.bad {
			return nil, corruptf("records end after %d of %d", len(out), count)
		}
		rec := body.record()
		if body.bad || len(body.b) > 0 {
			return nil, corruptf("record %d does not fit its length", len(out))
		}
		out = append(out, rec)
	}
	if len(r.b) > 0 {
		return nil, corruptf("%d bytes behind the last record", len(r.b))
	}
	return out, nil
}

func (r *recordReader) record() Record {
	var rec Record
	if attributes := r.take(1); attributes != nil {
		rec.Attributes = int8(attributes[0])
	}
	rec.TimestampDelta = r.varint()
	delta := r.varint()
	if delta != int64(int32(delta)) {
		r.bad = true
	}
	rec.OffsetDelta = int32(delta)
	rec.Key, rec.Value = r.nullable(), r.nullable()
	headers := r.varint()
	if headers < 0 || headers > int64(len(r.b))/2 {
		r.bad = r.bad || headers != 0
		return rec
	}
	for range headers {
		key := r.nullable()
		r.bad = r.bad || key == nil // a header key is never null
		rec.Headers = append(rec.Headers, Header{Key: key, Value: r.nullable()})
		if r.bad {
			break
		}
	}
	return rec
}
