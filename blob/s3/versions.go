package s3store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
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

// List is [blob.Versions.List].
func (v versions) List(ctx context.Context, prefix string) iter.Seq2[blob.Version, error] {
	return func(yield func(blob.Version, error) bool) {
		s := v.store
		root, last := s.key(""), ""
		opts := minio.ListObjectsOptions{Prefix: root + prefix, Recursive: true, WithVersions: true}
		for object := range s.api.ListObjectsIter(ctx, s.opts.Bucket, opts) {
			key := strings.TrimPrefix(object.Key, root)
			err := object.Err
			if err != nil {
				err = fmt.Errorf("list versions of %q: %w", prefix, s.explain(ctx, actionListVersions, prefix, err))
			} else if key < last {
				err = fmt.Errorf("list versions of %q: the server lists %q behind %q: coldstream needs listings in the order of keys", prefix, key, last)
			}
			if err != nil {
				yield(blob.Version{}, err)
				return
			}
			if last = key; blob.CheckKey(key) != nil {
				continue
			}
			if !yield(blob.Version{
				Entry: blob.Entry{Key: key, SizeBytes: object.Size}, ID: object.VersionID, Created: object.LastModified, Hides: object.IsDeleteMarker,
			}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil { // the client ends a listing without a word
			yield(blob.Version{}, err)
		}
	}
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
