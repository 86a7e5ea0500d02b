package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"coldstream"
)

var (
	testPackID = PackID{4, testWriter, 5}
	smallSizes = [3]int{0, 100, 200} // small enough for a vector
)

func testDescriptor(lengths ...int64) *Descriptor {
	d := &Descriptor{Incarnation: testIncarnations()[0]}
	at := int64(0)
	for i, length := range lengths {
		d.Blocks = append(d.Blocks, DescribedBlock{int32(i), 2, 100, 230, at, length})
		at += length
	}
	return d
}

// testBatch is a record batch of one record, as a broker would send it, with content of
// some length in it.
func testBatch(baseOffset int64, content []byte) []byte {
	b := make([]byte, 61, 61+len(content))
	binary.BigEndian.PutUint64(b, uint64(baseOffset))
	b[16] = 2
	for i := 43; i < 57; i++ {
		b[i] = 0xff // no producer
	}
	b[60] = 1
	b = append(b, content...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// makePack puts a pack together as writers do, and gives the batches that are in it: the
// frame in the middle is compressed, the others are raw blocks.
func makePack(t testing.TB, sizes [3]int) (pack, batches []byte) {
	t.Helper()
	codec := NewFrameCodec()
	defer codec.Close()
	var frames []Frame
	pack = AppendPackHeader(nil, testVault, testPackID)
	for i, size := range sizes {
		parts := [][]byte{testBatch(int64(10*i), bytes.Repeat([]byte("text "), size/5)), testBatch(int64(10*i+1), []byte("second"))}
		d := testDescriptor(int64(len(parts[0])), int64(len(parts[1])))
		stored, frame := codec.AppendRaw(nil, *d, parts)
		if i == 1 {
			var err error
			if stored, frame, err = codec.Encode(*d, parts); err != nil {
				t.Fatal(err)
			}
		}
		pack, frames, batches = append(pack, stored...), append(frames, frame), append(batches, bytes.Join(parts, nil)...)
	}
	return AppendPackIndex(pack, frames), batches
}

// walkPack reads a pack from front to back, without a catalog.
func walkPack(pack []byte) (batches []byte, err error) {
	frames, err := DecodePackIndex(pack)
	if err != nil {
		return nil, err
	}
	vaultID, id, rest, err := DecodePackHeader(pack)
	if err != nil {
		return nil, err
	}
	if vaultID != testVault || id != testPackID {
		return nil, corruptf("pack %s of vault %s", id.Key(), vaultID)
	}
	codec := NewFrameCodec()
	defer codec.Close()
	for _, f := range frames {
		if f.StoredLength > int64(len(rest)) {
			return nil, corruptf("frame past its pack")
		}
		decoded, _, err := codec.Decode(rest[:f.StoredLength], f)
		if err != nil {
			return nil, err
		}
		batches, rest = append(batches, decoded...), rest[f.StoredLength:]
	}
	if !bytes.Equal(rest, AppendPackIndex(nil, frames)) {
		return nil, corruptf("something between frames and index")
	}
	return batches, nil
}

func againHeader(b []byte) ([]byte, error) {
	vaultID, id, rest, err := DecodePackHeader(b)
	if err == nil && len(rest) > 0 {
		err = corruptf("%d bytes behind", len(rest))
	}
	if err != nil {
		return nil, err
	}
	return AppendPackHeader(nil, vaultID, id), nil
}

func againIndex(b []byte) ([]byte, error) {
	frames, err := DecodePackIndex(b)
	if err != nil {
		return nil, err
	}
	return AppendPackIndex(nil, frames), nil
}

func againDescriptor(b []byte) ([]byte, error) {
	d, rest, err := DecodeDescriptor(b)
	if err == nil && len(rest) > 0 {
		err = corruptf("%d bytes behind", len(rest))
	}
	if err != nil {
		return nil, err
	}
	return d.Append(nil), nil
}

func packVectors() []vector {
	againPack := func(b []byte) ([]byte, error) {
		_, err := walkPack(b)
		return b, err
	}
	return []vector{
		{file: "packheader-plain.bin", versionAt: skippableHead + 4, again: againHeader, encode: func(*testing.T) []byte { return AppendPackHeader(nil, testVault, testPackID) }},
		{file: "packindex-two-frames.bin", again: againIndex, encode: func(*testing.T) []byte { return AppendPackIndex(nil, testFrames()) }},
		{file: "description-two-blocks.bin", versionAt: skippableHead + 4, again: againDescriptor, encode: func(*testing.T) []byte { return testDescriptor(70, 1<<20).Append(nil) }},
		{file: "frame-raw.bin", again: againRawFrame, encode: func(*testing.T) []byte {
			parts := [][]byte{[]byte("these are no batches, "), []byte("but the frame does not know that")}
			stored, _ := NewFrameCodec().AppendRaw(nil, *testDescriptor(22, 32), parts)
			return stored
		}},
		{file: "pack-three-frames.bin", again: againPack, libraryBytes: true, encode: func(t *testing.T) []byte {
			pack, _ := makePack(t, smallSizes)
			return pack
		}},
	}
}

// againRawFrame decodes a frame of raw blocks and encodes it again.
func againRawFrame(b []byte) ([]byte, error) {
	codec := NewFrameCodec()
	defer codec.Close()
	var head zstd.Header
	_, content, err := DecodeDescriptor(b)
	if err != nil {
		return nil, err
	}
	if err := head.Decode(content); err != nil {
		return nil, corruptf("%v", err)
	}
	decoded, d, err := codec.Decode(b, frameOf(b, int64(head.FrameContentSize)))
	if err != nil {
		return nil, err
	}
	again, _ := codec.AppendRaw(nil, d, [][]byte{decoded})
	return again, nil
}

// TestPlainZstdReadsPacks holds the promise that nobody needs us to get at batches.
func TestPlainZstdReadsPacks(t *testing.T) {
	large, largeBatches := makePack(t, [3]int{10, 300_000, 1 << 18})
	small, smallBatches := makePack(t, smallSizes)
	for name, c := range map[string]struct{ pack, want []byte }{
		"large":  {large, largeBatches},
		"small":  {small, smallBatches},
		"vector": {readVector(t, "pack-three-frames.bin"), smallBatches},
	} {
		r, err := zstd.NewReader(bytes.NewReader(c.pack))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: zstd gives %d bytes of %d, error %v", name, len(got), len(c.want), err)
		}
		got, err = walkPack(c.pack)
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: we give %d bytes of %d, error %v", name, len(got), len(c.want), err)
		}
	}
}

func TestPackHeaderSize(t *testing.T) {
	if got, want := PackHeaderSize(testVault, testPackID), len(readVector(t, "packheader-plain.bin")); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestPackHeaderRejections(t *testing.T) {
	type c = rejection[[]byte]
	corrupt, unsupported := coldstream.ErrCorrupt, coldstream.ErrUnsupported
	good := func() []byte { return readVector(t, "packheader-plain.bin") }
	decode := func(b []byte) error { _, err := againHeader(b); return err }
	checkRejections(t, good, decode, []c{
		{"another skippable frame", func(b []byte) { b[0]++ }, corrupt, "no skippable frame"},
		{"longer than all", func(b []byte) { b[7] = 0xff }, corrupt, "skippable frame of"},
		{"shorter", func(b []byte) { b[4]-- }, corrupt, "more than there is"},
		{"sealed", func(b []byte) { b[skippableHead+5] = 1 }, unsupported, "sealed with method 1"},
		{"key of a commit", func(b []byte) { copy(b[skippableHead+23:], "commi") }, corrupt, `key "commi`},
	})
}

func TestPackIndexRejections(t *testing.T) {
	corrupt, unsupported := coldstream.ErrCorrupt, coldstream.ErrUnsupported
	body := func(version byte, frames ...Frame) []byte {
		b := append([]byte(indexMagic), version)
		b = binary.AppendUvarint(b, uint64(len(frames)))
		for _, f := range frames {
			b = f.append(b)
		}
		return b
	}
	one := testFrames()[0]
	whole := closedIndex(body(1, one))
	length := len(whole) - skippableHead
	for _, c := range []struct {
		name  string
		index []byte
		want  error
		text  string
	}{
		{"good", whole, nil, ""},
		{"good behind something else", append([]byte("frames"), whole...), nil, ""},
		{"later version", closedIndex(body(2, one)), unsupported, "version 2"},
		{"version 0", closedIndex(body(0, one)), corrupt, "version 0"},
		{"no frames", closedIndex(body(1)), corrupt, "without frames"},
		{"frame of nothing", closedIndex(body(1, Frame{})), corrupt, "frame of 0 bytes"},
		{"more frames than bytes", closedIndex(append([]byte(indexMagic), 1, 0xff, 0x7f)), corrupt, "count 16383"},
		{"something behind the frames", closedIndex(append(body(1, one), 0)), corrupt, "1 bytes too many"},
		{"long varint", closedIndex(append([]byte(indexMagic), 1, 0x80, 0)), corrupt, "bad varint"},
		{"hash", flip(whole, skippableHead+7), corrupt, "its own hash"},
		{"own length below all", flip(whole, len(whole)-4), corrupt, ""},
		{"own length above all", flip(whole, len(whole)-1), corrupt, "in a pack of"},
		{"own length 0", append(bytes.Clone(whole[:skippableHead+length-4]), 0, 0, 0, 0), corrupt, "index of 0 bytes"},
		{"skippable length", flip(whole, 4), corrupt, ""},
		{"something behind the index", binary.LittleEndian.AppendUint32(bytes.Clone(whole), uint32(length+4)), corrupt, "4 bytes behind"},
		{"nothing", nil, corrupt, "0 bytes are no pack"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodePackIndex(c.index)
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q and %v", err, c.text, c.want)
			}
		})
	}
}

// closedIndex puts what belongs around the body of an index.
func closedIndex(body []byte) []byte {
	return appendSkippable(nil, skippableIndex, func(dst []byte) []byte {
		start := len(dst)
		sum := HashOf(body)
		dst = append(append(dst, body...), sum[:]...)
		return binary.LittleEndian.AppendUint32(dst, uint32(len(dst)-start+4))
	})
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func TestDescriptorRejections(t *testing.T) {
	type c = rejection[*Descriptor]
	corrupt := coldstream.ErrCorrupt
	good := func() *Descriptor { return testDescriptor(70, 80) }
	encode := func(d *Descriptor) error { _, err := againDescriptor(d.Append(nil)); return err }
	checkRejections(t, good, encode, []c{
		{"no blocks", func(d *Descriptor) { d.Blocks = nil }, corrupt, "without blocks"},
		{"topic ID and number", func(d *Descriptor) { d.Incarnation.Number = 1 }, corrupt, "both an ID and"},
		{"partition -1", func(d *Descriptor) { d.Blocks[0].Partition = -1 }, corrupt, "too large"},
		{"no offsets", func(d *Descriptor) { d.Blocks[0].NextOffset = 100 }, corrupt, "block of 0 offsets"},
		{"block of nothing", func(d *Descriptor) { d.Blocks[1].Length = 0 }, corrupt, "[70, +0)"},
		{"does not begin at 0", func(d *Descriptor) { d.Blocks[0].Offset = 1 }, corrupt, "behind one that ends at 0"},
		{"hole", func(d *Descriptor) { d.Blocks[1].Offset = 71 }, corrupt, "behind one that ends at 70"},
		{"overlap", func(d *Descriptor) { d.Blocks[1].Offset = 69 }, corrupt, "behind one that ends at 70"},
		{"giant", func(d *Descriptor) { d.Blocks[1].Length = maxFrame }, corrupt, "behind one that ends at 70"},
	})
}

func TestDescribes(t *testing.T) {
	d := testDescriptor(70, 80)
	stream := coldstream.Stream{Incarnation: d.Incarnation, Partition: 1}
	good := Row{Scan: 2, FirstOffset: 100, NextOffset: 230, Offset: 70, Length: 80}
	if !d.Describes(stream, &good) {
		t.Error("the second block is not found")
	}
	for name, change := range map[string]func(*coldstream.Stream, *Row){
		"incarnation": func(s *coldstream.Stream, _ *Row) { s.TopicID[3]++ },
		"partition":   func(s *coldstream.Stream, _ *Row) { s.Partition = 0 },
		"scan":        func(_ *coldstream.Stream, w *Row) { w.Scan = 1 },
		"first":       func(_ *coldstream.Stream, w *Row) { w.FirstOffset-- },
		"next":        func(_ *coldstream.Stream, w *Row) { w.NextOffset++ },
		"offset":      func(_ *coldstream.Stream, w *Row) { w.Offset-- },
		"length":      func(_ *coldstream.Stream, w *Row) { w.Length-- },
	} {
		s, w := stream, good
		change(&s, &w)
		if d.Describes(s, &w) {
			t.Errorf("another %s is described as well", name)
		}
	}
}

func TestFrameRoundTrip(t *testing.T) {
	random := newRand(t)
	codec := NewFrameCodec()
	defer codec.Close()
	for _, size := range []int{1, 2, 100, 255, 256, maxBlock - 1, maxBlock, maxBlock + 1, 3*maxBlock + 7} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(random.Uint32N(4))
		}
		var parts [][]byte
		for rest := content; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			parts, rest = append(parts, rest[:n]), rest[n:]
		}
		d := *testDescriptor(int64(size))
		stored, frame, err := codec.Encode(d, parts)
		if err != nil {
			t.Fatal(err)
		}
		rawStored, rawFrame := codec.AppendRaw(nil, d, parts)
		if want := RawFrameSize(d, int64(size)); len(rawStored) != want {
			t.Errorf("%d bytes: stored as they are they become %d, and %d were foretold", size, len(rawStored), want)
		}
		pure, err := newPureFastest()
		if err != nil {
			t.Fatal(err)
		}
		pureStored, pureFrame, err := (&FrameCodec{enc: pure}).Encode(d, parts) // without -tags libzstd it is the first once more
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			stored []byte
			frame  Frame
		}{{stored, frame}, {rawStored, rawFrame}, {pureStored, pureFrame}} {
			got, described, err := codec.Decode(c.stored, c.frame)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes: %d came back, error %v", size, len(got), err)
			}
			if diff := cmp.Diff(d, described); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
	}
}

// TestReadBack: of what went in, no byte may be another, missing or too many.
func TestReadBack(t *testing.T) {
	random := newRand(t)
	codec := NewFrameCodec()
	defer codec.Close()
	content := make([]byte, 2*maxBlock+100)
	for i := range content {
		content[i] = byte(random.Uint32N(4))
	}
	cut := 1 + random.IntN(len(content)-1)
	parts := func(b []byte) [][]byte { return [][]byte{b[:cut], b[cut:]} }
	d := *testDescriptor(int64(len(content)))
	stored, frame, err := codec.Encode(d, parts(content))
	if err != nil {
		t.Fatal(err)
	}
	rawStored, rawFrame := codec.AppendRaw(nil, d, parts(content))
	encoded := func(b [][]byte) error { return codec.ReadBack(stored, frame, b) }
	raw := func(b [][]byte) error { return codec.ReadBackRaw(rawStored, rawFrame, b) }
	for name, check := range map[string]func([][]byte) error{"encoded": encoded, "raw": raw} {
		if err := check(parts(content)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, at := range []int{0, cut - 1, cut, maxBlock, len(content) - 1} {
			other := bytes.Clone(content)
			other[at] ^= 1
			if err := check(parts(other)); !errors.Is(err, coldstream.ErrCorrupt) {
				t.Errorf("%s: another byte at %d: error %v, want ErrCorrupt", name, at, err)
			}
		}
		if err := check([][]byte{content[:len(content)-1]}); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: a byte less: error %v, want ErrCorrupt", name, err)
		}
		if err := check([][]byte{content, {1}}); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: a byte more: error %v, want ErrCorrupt", name, err)
		}
	}
	if err := codec.ReadBackRaw(stored, frame, parts(content)); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("a frame that is not raw: error %v, want ErrCorrupt", err)
	}
}

func TestFrameRejections(t *testing.T) {
	codec := NewFrameCodec()
	defer codec.Close()
	content := bytes.Repeat([]byte("x"), 100)
	stored, good := codec.AppendRaw(nil, *testDescriptor(100), [][]byte{content})
	for name, frame := range map[string]Frame{
		"stored length":  {StoredLength: good.StoredLength - 1, DecodedLength: 100, Hash: good.Hash},
		"hash":           {StoredLength: good.StoredLength, DecodedLength: 100},
		"decoded length": {StoredLength: good.StoredLength, DecodedLength: 101, Hash: good.Hash},
	} {
		if _, _, err := codec.Decode(stored, frame); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("another %s: error %v, want ErrCorrupt", name, err)
		}
	}
	other, otherFrame := codec.AppendRaw(nil, *testDescriptor(60, 41), [][]byte{content})
	if _, _, err := codec.Decode(other, otherFrame); !errors.Is(err, coldstream.ErrCorrupt) || !strings.Contains(err.Error(), "a description of 101 bytes") {
		t.Errorf("a description of more than the frame: error %v", err)
	}
	behind := append(bytes.Clone(stored), AppendPackHeader(nil, testVault, testPackID)...)
	if _, _, err := codec.Decode(behind, frameOf(behind, 100)); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("a skippable frame behind: error %v, want ErrCorrupt", err)
	}
	if got, _, err := codec.Decode(stored, good); err != nil || !bytes.Equal(got, content) {
		t.Errorf("after all these the codec gives %d bytes, error %v", len(got), err)
	}
}
