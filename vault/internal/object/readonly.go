package object

import (
	"context"
	"errors"
	"fmt"

	"coldstream/blob"
)

// ErrReadOnly is wrapped by errors of what would write to a vault that is only read.
var ErrReadOnly = errors.New("the vault is only read")

// ReadOnly is the same objects for somebody who must not write: whatever is done with them
// creates and deletes nothing.
func (s *Store) ReadOnly() *Store { return s.on(readOnly{s.storage()}) }

// readOnly gathers nothing, so it is no [blob.Flusher] either.
type readOnly struct{ blob.Store }

// Create always fails.
func (readOnly) Create(_ context.Context, key string, _ []byte) error {
	return fmt.Errorf("create %s: %w", key, ErrReadOnly)
}

// Delete always fails.
func (readOnly) Delete(_ context.Context, key string) error {
	return fmt.Errorf("delete %s: %w", key, ErrReadOnly)
}
