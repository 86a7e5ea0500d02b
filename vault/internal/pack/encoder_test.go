package pack

import (
	"errors"
	"math/rand/v2"
	"testing"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// oneBatch is data of one batch of about so many bytes.
func oneBatch(t *testing.T, offset int64, size int, codec recordbatch.Codec) []Data {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(offset), 1))
	return []Data{{Stream: stream("a", 0), Pieces: []Piece{{FirstOffset: offset, NextOffset: offset + 1, Batches: big(t, random, offset, size, codec)}}}}
}

func encoded(t *testing.T, e *Encoder, data []Data) *Part {
	t.Helper()
	p, err := e.Encode(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func assembled(e *Encoder, parts ...*Part) []byte {
	body, _ := e.Assemble(Join(parts), format.VaultID{}, format.PackID{})
	return body
}

// TestRoomIsUsedAgain: memory is used again once its pack is committed, and not before: a store
// that failed may still be reading it.
func TestRoomIsUsedAgain(t *testing.T) {
	e := NewEncoder(Options{PackBytes: 4 << 20})
	first := assembled(e, encoded(t, e, oneBatch(t, 0, 900<<10, recordbatch.CodecLZ4)))
	failed := encoded(t, e, oneBatch(t, 1, 900<<10, recordbatch.CodecLZ4))
	again := assembled(e, failed)
	second := encoded(t, e, oneBatch(t, 2, 900<<10, recordbatch.CodecLZ4))
	if failed.body == second.body || &again[0] == &first[0] {
		t.Error("a part was put into a body that a store may still be reading")
	}
	both := assembled(e, failed, second) // the commit is tried again, with more
	if &both[0] == &again[0] {
		t.Error("a body became two packs")
	}
	third := encoded(t, e, oneBatch(t, 3, 900<<10, recordbatch.CodecLZ4))
	if second.body == third.body {
		t.Error("a part was put behind parts that went into a copy")
	}
	e.Reuse(both)
	if got := assembled(e, third); &got[0] == &both[0] {
		t.Error("a body was put together in memory other than that its parts were encoded into")
	}
	next := encoded(t, e, oneBatch(t, 4, 900<<10, recordbatch.CodecLZ4))
	if &next.body.bytes[0] != &both[0] {
		t.Error("the memory of the pack before was not used again")
	}
	if got := assembled(e, next, encoded(t, e, oneBatch(t, 5, 900<<10, recordbatch.CodecLZ4))); &got[0] != &both[0] {
		t.Error("a pack was put together in memory other than that its parts were encoded into")
	}
}

// TestBodyAfterAFailure: what a part that could not be encoded left behind is not stored.
func TestBodyAfterAFailure(t *testing.T) {
	for _, codec := range []recordbatch.Codec{recordbatch.CodecNone, recordbatch.CodecLZ4} {
		e := NewEncoder(Options{PackBytes: 1 << 20})
		first := encoded(t, e, oneBatch(t, 0, 1000, codec))
		blocks, err := buildBlocks(oneBatch(t, 1, 1000, codec)[0])
		if err != nil {
			t.Fatal(err)
		}
		blocks[0].Row.Length++
		if err := e.encodeInto(t.Context(), e.openBody(), &Part{frames: planFrames(blocks)}); !errors.Is(err, ErrReadBack) {
			t.Fatalf("%v: error %v, want that it does not decode to what went in", codec, err)
		}
		body := e.body
		second := encoded(t, e, oneBatch(t, 1, 1000, codec))
		if second.at != first.end {
			t.Errorf("%v: the next part begins at %d, the one before ends at %d", codec, second.at, first.end)
		}
		if got := assembled(e, first, second); &got[0] != &body.bytes[0] {
			t.Errorf("%v: the pack was made of a copy", codec)
		}
	}
}

// TestReadBackLeftOut: what does not decode to what went in is found before it is stored,
// unless that is left out.
func TestReadBackLeftOut(t *testing.T) {
	for _, codec := range []recordbatch.Codec{recordbatch.CodecNone, recordbatch.CodecLZ4} {
		encode := func(opts Options) error {
			blocks, err := buildBlocks(oneBatch(t, 0, 1000, codec)[0])
			if err != nil {
				t.Fatal(err)
			}
			blocks[0].Row.Length++
			return NewEncoder(opts).encodeFrames(t.Context(), planFrames(blocks))
		}
		if err := encode(Options{}); !errors.Is(err, ErrReadBack) || errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%v: error %v, want that it does not decode to what went in", codec, err)
		}
		if err := encode(Options{NoReadBack: true}); err != nil {
			t.Errorf("%v: it was read back: %v", codec, err)
		}
	}
}
