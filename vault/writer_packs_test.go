package vault

import (
	"errors"
	"testing"

	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// packsOf makes packs of three records each, from offset 0 on.
func packsOf(t *testing.T, w *Writer, n int) []*Pack {
	t.Helper()
	var out []*Pack
	for at := int64(0); at < int64(3*n); at += 3 {
		out = append(out, w.Pack([]*Part{encoded(t, w, data(stream("orders", 0), piece(t, at, at+3, 1)))}))
	}
	return out
}

// commitPacks commits packs in their order.
func commitPacks(t *testing.T, w *Writer, packs []*Pack) (objects int64, err error) {
	t.Helper()
	for i, p := range packs {
		changes := Changes{Pack: p}
		if i == 0 {
			changes.Scans = begin(stream("orders", 0), 0)
		}
		r, err := w.Commit(t.Context(), changes)
		if err != nil {
			return objects, err
		}
		objects += r.Objects
	}
	return objects, nil
}

// mustHoldPacks: the vault holds what three packs do.
func (k *kit) mustHoldPacks() {
	k.Helper()
	k.mustBeSound()
	h := k.history(View{Stream: stream("orders", 0), NextOffset: 9, LastEpoch: 1})
	if got, damage := offsets(k, h[0], 0); got != "0-2@1 3-5@1 6-8@1" || damage != nil {
		k.Errorf("got %s, %v", got, damage)
	}
}

// TestPacksStoredBeforehand: packs that are stored in any order, at once or by their commits,
// are what their commits name.
func TestPacksStoredBeforehand(t *testing.T) {
	for _, order := range [][]int{{}, {0, 1, 2}, {2, 1, 0}, {1}} {
		k := newKit(t, mem.New())
		w := k.writer()
		packs := packsOf(t, w, 3)
		for _, i := range order {
			for range 2 { // the second time there is nothing to do
				if err := packs[i].Store(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := len(keys(t, k.store, format.PacksPrefix)); got != len(order) {
			t.Errorf("%v: %d packs are stored before their commits", order, got)
		}
		if objects, err := commitPacks(t, w, packs); err != nil || objects != 6 {
			t.Errorf("%v: %d objects, %v, want 6", order, objects, err)
		}
		if got := len(keys(t, k.store, format.PacksPrefix)); got != 3 {
			t.Errorf("%v: %d packs, want 3", order, got)
		}
		k.mustHoldPacks()
	}
}

// TestPackWhoseStoreFailed: whatever becomes of a pack that is stored beforehand, its commit
// names one that is there, or fails.
func TestPackWhoseStoreFailed(t *testing.T) {
	for _, do := range []faultblob.Action{faultblob.Fail, faultblob.LoseAnswer} {
		k := newKit(t, mem.New())
		w := k.writer()
		packs := packsOf(t, w, 3)
		working := k.store
		w.vault.useStore(faultblob.New(working, faultblob.Fault{At: 1, Do: do}))
		if err := packs[1].Store(t.Context()); err == nil {
			t.Fatal("the pack was stored")
		}
		w.vault.useStore(working)
		if _, err := commitPacks(t, w, packs); err != nil {
			t.Fatal(err)
		}
		k.mustHoldPacks()
	}
	k := newKit(t, mem.New())
	w := k.writer()
	packs := packsOf(t, w, 1)
	w.vault.useStore(faultblob.New(k.store, faultblob.Fault{At: 1, Do: faultblob.FailForGood}))
	stored := packs[0].Store(t.Context())
	if _, err := commitPacks(t, w, packs); stored == nil || err == nil {
		t.Errorf("errors %v and %v, want that nothing is saved", stored, err)
	}
}

// TestPacksStoredBeforeTurns: a pack that was made or stored before turns is not named once
// they may have deleted it, whatever came between.
func TestPacksStoredBeforeTurns(t *testing.T) {
	for n := 1; ; n++ {
		k := newKit(t, mem.New())
		slow := &pausing{Store: k.store}
		over := k.over(slow)
		w := over.writer()
		slow.left, slow.hook = n, func() {
			for range 3 {
				k.turn()
			}
		}
		packs := packsOf(t, w, 3)
		if err := errors.Join(packs[0].Store(t.Context()), packs[1].Store(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, err := commitPacks(t, w, packs); err != nil {
			t.Fatalf("turns before operation %d: %v", n, err)
		}
		for range 3 {
			k.turn()
		}
		k.mustHoldPacks()
		if t.Failed() || slow.left > 0 {
			return
		}
	}
}

// TestPartsAreMadeDuringACommit: what a commit must make ready once more and what is made
// ready meanwhile do not touch each other.
func TestPartsAreMadeDuringACommit(t *testing.T) {
	k, s, _ := rolling(t)
	w := k.writer()
	first := w.Pack([]*Part{encoded(t, w, data(s, piece(t, 12, 18, 1))), encoded(t, w, data(s, piece(t, 18, 24, 1)))})
	k.turnWith(forgetAll(k))
	committed := make(chan error, 1)
	go func() {
		_, err := w.Commit(t.Context(), Changes{Pack: first})
		committed <- err
	}()
	var parts []*Part
	for at := int64(24); at < 40; at++ {
		parts = append(parts, encoded(t, w, data(s, piece(t, at, at+1, 1))))
	}
	second := w.Pack(parts)
	if err := errors.Join(second.Store(t.Context()), <-committed); err != nil {
		t.Fatal(err)
	}
	k.commit(w, Changes{Pack: second})
	k.mustBeSound()
	if head, _ := k.writer().Head(s); head.NextOffset != 40 {
		t.Errorf("the head is %+v", head)
	}
}
