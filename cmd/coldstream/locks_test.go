package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"coldstream/blob/storetest"
)

// locked is a vault whose objects are locked: they cannot be deleted by anybody, prune leaves them and
// frees them later, and makes locks of what is needed longer.
func (b bucket) locked(t *testing.T) {
	notLocking := b.vault(storetest.NewPrefix())
	command(t, nil, "init", "--lock", "30d", "--vault", notLocking).must(t, exitFailed).says(t, "--object-lock-enabled-for-bucket")
	command(t, nil, "snapshots", "--vault", notLocking).must(t, exitNoVault)
	s := b.LockingBucket(t, "locking")
	w, prefix := newWorld(t), storetest.NewPrefix()
	w.vault = s.URL(prefix)
	var made initDocument
	w.run("init", "--lock", "4s").must(t, exitDone).into(t, &made)
	if made.LockMode != "governance" || made.LockSeconds != 4 {
		t.Errorf("made %+v", made)
	}
	w.fill("locked", 1, 300)
	w.backup("locked")
	w.deleteRecords("locked", 300)
	w.produce(someRecords(newRandom(t), "locked", 0, 50)...)
	w.backup("locked")
	if packs := s.versions(t, prefix+"/packs/"); len(packs) != 2 {
		t.Fatalf("packs: %v", packs)
	}
	same(t, "objects that the owner could delete", s.deleted(t, prefix), 0)
	w.run("forget", "--keep-last", "1").must(t, exitDone)
	var p pruneDocument
	w.run("prune").must(t, exitDone).into(t, &p)
	if p.ObjectsLocked == 0 || p.BytesLocked == 0 {
		t.Errorf("prune at once: %+v, want that locked objects are left and told", p)
	}
	extended := p.LocksExtended
	var packs []minio.ObjectInfo
	w.await("the pack that nothing needs is freed", func() bool {
		w.run("prune").must(t, exitDone).into(t, &p)
		extended += p.LocksExtended
		packs = s.versions(t, prefix+"/packs/")
		return len(packs) == 1
	})
	if extended == 0 {
		t.Error("no lock was made longer")
	}
	kept := packs[0]
	w.await("the lock of the kept pack would have ended", func() bool {
		w.run("prune").must(t, exitDone)
		return time.Since(kept.LastModified) > 5*time.Second
	})
	if err := s.Admin.RemoveObject(t.Context(), s.Bucket, kept.Key, minio.RemoveObjectOptions{VersionID: kept.VersionID}); err == nil {
		t.Error("a pack that is needed could be deleted")
	}
	w.verify()
	w.restoreAs("locked", "locked-copy", "--offsets", "exact")
	sameContent(t, w.read("locked-copy"), w.read("locked"))
}

// lockedBucket is a bucket that locks objects, as its owner sees it.
type lockedBucket struct{ *storetest.S3 }

// LockingBucket is [storetest.S3.LockingBucket].
func (b bucket) LockingBucket(t *testing.T, name string) lockedBucket {
	t.Helper()
	return lockedBucket{b.S3.LockingBucket(t, name)}
}

// versions are those of all objects under a prefix, hidden ones too.
func (s lockedBucket) versions(t *testing.T, prefix string) (out []minio.ObjectInfo) {
	t.Helper()
	for o := range s.Admin.ListObjectsIter(t.Context(), s.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		out = append(out, o)
	}
	return out
}

// deleted tries to delete every version under a prefix, and counts those that went.
func (s lockedBucket) deleted(t *testing.T, prefix string) (n int) {
	t.Helper()
	all := s.versions(t, prefix+"/")
	if len(all) == 0 {
		t.Fatalf("nothing under %s", prefix)
	}
	for _, o := range all {
		if s.Admin.RemoveObject(t.Context(), s.Bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID}) == nil {
			n++
		}
	}
	return n
}

func TestLocksAreRefusedWhereThereAreNone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "vault")
	for _, c := range []struct{ args, says string }{
		{"--lock 30d --vault " + folder, "is a folder"},
		{"--lock 30d --vault gs://bucket/prefix", "docs/storage.md"},
		{"--lock 30d --vault azblob://container/prefix?account=account", "docs/storage.md"},
		{"--lock soon --vault s3://bucket/prefix", "30d"},
		{"--lock 1500ms --vault s3://bucket/prefix", "whole seconds"},
		{"--lock 0d --vault s3://bucket/prefix", "no length of time"},
		{"--lock 5300w --vault s3://bucket/prefix", "100 years"},
		{"--lock-mode compliance --vault s3://bucket/prefix", "--lock"},
		{"--lock 30d --lock-mode strict --vault s3://bucket/prefix", "governance or compliance"},
	} {
		command(t, nil, append([]string{"init"}, strings.Fields(c.args)...)...).must(t, exitUsage).says(t, c.says)
	}
	command(t, nil, "snapshots", "--vault", folder).must(t, exitNoVault)
}
