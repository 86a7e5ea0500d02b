//go:build long

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"coldstream/blob/storetest"
)

// as gives the test credentials that may do what a job's policy of deploy/policies allows under a
// prefix, and nothing besides.
func (b bucket) as(t *testing.T, job, prefix string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/policies/s3-" + job + ".json")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range b.Session(t, strings.NewReplacer("BUCKET", b.Bucket, "PREFIX", prefix).Replace(string(text))) {
		t.Setenv(name, value)
	}
}

// jobs runs whole commands with each policy: a writer backs up and restores, a reader verifies and
// restores with --state, a keeper frees; what the policy does not allow is refused with the line that
// it lacks, or costs nothing.
func (b bucket) jobs(t *testing.T) {
	w, prefix := b.newWorldIn(t)
	w.fill("kept", 2, 200)
	b.Setenv(t)
	t.Run("writer", func(t *testing.T) { b.writer(t, w, prefix) })
	t.Run("reader", func(t *testing.T) {
		b.as(t, "reader", prefix)
		b.readerAs(t, w)
	})
	t.Run("keeper", func(t *testing.T) {
		b.as(t, "keeper", prefix)
		w.backup("kept")
		garbage := b.count(t, prefix, "epochs", "*", "base")
		w.run("forget", "--keep-last", "1").must(t, exitDone)
		w.run("prune").must(t, exitDone)
		if left := b.count(t, prefix, "epochs", "*", "base"); left >= garbage || left > 2 {
			t.Errorf("%d of %d bases are left: what the writer could not delete", left, garbage)
		}
		w.verify()
		w.restoreAs("kept", "kept-at-last", "--offsets", "exact")
		sameContent(t, w.read("kept-at-last"), w.read("kept"))
	})
}

// lockedJobs has the policies for vaults with a lock: a writer's objects are locked, a turn of a writer
// leaves garbage alone, and a keeper extends and frees.
func (b bucket) lockedJobs(t *testing.T) {
	s := b.LockingBucket(t, "locked-jobs")
	b.S3 = s.S3
	w, prefix := newWorld(t), storetest.NewPrefix()
	w.vault = b.URL(prefix)
	b.as(t, "writer", prefix)
	w.run("init", "--lock", "4s").must(t, exitFailed).says(t, "s3:PutObjectRetention")
	prefix = storetest.NewPrefix()
	w.vault = b.URL(prefix)
	b.as(t, "writer-locked", prefix)
	w.run("init", "--lock", "4s").must(t, exitDone)
	w.fill("jobs", 1, 100)
	w.backup("jobs")
	w.turn()
	same(t, "objects that the owner could delete", s.deleted(t, prefix), 0)
	b.as(t, "keeper-locked", prefix)
	extended := 0
	w.await("a lock is made longer and a commit goes", func() bool {
		var p pruneDocument
		w.run("prune").must(t, exitDone).into(t, &p)
		extended += p.LocksExtended
		return extended > 0 && b.count(t, prefix, "commits", "0000000000", "*") == 0
	})
	w.verify()
}

// count is how many of the server's folders of objects fit a pattern.
func (b bucket) count(t *testing.T, prefix string, pattern ...string) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(append([]string{b.Dir, filepath.FromSlash(prefix)}, pattern...)...))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// writer makes a vault old with credentials that may not delete: garbage stays, and nobody is warned.
func (b bucket) writer(t *testing.T, w *world, prefix string) {
	b.as(t, "writer", prefix)
	for range 4 {
		o := w.run("backup", "-b", w.bootstrap, "-t", "kept").must(t, exitDone)
		if strings.Contains(o.stderr, "warning") {
			t.Errorf("a backup warns:\n%s", o.stderr)
		}
		w.turn()
		w.produce(someRecords(newRandom(t), "kept", 0, 20)...)
	}
	w.backup("kept")
	w.verify()
	w.restoreAs("kept", "kept-by-writer", "--offsets", "exact")
	sameContent(t, w.read("kept-by-writer"), w.read("kept"))
	if bases := b.count(t, prefix, "epochs", "*", "base"); bases < 4 {
		t.Errorf("%d bases: a writer deleted", bases)
	}
}

// readerAs restores without a put.
func (b bucket) readerAs(t *testing.T, w *world) {
	var writes atomic.Int32
	direct := w.vault
	w.vault, _ = b.through(t, direct, func(_ int, r *http.Request) storetest.Fault {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			writes.Add(1)
		}
		return storetest.Fault{}
	})
	w.run("verify", "--deep").must(t, exitDone)
	w.run("snapshots").must(t, exitDone)
	w.restoreAs("kept", "kept-by-reader", "--state", filepath.Join(t.TempDir(), "state"))
	sameContent(t, w.read("kept-by-reader"), w.read("kept"))
	same(t, "requests that write", writes.Load(), int32(0))
	w.vault = direct
	w.produce(someRecords(newRandom(t), "kept", 0, 5)...)
	w.run("backup", "-b", w.bootstrap, "-t", "kept").must(t, exitFailed).says(t, `"Action":"s3:PutObject"`)
	w.run("prune").must(t, exitFailed).says(t, `"Action":"s3:PutObject"`)
}
