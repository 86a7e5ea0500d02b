package vault

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// big is a batch of about so many bytes, which do not compress.
func big(t testing.TB, random *rand.Rand, offset int64, size int, codec recordbatch.Codec) recordbatch.Batch {
	t.Helper()
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	b, err := recordbatch.Build([]recordbatch.Absolute{{TimestampMs: offset, Value: value}}, codec, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
	if err != nil {
		t.Fatal(err)
	}
	return inLog(b, offset, 0)
}

// TestPackLayout stores streams of all sizes and codecs: each row has its own bytes, in
// the order of the log, and frames are of one topic and about one size.
func TestPackLayout(t *testing.T) {
	for i := range uint64(20) {
		random := rand.New(rand.NewPCG(*seed+i, 3))
		var all []StreamData
		want := map[coldstream.Stream][]byte{}
		for n := range int32(6) {
			s := stream([]string{"a", "b", "c"}[n/2], n%2)
			d := StreamData{Stream: s}
			at := random.Int64N(5)
			for range random.IntN(30) {
				codec := []recordbatch.Codec{recordbatch.CodecNone, recordbatch.CodecLZ4}[random.IntN(2)]
				b := big(t, random, at, 1+random.IntN(1<<uint(1+random.IntN(18))), codec)
				d.Pieces = append(d.Pieces, Piece{FirstOffset: at, NextOffset: at + 1, Batches: b})
				want[s] = append(want[s], b...)
				at++
			}
			all = append(all, d)
		}
		w, p := &Writer{}, &pack{}
		var blocks []*block
		for _, data := range inTurns(random, all) {
			part, err := w.Encode(t.Context(), data)
			if err != nil {
				t.Fatal(err)
			}
			p.add(part)
			blocks = append(blocks, part.blocks...)
		}
		stored, frames := p.assemble(format.VaultID{1}, format.PackID{Number: 7})
		ref := (&format.Pack{ID: format.PackID{Number: 7}, SizeBytes: int64(len(stored)), Frames: frames}).Place(format.VaultID{1})
		store := mem.New()
		replace(t, store, ref.ID.Key(), stored)
		checkLayout(t, &Vault{objects: object.New(store, &format.VaultInfo{})}, ref, blocks, want)
	}
}

// inTurns deals out pieces to one part or several, each stream's in their order.
func inTurns(random *rand.Rand, all []StreamData) [][]StreamData {
	turns := make([][]StreamData, 1+random.IntN(3))
	for _, d := range all {
		rest := d.Pieces
		for i := range turns {
			n := random.IntN(len(rest) + 1)
			if i == len(turns)-1 {
				n = len(rest)
			}
			if n > 0 {
				turns[i] = append(turns[i], StreamData{Stream: d.Stream, Pieces: rest[:n]})
			}
			rest = rest[n:]
		}
	}
	return turns
}

func checkLayout(t *testing.T, v *Vault, ref *format.PlacedPack, blocks []*block, want map[coldstream.Stream][]byte) {
	t.Helper()
	codec := format.NewFrameCodec()
	defer codec.Close()
	before := map[coldstream.Stream]*block{}
	got := map[coldstream.Stream][]byte{}
	for _, b := range blocks {
		frame, err := v.readFrame(t.Context(), codec, ref, b.row.Frame)
		if err != nil {
			t.Fatal(err)
		}
		batches, err := frame.of(b.stream, &b.row)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkRow(batches, &b.row); err != nil {
			t.Error(err)
		}
		got[b.stream] = append(got[b.stream], batches...)
		if len(frame.content) > frameTarget && len(frame.descriptor.Blocks) > 1 {
			t.Errorf("a frame of %d blocks has %d bytes", len(frame.descriptor.Blocks), len(frame.content))
		}
		if last := before[b.stream]; last != nil && (last.row.Frame > b.row.Frame ||
			last.row.Frame == b.row.Frame && last.row.Offset >= b.row.Offset) {
			t.Errorf("%s: offset %d lies before offset %d", b.stream.TopicPartition(), b.row.FirstOffset, before[b.stream].row.FirstOffset)
		}
		before[b.stream] = b
	}
	for s, batches := range want {
		if !bytes.Equal(got[s], batches) {
			t.Errorf("%s: %d bytes came back of %d, or other ones", s.TopicPartition(), len(got[s]), len(batches))
		}
	}
}

func TestBlockIsCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	none, lz4 := recordbatch.CodecNone, recordbatch.CodecLZ4
	type batch struct {
		size  int
		codec recordbatch.Codec
	}
	for name, c := range map[string]struct {
		batches []batch
		want    []int64 // first offsets of blocks
	}{
		"small ones lie together": {[]batch{{100, none}, {100, none}, {100, none}}, []int64{0}},
		"at the frame's size":     {[]batch{{600 << 10, none}, {600 << 10, none}, {100, none}}, []int64{0, 1}},
		"a giant one":             {[]batch{{100, none}, {3 << 20, none}, {100, none}}, []int64{0, 1, 2}},
		"another kind":            {[]batch{{70 << 10, none}, {70 << 10, lz4}, {70 << 10, lz4}, {70 << 10, none}}, []int64{0, 1, 3}},
		"a little of another":     {[]batch{{1 << 10, none}, {1 << 10, lz4}, {1 << 10, none}, {1 << 10, lz4}}, []int64{0}},
	} {
		t.Run(name, func(t *testing.T) {
			p := Piece{NextOffset: int64(len(c.batches))}
			for i, b := range c.batches {
				p.Batches = append(p.Batches, big(t, random, int64(i), b.size, b.codec)...)
			}
			blocks, err := buildBlocks(StreamData{Stream: stream("a", 0), Pieces: []Piece{p}})
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			next := int64(0)
			for _, b := range blocks {
				got = append(got, b.row.FirstOffset)
				if b.row.FirstOffset != next {
					t.Errorf("a row begins at %d, the one before ends at %d", b.row.FirstOffset, next)
				}
				next = b.row.NextOffset
			}
			if diff := cmp.Diff(c.want, got); diff != "" || next != p.NextOffset {
				t.Errorf("blocks: %s; the last ends at %d", diff, next)
			}
		})
	}
}

// TestRowOfBatches: what a restore needs to know of a row without reading it.
func TestRowOfBatches(t *testing.T) {
	var batches []byte
	for _, b := range []recordbatch.Batch{
		transactional(batchOf(t, 10, 2, 4, recordbatch.CodecNone), 7, 0x10),
		transactional(batchOf(t, 12, 1, 4, recordbatch.CodecNone), 7, 0x10),
		transactional(batchOf(t, 13, 1, 4, recordbatch.CodecNone), 8, 0x10),
		inLog(markerOf(t, 14, 7, 0), 14, 5),
		transactional(batchOf(t, 17, 1, 6, recordbatch.CodecNone), 7, 0x10),
		batchOf(t, 18, 2, 6, recordbatch.CodecNone),
	} {
		batches = append(batches, b...)
	}
	blocks, err := buildBlocks(StreamData{Stream: stream("a", 0), Scan: 2, Pieces: []Piece{{FirstOffset: 11, NextOffset: 25, Batches: batches}}})
	if err != nil || len(blocks) != 1 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	got := blocks[0].row
	want := format.Row{
		Scan: 2, FirstOffset: 11, NextOffset: 25, BaseOffset: 10, Length: int64(len(batches)),
		Epochs:         starts(4, 10, 5, 14, 6, 17),
		MaxTimestampMs: testTime.UnixMilli() + 19, Batches: 6, Records: 7, MaxBatchBytes: got.MaxBatchBytes,
		Markers:      []format.Marker{{Offset: 14, ProducerID: 7, ProducerEpoch: 3}},
		Transactions: []format.TransactionStart{{ProducerID: 7, ProducerEpoch: 3, FirstOffset: 10}, {ProducerID: 8, ProducerEpoch: 3, FirstOffset: 13}, {ProducerID: 7, ProducerEpoch: 3, FirstOffset: 17}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if epoch, ok := LastLeaderEpoch(batches); epoch != 6 || !ok {
		t.Errorf("last leader epoch %d, %v", epoch, ok)
	}
	if epoch, ok := LastLeaderEpoch(nil); epoch != -1 || ok {
		t.Errorf("last leader epoch of nothing: %d, %v", epoch, ok)
	}
}

// TestBatchFromBelow: a piece whose first batch begins in the piece before has its own row.
func TestBatchFromBelow(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("a", 0)
	k.commit(k.writer(), Changes{Scans: begin(s, 0), Data: data(s,
		Piece{FirstOffset: 0, NextOffset: 7, Batches: batchOf(t, 0, 5, 1, recordbatch.CodecNone)},
		Piece{FirstOffset: 7, NextOffset: 9, Batches: batchOf(t, 6, 3, 1, recordbatch.CodecNone)},
	)})
	if got, damage := offsets(t, k.history(View{Stream: s, NextOffset: 9, LastEpoch: 1})[0], 0); got != "0-4@1 6-8@1" || damage != nil {
		t.Errorf("%s, %v", got, damage)
	}
	k.mustBeSound()
}

// TestFrameCache reads each frame once, also when many ask, and keeps what fits.
func TestFrameCache(t *testing.T) {
	store := &counting{Store: mem.New()}
	k := newKit(t, store)
	s := stream("a", 0)
	random := rand.New(rand.NewPCG(1, 1))
	d := StreamData{Stream: s}
	for i := range int64(4) {
		d.Pieces = append(d.Pieces, Piece{FirstOffset: i, NextOffset: i + 1, Batches: big(t, random, i, 1<<20, recordbatch.CodecNone)})
	}
	k.commit(k.writer(), Changes{Scans: begin(s, 0), Data: []StreamData{d}})
	view := View{Stream: s, NextOffset: 4}
	read := func(cacheBytes int64) int {
		h, err := k.vault.OpenHistory(t.Context(), []View{view}, HistoryOptions{CacheBytes: cacheBytes})
		if err != nil {
			t.Fatal(err)
		}
		store.reads = 0
		for range 3 {
			if got, damage := offsets(t, h.Streams()[0], 0); got != "0-0@0 1-1@0 2-2@0 3-3@0" || damage != nil {
				t.Fatalf("%s, %v", got, damage)
			}
		}
		if h.frames.bytes > max(cacheBytes, 2<<20) {
			t.Errorf("%d bytes are kept where %d are allowed", h.frames.bytes, cacheBytes)
		}
		return store.reads
	}
	if n := read(64 << 20); n != 4 {
		t.Errorf("four frames were read %d times", n)
	}
	if n := read(1); n != 12 {
		t.Errorf("without room four frames were read %d times in three turns", n)
	}
}

type counting struct {
	blob.Store
	creates, reads int
}
