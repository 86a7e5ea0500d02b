package object

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

func replace(t *testing.T, store blob.Store, key string, body []byte) {
	t.Helper()
	if err := errors.Join(store.Delete(t.Context(), key), store.Create(t.Context(), key, body)); err != nil {
		t.Fatal(err)
	}
}

// TestSameContentCompressedOtherwise: another version of the program may compress what is
// named by its content otherwise; another content under the name is damage.
func TestSameContentCompressedOtherwise(t *testing.T) {
	store := mem.New()
	s := New(store, &format.VaultInfo{})
	payload := bytes.Repeat([]byte("what compresses well, "), 100)
	key := format.TableID{Hash: format.HashOf(payload)}.Key()
	compressed, err := s.Seal(format.KindSection, key, payload)
	if err != nil {
		t.Fatal(err)
	}
	plain := uncompressed(compressed.body, key, payload)
	replace(t, store, key, plain)
	if created, err := s.Ensure(t.Context(), compressed); created || err != nil {
		t.Errorf("created %v, %v", created, err)
	}
	payload[0]++
	replace(t, store, key, uncompressed(compressed.body, key, payload))
	if _, err := s.Ensure(t.Context(), compressed); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("another content: %v", err)
	}
}

// uncompressed is an object with a payload as it is.
func uncompressed(body []byte, key string, payload []byte) []byte {
	const atCompression, head = 7, 34
	out := bytes.Clone(body[:head+len(key)])
	out[atCompression] = 0
	for range 2 {
		out = binary.BigEndian.AppendUint64(out, uint64(len(payload)))
	}
	out = append(out, payload...)
	hash := format.HashOf(out)
	return append(out, hash[:]...)
}
