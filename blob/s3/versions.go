package s3store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"coldstream/blob"
)

var _ blob.Versioner = (*Store)(nil)

// Versions is [blob.Versioner].
func (s *Store) Versions() blob.Versions { return versions{s} }

// versions are those of a bucket's objects. A bucket without versions has one of each.
type versions struct{ store *Store }

// Locking is [blob.Versions.Locking].
func (v versions) Locking(lock blob.Lock) blob.Store {
	other := *v.store
	other.lock = &lock
	return &other
}

func modeOf(compliance bool) minio.RetentionMode { //nolint:revive // it converts
	if compliance {
		return minio.Compliance
	}
	return minio.Governance
}

// lockEnd is when a lock ends that begins now: by the real clock, which requests are signed with
// too, so that the server refuses one that is far off.
func lockEnd(lock *blob.Lock) time.Time {
	return time.Now().Add(lock.For) //nolint:forbidigo // see above
}

// pageOfVersions is the most that a server lists in one answer.
const pageOfVersions = 1000

// List is [blob.Versions.List]. Some servers list what hides objects behind the versions of a whole
// answer, so two answers are put in order at a time.
func (v versions) List(ctx context.Context, prefix string) iter.Seq2[blob.Version, error] {
	return func(yield func(blob.Version, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		o := &ordering{}
		opts := minio.ListObjectsOptions{Prefix: v.store.key("") + prefix, Recursive: true, WithVersions: true}
		for object := range v.store.api.ListObjectsIter(ctx, v.store.opts.Bucket, opts) {
			if object.Err != nil {
				yield(blob.Version{}, fmt.Errorf("list versions of %q: %w", prefix, v.store.explain(ctx, actionListVersions, prefix, object.Err)))
				return
			}
			o.add(&object, strings.TrimPrefix(object.Key, v.store.key("")))
			if len(o.waiting) >= 2*pageOfVersions && !o.give(pageOfVersions, yield) {
				return
			}
		}
		if err := ctx.Err(); err != nil { // the client ends a listing without a word
			yield(blob.Version{}, err)
			return
		}
		o.give(len(o.waiting), yield)
	}
}

// ordering puts versions in the order of their keys, and of each the newest first.
type ordering struct {
	waiting []listedVersion
	last    string
}

type listedVersion struct {
	blob.Version
	latest bool
}

func (o *ordering) add(object *minio.ObjectInfo, key string) {
	if blob.CheckKey(key) != nil {
		return
	}
	o.waiting = append(o.waiting, listedVersion{blob.Version{
		Entry: blob.Entry{Key: key, SizeBytes: object.Size}, ID: object.VersionID, Created: object.LastModified, Hides: object.IsDeleteMarker,
	}, object.IsLatest})
}

// give yields the first n. Where times are the same, the order of the server counts.
func (o *ordering) give(n int, yield func(blob.Version, error) bool) bool {
	slices.SortStableFunc(o.waiting, func(a, b listedVersion) int {
		switch {
		case a.Key != b.Key:
			return strings.Compare(a.Key, b.Key)
		case a.latest != b.latest && a.latest:
			return -1
		case a.latest != b.latest:
			return 1
		}
		return b.Created.Compare(a.Created)
	})
	for i := range n {
		of := &o.waiting[i]
		if of.Key < o.last {
			yield(blob.Version{}, fmt.Errorf("the server lists versions of %q behind %q: coldstream needs listings in the order of keys", of.Key, o.last))
			return false
		}
		o.last = of.Key
		if !yield(of.Version, nil) {
			return false
		}
	}
	o.waiting = slices.Delete(o.waiting, 0, n)
	return true
}

// Delete is [blob.Versions.Delete].
func (v versions) Delete(ctx context.Context, key, id string) error {
	err := check(ctx, key)
	if err == nil {
		err = v.store.api.RemoveObject(ctx, v.store.opts.Bucket, v.store.key(key), minio.RemoveObjectOptions{VersionID: id})
		err = v.store.explain(ctx, actionDeleteVersion, key, err)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("delete version %s of %s: %w", id, key, err)
	}
	return nil
}

// LockedUntil is [blob.Versions.LockedUntil]. The headers of an object have it: the answers to
// a question of its own differ between servers.
func (v versions) LockedUntil(ctx context.Context, key, id string) (end blob.LockEnd, err error) {
	if err = check(ctx, key); err == nil {
		end, err = v.locked(ctx, key, id)
	}
	if err != nil {
		return blob.LockEnd{}, fmt.Errorf("read the lock of %s: %w", key, err)
	}
	return end, nil
}

func (v versions) locked(ctx context.Context, key, id string) (end blob.LockEnd, err error) {
	opts := v.store.getOptions()
	opts.VersionID = id
	info, err := v.store.api.StatObject(ctx, v.store.opts.Bucket, v.store.key(key), opts)
	if err != nil {
		return end, v.store.explain(ctx, actionGetVersion, key, err)
	}
	end.Compliance = strings.EqualFold(info.Metadata.Get("X-Amz-Object-Lock-Mode"), string(minio.Compliance))
	if text := info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"); text != "" {
		if end.At, err = time.Parse(time.RFC3339, text); err != nil {
			return end, fmt.Errorf("the server says %q for the end of a lock", text)
		}
	}
	return end, nil
}

// Lock is [blob.Versions.Lock]: servers refuse to make a lock shorter without a header for that.
func (v versions) Lock(ctx context.Context, key, id string, until blob.LockEnd) error {
	err := check(ctx, key)
	if err == nil {
		mode := modeOf(until.Compliance)
		err = v.store.api.PutObjectRetention(ctx, v.store.opts.Bucket, v.store.key(key), minio.PutObjectRetentionOptions{
			Mode: &mode, RetainUntilDate: &until.At, VersionID: id,
		})
		err = v.store.explain(ctx, actionPutLock, key, err)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", key, err)
	}
	return nil
}

// isOfLocks says that a request was refused for a lock that there is, or for one that there cannot be.
// Amazon says so of the first with AccessDenied.
func isOfLocks(answer *minio.ErrorResponse) bool {
	said := strings.ToLower(answer.Message)
	return answer.StatusCode == http.StatusBadRequest && strings.HasPrefix(answer.Code, "Invalid") &&
		(strings.Contains(said, "lock") || strings.Contains(said, "worm"))
}
