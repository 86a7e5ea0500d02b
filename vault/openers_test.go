package vault

import (
	"testing"

	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// TestOpenersMakeOneBase: of all who find a base missing one makes it, and the others go
// on with that.
func TestOpenersMakeOneBase(t *testing.T) {
	whole := newKit(t, mem.New())
	s := whole.mixed()[0]
	replace(t, whole.store, format.BegunKey(1), nil)
	for n := 1; ; n++ {
		k := whole.over(copyStore(t, whole.store))
		slow := &pausing{Store: k.store, left: n, hook: func() { k.extend(k.writer(), s, 15, 2, "other") }}
		w, err := k.over(slow).vault.NewWriter(t.Context(), WriterOptions{Now: k.now})
		if err != nil {
			t.Fatalf("another opens before operation %d: %v", n, err)
		}
		if slow.left > 0 {
			return
		}
		head, _ := w.Head(s) // it may have listed before the other's commit
		k.extend(w, s, head.NextOffset, 2, "slow")
		k.mustBeSound()
	}
}
