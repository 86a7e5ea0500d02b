package vault

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
	"coldstream/vault/internal/pack"
)

// TestTakenIsKnownForEver: the chapters say of each commit whether a base took it, however
// long ago that was.
func TestTakenIsKnownForEver(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	var taken []format.CommitRef
	for i := range int64(6) {
		c := Changes{Data: data(s, piece(t, 3*i, 3*i+3, 1))}
		if i == 0 {
			c.Scans = begin(s, 0)
		}
		hash, err := ParseVaultHash(k.commit(w, c).VaultHash)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, format.CommitRef{ID: format.CommitID{Epoch: uint32(i), Writer: w.id, Seq: w.commits - 1}, Hash: hash})
		k.turn()
		w = k.writer()
		for _, ref := range taken {
			other, later := ref, ref
			other.Hash[3]++
			later.ID.Seq++
			for _, of := range []format.CommitRef{ref, other, later} {
				got, err := w.catalog.hasTaken(t.Context(), k.vault, of)
				if err != nil || got != (of == ref) {
					t.Errorf("in epoch %d %s %s counts as taken: %v, %v", i+1, of.ID.Key(), of.Hash, got, err)
				}
			}
		}
	}
}

// TestGarbageOfARetiredBase: who made a base that newer ones have replaced knows too little
// to delete anything.
func TestGarbageOfARetiredBase(t *testing.T) {
	for newest, deletes := range map[uint32]bool{2: true, 3: true, 4: false, 5: false} {
		k := newKit(t, mem.New())
		k.chain(stream("orders", 0), 2)
		for range newest {
			k.turn()
		}
		before := keys(t, k.store, "")
		// It names nothing, as if it were of a history that has no packs.
		if err := k.vault.collectGarbage(t.Context(), &madeBase{base: &format.Base{Epoch: 2}}); err != nil {
			t.Fatal(err)
		}
		if got := len(keys(t, k.store, "")) < len(before); got != deletes {
			t.Errorf("the maker of base 2 deletes in epoch %d: %v, want %v", newest, got, deletes)
		}
	}
}

// TestReleasedIsLeftOut: what lies below a floor is not stored again, all else is.
func TestReleasedIsLeftOut(t *testing.T) {
	s, other := stream("orders", 0), stream("orders", 1)
	c := &Catalog{heads: map[coldstream.Stream]*headState{s: {floor: 20}, other: {floor: -1}}}
	got, err := c.withoutReleased(&Changes{
		Data: []StreamData{
			{Stream: s, Pieces: []Piece{piece(t, 11, 17, 1), piece(t, 17, 20, 1), piece(t, 16, 25, 1), piece(t, 14, 23, 1), piece(t, 20, 23, 1)}},
			{Stream: other, Pieces: []Piece{piece(t, 0, 3, 1)}},
		},
		Gaps: []StreamGap{{Stream: s, NextOffset: 19}, {Stream: s, NextOffset: 20}, {Stream: s, NextOffset: 21}, {Stream: other, NextOffset: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, d := range got.Data {
		for _, p := range d.Pieces {
			part, err := pack.NewEncoder(pack.Options{}).Encode(t.Context(), []StreamData{{Stream: d.Stream, Pieces: []Piece{p}}})
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, fmt.Sprintf("%d: [%d, %d) from %d", d.Stream.Partition, p.FirstOffset, p.NextOffset, part.Blocks[0].Row.BaseOffset))
		}
	}
	for _, g := range got.Gaps {
		kept = append(kept, fmt.Sprintf("%d: gap up to %d", g.Stream.Partition, g.NextOffset))
	}
	want := []string{
		"0: [20, 25) from 19", "0: [20, 23) from 20", "0: [20, 23) from 20", "1: [0, 3) from 0",
		"0: gap up to 21", "1: gap up to 1",
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestTableThatIsAnother: a table in whose place another one was stored, whole and of the
// same size, is not the one that its name says.
func TestTableThatIsAnother(t *testing.T) {
	k := newKit(t, mem.New())
	k.mixed()
	k.turn()
	ref := k.catalog().tables[0]
	facts, err := k.vault.loadTable(t.Context(), &ref)
	if err != nil {
		t.Fatal(err)
	}
	facts.Rows[0].CommitMs ^= 1
	k.seal(format.KindTable, ref.Table.Key(), &format.Table{Facts: *facts})
	_, err = k.vault.loadTable(t.Context(), &ref)
	mustBeAltered(t, ref.Table.Key(), err)
	mustName(t, k, ref.Table.Key())
}

// TestBaseBeforeThatIsAnother: nobody reads the base before any more, but each base names
// it by its content, and verify proves it.
func TestBaseBeforeThatIsAnother(t *testing.T) {
	k := newKit(t, mem.New())
	k.mixed()
	k.turn()
	k.turn()
	base, _, err := k.vault.loadBase(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	base.TimeMs++
	k.seal(format.KindBase, format.BaseKey(1), base)
	mustName(t, k, format.BaseKey(1))
}

// seal stores other content under a key, as the vault would.
func (k *kit) seal(kind format.Kind, key string, content interface{ Append([]byte) ([]byte, error) }) {
	k.Helper()
	payload, err := content.Append(nil)
	if err != nil {
		k.Fatal(err)
	}
	sealed, err := k.vault.objects.Seal(kind, key, payload)
	if err != nil {
		k.Fatal(err)
	}
	k.put(key, sealed)
}

// put stores an object in place of the one that is there.
func (k *kit) put(key string, o *object.Sealed) {
	k.Helper()
	if err := k.store.Delete(k.Context(), key); err != nil {
		k.Fatal(err)
	}
	if err := k.vault.objects.Create(k.Context(), o); err != nil {
		k.Fatal(err)
	}
}

func mustBeAltered(t *testing.T, object string, err error) {
	t.Helper()
	var damage *DamageError
	if !errors.As(err, &damage) || damage.Object != object || damage.Kind != KindAltered {
		t.Errorf("%s: %v, want it altered", object, err)
	}
}

// mustName proves that verify finds an object altered.
func mustName(t *testing.T, k *kit, object string) {
	t.Helper()
	for _, p := range k.verify(VerifyOptions{}).Problems {
		if p.Object == object && p.Kind == KindAltered {
			return
		}
	}
	t.Errorf("verify does not find %s altered", object)
}
