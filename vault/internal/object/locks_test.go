package object_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/storetest"
	"coldstream/internal/stores"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// locked is the objects of a vault with a lock, in a bucket that locks.
type locked struct {
	*testing.T
	bucket  *storetest.S3
	objects *object.Store
	blobs   blob.Store
	moments int
}

func newLocked(t *testing.T, seconds int64) *locked {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server: run without -short")
	}
	l := &locked{T: t, bucket: storetest.VersionedVersitygw(t).LockingBucket(t, "locked")}
	l.bucket.Setenv(t)
	at, err := stores.Parse(l.bucket.URL("vault"), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if l.blobs, err = at.Open(t.Context(), coldstream.NoObserver{}); err != nil {
		t.Fatal(err)
	}
	l.objects = object.New(l.blobs, &format.VaultInfo{Lock: format.Lock{Mode: format.LockGovernance, Seconds: seconds}})
	return l
}

func (l *locked) create(key string) {
	l.Helper()
	if err := l.objects.CreatePlain(l.Context(), key, []byte(key)); err != nil {
		l.Fatal(err)
	}
}

// now is the locks at this moment, which an object that is stored now tells.
func (l *locked) now() *object.Locks {
	l.Helper()
	l.moments++
	key := "moments/" + strings.Repeat("x", l.moments)
	l.create(key)
	locks, err := l.objects.Locks(l.Context(), key)
	if err != nil {
		l.Fatal(err)
	}
	return locks
}

func (l *locked) sweep(keys string) (left []string) {
	l.Helper()
	entries, err := l.now().Sweep(l.Context(), "packs/", func(key string) bool { return strings.Contains(keys, key) })
	if err != nil {
		l.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Key)
	}
	return left
}

func (l *locked) keep(key string) int {
	l.Helper()
	extended, err := l.now().Keep(l.Context(), "packs/", func(k string) bool { return k == key })
	if err != nil {
		l.Fatal(err)
	}
	return extended
}

// versions are those of a key, the newest first.
func (l *locked) versions(key string) (out []blob.Version) {
	l.Helper()
	for v, err := range blob.VersionsOf(l.blobs).List(l.Context(), key) {
		if err != nil {
			l.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// TestLocksOfAVault: what is garbage goes with all its versions once its lock has ended, and not before;
// of what is needed the first version stays locked, whoever stored another over it.
func TestLocksOfAVault(t *testing.T) {
	const seconds = 4
	l := newLocked(t, seconds)
	for _, key := range []string{"packs/garbage", "packs/needed", "packs/other"} {
		l.create(key)
	}
	began := time.Now()
	for _, name := range []string{"vault/packs/garbage", "vault/packs/needed"} {
		if _, err := l.bucket.Admin.PutObject(t.Context(), l.bucket.Bucket, name, strings.NewReader("thief"), 5, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if left := l.sweep("packs/garbage"); len(left) != 1 || len(l.versions("packs/garbage")) != 2 {
		t.Errorf("at once: left %v, want that garbage stays as it is and is told", left)
	}
	if n := l.keep("packs/needed"); n != 0 {
		t.Errorf("at once: %d locks were made longer, want none", n)
	}
	extended := 0
	for deadline := time.After(time.Minute); extended == 0 || time.Since(began) < (seconds+2)*time.Second; {
		extended += l.keep("packs/needed")
		select {
		case <-deadline:
			t.Fatal("no lock is made longer")
		case <-time.After(500 * time.Millisecond):
		}
	}
	of := l.versions("packs/needed")
	if err := blob.VersionsOf(l.blobs).Delete(t.Context(), "packs/needed", of[len(of)-1].ID); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the first version of what is needed is deleted: %v", err)
	}
	if left := l.sweep("packs/garbage packs/needed"); len(left) != 1 || left[0] != "packs/needed" {
		t.Errorf("left %v, want the object alone whose lock was made longer", left)
	}
	if of := l.versions("packs/garbage"); len(of) != 0 {
		t.Errorf("of garbage there are %+v", of)
	}
	if of := l.versions("packs/needed"); len(of) == 0 || of[len(of)-1].SizeBytes != int64(len("packs/needed")) {
		t.Errorf("of what is needed there are %+v, want the first version", of)
	}
	if of := l.versions("packs/other"); len(of) != 1 {
		t.Errorf("of what is no garbage there are %+v", of)
	}
}
