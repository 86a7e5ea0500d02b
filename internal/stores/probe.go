package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"coldstream/blob"
)

// Right is something that a job needs to do with the storage.
type Right struct {
	Name string // list, read, create, delete
	// Err is why it cannot be done; nil if it can. A [*blob.Failure] says what to do.
	Err error
	// Unknown says that it was not tried, since that would change the vault.
	Unknown bool
}

// Probe is what was found out about a storage.
type Probe struct {
	// Level is what of the contract of stores the storage keeps: "shared", or "archive" if
	// it does not create on condition or takes nothing away.
	Level  string
	Rights []Right
}

// ProbeVault finds out what the storage of a vault can do, and what the rights at hand
// allow, without changing anything: the empty object that begins epoch 0, which every vault
// has and which is never taken away, is listed, read, and created once more, which must be
// refused.
func ProbeVault(ctx context.Context, store blob.Store) *Probe {
	const begun = "epochs/0000000000/begun"
	p := &Probe{Level: "shared"}
	listed := fmt.Errorf("%s is not listed", begun)
	for e, err := range store.List(ctx, "epochs/", "") {
		if listed = err; err == nil && e.Key != begun {
			listed = fmt.Errorf("%s is not listed", begun)
		}
		break
	}
	_, read := blob.ReadAll(ctx, store, begun, 1<<20)
	created := store.Create(ctx, begun, nil)
	switch {
	case errors.Is(created, fs.ErrExist):
		created = nil
	case created == nil, errors.Is(created, errors.ErrUnsupported):
		p.Level, created = "archive", nil
	}
	if _, permanent := store.(blob.Permanent); permanent {
		p.Level = "archive"
	}
	p.Rights = []Right{{Name: "list", Err: listed}, {Name: "read", Err: read}, {Name: "create", Err: created}, {Name: "delete", Unknown: true}}
	return p
}
