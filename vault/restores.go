package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"coldstream/vault/internal/format"
)

// RestoreID names a restore: 16 hex digits in its text form.
type RestoreID [8]byte

// String writes 16 lower-case hex digits.
func (id RestoreID) String() string { return hex.EncodeToString(id[:]) }

// PutRestoreRecord stores the n-th record of a restore: a document of the restore's own.
// One that is there already wraps fs.ErrExist. The result is the last one: it makes all
// of them durable where the storage gathers objects.
func (v *Vault) PutRestoreRecord(ctx context.Context, id RestoreID, n uint32, document []byte) error {
	key := format.RestoreKey(format.RestoreID(id), n)
	body, err := v.seal(format.KindRestore, key, document)
	if err != nil {
		return err
	}
	if err := v.store.Create(ctx, key, body); err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	if n == recordResult {
		return v.Flush(ctx)
	}
	return nil
}

// RestoreRecord reads the n-th record of a restore; one that is not there wraps
// fs.ErrNotExist.
func (v *Vault) RestoreRecord(ctx context.Context, id RestoreID, n uint32) ([]byte, error) {
	payload, _, err := v.load(ctx, format.KindRestore, format.RestoreKey(format.RestoreID(id), n))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("restore %s: %w", id, err)
	}
	return payload, err
}
