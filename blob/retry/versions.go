package retry

import (
	"context"
	"iter"

	"coldstream/blob"
)

// Versions is [blob.Versioner], where the storage behind it has it.
func (s *Store) Versions() blob.Versions {
	inner := blob.VersionsOf(s.inner)
	if inner == nil {
		return nil
	}
	return &versions{s, inner}
}

// Settings is [blob.Configured], where the storage behind it has it. Nothing of it is tried again.
func (s *Store) Settings(ctx context.Context, lock blob.Lock) []blob.Setting {
	if c, ok := s.inner.(blob.Configured); ok {
		return c.Settings(ctx, lock)
	}
	return nil
}

// versions does again what failed for the time being, as a [Store] does.
type versions struct {
	store *Store
	inner blob.Versions
}

// Locking is [blob.Versions.Locking].
func (v *versions) Locking(lock blob.Lock) blob.Store {
	return New(v.inner.Locking(lock), v.store.opts)
}

// List is [blob.Versions.List]. One that breaks off goes on with the key that it was at, of
// which nothing is given twice.
func (v *versions) List(ctx context.Context, prefix string) iter.Seq2[blob.Version, error] {
	return func(yield func(blob.Version, error) bool) {
		last, given := "", map[string]bool{} // of the last key, what was given
		p := &patience{store: v.store, what: "list versions of " + prefix}
		defer func() { p.stop() }()
		for {
			err := v.listOnce(ctx, prefix, func(version blob.Version) bool {
				if version.Key < last || version.Key == last && given[version.ID] {
					return true
				}
				if version.Key != last {
					last = version.Key
					clear(given)
				}
				given[version.ID] = true
				return yield(version, nil)
			})
			if err == nil {
				return
			}
			if err := p.after(ctx, err); err != nil {
				yield(blob.Version{}, err)
				return
			}
		}
	}
}

func (v *versions) listOnce(ctx context.Context, prefix string, yield func(blob.Version) bool) error {
	for version, err := range v.inner.List(ctx, prefix) {
		if err != nil {
			return err
		}
		v.store.answer()
		if !yield(version) {
			return nil
		}
	}
	v.store.answer()
	return nil
}

// Delete is [blob.Versions.Delete].
func (v *versions) Delete(ctx context.Context, key, id string) error {
	return v.store.again(ctx, "delete a version of "+key, func() error { return v.inner.Delete(ctx, key, id) })
}

// LockedUntil is [blob.Versions.LockedUntil].
func (v *versions) LockedUntil(ctx context.Context, key, id string) (until blob.LockEnd, err error) {
	err = v.store.again(ctx, "read the lock of "+key, func() (err error) {
		until, err = v.inner.LockedUntil(ctx, key, id)
		return err
	})
	return until, err
}

// Lock is [blob.Versions.Lock].
func (v *versions) Lock(ctx context.Context, key, id string, until blob.LockEnd) error {
	return v.store.again(ctx, "lock "+key, func() error { return v.inner.Lock(ctx, key, id, until) })
}
