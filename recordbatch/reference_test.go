package recordbatch

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var allCodecs = []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd}

// spec is a batch for franz-go to encode.
type spec struct {
	base, baseMs, maxMs int64
	delta               int32 // of the last offset
	epoch               int32
	attributes          uint16 // besides the codec
	codec               Codec
	producer            Producer
	records             []Record
}

// franz encodes a batch with kmsg's structs and kgo's compression.
func franz(tb testing.TB, s *spec) Batch {
	tb.Helper()
	var raw []byte
	for i := range s.records {
		raw = appendFranz(raw, &s.records[i])
	}
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	if s.codec != CodecNone {
		compressor, err := kgo.DefaultCompressor(codecs[s.codec])
		if err != nil {
			tb.Fatal(err)
		}
		var used kgo.CompressionCodecType
		if raw, used = compressor.Compress(&bytes.Buffer{}, raw); Codec(used) != s.codec {
			tb.Fatalf("kgo compressed with codec %d", used)
		}
		raw = bytes.Clone(raw)
	}
	batch := kmsg.RecordBatch{
		FirstOffset: s.base, Length: int32(HeaderSize - logOverhead + len(raw)), PartitionLeaderEpoch: s.epoch, Magic: 2,
		Attributes: int16(s.attributes | uint16(s.codec)), LastOffsetDelta: s.delta, FirstTimestamp: s.baseMs, MaxTimestamp: s.maxMs,
		ProducerID: s.producer.ID, ProducerEpoch: s.producer.Epoch, FirstSequence: s.producer.Sequence,
		NumRecords: int32(len(s.records)), Records: raw,
	}
	out := Batch(batch.AppendTo(nil))
	out.seal()
	return out
}

func appendFranz(dst []byte, r *Record) []byte {
	k := kmsg.Record{Attributes: r.Attributes, TimestampDelta64: r.TimestampDelta, OffsetDelta: r.OffsetDelta, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
	}
	body := k.AppendTo(nil)
	k.Length = int32(len(body) - 1) // a length of 0 is one byte
	return k.AppendTo(dst)
}

// maker makes random records.
type maker struct{ *rand.Rand }

func (m maker) bytes(most int) []byte {
	switch m.IntN(5) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2: // compressible
		return bytes.Repeat([]byte{byte(m.Uint32())}, m.IntN(most))
	}
	b := make([]byte, m.IntN(most)) // seldom UTF-8
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

func (m maker) headers() []Header {
	if m.IntN(2) == 0 {
		return nil
	}
	keys := [][]byte{{}, {'a'}, {0xff, 0xfe, 0}, []byte("über")} // they repeat
	out := make([]Header, 1+m.IntN(5))
	for i := range out {
		out[i] = Header{Key: keys[m.IntN(len(keys))], Value: m.bytes(40)}
	}
	return out
}

// spec makes a batch, with holes or without. Its times fit into the nanoseconds that
// franz-go counts in.
func (m maker) spec(codec Codec, count int) *spec {
	s := &spec{
		base: m.Int64N(math.MaxInt64 >> m.IntN(60)), baseMs: m.Int64N(1<<42) - 1, epoch: m.Int32N(100), codec: codec,
		producer: Producer{ID: m.Int64(), Epoch: int16(m.Int32N(math.MaxInt16)), Sequence: m.Int32()},
	}
	s.base = min(s.base, math.MaxInt64-(1<<24))
	s.maxMs = s.baseMs
	holes := m.IntN(2) == 0
	for i := range count {
		if holes {
			s.delta += m.Int32N(3)
		}
		r := Record{
			Attributes: int8(m.Uint32()), TimestampDelta: m.Int64N(1<<40>>m.IntN(40)) - min(s.baseMs, 3), OffsetDelta: s.delta,
			Key: m.bytes(30), Value: m.bytes(300), Headers: m.headers(),
		}
		s.records = append(s.records, r)
		s.maxMs = max(s.maxMs, s.baseMs+r.TimestampDelta)
		if i < count-1 || holes {
			s.delta++
		}
	}
	for _, bit := range []uint16{bitLogAppendTime, bitTransactional, bitDeleteHorizon} {
		if m.IntN(4) == 0 {
			s.attributes |= bit
		}
	}
	return s
}

// absolute is what a consumer should see of the batch.
func (s *spec) absolute() []Absolute {
	out := []Absolute{}
	for i := range s.records {
		r := &s.records[i]
		a := Absolute{Offset: s.base + int64(r.OffsetDelta), TimestampMs: s.baseMs + r.TimestampDelta, Key: r.Key, Value: r.Value, Headers: r.Headers}
		if s.attributes&bitLogAppendTime != 0 {
			a.TimestampMs = s.maxMs
		}
		out = append(out, a)
	}
	return out
}

// difference is cmp.Diff, which takes seconds for thousands of records, only where they differ.
func difference(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

// TestDecodeFranz decodes what franz-go encodes, of every codec and size.
func TestDecodeFranz(t *testing.T) {
	m := maker{newRand(t)}
	d := NewDecoder()
	for _, codec := range allCodecs {
		for _, count := range []int{1, 1, 2, 3, 10, 100, 5000} {
			s := m.spec(codec, count)
			b, rest, err := Next(franz(t, s))
			if err != nil || len(rest) > 0 {
				t.Fatal(err, len(rest))
			}
			if err := b.Check(); err != nil {
				t.Fatal(err)
			}
			records, err := d.Decode(b, testLimit)
			if err != nil {
				t.Fatalf("%d records, %s: %v", count, codec, err)
			}
			if diff := difference(s.records, records); diff != "" {
				t.Fatalf("%d records, %s (-want +got)\n%s", count, codec, diff)
			}
			absolute, err := d.Absolute(b, testLimit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := difference(s.absolute(), absolute); diff != "" {
				t.Fatalf("%d records, %s (-want +got)\n%s", count, codec, diff)
			}
		}
	}
}

// TestAppendRecordIsFranz: there is one encoding of a record.
func TestAppendRecordIsFranz(t *testing.T) {
	m := maker{newRand(t)}
	for range 2000 {
		for _, r := range m.spec(CodecNone, 1).records {
			r.TimestampDelta = int64(m.Uint64()) >> m.IntN(64)
			r.OffsetDelta = int32(m.Uint32()) >> m.IntN(32)
			got := AppendRecord([]byte("front"), &r)
			want := appendFranz([]byte("front"), &r)
			if !bytes.Equal(got, want) {
				t.Fatalf("%+v: got %x, want %x", r, got, want)
			}
			if r.size() != len(want)-len("front") {
				t.Fatalf("%+v: size %d, want %d", r, r.size(), len(want)-len("front"))
			}
		}
	}
}

// readFranz reads a batch as a consumer of franz-go, which checks its checksum.
func readFranz(b Batch) ([]Absolute, error) {
	part, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"},
		&kmsg.FetchResponseTopicPartition{RecordBatches: b, HighWatermark: math.MaxInt64}, kgo.DefaultDecompressor(), nil)
	out := []Absolute{}
	for _, r := range part.Records {
		a := Absolute{Offset: r.Offset, TimestampMs: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			a.Headers = append(a.Headers, Header{Key: []byte(h.Key), Value: h.Value})
		}
		out = append(out, a)
	}
	return out, part.Err
}

// dense gives records the offsets that [Build] wants.
func dense(records []Absolute, firstOffset int64) []Absolute {
	for i := range records {
		records[i].Offset = firstOffset + int64(i)
	}
	return records
}

// TestBuild: what it makes holds the same for us and for franz-go, and its header is that
// of a producer.
func TestBuild(t *testing.T) {
	m := maker{newRand(t)}
	d := NewDecoder()
	for _, codec := range allCodecs {
		for _, count := range []int{1, 2, 50, 3000} {
			records := m.spec(codec, count).absolute()
			producer := Producer{ID: m.Int64(), Epoch: 3, Sequence: m.Int32()}
			b, err := Build(dense(records, 1<<40), codec, producer)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Check(); err != nil {
				t.Fatal(err)
			}
			dense(records, 0)
			got, err := d.Absolute(b, testLimit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := difference(records, got); diff != "" {
				t.Fatalf("ours, %d records, %s (-want +got)\n%s", count, codec, diff)
			}
			if got, err = readFranz(b); err != nil {
				t.Fatal(err)
			}
			if diff := difference(records, got); diff != "" {
				t.Fatalf("franz-go's, %d records, %s (-want +got)\n%s", count, codec, diff)
			}
			checkBuilt(t, b, records, codec, producer)
		}
	}
}

func checkBuilt(t *testing.T, b Batch, records []Absolute, codec Codec, p Producer) {
	t.Helper()
	maxMs := records[0].TimestampMs
	for i := range records {
		maxMs = max(maxMs, records[i].TimestampMs)
	}
	var head kmsg.RecordBatch
	if err := head.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	head.Records, head.CRC = nil, 0
	want := kmsg.RecordBatch{
		Length: int32(len(b) - logOverhead), PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(codec),
		LastOffsetDelta: int32(len(records) - 1), FirstTimestamp: records[0].TimestampMs, MaxTimestamp: maxMs,
		ProducerID: p.ID, ProducerEpoch: p.Epoch, FirstSequence: p.Sequence, NumRecords: int32(len(records)),
	}
	if diff := cmp.Diff(want, head); diff != "" {
		t.Errorf("header (-want +got)\n%s", diff)
	}
	if need := b.Need(0, int64(len(records))); need != HeaderOnly {
		t.Errorf("what was built needs %d", need)
	}
}

// TestBuildRefuses: what would not be what the caller thinks is an error.
func TestBuildRefuses(t *testing.T) {
	for name, records := range map[string][]Absolute{
		"nothing": nil, "a hole": {{Offset: 1}, {Offset: 3}}, "an order": {{Offset: 2}, {Offset: 1}}, "twice": {{Offset: 2}, {Offset: 2}},
	} {
		if b, err := Build(records, CodecNone, Producer{}); err == nil {
			t.Errorf("%s: built %x", name, b)
		}
	}
	if _, err := Build([]Absolute{{}}, 5, Producer{}); err == nil {
		t.Error("built with an unknown codec")
	}
}

// TestRebuildLegacy brings magic 0 and 1 into batches that brokers of today take.
func TestRebuildLegacy(t *testing.T) {
	d := NewDecoder()
	for _, name := range []string{"v0-lz4", "v0-gzip", "v1-snappy", "v1-lz4-appendtime"} {
		old := javaBatch(t, name)
		records, err := d.Absolute(old, testLimit)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Build(records, old.Codec(), Producer{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := readFranz(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(dense(records, 0), got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestLargeRecords: 10 MB records, alone and several in a batch, compressible or not.
func TestLargeRecords(t *testing.T) {
	m := newRand(t)
	random := make([]byte, 10<<20)
	for i := 0; i < len(random); i += 8 {
		binary.LittleEndian.PutUint64(random[i:], m.Uint64())
	}
	same := bytes.Repeat([]byte("all work and no play "), len(random)/21)
	d := NewDecoder()
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			s := &spec{codec: codec, delta: 2, records: []Record{{Value: random}, {OffsetDelta: 1, Value: same}, {OffsetDelta: 2, Key: random[1:9]}}}
			b := franz(t, s)
			if err := b.Check(); err != nil {
				t.Fatal(err)
			}
			got, err := d.Absolute(b, testLimit)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(s.absolute(), got) { // a text of the difference would be large
				t.Error("decoded records differ")
			}
			built, err := Build(got, codec, Producer{})
			if err != nil {
				t.Fatal(err)
			}
			if got, err = readFranz(built); err != nil || !reflect.DeepEqual(s.absolute(), got) {
				t.Errorf("built records differ: %v", err)
			}
		})
	}
}

// TestLZ4Headers mends frames of every shape a descriptor can have, when their checksum
// is broken, and leaves whole ones as they are.
func TestLZ4Headers(t *testing.T) {
	payload := bytes.Repeat([]byte("lz4 "), 100)
	for _, flags := range []string{"plain", "with size"} {
		frame := lz4Frame(t, payload, flags == "with size")
		at := 6
		if flags == "with size" {
			at = 14
		}
		for _, broken := range []byte{0, 1, 0x80} {
			frame[at] ^= broken
			got, err := NewDecoder().read(CodecLZ4, NewDecoder().lz4Reader(mendLZ4Header(frame)), testLimit)
			if err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%s, broken by %d: %d bytes, %v", flags, broken, len(got), err)
			}
			frame[at] ^= broken
		}
		for n := range len(frame) { // cut off anywhere it is an error, and never a panic
			if got, err := NewDecoder().read(CodecLZ4, NewDecoder().lz4Reader(mendLZ4Header(frame[:n])), testLimit); err == nil && n > 0 {
				t.Errorf("%s: the first %d bytes give %d", flags, n, len(got))
			}
		}
	}
}

func lz4Frame(t *testing.T, payload []byte, withSize bool) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if withSize {
		if err := w.Apply(lz4.SizeOption(uint64(len(payload)))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(payload); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
