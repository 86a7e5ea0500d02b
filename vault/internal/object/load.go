package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// LoadInfo reads what a vault says of itself. A vault.json that is not there wraps
// [fs.ErrNotExist].
func LoadInfo(ctx context.Context, blobs blob.Store) (*format.VaultInfo, error) {
	body, err := blob.ReadAll(ctx, blobs, format.VaultKey, maxObject)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", format.VaultKey, err)
	}
	info, err := format.DecodeVaultInfo(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", format.VaultKey, err)
	}
	return info, nil
}

// ProveInfo reads vault.json again before something is made of it that no other object
// has confirmed yet: it has no hash of its own, and one bad read must not last for ever.
func (s *Store) ProveInfo(ctx context.Context) error {
	again, err := blob.ReadAll(ctx, s.blobs, format.VaultKey, maxObject)
	if err != nil {
		return fmt.Errorf("read %s: %w", format.VaultKey, err)
	}
	if string(again) != string(s.info.Append(nil)) {
		return &DamageError{Object: format.VaultKey, Kind: KindAltered, Cause: errors.New("two reads gave two contents")}
	}
	return nil
}

// Load reads an object of the catalog and proves that it is the one that was stored under
// key. Damage is a [*DamageError]; absence wraps [fs.ErrNotExist] and is the caller's to judge.
// A read may be bad once, and a commit left out for it would look like a gap: what does
// not prove is read again before it is called damaged.
func (s *Store) Load(ctx context.Context, kind format.Kind, key string) (payload []byte, digest format.Hash, err error) {
	payload, digest, err = s.loadOnce(ctx, kind, key)
	var damage *DamageError
	if errors.As(err, &damage) && damage.Kind != KindUnreadable { // that was asked for often enough
		return s.loadOnce(ctx, kind, key)
	}
	return payload, digest, err
}

func (s *Store) loadOnce(ctx context.Context, kind format.Kind, key string) (payload []byte, digest format.Hash, err error) {
	body, err := blob.ReadAll(ctx, s.blobs, key, maxObject)
	if errors.Is(err, blob.ErrUnreadable) {
		err = &DamageError{Object: key, Kind: KindUnreadable, Cause: err}
	}
	if errors.Is(err, coldstream.ErrCorrupt) { // it is sealed, and does not open
		err = &DamageError{Object: key, Kind: KindAltered, Cause: err}
	}
	if err != nil {
		return nil, digest, fmt.Errorf("read %s: %w", key, err)
	}
	payload, err = s.open(kind, key, body)
	if err != nil {
		if errors.Is(err, coldstream.ErrCorrupt) {
			err = &DamageError{Object: key, Kind: KindAltered, Cause: err}
		}
		return nil, digest, fmt.Errorf("open %s: %w", key, err)
	}
	return payload, format.Digest(body), nil
}

// open is what [Store.Seal] made of a payload, taken apart again.
func (s *Store) open(kind format.Kind, key string, body []byte) ([]byte, error) {
	return format.Open(body, format.Expect{Kind: kind, VaultID: s.info.ID, Key: key})
}

// Content reads an object under tables/, whose name is the hash of its payload. Whether one
// that is missing is damage or only retired is for the look to say.
func (s *Store) Content(ctx context.Context, kind format.Kind, id format.TableID, sizeBytes int64) ([]byte, error) {
	payload, _, err := s.Load(ctx, kind, id.Key())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &DamageError{Object: id.Key(), Kind: KindMissing, Cause: err}
	case err != nil:
		return nil, err
	case s.NameOf(payload) != id.Hash || int64(len(payload)) != sizeBytes:
		return nil, &DamageError{Object: id.Key(), Kind: KindAltered, Cause: errors.New("its content is not what its name says")}
	}
	return payload, nil
}

// ProveContent proves that an object under tables/, of whatever kind, holds what its name
// says. What has no such name is none of ours, and proves nothing.
func (s *Store) ProveContent(ctx context.Context, key string) (sizeBytes int64, err error) {
	id, err := format.ParseTableKey(key)
	if err != nil {
		return 0, nil //nolint:nilerr // it is in nobody's way
	}
	body, err := blob.ReadAll(ctx, s.blobs, key, maxObject)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	kind, _ := format.KindOf(body) // what says none is none
	payload, _, err := s.Load(ctx, kind, key)
	if err == nil && s.NameOf(payload) != id.Hash {
		err = &DamageError{Object: key, Kind: KindAltered, Cause: errors.New("it does not hold what its name says")}
	}
	return int64(len(body)), err
}

// IsThere says whether there is an object under a key, whatever is in it.
func (s *Store) IsThere(ctx context.Context, key string) (bool, error) {
	r, _, err := s.storage().Open(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = r.Close()
	}
	return err == nil, err
}

// IsPackThere says whether there is a pack, whatever is in it. Almost nothing of it is read.
func (s *Store) IsPackThere(ctx context.Context, id format.PackID) (bool, error) {
	_, err := s.storage().Read(ctx, id.Key(), 0, 1)
	switch {
	case err == nil || errors.Is(err, io.ErrUnexpectedEOF):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, fmt.Errorf("read %s: %w", id.Key(), err)
}

// PackRange reads length bytes of a pack. Nothing is proved: the hashes of frames are
// elsewhere. What an error means, [AsDamage] says.
func (s *Store) PackRange(ctx context.Context, pack *format.Pack, at, length int64) ([]byte, error) {
	if s.sealed != nil {
		return s.sealed.ReadSized(ctx, blob.Entry{Key: pack.ID.Key(), SizeBytes: pack.SizeBytes}, at, length)
	}
	return s.blobs.Read(ctx, pack.ID.Key(), at, length)
}

// Pack reads a whole pack of at most sizeBytes, likewise.
func (s *Store) Pack(ctx context.Context, id format.PackID, sizeBytes int64) ([]byte, error) {
	return blob.ReadAll(ctx, s.blobs, id.Key(), sizeBytes)
}

// Plain reads an object that this room does not seal: one under keys/, of at most maxBytes.
func (s *Store) Plain(ctx context.Context, key string, maxBytes int64) ([]byte, error) {
	return blob.ReadAll(ctx, s.blobs, key, maxBytes)
}
