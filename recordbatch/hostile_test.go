package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"testing"
	"unsafe"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"coldstream"
)

// sealed is a batch with this payload, whatever that is.
func sealed(codec Codec, count int32, payload []byte) Batch {
	b := append(make(Batch, HeaderSize), payload...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-logOverhead))
	b[magicAt] = currentMagic
	b[22] = byte(codec)
	return withCounts(b, 0, max(0, count-1), count)
}

// allocated is how many bytes f allocates, all in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// mustRefuse decodes b and returns what that allocated.
func mustRefuse(t *testing.T, name string, b Batch, limit int64, want error) uint64 {
	t.Helper()
	var err error
	taken := allocated(func() { _, err = NewDecoder().Absolute(b, limit) })
	if !errors.Is(err, want) {
		t.Errorf("%s: %v", name, err)
	}
	return taken
}

// TestCosts: the limits count with the sizes that the types have.
func TestCosts(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("sizes are those of 64 bits: run on such a machine")
	}
	if recordCost != unsafe.Sizeof(Record{})+unsafe.Sizeof(Absolute{}) || absoluteCost != unsafe.Sizeof(Absolute{}) || headerCost != unsafe.Sizeof(Header{}) {
		t.Errorf("a Record takes %d bytes, an Absolute %d, a Header %d", unsafe.Sizeof(Record{}), unsafe.Sizeof(Absolute{}), unsafe.Sizeof(Header{}))
	}
}

// TestBombs: little that decompresses to much is refused, and costs a small multiple of
// the limit at most, in every codec and magic.
func TestBombs(t *testing.T) {
	const size, limit = 64 << 20, 8 << 20
	one := AppendRecord(nil, &Record{Value: make([]byte, size)})
	for _, codec := range allCodecs[1:] {
		payload, err := compress(codec, one)
		if err != nil {
			t.Fatal(err)
		}
		if len(payload) > size/15 {
			t.Fatalf("%s: %d bytes are no bomb", codec, len(payload))
		}
		bound := uint64(3*limit + 2<<20) // doubling up to the limit, and what the library takes
		if codec == CodecZstd {
			bound += 8 << 20 // the frame's window
		}
		if taken := mustRefuse(t, codec.String(), sealed(codec, 1, payload), limit, coldstream.ErrUnsupported); taken > bound {
			t.Errorf("%s: %d MB allocated for a limit of %d MB", codec, taken>>20, limit>>20)
		}
		if codec == CodecZstd {
			continue
		}
		for magic := range uint8(2) {
			if taken := mustRefuse(t, codec.String(), legacyMessage(magic, codec, 0, 0, nil, payload), limit, coldstream.ErrUnsupported); taken > bound {
				t.Errorf("%s in magic %d: %d MB allocated for a limit of %d MB", codec, magic, taken>>20, limit>>20)
			}
		}
	}
	if _, err := NewDecoder().Absolute(sealed(CodecNone, 1, one), limit); !errors.Is(err, coldstream.ErrUnsupported) {
		t.Errorf("uncompressed and over the limit: %v", err)
	}
}

// TestLimitIsExact: as many bytes as the limit are decompressed, into no more memory than
// one byte to see the end with; one byte more is refused.
func TestLimitIsExact(t *testing.T) {
	for _, size := range []int{0, 1, firstRead - 1, firstRead, firstRead + 1, 2 * firstRead, 100_000} {
		raw := bytes.Repeat([]byte("x"), size)
		for _, codec := range allCodecs {
			payload, err := compress(codec, raw)
			if err != nil {
				t.Fatal(err)
			}
			got, err := NewDecoder().decompress(codec, payload, int64(size))
			if err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%d bytes of %s: %d, %v", size, codec, len(got), err)
			}
			if codec != CodecNone && cap(got) > size+1 {
				t.Errorf("%d bytes of %s take %d", size, codec, cap(got))
			}
			if _, err := NewDecoder().decompress(codec, payload, int64(size)-1); size > 0 && !errors.Is(err, ErrTooLarge) {
				t.Errorf("%d bytes of %s and one less allowed: %v", size, codec, err)
			}
		}
	}
}

// TestZstdWindow: windows up to those of Kafka's highest level are read, and take no more
// than they are; larger ones take nothing.
func TestZstdWindow(t *testing.T) {
	frame := func(window byte) []byte { // of one raw block
		record := []byte{12, 0, 0, 0, 1, 1, 0}
		return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, window, byte(len(record)<<3 | 1), 0, 0}, record...)
	}
	var err error
	taken := allocated(func() { _, err = NewDecoder().Absolute(sealed(CodecZstd, 1, frame(17<<3)), testLimit) })
	if err != nil || taken > maxZstdWindow+4<<20 {
		t.Errorf("a window of 128 MiB: %v, %d MB allocated", err, taken>>20)
	}
	for _, window := range []byte{17<<3 | 1, 31<<3 | 7} {
		if taken := mustRefuse(t, "window", sealed(CodecZstd, 1, frame(window)), testLimit, coldstream.ErrUnsupported); taken > 4<<20 {
			t.Errorf("a larger window: %d MB allocated", taken>>20)
		}
	}
}

// TestControlBomb: nothing that a control batch holds takes much memory on the way in.
func TestControlBomb(t *testing.T) {
	one := AppendRecord(nil, &Record{Key: []byte{0, 0, 0, 1}, Value: make([]byte, 64<<20)})
	for _, codec := range allCodecs[1:] {
		payload, err := compress(codec, one)
		if err != nil {
			t.Fatal(err)
		}
		b := sealed(codec, 1, payload)
		b[22] |= bitControl
		taken := allocated(func() { _, _, err = reseal(b).ControlMarker() })
		if !errors.Is(err, coldstream.ErrUnsupported) || taken > 16<<20 {
			t.Errorf("%s: %v, %d MB allocated", codec, err, taken>>20)
		}
	}
}

// TestSmallRecordsAreCounted: a payload within the limit may be of so many records, or
// headers, that what describes them is far larger.
func TestSmallRecordsAreCounted(t *testing.T) {
	const limit = 8 << 20
	var records []byte
	for i := range int32(limit / 9) {
		records = AppendRecord(records, &Record{OffsetDelta: i})
	}
	headers := AppendRecord(nil, &Record{Headers: make([]Header, limit/4)})
	inner := legacyMessage(1, CodecNone, 0, 0, nil, nil)
	for name, b := range map[string]Batch{
		"records": sealed(CodecNone, limit/9, records),
		"headers": sealed(CodecNone, 1, headers),
		"inner":   legacyMessage(1, CodecSnappy, 0, 0, nil, encodeSnappy(bytes.Repeat(inner, limit/len(inner)-1))),
	} {
		if taken := mustRefuse(t, name, b, limit, coldstream.ErrUnsupported); taken > 5*limit {
			t.Errorf("%s: %d MB allocated for a limit of %d MB", name, taken>>20, limit>>20)
		}
		if name == "inner" {
			continue
		}
		if _, err := NewDecoder().Absolute(b, 100*limit); err != nil {
			t.Errorf("%s, with a larger limit: %v", name, err)
		}
	}
}

// TestLyingLengths: lengths and counts that are not true are refused, and nothing is
// allocated for them.
func TestLyingLengths(t *testing.T) {
	giant := binary.AppendVarint(nil, math.MaxInt32)
	fields := []byte{0, 0, 0, 1, 1} // attributes, both deltas, null key, null value
	record := func(body ...[]byte) []byte {
		all := bytes.Join(body, nil)
		return append(binary.AppendVarint(nil, int64(len(all))), all...)
	}
	pad := make([]byte, 20)
	for name, b := range map[string]Batch{
		"count":          sealed(CodecNone, math.MaxInt32, pad),
		"record":         sealed(CodecNone, 1, append(bytes.Clone(giant), pad...)),
		"key":            sealed(CodecNone, 1, record([]byte{0, 0, 0}, giant, pad)),
		"value":          sealed(CodecNone, 1, record([]byte{0, 0, 0, 1}, giant, pad)),
		"headers":        sealed(CodecNone, 1, record(fields, giant, pad)),
		"header key":     sealed(CodecNone, 1, record(fields, []byte{2}, giant, pad)),
		"header value":   sealed(CodecNone, 1, record(fields, []byte{2, 0}, giant, pad)),
		"snappy":         sealed(CodecSnappy, 1, binary.AppendUvarint(nil, 1<<29)),
		"xerial block":   sealed(CodecSnappy, 1, append(encodeSnappy(nil), 0xff, 0xff, 0xff, 0xff, 0)),
		"message key":    legacyMessage(0, CodecNone, 0, 0, nil, nil).with(18, 0x7f, 0xff, 0xff, 0xff),
		"message value":  legacyMessage(0, CodecNone, 0, 0, nil, nil).with(22, 0x7f, 0xff, 0xff, 0xff),
		"zstd":           sealed(CodecZstd, 1, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0, 1, 0, 0}),
		"lz4 block":      sealed(CodecLZ4, 1, append(lz4Frame(t, pad, false)[:7], 0xff, 0xff, 0xff, 0x7f)),
		"nothing":        sealed(CodecNone, 1, nil),
		"nothing lz4":    sealed(CodecLZ4, 1, nil),
		"nothing gzip":   sealed(CodecGzip, 1, nil),
		"nothing snappy": sealed(CodecSnappy, 1, nil),
		"nothing zstd":   sealed(CodecZstd, 1, nil),
	} {
		if taken := mustRefuse(t, name, b, testLimit, coldstream.ErrCorrupt); taken > 32<<20 {
			t.Errorf("%s: %d MB allocated", name, taken>>20)
		}
	}
}

// with changes bytes of a message.
func (b Batch) with(at int, bytes ...byte) Batch {
	copy(b[at:], bytes)
	return reseal(b)
}

// TestOddRecords: what Kafka's clients read is read as they do, and what they refuse is
// refused.
func TestOddRecords(t *testing.T) {
	for name, c := range map[string]struct {
		payload []byte
		good    bool
	}{
		"plain":                  {[]byte{12, 0, 0, 0, 1, 1, 0}, true},
		"any negative is null":   {[]byte{12, 0, 0, 0, 3, 9, 0}, true},
		"longer numbers":         {[]byte{16, 0, 0x80, 0, 0x80, 0, 1, 1, 0}, true},
		"five bytes":             {[]byte{20, 0, 0, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0}, true},
		"six bytes":              {[]byte{22, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0}, false},
		"ten bytes of time":      {[]byte{30, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 1, 1, 0}, true},
		"eleven bytes of time":   {[]byte{32, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 1, 1, 0}, false},
		"33 bits":                {[]byte{20, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 1, 0}, false},
		"negative record":        {[]byte{1, 0, 0, 0, 1, 1, 0}, false},
		"negative headers":       {[]byte{12, 0, 0, 0, 1, 1, 1}, false},
		"null header key":        {[]byte{16, 0, 0, 0, 1, 1, 2, 1, 0}, false},
		"null header value":      {[]byte{16, 0, 0, 0, 1, 1, 2, 0, 1}, true},
		"too long for fields":    {[]byte{14, 0, 0, 0, 1, 1, 0, 0}, false},
		"too short for fields":   {[]byte{10, 0, 0, 0, 1, 1, 0}, false},
		"behind the last":        {[]byte{12, 0, 0, 0, 1, 1, 0, 0}, false},
		"one more":               {[]byte{12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0}, false},
		"offset below the base":  {[]byte{12, 0, 0, 1, 1, 1, 0}, false},
		"offset behind the last": {[]byte{12, 0, 0, 2, 1, 1, 0}, false},
		"no end of a number":     {[]byte{12, 0, 0, 0, 1, 1, 0x80}, false},
	} {
		got, err := NewDecoder().Absolute(sealed(CodecNone, 1, c.payload), testLimit)
		if (err == nil) != c.good || err != nil && !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if c.good && (len(got) != 1 || got[0].Key != nil || got[0].Value != nil || got[0].Offset != 0 || got[0].TimestampMs != 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	twice := bytes.Repeat([]byte{12, 0, 0, 0, 1, 1, 0}, 2)
	mustRefuse(t, "an offset twice", sealed(CodecNone, 2, twice), testLimit, coldstream.ErrCorrupt)
	mustRefuse(t, "codec 5", sealed(5, 1, twice[:7]), testLimit, coldstream.ErrUnsupported)
	mustRefuse(t, "codec 7 in magic 1", legacyMessage(1, 7, 0, 0, nil, twice), testLimit, coldstream.ErrUnsupported)
	if _, err := NewDecoder().Decode(javaBatch(t, "v1-gzip"), testLimit); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("a message decoded as a batch: %v", err)
	}
}

// TestEmptiedBatch: what compaction emptied has its codec's bits, and no frame.
func TestEmptiedBatch(t *testing.T) {
	for _, codec := range allCodecs {
		got, err := NewDecoder().Absolute(withCounts(sealed(codec, 1, nil), 5, 9, 0), testLimit)
		if err != nil || len(got) != 0 {
			t.Errorf("%s: %v, %v", codec, got, err)
		}
	}
	mustRefuse(t, "bytes of no record", withCounts(sealed(CodecNone, 1, []byte{0}), 5, 9, 0), testLimit, coldstream.ErrCorrupt)
}

// legacyMessage is a message of magic 0 or 1.
func legacyMessage(magic uint8, codec Codec, offset, timestampMs int64, key, value []byte) Batch {
	b := make(Batch, legacyTimeAt)
	binary.BigEndian.PutUint64(b, uint64(offset))
	b[magicAt], b[legacyAttrAt] = magic, byte(codec)
	if magic == 1 {
		b = binary.BigEndian.AppendUint64(b, uint64(timestampMs))
	}
	for _, part := range [][]byte{key, value} {
		if part == nil {
			b = binary.BigEndian.AppendUint32(b, math.MaxUint32)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-logOverhead))
	return reseal(b)
}

// TestInnerMessages: offsets inside of a compressed message lie where its own says.
func TestInnerMessages(t *testing.T) {
	set := func(magic uint8, offsets ...int64) []byte {
		var out []byte
		for _, offset := range offsets {
			out = append(out, legacyMessage(magic, CodecNone, offset, 5, nil, []byte("v"))...)
		}
		return out
	}
	nested := legacyMessage(1, CodecSnappy, 0, 5, nil, s2.EncodeSnappy(nil, set(1, 0)))
	flipped := set(1, 0, 1)
	flipped[len(flipped)-1] ^= 1 // of the value: nothing but the checksum tells
	for name, c := range map[string]struct {
		magic uint8
		outer int64
		inner []byte
		want  []int64 // nil if it is refused
	}{
		"relative":            {1, 100, set(1, 0, 1, 2), []int64{98, 99, 100}},
		"relative, holes":     {1, 100, set(1, 0, 4, 9), []int64{91, 95, 100}},
		"first ones gone":     {1, 100, set(1, 4, 9), []int64{95, 100}},
		"magic 0 in magic 1":  {1, 100, set(0, 0, 1), []int64{99, 100}},
		"absolute":            {0, 100, set(0, 98, 100), []int64{98, 100}},
		"absolute, last gone": {0, 100, set(0, 90, 95), []int64{90, 95}},
		"at the largest":      {1, math.MaxInt64 - 1, set(1, 0, 1), []int64{math.MaxInt64 - 2, math.MaxInt64 - 1}},
		"below zero":          {1, 1, set(1, 0, 1, 2), nil},
		"outer before inner":  {1, 100, set(1, 100, 101), nil},
		"behind the outer":    {0, 100, set(0, 100, 101), nil},
		"descending":          {1, 100, set(1, 3, 2), nil},
		"last is not largest": {1, 100, set(1, 0, 7, 3), nil},
		"twice":               {0, 100, set(0, 99, 99), nil},
		"largest offset":      {1, 100, set(1, math.MaxInt64-1), nil},
		"empty":               {1, 100, nil, nil},
		"nested":              {1, 100, nested, nil},
		"magic 2 inside":      {1, 100, javaBatch(t, "v2-none"), nil},
		"cut off":             {1, 100, set(1, 0, 1)[:60], nil},
		"bytes behind":        {1, 100, append(set(1, 0, 1), 0), nil},
		"bad checksum":        {1, 100, flipped, nil},
	} {
		outer := legacyMessage(c.magic, CodecSnappy, c.outer, 5, nil, s2.EncodeSnappy(nil, c.inner))
		records, err := NewDecoder().Absolute(outer, testLimit)
		if c.want == nil {
			if !errors.Is(err, coldstream.ErrCorrupt) {
				t.Errorf("%s: %v, %v", name, records, err)
			}
			continue
		}
		var got []int64
		for _, r := range records {
			got = append(got, r.Offset)
		}
		if diff := difference(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	mustRefuse(t, "null value", legacyMessage(1, CodecSnappy, 1, 1, nil, nil), testLimit, coldstream.ErrCorrupt)
	mustRefuse(t, "null value", legacyMessage(0, CodecLZ4, 1, 1, nil, nil), testLimit, coldstream.ErrCorrupt)
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "zstd", legacyMessage(1, CodecZstd, 1, 1, nil, encoder.EncodeAll(set(1, 0), nil)), testLimit, coldstream.ErrCorrupt)
	mustRefuse(t, "bytes behind the value", legacyMessage(1, CodecNone, 1, 1, nil, []byte("abc")).with(30, 0, 0, 0, 2), testLimit, coldstream.ErrCorrupt)
}

// TestInnerTimestamps: with LogAppendTime those inside do not count, but magic 0 has none.
func TestInnerTimestamps(t *testing.T) {
	inner := append(legacyMessage(1, CodecNone, 0, 5, nil, nil), legacyMessage(0, CodecNone, 1, 0, nil, nil)...)
	for attributes, want := range map[byte][]int64{0: {5, -1}, bitLogAppendTime: {900, -1}} {
		outer := legacyMessage(1, CodecSnappy, 1, 900, nil, s2.EncodeSnappy(nil, inner))
		records, err := NewDecoder().Absolute(outer.with(legacyAttrAt, byte(CodecSnappy)|attributes), testLimit)
		if err != nil || len(records) != 2 {
			t.Fatal(records, err)
		}
		if diff := difference(want, []int64{records[0].TimestampMs, records[1].TimestampMs}); diff != "" {
			t.Errorf("attributes %b (-want +got)\n%s", attributes, diff)
		}
	}
}

// TestLegacyNull: any negative length is null in a message, as Kafka reads it.
func TestLegacyNull(t *testing.T) {
	m := legacyMessage(0, CodecNone, 3, 0, nil, nil).with(18, 0xff, 0xff, 0xff, 0xfb, 0x80, 0, 0, 0)
	got, err := NewDecoder().Absolute(m, testLimit)
	if err != nil {
		t.Fatal(err)
	}
	if diff := difference([]Absolute{{Offset: 3, TimestampMs: -1}}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestDecoderStaysUsable: after refusing anything, a decoder decodes the next batch, and
// what it returned before is not touched.
func TestDecoderStaysUsable(t *testing.T) {
	m := maker{newRand(t)}
	d := NewDecoder()
	for range 20 {
		for _, codec := range allCodecs {
			s := m.spec(codec, 5)
			b := franz(t, s)
			got, err := d.Absolute(b, testLimit)
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				broken := Batch(bytes.Clone(b))
				for range 3 {
					broken[HeaderSize+m.IntN(len(b)-HeaderSize)] ^= byte(1 + m.IntN(255))
				}
				_, err := d.Absolute(broken, 1<<20)
				if err != nil && errors.Is(err, coldstream.ErrCorrupt) == errors.Is(err, coldstream.ErrUnsupported) {
					t.Fatalf("%s: %v", codec, err)
				}
				_, _ = d.Absolute(broken, 10) // stopped in the middle
			}
			if diff := difference(s.absolute(), got); diff != "" {
				t.Fatalf("%s: records changed after they were returned (-want +got)\n%s", codec, diff)
			}
		}
	}
}
