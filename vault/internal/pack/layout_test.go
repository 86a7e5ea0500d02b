package pack

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

func stream(topic string, partition int32) coldstream.Stream {
	return coldstream.Stream{Incarnation: coldstream.Incarnation{ClusterID: "cluster-1", Topic: topic}, Partition: partition}
}

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
	binary.BigEndian.PutUint64(b, uint64(offset)) // the broker's, and not under the checksum
	return b
}

// TestPackLayout stores streams of all sizes and codecs: each row has its own bytes, in
// the order of the log, and frames are of one topic and about one size.
func TestPackLayout(t *testing.T) {
	for i := range uint64(20) {
		random := rand.New(rand.NewPCG(i, 3))
		var all []Data
		want := map[coldstream.Stream][]byte{}
		for n := range int32(6) {
			s := stream([]string{"a", "b", "c"}[n/2], n%2)
			d := Data{Stream: s}
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
		e := NewEncoder(Options{PackBytes: 1 << 20})
		var parts []*Part
		var blocks []*Block
		for _, data := range inTurns(random, all) {
			part, err := e.Encode(t.Context(), data)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part)
			blocks = append(blocks, part.Blocks...)
		}
		stored, frames := e.Assemble(Join(parts), format.VaultID{1}, format.PackID{Number: 7})
		ref := (&format.Pack{ID: format.PackID{Number: 7}, SizeBytes: int64(len(stored)), Frames: frames}).Place(format.VaultID{1})
		store := mem.New()
		if err := store.Create(t.Context(), ref.ID.Key(), stored); err != nil {
			t.Fatal(err)
		}
		checkLayout(t, NewReader(object.New(store, &format.VaultInfo{}), 1<<20), ref, blocks, want)
	}
}

// inTurns deals out pieces to one part or several, each stream's in their order.
func inTurns(random *rand.Rand, all []Data) [][]Data {
	turns := make([][]Data, 1+random.IntN(3))
	for _, d := range all {
		rest := d.Pieces
		for i := range turns {
			n := random.IntN(len(rest) + 1)
			if i == len(turns)-1 {
				n = len(rest)
			}
			if n > 0 {
				turns[i] = append(turns[i], Data{Stream: d.Stream, Pieces: rest[:n]})
			}
			rest = rest[n:]
		}
	}
	return turns
}

func checkLayout(t *testing.T, r *Reader, ref *format.PlacedPack, blocks []*Block, want map[coldstream.Stream][]byte) {
	t.Helper()
	before := map[coldstream.Stream]*Block{}
	got := map[coldstream.Stream][]byte{}
	for _, b := range blocks {
		frame, err := r.Frame(t.Context(), ref, b.Row.Frame)
		if err != nil {
			t.Fatal(err)
		}
		batches, err := frame.Of(b.Stream, &b.Row)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckRow(batches, &b.Row); err != nil {
			t.Error(err)
		}
		got[b.Stream] = append(got[b.Stream], batches...)
		if len(frame.content) > frameTarget && len(frame.descriptor.Blocks) > 1 {
			t.Errorf("a frame of %d blocks has %d bytes", len(frame.descriptor.Blocks), len(frame.content))
		}
		if last := before[b.Stream]; last != nil && (last.Row.Frame > b.Row.Frame ||
			last.Row.Frame == b.Row.Frame && last.Row.Offset >= b.Row.Offset) {
			t.Errorf("%s: offset %d lies before offset %d", b.Stream.TopicPartition(), b.Row.FirstOffset, before[b.Stream].Row.FirstOffset)
		}
		before[b.Stream] = b
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
			blocks, err := buildBlocks(Data{Stream: stream("a", 0), Pieces: []Piece{p}})
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			next := int64(0)
			for _, b := range blocks {
				got = append(got, b.Row.FirstOffset)
				if b.Row.FirstOffset != next {
					t.Errorf("a row begins at %d, the one before ends at %d", b.Row.FirstOffset, next)
				}
				next = b.Row.NextOffset
			}
			if diff := cmp.Diff(c.want, got); diff != "" || next != p.NextOffset {
				t.Errorf("blocks: %s; the last ends at %d", diff, next)
			}
		})
	}
}
