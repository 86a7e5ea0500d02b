package s3store_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"coldstream/blob"
	"coldstream/blob/storetest"
)

func TestVersionsAndLocks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server: run without -short")
	}
	locksAndVersions(t, storetest.VersionedVersitygw(t), false)
}

// locksAndVersions takes one object through what may happen to it. One server does not tell when a
// lock ends.
func locksAndVersions(t *testing.T, s *storetest.S3, tells bool) {
	plain := open(t, s, nil)
	lock := blob.Lock{For: time.Hour}
	if err := plain.Versions().Locking(lock).Create(t.Context(), "a/key", []byte("first")); !errors.Is(err, blob.ErrNoLocks) {
		t.Errorf("in a bucket without locks: %v, want blob.ErrNoLocks", err)
	}
	s = s.LockingBucket(t, "locking")
	store := open(t, s, nil)
	all := store.Versions()
	locking := all.Locking(lock)
	if err := locking.Create(t.Context(), "a/key", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := locking.Create(t.Context(), "a/key", []byte("other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create again: %v, want fs.ErrExist", err)
	}
	if _, err := s.Admin.PutObject(t.Context(), s.Bucket, "a/b/a/key", strings.NewReader("overwritten"), 11, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := locking.Delete(t.Context(), "a/key"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Read(t.Context(), "a/key", 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of what was deleted: %v, want fs.ErrNotExist", err)
	}
	versions := versionsOf(t, all, "a/")
	if len(versions) != 3 || !versions[0].Hides || versions[1].SizeBytes != 11 || versions[2].SizeBytes != 5 {
		t.Fatalf("versions %+v, want what hides, what overwrote, and the first", versions)
	}
	first := versions[2].ID
	end, err := all.LockedUntil(t.Context(), "a/key", first)
	until := versions[2].Created.Add(lock.For)
	if tells {
		until = end.At
	}
	if err != nil || until.Sub(versions[2].Created) < lock.For-2*time.Second {
		t.Errorf("locked until %v, created %v: %v", until, versions[2].Created, err)
	}
	if none, err := all.LockedUntil(t.Context(), "a/key", versions[1].ID); err != nil || !none.At.IsZero() {
		t.Errorf("what has no lock is locked until %v, %v", none, err)
	}
	if err := all.Delete(t.Context(), "a/key", first); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("delete of a locked version: %v, want fs.ErrPermission", err)
	}
	longer := until.Add(time.Hour).Truncate(time.Second)
	if err := all.Lock(t.Context(), "a/key", first, blob.LockEnd{At: longer}); err != nil {
		t.Error(err)
	}
	if err := all.Lock(t.Context(), "a/key", first, blob.LockEnd{At: until.Add(-time.Minute)}); err == nil || errors.Is(err, blob.ErrTemporary) {
		t.Errorf("a lock that would be shorter: %v, want an error", err)
	}
	if until, err := all.LockedUntil(t.Context(), "a/key", first); err != nil || tells && !until.At.Equal(longer) {
		t.Errorf("the lock lasts until %v, %v, want %v: it was made longer, and not shorter", until, err, longer)
	}
	for _, v := range versions[:2] {
		if err := all.Delete(t.Context(), "a/key", v.ID); err != nil {
			t.Error(err)
		}
	}
	if body, err := store.Read(t.Context(), "a/key", 0, 5); string(body) != "first" {
		t.Errorf("read %q, %v, want the first version again", body, err)
	}
	compliance(t, all)
}

// compliance is a lock that nobody ends; the mode stays when it is made longer.
func compliance(t *testing.T, all blob.Versions) {
	if err := all.Locking(blob.Lock{For: time.Second, Compliance: true}).Create(t.Context(), "c/key", nil); err != nil {
		t.Fatal(err)
	}
	v := versionsOf(t, all, "c/")[0]
	if err := all.Lock(t.Context(), "c/key", v.ID, blob.LockEnd{Compliance: true, At: v.Created.Add(3 * time.Second)}); err != nil {
		t.Error(err)
	}
	if err := all.Delete(t.Context(), "c/key", v.ID); err == nil {
		t.Error("a locked version was deleted")
	}
	for deadline := time.After(20 * time.Second); all.Delete(t.Context(), "c/key", v.ID) != nil; {
		select {
		case <-deadline:
			t.Fatal("the lock does not end")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func versionsOf(t *testing.T, all blob.Versions, prefix string) []blob.Version {
	t.Helper()
	var out []blob.Version
	for v, err := range all.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}
