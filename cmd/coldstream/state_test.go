package main

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"coldstream/blob/storetest"
)

// filesOf is every file and folder of a vault, with its mode, size and time of change.
func filesOf(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		out = append(out, path+" "+info.Mode().String()+" "+info.ModTime().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readOnly takes the right to write to a folder, and all below, from everybody but root.
func readOnly(t *testing.T, root string) {
	t.Helper()
	chmod := func(folders, files os.FileMode) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir():
				return os.Chmod(path, folders)
			}
			return os.Chmod(path, files)
		})
		if err != nil {
			t.Error(err)
		}
	}
	chmod(0o555, 0o444)
	t.Cleanup(func() { chmod(0o755, 0o644) })
}

// A reader restores with --state, without a change to the vault, and sets groups later through
// the file; verify changes nothing either.
func TestRestoreFromAVaultThatIsOnlyRead(t *testing.T) {
	w := newFakeWorld(t)
	w.fill("orders", 2, 100)
	w.commit("billing", kadm.Offset{Topic: "orders", Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "m"})
	w.backup("orders")
	readOnly(t, w.vault)
	before := filesOf(t, w.vault)
	state := filepath.Join(t.TempDir(), "it's state")

	w.run("verify", "--deep").must(t, exitDone)
	args := []string{"-t", "orders", "--map", "orders=copy", "--state", state}
	w.restoring(append(args, "--dry-run")...).must(t, exitDone).says(t, "warning: with a state file nothing is written to the vault")
	if _, err := os.Lstat(state); err == nil {
		t.Error("a dry run wrote the state file")
	}
	var r restoreReport
	w.restoring(args...).must(t, exitDone).says(t, "if forget and prune take it away meanwhile, the restore fails").into(t, &r)
	sameContent(t, w.read("copy"), w.read("orders"))
	written, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}

	w.restoring("-t", "orders", "--map", "orders=other", "--state", state).must(t, exitFailed).says(t, "is there already")
	w.restoring("-t", "orders", "--map", "orders=other", "--state", filepath.Join(state, "below")).must(t, exitFailed).says(t, "cannot be made")
	if now, err := os.ReadFile(state); err != nil || string(now) != string(written) || w.exists("other") {
		t.Errorf("a restore that was refused changed something (%v)", err)
	}
	w.restoring("--groups-only").must(t, exitUsage).says(t, "the vault knows no restore")
	w.restoring("--groups-only", "--state", state+"2").must(t, exitUsage).says(t, "is not there")
	w.restore("--groups-only", "--state", state, "--restore", r.Restore[:8])
	same(t, "offsets", w.committed("billing")["copy-0"], "7 m")
	w.run("verify").must(t, exitDone)
	same(t, "the vault", filesOf(t, w.vault), before)
}

// reader has a server that denies everything but reading, and with --state is asked for nothing else.
func (b bucket) reader(t *testing.T) {
	w, _ := b.newWorldIn(t)
	w.fill("lent", 2, 100)
	w.commit("billing", kadm.Offset{Topic: "lent", Partition: 1, At: 9, LeaderEpoch: -1})
	w.backup("lent")
	var denied atomic.Int32
	w.vault, _ = b.through(t, w.vault, func(_ int, r *http.Request) storetest.Fault {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return storetest.Fault{}
		}
		denied.Add(1)
		return storetest.Fault{Status: http.StatusForbidden}
	})
	w.run("verify", "--deep").must(t, exitDone)
	state := filepath.Join(t.TempDir(), "state")
	w.restoreAs("lent", "lent-copy", "--state", state)
	sameContent(t, w.read("lent-copy"), w.read("lent"))
	w.restore("--groups-only", "--state", state)
	same(t, "offsets", w.committed("billing")["lent-copy-1"], "9 ")
	same(t, "requests that write", denied.Load(), int32(0))
	w.restoring("-t", "lent", "--map", "lent=never").must(t, exitFailed).says(t, "keep the restore's record in the vault", "--state FILE")
	same(t, "requests that write, and the topic", []bool{denied.Load() > 0, w.exists("never")}, []bool{true, false})
}
