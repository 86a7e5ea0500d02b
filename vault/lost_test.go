package vault

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// TestLossesOfChosenTopics: of other topics nothing is said, neither what commits tell nor
// what tables do.
func TestLossesOfChosenTopics(t *testing.T) {
	k := newKit(t, mem.New())
	s, other := stream("orders", 0), stream("payments", 0)
	w := k.writer()
	k.commit(w, Changes{Data: slices.Concat(data(s, piece(t, 0, 6, 1)), data(other, piece(t, 0, 3, 1))), Scans: slices.Concat(begin(s, 0), begin(other, 0))})
	k.breakPack(k.packIDs()[0], breakings()[0])
	for range 2 {
		for topic, want := range map[string]int64{"orders": 6, "payments": 3} {
			l, err := k.writer().Losses(t.Context(), func(name string) bool { return name == topic })
			if err != nil {
				t.Fatal(err)
			}
			if len(l.Ranges) != 1 || l.Ranges[0].Damage.NextOffset != want || l.Ranges[0].Damage.Stream.Topic != topic || !l.Ranges[0].Dense {
				t.Errorf("%s: %+v", topic, l.Ranges)
			}
		}
		k.turn()
	}
	if left := keys(t, k.store, format.MarksPrefix); len(left) > 0 {
		t.Errorf("who only looks made %v", left)
	}
	l, err := k.writer().Losses(t.Context(), allTopics)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.vault.MarkLosses(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{format.Mark{Pack: k.frames()[0].Pack, Start: format.WholePack}.Key()}, keys(t, k.store, format.MarksPrefix)); diff != "" {
		t.Errorf("marks: -want +got\n%s", diff)
	}
}

// TestLossesBelowTheFloor: what was released is not lost.
func TestLossesBelowTheFloor(t *testing.T) {
	k, _, _ := rolling(t)
	k.turnWith(forgetAll(k))
	packs := k.packIDs()
	k.breakPack(packs[0], breakings()[0])
	k.says("a released pack", []string{})
	k.breakPack(packs[2], breakings()[0])
	if got := k.losses(); len(got) != 1 || !strings.HasSuffix(got[0], "orders-0 [20, 30)") {
		t.Errorf("losses %v", got)
	}
}

// TestLossesAcrossTheFloor: of a row that reaches over the floor the rest is lost.
func TestLossesAcrossTheFloor(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	k.commit(w, Changes{Data: data(s, piece(t, 0, 20, 1)), Scans: begin(s, 0)})
	k.commit(w, Changes{Data: data(s, piece(t, 15, 30, 1)), Snapshot: snapshotOf(View{Stream: s, LogStartOffset: 20, NextOffset: 30, LastEpoch: 1})})
	k.turnWith(TurnOptions{Release: true})
	pack := k.packIDs()[1]
	k.breakPack(pack, breakings()[0])
	k.says("with a floor", []string{pack.Key() + " missing orders-0 [20, 30)"})
}

// TestLossesOfAnOlderScan: it can be fetched no more, and costs the snapshots that show it.
func TestLossesOfAnOlderScan(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	k.commit(w, Changes{Data: data(s, piece(t, 0, 6, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 6, LastEpoch: 1})})
	again := begin(s, 0)
	again[0].Scan = 1
	k.commit(w, Changes{Data: []StreamData{{Stream: s, Scan: 1, Pieces: []Piece{piece(t, 0, 9, 1)}}}, Scans: again})
	pack := k.packIDs()[0]
	k.breakPack(pack, breakings()[0])
	if diff := cmp.Diff([]string{}, k.losses()); diff != "" {
		t.Errorf("losses: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string{pack.Key() + " missing orders-0 [0, 6)"}, k.problems(VerifyOptions{})); diff != "" {
		t.Errorf("verify: -want +got\n%s", diff)
	}
}

// TestLossesOfASoundFrameInAPackOfAnotherSize: what a cleaner left and the vault can still
// read is not fetched again, for the log may hold less by now. What is dense comes back as
// it was, and makes the pack whole.
func TestLossesOfASoundFrameInAPackOfAnotherSize(t *testing.T) {
	k := newKit(t, mem.New())
	s, dense := stream("compacted", 0), stream("dense", 0)
	thin := piece(t, 0, 6, 1)
	thin.NextOffset = 9 // a hole at its end
	k.commit(k.writer(), Changes{
		Data:  []StreamData{{Stream: s, Pieces: []Piece{thin}}, {Stream: dense, Pieces: []Piece{piece(t, 0, 6, 1)}}},
		Scans: slices.Concat(begin(s, 0), begin(dense, 0)),
	})
	pack := k.packIDs()[0]
	k.breakPack(pack, breaking{name: "longer", body: func(b []byte) []byte { return append(slices.Clone(b), 0) }})
	if diff := cmp.Diff([]string{pack.Key() + " altered dense-0 [0, 6)"}, k.losses()); diff != "" {
		t.Errorf("losses: -want +got\n%s", diff)
	}
	k.breakPack(pack, breaking{name: "emptied", body: func([]byte) []byte { return []byte{} }})
	if got := k.losses(); len(got) != 2 {
		t.Errorf("losses of an empty pack: %v", got)
	}
}
