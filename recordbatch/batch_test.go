package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

// TestNextCutsAnswers: an answer to a fetch holds batches of any magic, and ends anywhere.
func TestNextCutsAnswers(t *testing.T) {
	var buf []byte
	var want []int
	for _, name := range javaVectors(t) {
		for rest := readVector(t, name+".batch"); len(rest) > 0; {
			b, after, err := Next(rest)
			if err != nil {
				t.Fatal(name, err)
			}
			want, rest = append(want, len(b)), after
		}
		buf = append(buf, readVector(t, name+".batch")...)
	}
	ends := map[int]int{0: 0} // where a batch ends, and how many are before that
	at := 0
	for i, n := range want {
		at += n
		ends[at] = i + 1
	}
	for cut := range len(buf) + 1 {
		rest, whole := buf[:cut:cut], 0
		for {
			b, after, err := Next(rest)
			if err != nil {
				if !errors.Is(err, ErrPartial) || errors.Is(err, coldstream.ErrCorrupt) || len(after) != len(rest) {
					t.Fatalf("cut at %d: %v, %d bytes left of %d", cut, err, len(after), len(rest))
				}
				break
			}
			if len(b) != want[whole] || cap(b) != len(b) {
				t.Fatalf("cut at %d: batch %d has %d bytes, cap %d; want %d", cut, whole, len(b), cap(b), want[whole])
			}
			rest, whole = after, whole+1
		}
		if n, ok := ends[cut]; ok && (n != whole || len(rest) > 0) {
			t.Fatalf("cut at %d: %d batches of %d, %d bytes left", cut, whole, n, len(rest))
		}
	}
}

func TestNextRefuses(t *testing.T) {
	head := func(length int32, magic byte) []byte {
		b := make([]byte, 200)
		binary.BigEndian.PutUint32(b[8:], uint32(length))
		b[magicAt] = magic
		return b
	}
	for _, c := range []struct {
		length  int32
		magic   byte
		partial bool
	}{
		{-1, 2, false}, {math.MinInt32, 2, false}, {-12, 0, false}, {0, 2, false}, {0, 0, false},
		{HeaderSize - logOverhead - 1, 2, false}, {13, 0, false}, {21, 1, false},
		{100, 3, false}, {100, 0x80, false}, {100, 0xff, false},
		{math.MaxInt32, 2, true}, {math.MaxInt32, 0, true}, {189, 1, true},
	} {
		_, rest, err := Next(head(c.length, c.magic))
		if errors.Is(err, ErrPartial) != c.partial || errors.Is(err, coldstream.ErrCorrupt) == c.partial || len(rest) != 200 {
			t.Errorf("length %d, magic %d: %v, %d bytes left", c.length, c.magic, err, len(rest))
		}
	}
	for _, c := range []struct {
		length int32
		magic  byte
	}{{HeaderSize - logOverhead, 2}, {14, 0}, {22, 1}, {188, 2}} {
		if b, _, err := Next(head(c.length, c.magic)); err != nil || len(b) != int(c.length)+logOverhead {
			t.Errorf("length %d, magic %d: %d bytes, %v", c.length, c.magic, len(b), err)
		}
	}
}

// TestCheckSeesEveryBit flips each bit of a batch of every magic. Outside of the checksum
// are the offset, the length and the leader epoch, which brokers write.
func TestCheckSeesEveryBit(t *testing.T) {
	for _, name := range []string{"v2-compacted", "v2-commit", "v0-gzip", "v1-lz4"} {
		whole := javaBatch(t, name)
		covered := map[int]bool{}
		for at := range whole {
			covered[at] = at >= magicAt || whole.legacy() && at >= 12
		}
		for bit := range 8 * len(whole) {
			b := Batch(bytes.Clone(whole))
			b[bit/8] ^= 1 << (bit % 8)
			if bit/8 >= 8 && bit/8 < logOverhead || bit/8 == magicAt {
				continue // Next's to see
			}
			if err := b.Check(); covered[bit/8] && !errors.Is(err, coldstream.ErrCorrupt) {
				t.Errorf("%s: bit %d of byte %d: %v", name, bit%8, bit/8, err)
			}
		}
	}
}

// reseal gives b the checksum that belongs to its bytes.
func reseal(b Batch) Batch {
	if b.legacy() {
		binary.BigEndian.PutUint32(b[12:], crc32.ChecksumIEEE(b[legacyCRCFrom:]))
	} else {
		b.seal()
	}
	return b
}

// withCounts is a batch with other numbers in its header, and the right checksum.
func withCounts(b Batch, base int64, delta, count int32) Batch {
	b = bytes.Clone(b)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[23:], uint32(delta))
	binary.BigEndian.PutUint32(b[57:], uint32(count))
	return reseal(b)
}

// TestCheckCounts: numbers that overflow, or that no log can have, do not get past Check,
// and what must not be called on them does not panic.
func TestCheckCounts(t *testing.T) {
	b := javaBatch(t, "v2-none")
	for _, c := range []struct {
		base         int64
		delta, count int32
		good         bool
	}{
		{0, 5, 6, true}, {0, 5, 0, true}, {0, 5, 1, true}, {math.MaxInt64 - 6, 5, 6, true}, {0, math.MaxInt32, 6, true},
		{-1, 5, 6, false}, {math.MinInt64, 5, 6, false}, {math.MaxInt64 - 5, 5, 6, false}, {math.MaxInt64, 0, 1, false},
		{math.MaxInt64 - 3, math.MaxInt32, 6, false},
		{0, -1, 0, false}, {0, math.MinInt32, 1, false}, {0, 5, 7, false}, {0, 5, -1, false}, {0, 5, math.MinInt32, false},
		{0, -6, -5, false}, {0, math.MaxInt32, math.MinInt32, false},
	} {
		b := withCounts(b, c.base, c.delta, c.count)
		if err := b.Check(); (err == nil) != c.good || err != nil && !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%+v: %v", c, err)
		}
		if c.good {
			if b.NextOffset() != c.base+int64(c.delta)+1 || b.NextOffset() <= b.BaseOffset() {
				t.Errorf("%+v: next offset %d", c, b.NextOffset())
			}
			continue
		}
		if _, err := NewDecoder().Absolute(b, testLimit); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%+v decoded: %v", c, err)
		}
		control := Batch(bytes.Clone(b))
		control[22] |= bitControl
		if _, ok, err := control.ControlMarker(); ok || c.count != 0 && !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%+v as control batch: %v, %v", c, ok, err)
		}
	}
	for _, offset := range []int64{-1, math.MinInt64, math.MaxInt64} {
		legacy := Batch(bytes.Clone(javaBatch(t, "v1-gzip")))
		binary.BigEndian.PutUint64(legacy, uint64(offset))
		if err := legacy.Check(); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("message at %d: %v", offset, err)
		}
	}
}

func control(t *testing.T, key, value []byte, delta int32) Batch {
	t.Helper()
	return franz(t, &spec{
		base: 90, delta: 1, attributes: bitControl | bitTransactional, producer: Producer{ID: 5, Epoch: 6, Sequence: -1},
		records: []Record{{OffsetDelta: delta, Key: key, Value: value}},
	})
}

// TestControlMarker: newer versions are read as Kafka reads them, other kinds are no
// markers, and what Kafka could not read either is corrupt.
func TestControlMarker(t *testing.T) {
	value := []byte{0, 0, 0, 0, 0, 9}
	for name, c := range map[string]struct {
		batch Batch
		want  ControlMarker // with an offset if it is a marker
		bad   bool
	}{
		"commit":         {control(t, []byte{0, 0, 0, 1}, value, 0), ControlMarker{90, 5, 6, true, 9}, false},
		"abort":          {control(t, []byte{0, 0, 0, 0}, value, 0), ControlMarker{90, 5, 6, false, 9}, false},
		"second offset":  {control(t, []byte{0, 0, 0, 1}, value, 1), ControlMarker{91, 5, 6, true, 9}, false},
		"newer":          {control(t, []byte{0, 7, 0, 1, 1, 2}, append(value, 1), 0), ControlMarker{90, 5, 6, true, 9}, false},
		"no value":       {control(t, []byte{0, 0, 0, 1}, nil, 0), ControlMarker{90, 5, 6, true, 0}, false},
		"unknown kind":   {control(t, []byte{0, 0, 0, 6}, value, 0), ControlMarker{}, false},
		"negative kind":  {control(t, []byte{0, 0, 0xff, 0xff}, value, 0), ControlMarker{}, false},
		"short key":      {control(t, []byte{0, 0, 0}, value, 0), ControlMarker{}, true},
		"null key":       {control(t, nil, value, 0), ControlMarker{}, true},
		"old version":    {control(t, []byte{0xff, 0xff, 0, 1}, value, 0), ControlMarker{}, true},
		"offset before":  {control(t, []byte{0, 0, 0, 1}, value, -1), ControlMarker{}, true},
		"offset behind":  {control(t, []byte{0, 0, 0, 1}, value, 2), ControlMarker{}, true},
		"no records":     {withCounts(control(t, nil, nil, 0)[:HeaderSize], 90, 1, 0), ControlMarker{}, false},
		"missing record": {withCounts(control(t, nil, nil, 0)[:HeaderSize], 90, 1, 1), ControlMarker{}, true},
	} {
		m, ok, err := c.batch.ControlMarker()
		if errors.Is(err, coldstream.ErrCorrupt) != c.bad || (err != nil) != c.bad || ok != (c.want.Offset > 0) {
			t.Errorf("%s: marker %v, %v", name, ok, err)
		}
		if diff := cmp.Diff(c.want, m); ok && diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	for _, codec := range allCodecs {
		b := franz(t, &spec{attributes: bitControl, codec: codec, records: []Record{{Key: []byte{0, 0, 0, 1}, Value: value}}})
		if m, ok, err := b.ControlMarker(); err != nil || !ok || !m.Commit {
			t.Errorf("compressed with %s: %+v, %v, %v", codec, m, ok, err)
		}
	}
}
