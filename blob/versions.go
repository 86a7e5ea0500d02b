package blob

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Lock says how objects are locked as they are created: nobody may delete or replace them
// before the lock ends.
type Lock struct {
	// Compliance locks cannot be ended by anybody; others can, with a right of its own.
	Compliance bool
	For        time.Duration
}

// LockEnd says until when a version of an object is locked, and how.
type LockEnd struct {
	Compliance bool
	At         time.Time
}

// Versioner is a [Store] that may keep every version of its objects.
type Versioner interface {
	// Versions is nil where the storage has none.
	Versions() Versions
}

// Versions are all versions of the objects of a [Store], also of those that were hidden by
// a deletion, and the locks on them.
type Versions interface {
	// Locking is the same storage, which locks every object that it creates. Its Delete only
	// hides an object, however it is locked.
	Locking(lock Lock) Store
	// List yields the versions of the objects whose keys begin with prefix, in ascending
	// order of keys, and of one key the newest first. An error ends it.
	List(ctx context.Context, prefix string) iter.Seq2[Version, error]
	// Delete removes one version for ever. One that is still locked, or that the caller may not
	// delete, is an error wrapping fs.ErrPermission.
	Delete(ctx context.Context, key, id string) error
	// LockedUntil says when the lock of a version ends. It is the zero value if it has none, or
	// none that the caller may see.
	LockedUntil(ctx context.Context, key, id string) (LockEnd, error)
	// Lock locks a version until then. It never makes a lock end sooner.
	Lock(ctx context.Context, key, id string, until LockEnd) error
}

// Version is one version of an object in a listing.
type Version struct {
	Entry
	ID      string
	Created time.Time // by the clock of the storage
	// Hides says that it is no object: it marks that the key was deleted.
	Hides bool
}

// VersionsOf are the versions of a store's objects; nil where it has none.
func VersionsOf(s Store) Versions {
	if v, ok := s.(Versioner); ok {
		return v.Versions()
	}
	return nil
}

// ErrNoLocks is wrapped by errors that say that a storage cannot lock objects.
var ErrNoLocks = errors.New("it locks no objects")
