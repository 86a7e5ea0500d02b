package vault

import (
	"errors"
	"strings"
	"testing"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/lineage"
)

// TestLostRangeBlames names what may have held the range, and never a commit that was read.
func TestLostRangeBlames(t *testing.T) {
	cause := errors.New("bad hash")
	joinless := &DamageError{Object: "commits/a", Kind: KindDoesNotJoin, Cause: errors.New("x")}
	altered := &DamageError{Object: "commits/b", Kind: KindAltered, Cause: cause}
	other := &DamageError{Object: "commits/c", Kind: KindMissing, Cause: errors.New("y")}
	d := lostRange(stream("orders", 1), []*DamageError{joinless, altered}, lineage.Range{FirstOffset: 5, NextOffset: 9})
	if d.Object != "commits/b" || d.Kind != KindAltered || !errors.Is(d, cause) || !errors.Is(d, coldstream.ErrCorrupt) {
		t.Errorf("one suspect: %+v", d)
	}
	if want := "object commits/b is altered, which costs orders-1 offsets [5, 9): no readable commit holds these offsets: bad hash"; d.Error() != want {
		t.Errorf("got  %s\nwant %s", d, want)
	}
	d = lostRange(stream("orders", 1), []*DamageError{joinless, altered, other}, lineage.Range{FirstOffset: 5, NextOffset: 9})
	if !strings.Contains(d.Error(), "2 objects of the catalog are damaged") {
		t.Errorf("two suspects: %v", d)
	}
	if d = lostRange(stream("orders", 1), nil, lineage.Range{FirstOffset: 5, NextOffset: 9}); d.Kind != KindMissing || d.FirstOffset != 5 || d.NextOffset != 9 {
		t.Errorf("no suspect: %+v", d)
	}
}

// TestForkInsideABatch: logs are truncated between batches, so what straddles the begin of
// a newer epoch was lost whole: the newer log began lower, and its first batches were
// compacted away.
func TestForkInsideABatch(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	k.commit(w, Changes{Data: data(s, piece(t, 0, 9, 1)), Scans: begin(s, 0)})
	k.commit(w, Changes{Data: data(s, Piece{FirstOffset: 6, NextOffset: 10, Batches: batchOf(t, 7, 3, 2, recordbatch.CodecNone)})})
	h := k.history(View{Stream: s, NextOffset: 10, LastEpoch: 2})[0]
	if got, damage := offsets(t, h, 0); got != "0-2@1 3-5@1 7-9@2" || damage != nil {
		t.Errorf("behind the fork: %s, %v", got, damage)
	}
}
