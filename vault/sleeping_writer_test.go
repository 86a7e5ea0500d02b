package vault

import (
	"testing"

	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
)

// TestSleepingWriter: what another left for a writer to use may be deleted by turns while
// the writer looks at it.
func TestSleepingWriter(t *testing.T) {
	whole := newKit(t, mem.New())
	s := whole.mixed()[0]
	changes := Changes{Data: data(s, piece(t, 15, 16, 2)), Snapshot: snapshotOf(View{Stream: s, NextOffset: 16, LastEpoch: 2})}
	changes.Snapshot.Metadata.Topics[0].Name = "never seen before"
	// A commit that stored all its sections, and died before its last object.
	counted := faultblob.New(copyStore(t, whole.store))
	whole.over(counted).commit(whole.over(counted).writer(), changes)
	last := 0
	for i, op := range counted.Ops() {
		if op.Kind == "create" {
			last = i + 1
		}
	}
	dying := whole.over(faultblob.New(whole.store, faultblob.Fault{At: last, Do: faultblob.DieBefore}))
	if _, err := dying.writer().Commit(t.Context(), changes); err == nil {
		t.Fatal("the other writer did not die")
	}
	for n := 1; ; n++ {
		k := whole.over(copyStore(t, whole.store))
		slow := &pausing{Store: k.store}
		w := k.over(slow).writer()
		slow.left, slow.hook = n, func() {
			for range 3 {
				k.turn()
			}
		}
		if _, err := w.Commit(t.Context(), changes); err != nil {
			t.Fatalf("turns before operation %d: %v", n, err)
		}
		k.mustBeSound()
		if slow.left > 0 {
			return
		}
	}
}
