package vault

import (
	"context"
	"errors"
	"fmt"

	"coldstream/blob"
)

// ErrReadOnly is wrapped by errors of what would write to a vault of [Vault.ReadOnly].
var ErrReadOnly = errors.New("the vault is only read")

// ReadOnly is the same vault for somebody who must not write to it: whatever is done with it
// creates and deletes nothing. Damage that a reader finds is not marked there.
func (v *Vault) ReadOnly() *Vault {
	reader := *v
	reader.store = readOnlyStore{v.storage()}
	return &reader
}

// readOnlyStore gathers nothing, so it is no [blob.Flusher] either.
type readOnlyStore struct{ blob.Store }

// Create always fails.
func (readOnlyStore) Create(_ context.Context, key string, _ []byte) error {
	return fmt.Errorf("create %s: %w", key, ErrReadOnly)
}

// Delete always fails.
func (readOnlyStore) Delete(_ context.Context, key string) error {
	return fmt.Errorf("delete %s: %w", key, ErrReadOnly)
}

// storage is the store itself, to be asked what more it is than a [blob.Store].
func (v *Vault) storage() blob.Store {
	if r, ok := v.store.(readOnlyStore); ok {
		return r.Store
	}
	return v.store
}

// isFar says that each request costs money and time.
func (v *Vault) isFar() bool {
	_, is := v.storage().(blob.Metered)
	return is
}
