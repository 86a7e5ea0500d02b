// Package sealed hides that a vault is encrypted: over storage with sealed objects it is a store
// with the objects as they were, with their sizes, and with any range of their bytes.
package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"sync"

	"coldstream/blob"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
)

// Store seals what is created and opens what is read: packs with the data identity, all else
// with the one of the catalog. Not sealed are vault.json, what says that an epoch began, which is
// empty, and the keys, which are sealed to people.
//
// It has no names for people (see vault.Vault.Describe): topics are nobody's business but those
// who have a key.
type Store struct {
	inner   blob.Store
	catalog *box
	data    *box
	heads   *heads

	noReadBack bool

	mu    sync.Mutex
	spare [][]byte // of objects before, which nobody needs any more
}

// New seals with what somebody holds of a vault's identities.
func New(inner blob.Store, held *keyring.Held) (*Store, error) {
	catalog, err := newBox(held.CatalogRecipient, held.CatalogIdentity)
	if err != nil {
		return nil, err
	}
	data, err := newBox(held.DataRecipient, held.DataIdentity)
	if err != nil {
		return nil, err
	}
	return &Store{inner: inner, catalog: catalog, data: data, heads: newHeads()}, nil
}

// Over is the same with other storage below.
func (s *Store) Over(inner blob.Store) *Store {
	return &Store{inner: inner, catalog: s.catalog, data: s.data, heads: newHeads(), noReadBack: s.noReadBack}
}

// NoReadBack is the same, and does not open again what it has sealed.
func (s *Store) NoReadBack() *Store {
	other := s.Over(s.inner)
	other.noReadBack = true
	return other
}

// Inner is the storage itself.
func (s *Store) Inner() blob.Store { return s.inner }

// boxOf is how the object of a key is sealed; nil if it is not.
func (s *Store) boxOf(key string) *box {
	switch {
	case key == format.VaultKey, strings.HasPrefix(key, format.KeysPrefix),
		strings.HasPrefix(key, format.EpochsPrefix) && strings.HasSuffix(key, "/begun"):
		return nil
	case strings.HasPrefix(key, format.PacksPrefix):
		return s.data
	}
	return s.catalog
}

// Create is [blob.Store.Create]. That a pack is there already which is the very one that was to
// be stored, as after an answer that was lost, is no error: who made it may not be able to
// open it and look.
func (s *Store) Create(ctx context.Context, key string, body []byte) error {
	b := s.boxOf(key)
	if b == nil {
		return s.inner.Create(ctx, key, body)
	}
	object, fileKey, err := b.seal(s.room(), body)
	if err == nil && !s.noReadBack {
		err = b.readBack(object, body, fileKey)
	}
	if err != nil {
		return fmt.Errorf("seal %s: %w", key, err)
	}
	err = s.inner.Create(ctx, key, object)
	if errors.Is(err, fs.ErrExist) && b == s.data {
		there, errRead := blob.ReadAll(ctx, s.inner, key, int64(len(object)))
		if errRead == nil && bytes.Equal(there, object) {
			err = nil
		}
	}
	if err == nil { // after a failure the storage may still be reading it
		s.giveBack(object)
	}
	return err
}

// What memory is kept for the next objects: as many as are stored at once, of the size of packs.
const (
	keptRoom  = 64 << 20
	keptRooms = 2
)

func (s *Store) room() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spare) == 0 {
		return nil
	}
	room := s.spare[len(s.spare)-1]
	s.spare = s.spare[:len(s.spare)-1]
	return room[:0]
}

func (s *Store) giveBack(object []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cap(object) <= keptRoom && len(s.spare) < keptRooms {
		s.spare = append(s.spare, object)
	}
}

// Read is [blob.Store.Read]. It needs a request more than [Store.ReadSized], to find out how
// long the object is.
func (s *Store) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	b := s.boxOf(key)
	if b == nil {
		return s.inner.Read(ctx, key, offset, length)
	}
	r, size, err := s.inner.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	plain, err := b.plainSize(size)
	if err != nil {
		return nil, err
	}
	return s.ReadSized(ctx, blob.Entry{Key: key, SizeBytes: plain}, offset, length)
}

// List is [blob.Store.List].
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		for entry, err := range s.inner.List(ctx, prefix, after) {
			if b := s.boxOf(entry.Key); err == nil && b != nil {
				entry.SizeBytes, _ = b.plainSize(entry.SizeBytes) // of what is none, what it would be
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// StoredSize is what an object of so many bytes takes in the storage.
func (s *Store) StoredSize(key string, plain int64) int64 {
	if b := s.boxOf(key); b != nil {
		return b.sealedSize(plain)
	}
	return plain
}

// Delete is [blob.Store.Delete].
func (s *Store) Delete(ctx context.Context, key string) error { return s.inner.Delete(ctx, key) }

// Flush is [blob.Flusher.Flush].
func (s *Store) Flush(ctx context.Context) error { return blob.Flush(ctx, s.inner) }
