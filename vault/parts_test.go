package vault

import (
	"testing"

	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/pack"
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
	v, err := reopened(t, store)
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

// TestWriterOptions: what a writer is told of packs is told to who makes them.
func TestWriterOptions(t *testing.T) {
	for _, c := range []struct {
		opts WriterOptions
		want pack.Options
	}{
		{WriterOptions{}, pack.Options{PackBytes: 48 << 20}},
		{WriterOptions{NoReadBack: true, PackBytes: 7}, pack.Options{NoReadBack: true, PackBytes: 7}},
	} {
		if got := c.opts.encoding(); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.opts, got, c.want)
		}
	}
}
