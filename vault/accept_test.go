package vault

import (
	"slices"
	"testing"

	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// TestAcceptedLoss: damage whose loss was accepted is counted apart, for good; new damage
// stands out, also of the same object, and so does what was accepted and got worse.
func TestAcceptedLoss(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 10, LastEpoch: 1})})
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 10, 20, 1)), Snapshot: snapshotOf(View{Stream: s, NextOffset: 20, LastEpoch: 1})})
	snapshots := k.catalog().Snapshots()
	packs := keys(t, k.store, format.PacksPrefix)
	damage := func(key string) {
		b := body(t, k.store, key)
		b[len(b)/2] ^= 1
		replace(t, k.store, key, b)
	}
	damage(packs[0])
	r := k.verify(VerifyOptions{Deep: true})
	if len(r.Problems) != 1 || !slices.Equal(r.Concerned[r.Problems[0]], []SnapshotID{snapshots[0].ID, snapshots[1].ID}) {
		t.Fatalf("problems %v, concerning %v", r.Problems, r.Concerned)
	}
	id := r.Problems[0].ID()
	for range 2 { // to accept it again is fine
		if err := k.vault.AcceptLoss(t.Context(), k.now(), r.Problems...); err != nil {
			t.Fatal(err)
		}
	}
	for _, deep := range []bool{true, false} {
		r = k.verify(VerifyOptions{Deep: deep})
		if len(r.Problems) != 0 || len(r.Accepted) != 1 || r.Accepted[0].ID() != id {
			t.Fatalf("deep %v: problems %v, accepted %v", deep, r.Problems, r.Accepted)
		}
	}
	losses, err := k.writer().Losses(t.Context(), func(string) bool { return true })
	if err != nil || len(losses.Ranges) != 1 || !losses.IsAccepted(losses.Ranges[0].Damage) {
		t.Errorf("losses %+v, error %v", losses, err)
	}
	for range 4 {
		k.turn()
	}
	damage(packs[1])
	r = k.verify(VerifyOptions{Deep: true})
	if len(r.Accepted) != 1 || len(r.Problems) != 1 || r.Problems[0].FirstOffset != 10 || r.Problems[0].ID() == id {
		t.Errorf("problems %v, accepted %v", r.Problems, r.Accepted)
	}
	k.delete(packs[0]) // worse than what was accepted
	r = k.verify(VerifyOptions{})
	if len(r.Accepted) != 0 || !slices.ContainsFunc(r.Problems, func(d *DamageError) bool { return d.Object == packs[0] && d.Kind == KindMissing }) {
		t.Errorf("problems %v, accepted %v", r.Problems, r.Accepted)
	}
}

// TestAcceptedDamageOfTheCatalog: a commit that cannot be read any more is no damage to
// readers and writers once that is accepted. A damaged acceptance accepts nothing.
func TestAcceptedDamageOfTheCatalog(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0)})
	k.commit(k.writer(), Changes{Snapshot: snapshotOf(View{Stream: s, NextOffset: 10, LastEpoch: 1})})
	broken := keys(t, k.store, format.AllCommits)[1]
	replace(t, k.store, broken, []byte("altered"))
	r := k.verify(VerifyOptions{})
	if len(r.Problems) == 0 || len(k.catalog().Damage()) == 0 {
		t.Fatal("no damage")
	}
	if err := k.vault.AcceptLoss(t.Context(), k.now(), r.Problems...); err != nil {
		t.Fatal(err)
	}
	if r := k.verify(VerifyOptions{Deep: true}); len(r.Problems) > 0 || len(r.Accepted) == 0 {
		t.Errorf("problems %v, accepted %v", r.Problems, r.Accepted)
	}
	if d := k.catalog().Damage(); len(d) > 0 {
		t.Errorf("a reader meets %v", d)
	}
	if d := k.writer().Damage(); len(d) > 0 {
		t.Errorf("a writer meets %v", d)
	}
	accepted := keys(t, k.store, format.AcceptedPrefix)
	replace(t, k.store, accepted[0], []byte("altered"))
	r = k.verify(VerifyOptions{})
	if !slices.ContainsFunc(r.Problems, func(d *DamageError) bool { return d.Object == accepted[0] }) || len(r.Problems) != 2 {
		t.Errorf("problems %v", r.Problems)
	}
	if len(k.catalog().Damage()) != 1 {
		t.Error("a damaged acceptance counts")
	}
}
