package s3store

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"
	"time"

	"coldstream/blob"
)

// First is the storage as it was before anything was overwritten or deleted: it has the first version
// of every key, also of those that a deletion hides. It is only read. What was stored after the
// given time is not there, unless that is zero.
func (s *Store) First(before time.Time) blob.Store {
	return &first{store: s, before: before, ids: map[string]string{}}
}

// errFirst says why nothing is stored.
var errFirst = fmt.Errorf("first versions are only read (%w)", fs.ErrPermission)

func isReadOnly() error {
	return &blob.Failure{Err: errFirst, Next: "leave versions=first out; or copy what is there into a new vault, and write there"}
}

type first struct {
	store  *Store
	before time.Time

	mu  sync.Mutex
	ids map[string]string // of first versions that were listed
}

// Create always fails.
func (*first) Create(_ context.Context, key string, _ []byte) error {
	return fmt.Errorf("create %s: %w", key, isReadOnly())
}

// Delete always fails.
func (*first) Delete(_ context.Context, key string) error {
	return fmt.Errorf("delete %s: %w", key, isReadOnly())
}

// List is [blob.Store.List].
func (f *first) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		var of blob.Version // the oldest of its key so far
		give := func() bool {
			if of.Key == "" || of.Key <= after {
				return true
			}
			f.note(&of)
			return yield(of.Entry, nil)
		}
		for v, err := range f.store.Versions().List(ctx, prefix) {
			if err != nil {
				yield(blob.Entry{}, err)
				return
			}
			if v.Key != of.Key && !give() {
				return
			}
			if v.Key != of.Key {
				of = blob.Version{}
			}
			if f.shows(&v) {
				of = v
			}
		}
		give()
	}
}

func (f *first) shows(v *blob.Version) bool {
	return !v.Hides && (f.before.IsZero() || v.Created.Before(f.before))
}

func (f *first) note(v *blob.Version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids[v.Key] = v.ID
}

// id finds the first version of a key.
func (f *first) id(ctx context.Context, key string) (string, error) {
	if err := check(ctx, key); err != nil {
		return "", err
	}
	f.mu.Lock()
	id, ok := f.ids[key]
	f.mu.Unlock()
	if ok {
		return id, nil
	}
	found := blob.Version{}
	for v, err := range f.store.Versions().List(ctx, key) {
		if err != nil {
			return "", err
		}
		if v.Key != key {
			break // it lists the key itself before all that begins with it
		}
		if f.shows(&v) {
			found = v
		}
	}
	if found.Key == "" {
		return "", fs.ErrNotExist
	}
	f.note(&found)
	return found.ID, nil
}

// version is the storage with one version of one key.
func (f *first) version(ctx context.Context, key string) (*Store, error) {
	id, err := f.id(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("find the first version of %s: %w", key, err)
	}
	of := *f.store
	of.version = id
	return &of, nil
}

// Open is [blob.Store.Open].
func (f *first) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	of, err := f.version(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	return of.Open(ctx, key)
}

// Read is [blob.Store.Read].
func (f *first) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	of, err := f.version(ctx, key)
	if err != nil {
		return nil, err
	}
	return of.Read(ctx, key, offset, length)
}

// Foreign is something under the prefix: no vault is made of first versions.
func (*first) Foreign(context.Context) (string, error) { return "", isReadOnly() }
