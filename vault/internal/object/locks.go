package object

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// locking is the storage of a vault whose objects are locked. Storage that locks none is taken as it
// is: a vault that was copied there object by object can be read and written like any other.
func locking(blobs blob.Store, lock format.Lock) (blob.Store, blob.Versions) {
	versions := blob.VersionsOf(blobs)
	if (lock == format.Lock{}) || versions == nil {
		return blobs, nil
	}
	return versions.Locking(lockOf(lock)), versions
}

func lockTime(lock format.Lock) time.Duration { return time.Duration(lock.Seconds) * time.Second }

// HasLocks says that objects are locked as they are created.
func (s *Store) HasLocks() bool { return s.versions != nil }

// Settings says how what holds the objects is set, where the storage can tell.
func (s *Store) Settings(ctx context.Context) []blob.Setting {
	if c, ok := s.storage().(blob.Configured); ok {
		return c.Settings(ctx, lockOf(s.info.Lock))
	}
	return nil
}

func lockOf(lock format.Lock) blob.Lock {
	return blob.Lock{Compliance: lock.Mode == format.LockCompliance, For: lockTime(lock)}
}

// Locks looks after the locks of a vault's objects, at one point in time.
type Locks struct {
	versions blob.Versions
	lock     format.Lock
	now      time.Time
}

// Locks takes the storage's own clock for the present: the time at which an object was stored that is
// as new as can be. So no clock of a host ends a lock too early.
func (s *Store) Locks(ctx context.Context, newest string) (*Locks, error) {
	l := &Locks{versions: s.versions, lock: s.info.Lock}
	for version, err := range s.versions.List(ctx, newest) {
		if err != nil {
			return nil, fmt.Errorf("find out what time it is: %w", err)
		}
		if version.Key == newest {
			l.now = version.Created // the first one that was stored is listed last
		}
	}
	if l.now.IsZero() {
		return nil, fmt.Errorf("find out what time it is: %s: %w", newest, fs.ErrNotExist)
	}
	return l, nil
}

// locksAtOnce is how many requests about locks are made at once.
const locksAtOnce = 16

// Sweep deletes the objects under prefix that are doomed, with all their versions, and leaves those
// that are locked: left are those of them that a listing still shows. Nothing is asked about an
// object that is younger than locks last.
func (l *Locks) Sweep(ctx context.Context, prefix string, doomed func(key string) bool) (left []blob.Entry, err error) {
	var old [][]blob.Version
	for versions, err := range l.byKey(ctx, prefix) {
		switch {
		case err != nil:
			return nil, err
		case !doomed(versions[0].Key):
		case !slices.ContainsFunc(versions, l.isYoung):
			old = append(old, versions)
		case !versions[0].Hides:
			left = append(left, versions[0].Entry)
		}
	}
	var mu sync.Mutex
	err = EachAtOnce(ctx, len(old), locksAtOnce, func(ctx context.Context, i int) error {
		versions := old[i]
		gone, err := l.delete(ctx, versions)
		if err == nil && !gone && !versions[0].Hides {
			mu.Lock()
			defer mu.Unlock()
			left = append(left, versions[0].Entry)
		}
		return err
	})
	return left, err
}

// isYoung says that a version is locked for certain.
func (l *Locks) isYoung(v blob.Version) bool {
	return !v.Hides && v.Created.Add(lockTime(l.lock)).After(l.now)
}

// delete deletes the newest version first: what hides an object must not stay behind alone, where
// no listing of objects would show it.
func (l *Locks) delete(ctx context.Context, versions []blob.Version) (gone bool, err error) {
	for _, v := range versions {
		err := l.versions.Delete(ctx, v.Key, v.ID)
		if errors.Is(err, fs.ErrPermission) {
			return false, nil // its lock was made longer, or is another's to end
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// Keep sees to it that the objects under prefix that are needed stay locked for half of the time that
// locks last, at least: a lock that ends sooner is made to last the whole time again. It is
// the first version of an object that was stored by who made the vault, and that is kept.
func (l *Locks) Keep(ctx context.Context, prefix string, needed func(key string) bool) (extended int, err error) {
	var aging []blob.Version
	soon, end := l.now.Add(lockTime(l.lock)/2), blob.LockEnd{
		Compliance: l.lock.Mode == format.LockCompliance, At: l.now.Add(lockTime(l.lock)).Truncate(time.Second),
	}
	for versions, err := range l.byKey(ctx, prefix) {
		if err != nil {
			return 0, err
		}
		first, ok := firstOf(versions)
		if ok && needed(first.Key) && first.Created.Add(lockTime(l.lock)).Before(soon) {
			aging = append(aging, first)
		}
	}
	var mu sync.Mutex
	err = EachAtOnce(ctx, len(aging), locksAtOnce, func(ctx context.Context, i int) error {
		v := aging[i]
		until, err := l.versions.LockedUntil(ctx, v.Key, v.ID)
		if err == nil && until.At.Before(soon) {
			err = l.versions.Lock(ctx, v.Key, v.ID, end)
			mu.Lock()
			defer mu.Unlock()
			extended++
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // another keeper deleted it meanwhile
		}
		return err
	})
	return extended, err
}

// firstOf is the oldest version of one key that is an object.
func firstOf(versions []blob.Version) (first blob.Version, ok bool) {
	for _, v := range slices.Backward(versions) {
		if !v.Hides {
			return v, true
		}
	}
	return first, false
}

// byKey lists versions, those of one key together.
func (l *Locks) byKey(ctx context.Context, prefix string) func(yield func([]blob.Version, error) bool) {
	return func(yield func([]blob.Version, error) bool) {
		var of []blob.Version
		for v, err := range l.versions.List(ctx, prefix) {
			if err != nil {
				yield(nil, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if len(of) > 0 && of[0].Key != v.Key {
				if !yield(of, nil) {
					return
				}
				of = nil
			}
			of = append(of, v)
		}
		if len(of) > 0 {
			yield(of, nil)
		}
	}
}

// EachAtOnce calls do with 0 to n-1, so many at once, until one fails.
func EachAtOnce(ctx context.Context, n, atOnce int, do func(ctx context.Context, i int) error) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := 0; i < n && groupCtx.Err() == nil; i++ {
		group.Go(func() error { return do(groupCtx, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err() // then not all were begun
}
