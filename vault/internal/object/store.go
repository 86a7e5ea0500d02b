// Package object is the one way in and out of a vault's storage. It hides how the content of an
// object becomes the bytes that are stored, and how bytes that come back are proved to be
// those of that object: no other room of the vault sees a [blob.Store].
package object

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"iter"

	"coldstream/blob"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/sealed"
)

// maxObject bounds what is read of an object that is read as a whole, so that a hostile one
// cannot exhaust memory.
const maxObject = 1 << 30

// Store is the objects of one vault. It is safe for use by several goroutines.
type Store struct {
	blobs  blob.Store
	info   format.VaultInfo
	sealer *format.Sealer
	// Of an encrypted vault: what blobs is, or what is below blobs where objects are read
	// ahead; and the key of names that are made of content. Else nil.
	sealed  *sealed.Store
	nameKey []byte
	// Of a vault whose objects are locked, where the storage can do that; else nil.
	versions blob.Versions
}

// New is the objects of the vault that info describes. In an exclusive vault the storage is
// taken as one without conditional create.
func New(blobs blob.Store, info *format.VaultInfo) *Store {
	if u, ok := blobs.(blob.Unconditional); ok && info.Exclusive {
		blobs = u.Unconditional()
	}
	blobs, versions := locking(blobs, info.Lock)
	return &Store{blobs: blobs, info: *info, sealer: &format.Sealer{}, versions: versions}
}

// on is the same vault on other storage.
func (s *Store) on(blobs blob.Store) *Store {
	other := *s
	other.blobs = blobs
	if s.sealed != nil {
		other.sealed = s.sealed.Over(blobs)
		other.blobs = other.sealed
	}
	return &other
}

// Encrypted is the objects of an encrypted vault, with what is held of its identities.
func (s *Store) Encrypted(held *keyring.Held) (*Store, error) {
	other := *s
	var err error
	if other.sealed, err = sealed.New(s.blobs, held); err != nil {
		return nil, err
	}
	if other.nameKey, err = held.NameKey(); err != nil {
		return nil, err
	}
	other.blobs = other.sealed
	return &other, nil
}

// NoReadBack is the same objects for who does not want sealed ones to be opened again before they
// are stored.
func (s *Store) NoReadBack() *Store {
	if s.sealed == nil {
		return s
	}
	other := *s
	other.sealed = s.sealed.NoReadBack()
	other.blobs = other.sealed
	return &other
}

// NameOf names content: without encryption by its SHA-256; else by one that needs a key, so that
// who reads the storage cannot try out what can be guessed.
func (s *Store) NameOf(content []byte) format.Hash {
	if s.nameKey == nil {
		return format.HashOf(content)
	}
	mac := hmac.New(sha256.New, s.nameKey)
	mac.Write(content)
	return format.Hash(mac.Sum(nil))
}

// AcceptanceKey is the key of an accepted loss, whose ID is a hash of names that can be guessed.
func (s *Store) AcceptanceKey(id format.AcceptanceID) string {
	if s.nameKey != nil {
		name := s.NameOf(id[:])
		copy(id[:], name[:])
	}
	return format.AcceptanceKey(id)
}

// List is [blob.Store.List].
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return s.blobs.List(ctx, prefix, after)
}

// Delete is [blob.Store.Delete].
func (s *Store) Delete(ctx context.Context, key string) error { return s.blobs.Delete(ctx, key) }

// Flush makes durable what was stored, where the storage gathers objects (see [blob.Flusher]);
// elsewhere it does nothing.
func (s *Store) Flush(ctx context.Context) error {
	if err := blob.Flush(ctx, s.blobs); err != nil {
		return fmt.Errorf("store what was gathered: %w", err)
	}
	return nil
}

// Describe gives words for people to the objects that are made from now on, where the
// storage has names for them: a cluster, topics.
func (s *Store) Describe(words ...string) {
	if s.sealed != nil {
		return // they are nobody's business who has no key
	}
	if d, ok := s.blobs.(interface{ Describe(words ...string) }); ok {
		d.Describe(words...)
	}
}

// Strays are objects of runs that were cut off, where the storage can tell. They do not
// count, and cost nothing but their room.
func (s *Store) Strays() []string {
	if strays, ok := s.storage().(interface{ Strays() []string }); ok {
		return strays.Strays()
	}
	return nil
}

// IsPermanent says that the storage takes nothing away.
func (s *Store) IsPermanent() bool {
	_, is := s.storage().(blob.Permanent)
	return is
}

// IsFar says that each request costs money and time.
func (s *Store) IsFar() bool {
	_, is := s.storage().(blob.Metered)
	return is
}

// storage is the store itself, to be asked what more it is than a [blob.Store].
func (s *Store) storage() blob.Store {
	blobs := s.blobs
	if s.sealed != nil {
		blobs = s.sealed.Inner()
	}
	if r, ok := blobs.(readOnly); ok {
		return r.Store
	}
	return blobs
}

// StoredSizes lists all objects with the sizes that they have in the storage.
func (s *Store) StoredSizes(ctx context.Context) iter.Seq2[blob.Entry, error] {
	return s.storage().List(ctx, "", "")
}
