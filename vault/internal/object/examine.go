package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// ErrReplaces is wrapped by errors that say that a storage does not create on condition:
// it takes a key that is taken, and replaces what is there.
var ErrReplaces = errors.New("the storage replaces objects that are there")

// Examination is what a vault's storage turned out to be able to do. Each error is nil where
// all is as a vault wants it.
type Examination struct {
	// List and Ranges are about reading.
	List, Ranges error
	// Create is about writing: the storage takes it, and refuses to replace. It is
	// [ErrReplaces] where it replaces.
	Create error
}

// Examine tries what the vault's storage can do, without changing anything: it asks for
// vault.json to be created again with the bytes that it has, which must be refused.
func (s *Store) Examine(ctx context.Context) Examination {
	var found Examination
	body, err := blob.ReadAll(ctx, s.blobs, format.VaultKey, maxObject)
	if err != nil {
		return Examination{List: err, Ranges: err, Create: err}
	}
	found.List = s.examineList(ctx)
	const from = 1
	part, err := s.blobs.Read(ctx, format.VaultKey, from, int64(len(body)-2*from))
	if err == nil && !bytes.Equal(part, body[from:len(body)-from]) {
		err = fmt.Errorf("a part of %s is not what it is in the whole", format.VaultKey)
	}
	found.Ranges = err
	switch err := s.blobs.Create(ctx, format.VaultKey, body); {
	case err == nil && !s.info.Exclusive:
		found.Create = ErrReplaces
	case err == nil: // it is known, and the bytes are the same
	case !errors.Is(err, fs.ErrExist):
		found.Create = err
	}
	return found
}

func (s *Store) examineList(ctx context.Context) error {
	for entry, err := range s.blobs.List(ctx, "", "") {
		if err != nil {
			return err
		}
		if entry.Key == format.VaultKey {
			return nil
		}
	}
	return fmt.Errorf("the list lacks %s", format.VaultKey)
}
