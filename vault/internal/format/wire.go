package format

import (
	"encoding/binary"
	"fmt"
	"math"
)

func appendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader takes a structure apart. After the first error it stays where it is and
// returns zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = corruptf("%s", fmt.Sprintf(format, args...))
		r.b = nil
	}
}

// refuse is for what only a newer version can have written.
func (r *reader) refuse(format string, args ...any) {
	if r.err == nil {
		r.err = unsupportedf("%s", fmt.Sprintf(format, args...))
		r.b = nil
	}
}

// uvarint accepts the shortest form only.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("bad varint")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// offset is a uvarint that is an int64 of 0 or more.
func (r *reader) offset() int64 {
	v := r.uvarint()
	if v > math.MaxInt64 {
		r.fail("number %d is too large", v)
		return 0
	}
	return int64(v)
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.fail("number %d is too large", v)
		return 0
	}
	return uint32(v)
}

func (r *reader) int32() int32 {
	v := r.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail("number %d is out of range", v)
		return 0
	}
	return int32(v)
}

func (r *reader) int16() int16 {
	v := r.varint()
	if v < math.MinInt16 || v > math.MaxInt16 {
		r.fail("number %d is out of range", v)
		return 0
	}
	return int16(v)
}

// count is a number of elements of at least size bytes each: it cannot be more than the
// bytes that are left, so that it is safe to allocate.
func (r *reader) count(size int) int {
	v := r.uvarint()
	if v > uint64(len(r.b)/size) {
		r.fail("count %d is more than there is", v)
		return 0
	}
	return int(v)
}

// index refers to one of n elements.
func (r *reader) index(n int) int {
	v := r.uvarint()
	if v >= uint64(n) {
		r.fail("reference %d of %d", v, n)
		return 0
	}
	return int(v)
}

func (r *reader) string() string { return string(r.take(r.count(1))) }

func (r *reader) byte() byte {
	b := r.take(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// bool is a byte of 0 or 1.
func (r *reader) bool() bool {
	b := r.byte()
	if b > 1 {
		r.refuse("flag %d", b)
	}
	return b == 1
}

// take returns the next n bytes, which alias the input.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail("%d bytes are missing", n-len(r.b))
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) into(dst []byte) { copy(dst, r.take(len(dst))) }

// magic takes a structure's magic and version.
func (r *reader) magic(want string) { r.magicUpTo(want, Version) }

// magicUpTo takes a structure's magic and version, and gives the version.
func (r *reader) magicUpTo(want string, newest byte) byte {
	if string(r.take(len(want))) != want {
		r.fail("not a %q structure", want)
	}
	v := r.byte()
	switch {
	case v == 0:
		r.fail("%q structure of version 0", want)
	case v > newest:
		r.refuse("%q structure of version %d", want, v)
	}
	return v
}

// end proves that nothing is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}

func appendBool(dst []byte, v bool) []byte { //nolint:revive // a value to write, no choice of what to do
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}
