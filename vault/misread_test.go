package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// misread alters the n-th object that is opened, and those that are opened next.
type misread struct {
	blob.Store
	left  int
	more  int
	alter func(key string, body []byte) []byte
}

func (m *misread) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	r, size, err := m.Store.Open(ctx, key)
	if m.left--; err != nil || m.left > 0 || m.left < -m.more {
		return r, size, err
	}
	all, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, 0, err
	}
	all = m.alter(key, all)
	return io.NopCloser(bytes.NewReader(all)), int64(len(all)), nil
}

// TestMisreadInfoAfterCrashedInit: vault.json has no hash of its own, so that one who read
// it wrong does not know. What an init left out must not be made of that: it would be
// wrong for ever.
func TestMisreadInfoAfterCrashedInit(t *testing.T) {
	whole := newKit(t, mem.New())
	id := []byte(whole.vault.ID())
	other := append([]byte{}, id...)
	other[0] = map[bool]byte{true: '1', false: '0'}[id[0] == '0']
	for what, alter := range map[string][2][]byte{
		"the vault's ID": {id, other}, "the time": {[]byte(`"2026-11`), []byte(`"2025-11`)},
	} {
		store := mem.New()
		replace(t, store, format.VaultKey, body(t, whole.store, format.VaultKey))
		v, err := reopened(t, &misread{Store: store, left: 1, alter: func(_ string, body []byte) []byte {
			return bytes.Replace(body, alter[0], alter[1], 1)
		}})
		if isWrongKey(err) {
			continue // the key has pinned what vault.json says
		}
		if err != nil {
			t.Fatal(err)
		}
		if v.info == whole.vault.info {
			t.Fatalf("%s was read well", what)
		}
		if _, err := v.OpenCatalog(t.Context()); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s misread: %v", what, err)
		}
		k := whole.over(store)
		k.chain(stream("orders", 0), 1)
		k.mustBeSound()
	}
}

// TestHoldThatMisreads: a snapshot is not forgotten because reads were bad. One bad read
// is not even noticed.
func TestHoldThatMisreads(t *testing.T) {
	k, _, snapshots := rolling(t)
	for more := range 2 {
		for n := 1; ; n++ {
			store := &misread{Store: k.store, left: n, more: more, alter: func(_ string, body []byte) []byte { return body[:len(body)/2] }}
			err := k.over(store).hold(RestoreID{byte(n), byte(more)}, snapshots[2].ID)
			if more == 0 && err != nil || err != nil && !errors.Is(err, coldstream.ErrCorrupt) || errors.Is(err, coldstream.ErrForgotten) {
				t.Errorf("read %d and %d more are bad: %v", n, more, err)
			}
			if store.left > 0 {
				if n < 4 {
					t.Errorf("only %d reads", n)
				}
				break
			}
		}
	}
}

// misreadRange alters the n-th range that is read.
type misreadRange struct {
	blob.Store
	left int
}

func (m *misreadRange) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	b, err := m.Store.Read(ctx, key, offset, length)
	if m.left--; m.left == 0 && err == nil {
		b[len(b)/2] ^= 1
	}
	return b, err
}

// TestMisreadFrame: a frame that was read wrong once is not damaged, and nobody marks it.
func TestMisreadFrame(t *testing.T) {
	k, _, snapshots := rolling(t)
	h := k.over(&misreadRange{Store: k.store, left: 1}).history(k.views(snapshots[2])...)[0]
	for _, err := range h.Batches(t.Context(), h.View.LogStartOffset) {
		if err != nil {
			t.Error(err)
		}
	}
	if left := keys(t, k.store, format.MarksPrefix); len(left) > 0 {
		t.Errorf("marks %v", left)
	}
}
