package vault

import (
	"errors"
	"math/rand/v2"
	"testing"

	"coldstream"
	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

func encoded(t *testing.T, w *Writer, data []StreamData) *Part {
	t.Helper()
	p, err := w.Encode(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPartsOfOnePack: parts of the same streams, and data behind them, are one pack.
func TestPartsOfOnePack(t *testing.T) {
	k := newKit(t, mem.New())
	a, b := stream("a", 0), stream("b", 3)
	w := k.writer()
	first := append(data(a, piece(t, 0, 4, 1)), data(b, piece(t, 0, 2, 1))...)
	parts := []*Part{encoded(t, w, first), encoded(t, w, data(a, piece(t, 4, 5, 1))), encoded(t, w, data(b, piece(t, 2, 9, 1)))}
	r := k.commit(w, Changes{Scans: append(begin(a, 0), begin(b, 0)...), Parts: parts, Data: data(a, piece(t, 5, 7, 2))})
	k.mustBeSound()
	if got := len(keys(t, k.store, format.PacksPrefix)); got != 1 || r.Objects != 2 {
		t.Errorf("%d packs, %d objects, want 1 and 2", got, r.Objects)
	}
	h := k.history(View{Stream: a, NextOffset: 7, LastEpoch: 2}, View{Stream: b, NextOffset: 9, LastEpoch: 1})
	for i, want := range []string{"0-2@1 3-3@1 4-4@1 5-6@2", "0-1@1 2-4@1 5-7@1 8-8@1"} {
		if got, damage := offsets(t, h[i], 0); got != want || damage != nil {
			t.Errorf("got %s, %v, want %s", got, damage, want)
		}
	}
}

// TestPartsAreCommittedAgain: a commit that failed at any operation may be tried again
// with the same parts, and what a writer stores later lies not in their memory.
func TestPartsAreCommittedAgain(t *testing.T) {
	from, to := commitAgain(t, 0)
	if to-from < 3 {
		t.Fatalf("a commit is operations (%d, %d]", from, to)
	}
	for n := from + 1; n <= to; n++ {
		commitAgain(t, n)
	}
}

// commitAgain lets operation n fail, if it is not 0, in a commit of parts, and says which
// operations that commit is.
func commitAgain(t *testing.T, n int) (from, to int) {
	t.Helper()
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	k.commit(k.writer(), Changes{Scans: begin(s, 0), Data: data(s, piece(t, 0, 50, 1))})
	store := faultblob.New(k.store, faultblob.Fault{At: n, Do: faultblob.Fail})
	v, err := Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	w, err := v.NewWriter(t.Context(), WriterOptions{Now: k.now})
	if err != nil {
		t.Fatal(err)
	}
	k.commit(w, Changes{Data: data(s, piece(t, 50, 60, 1))})
	from = len(store.Ops())
	changes := Changes{Parts: []*Part{encoded(t, w, data(s, piece(t, 60, 70, 1))), encoded(t, w, data(s, piece(t, 70, 80, 1)))}}
	if _, err = w.Commit(t.Context(), changes); (err != nil) != (n > 0) {
		t.Fatalf("operation %d fails, and the commit's error is %v", n, err)
	}
	to = len(store.Ops())
	if err != nil {
		k.commit(w, changes)
	}
	k.commit(w, Changes{Data: data(s, piece(t, 80, 90, 1))})
	k.mustBeSound()
	if head, _ := k.writer().Head(s); head.NextOffset != 90 {
		t.Errorf("operation %d fails: the head is %+v", n, head)
	}
	return from, to
}

// TestRoomIsUsedAgain: what is encoded after a commit that failed does not lie in memory
// that its parts still need.
func TestRoomIsUsedAgain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	large := func(offset int64) []StreamData {
		return data(s, Piece{FirstOffset: offset, NextOffset: offset + 1, Batches: big(t, random, offset, 900<<10, recordbatch.CodecLZ4)})
	}
	w := k.writer()
	k.commit(w, Changes{Scans: begin(s, 0), Data: large(0)})
	changes := Changes{Parts: []*Part{encoded(t, w, large(1))}}
	working := k.store
	w.vault.useStore(faultblob.New(working, faultblob.Fault{At: 1, Do: faultblob.Fail}))
	if _, err := w.Commit(t.Context(), changes); err == nil {
		t.Fatal("a commit whose pack was not stored did not fail")
	}
	w.vault.useStore(working)
	changes.Parts = append(changes.Parts, encoded(t, w, large(2)))
	if changes.Parts[0].body == changes.Parts[1].body {
		t.Error("a part was put into a body that a store may still be reading")
	}
	k.commit(w, changes)
	room := &w.room[:1][0]
	next := encoded(t, w, large(3))
	if &next.body.bytes[0] != room {
		t.Error("the memory of the pack before was not used again")
	}
	k.commit(w, Changes{Parts: []*Part{next, encoded(t, w, large(4))}})
	if &w.room[:1][0] != room {
		t.Error("a pack was put together in memory other than that its parts were encoded into")
	}
	k.mustBeSound()
}

// TestBodyAfterAFailure: what a part that could not be encoded left behind is not stored.
func TestBodyAfterAFailure(t *testing.T) {
	for _, codec := range []recordbatch.Codec{recordbatch.CodecNone, recordbatch.CodecLZ4} {
		random := rand.New(rand.NewPCG(1, 1))
		k := newKit(t, mem.New())
		s := stream("orders", 0)
		w := k.writer()
		first := encoded(t, w, data(s, Piece{NextOffset: 1, Batches: big(t, random, 0, 1000, codec)}))
		blocks, err := buildBlocks(data(s, Piece{FirstOffset: 1, NextOffset: 2, Batches: big(t, random, 1, 1000, codec)})[0])
		if err != nil {
			t.Fatal(err)
		}
		blocks[0].row.Length++
		if err := w.encodeInto(t.Context(), w.openBody(), &Part{frames: planFrames(blocks)}); !errors.Is(err, ErrReadBack) {
			t.Fatalf("%v: error %v, want that it does not decode to what went in", codec, err)
		}
		body := w.body
		k.commit(w, Changes{Scans: begin(s, 0), Parts: []*Part{first, encoded(t, w, data(s, piece(t, 1, 2, 1)))}})
		if &w.room[:1][0] != &body.bytes[0] {
			t.Errorf("%v: the pack was made of a copy", codec)
		}
		k.mustBeSound()
	}
}

// TestPartsBelowAFloor: of parts that are in the making when a turn releases, what lies
// below does not come back; what lies above is stored, behind it the data.
func TestPartsBelowAFloor(t *testing.T) {
	k, s, _ := rolling(t)
	w := k.writer()
	parts := []*Part{encoded(t, w, data(s, piece(t, 12, 18, 1))), encoded(t, w, data(s, piece(t, 18, 24, 1)))}
	k.turnWith(forgetAll(k))
	k.commit(w, Changes{Parts: parts, Data: data(s, piece(t, 24, 32, 1))})
	k.mustBeSound()
	k.turn()
	facts, err := k.vault.loadTable(t.Context(), &k.catalog().tables[0])
	if err != nil {
		t.Fatal(err)
	}
	last := facts.Rows[len(facts.Rows)-1]
	if last.FirstOffset != 20 || last.NextOffset != 32 {
		t.Errorf("what was stored again is [%d, %d), want [20, 32)", last.FirstOffset, last.NextOffset)
	}
}

// TestReadBackLeftOut: what does not decode to what went in is found before it is stored,
// unless that is left out.
func TestReadBackLeftOut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, codec := range []recordbatch.Codec{recordbatch.CodecNone, recordbatch.CodecLZ4} {
		encode := func(opts WriterOptions) error {
			k := newKit(t, mem.New())
			opts.Now = k.now
			w, err := k.vault.NewWriter(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			blocks, err := buildBlocks(data(stream("a", 0), Piece{NextOffset: 1, Batches: big(t, random, 0, 1000, codec)})[0])
			if err != nil {
				t.Fatal(err)
			}
			blocks[0].row.Length++
			return w.encodeFrames(t.Context(), planFrames(blocks))
		}
		if err := encode(WriterOptions{}); !errors.Is(err, ErrReadBack) || errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%v: error %v, want that it does not decode to what went in", codec, err)
		}
		if err := encode(WriterOptions{NoReadBack: true}); err != nil {
			t.Errorf("%v: it was read back: %v", codec, err)
		}
	}
}
