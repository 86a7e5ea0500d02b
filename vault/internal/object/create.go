package object

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"coldstream/blob"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
)

// Sealed is an object as it will be stored.
type Sealed struct {
	key    string
	body   []byte // before it is sealed, in an encrypted vault
	stored int64  // bytes that it becomes
}

// SizeBytes is the object's size, as listings say it.
func (o *Sealed) SizeBytes() int64 { return int64(len(o.body)) }

// StoredBytes is what the object takes in the storage.
func (o *Sealed) StoredBytes() int64 { return o.stored }

// Digest is the hash by which other objects name this one.
func (o *Sealed) Digest() format.Hash { return format.Digest(o.body) }

// Seal makes an object of the catalog. It stores nothing.
func (s *Store) Seal(kind format.Kind, key string, payload []byte) (*Sealed, error) {
	body, err := s.sealer.Seal(format.Envelope{Kind: kind, VaultID: s.info.ID, Key: key}, payload)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", key, err)
	}
	return s.toStore(key, body), nil
}

// SealPack makes an object of a pack's bytes, which it keeps. It stores nothing.
func (s *Store) SealPack(id format.PackID, body []byte) *Sealed { return s.toStore(id.Key(), body) }

func (s *Store) toStore(key string, body []byte) *Sealed {
	o := &Sealed{key, body, int64(len(body))}
	if s.sealed != nil {
		o.stored = s.sealed.StoredSize(key, o.stored)
	}
	return o
}

// Create stores an object. If the key is taken the error wraps [fs.ErrExist], and what is
// there stays.
func (s *Store) Create(ctx context.Context, o *Sealed) error {
	return s.CreatePlain(ctx, o.key, o.body)
}

// CreatePlain is Create for what is never sealed: vault.json, and the empty object that
// begins an epoch.
func (s *Store) CreatePlain(ctx context.Context, key string, body []byte) error {
	if err := s.blobs.Create(ctx, key, body); err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	return nil
}

// Ensure stores an object that may be there already: a store that tries again after an
// answer was lost finds its own, and another may have stored the same. Only the very
// same bytes count, or under tables/ the same content. What is gone when it is looked at was
// deleted by a turn: it is stored again, and the look that follows finds the newer epoch.
func (s *Store) Ensure(ctx context.Context, o *Sealed) (created bool, err error) {
	err = s.Create(ctx, o)
	if errors.Is(err, fs.ErrExist) {
		err = s.proveSame(ctx, o.key, o.body)
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		err = s.Create(ctx, o)
	}
	return err == nil, err
}

func (s *Store) proveSame(ctx context.Context, key string, body []byte) error {
	there, err := blob.ReadAll(ctx, s.blobs, key, maxObject)
	if errors.Is(err, keyring.ErrCatalogOnly) { // else the sealed store would have known it for ours
		return &DamageError{Object: key, Kind: KindAltered, Cause: errors.New("it is there already, and is not what was to be stored")}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if !slices.Equal(there, body) && !s.isSameContent(key, there, body) {
		return &DamageError{Object: key, Kind: KindAltered, Cause: errors.New("it is there already, and is not what its name says")}
	}
	return nil
}

// isSameContent says that two objects under tables/, which are named by their payload, hold
// the same: another version of the program may compress it otherwise.
func (s *Store) isSameContent(key string, there, body []byte) bool {
	if _, err := format.ParseTableKey(key); err != nil {
		return false
	}
	kind, err := format.KindOf(body)
	if err != nil {
		return false
	}
	theirs, errThere := s.open(kind, key, there)
	ours, errOurs := s.open(kind, key, body)
	return errThere == nil && errOurs == nil && slices.Equal(theirs, ours)
}
