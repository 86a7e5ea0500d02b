package vault

import (
	"testing"
	"time"

	"coldstream/blob"
	"coldstream/blob/mem"
)

// TestMemoryThatOthersLeave goes to what is read ahead, and so only to storage that is far away.
func TestMemoryThatOthersLeave(t *testing.T) {
	inner := mem.New()
	views := manyTopics(t, inner, 0)
	for store, want := range map[blob.Store]int64{inner: 1 << 20, newFar(inner, time.Duration(0)): 5 << 20} {
		h := historyOver(t, store, views, 1<<20)
		h.Widen(5 << 20)
		h.Widen(1 << 10) // never less
		if !h.frames.Reserve(want/4, 0) || h.frames.Reserve(1, 0) {
			t.Errorf("%T: the frames do not have %d bytes", store, want)
		}
	}
}
