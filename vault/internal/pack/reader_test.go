package pack

import (
	"context"
	"testing"

	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// counting counts reads.
type counting struct {
	blob.Store
	reads int
}

func (c *counting) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	c.reads++
	return c.Store.Read(ctx, key, offset, length)
}

// TestFrameCache reads each frame once, also when it is asked for again, and keeps what fits.
func TestFrameCache(t *testing.T) {
	e := NewEncoder(Options{PackBytes: 8 << 20})
	var parts []*Part
	for i := range int64(4) {
		parts = append(parts, encoded(t, e, oneBatch(t, i, 1<<20, recordbatch.CodecNone)))
	}
	id := format.PackID{Number: 7}
	body, frames := e.Assemble(Join(parts), format.VaultID{}, id)
	store := &counting{Store: mem.New()}
	if err := store.Create(t.Context(), id.Key(), body); err != nil {
		t.Fatal(err)
	}
	placed := (&format.Pack{ID: id, SizeBytes: int64(len(body)), Frames: frames}).Place(format.VaultID{})
	for _, c := range []struct {
		bound int64
		reads int
	}{{64 << 20, 4}, {1, 12}} {
		r := NewReader(object.New(store, &format.VaultInfo{}), c.bound)
		store.reads = 0
		for i := range 12 {
			frame, err := r.Frame(t.Context(), placed, i%4)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := frame.Of(stream("a", 0), &parts[i%4].Blocks[0].Row); err != nil {
				t.Error(err)
			}
		}
		if store.reads != c.reads {
			t.Errorf("with room for %d bytes, four frames were read %d times in three turns, want %d", c.bound, store.reads, c.reads)
		}
		if r.bytes > max(c.bound, 2<<20) {
			t.Errorf("%d bytes are kept where %d are allowed", r.bytes, c.bound)
		}
	}
}

// TestSharesOfWhatIsReadAhead: who reads ahead alone may take all there is for it; of several,
// each has one frame and no more than an equal share.
func TestSharesOfWhatIsReadAhead(t *testing.T) {
	c := NewReader(nil, aheadShare*8)
	take := func() (mine int64) {
		for c.Reserve(1, mine) {
			mine++
		}
		return mine
	}
	c.Enter(1)
	if got := take(); got != 8 {
		t.Errorf("one alone has %d of 8 frames", got)
	}
	c.Unreserve(8)
	c.Enter(3)
	for i := range 4 {
		if got := take(); got != 2 {
			t.Errorf("number %d of 4 has %d of 8 frames", i, got)
		}
	}
	if got := take(); got != 0 {
		t.Errorf("%d frames more than there is room for", got)
	}
	c.Unreserve(8)
	c.Enter(16)
	if got := take(); got != 1 {
		t.Errorf("one of 20 has %d of 8 frames", got)
	}
}
