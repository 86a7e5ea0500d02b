package fsstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// age makes files older than they are.
func age(t *testing.T, by time.Duration, names ...string) {
	t.Helper()
	for _, name := range names {
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		old := info.ModTime().Add(-by)
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSweep(t *testing.T) {
	s, dir := newStore(t)
	old := []string{".tmp/0123456789abcdef01234567", ".tmp/fedcba9876543210fedcba98"}
	kept := []string{".tmp/0123456789abcdef0123abcd", ".tmp/0123456789abcdef", ".tmp/README", "0123456789abcdef01234567"}
	for _, name := range append(append([]string{}, old...), kept...) {
		write(t, dir, name)
		age(t, tempLifetime+time.Minute, filepath.Join(dir, name))
	}
	age(t, -2*time.Minute, filepath.Join(dir, kept[0])) // not old enough: its writer may be at it
	mustCreate(t, s, "a")
	want := []string{".tmp/0123456789abcdef", ".tmp/0123456789abcdef0123abcd", ".tmp/README", "0123456789abcdef01234567", "a"}
	if diff := cmp.Diff(want, filesIn(t, dir)); diff != "" {
		t.Errorf("at the first Create (-want +got):\n%s", diff)
	}
	// Later the next one is swept by the same process when it begins a new folder.
	age(t, 2*time.Minute, filepath.Join(dir, kept[0]))
	mustCreate(t, s, "b/c")
	want = []string{".tmp/0123456789abcdef", ".tmp/README", "0123456789abcdef01234567", "a", "b/c"}
	if diff := cmp.Diff(want, filesIn(t, dir)); diff != "" {
		t.Errorf("at a new folder (-want +got):\n%s", diff)
	}
}

// A writer slower than the sweep's patience loses its temporary file, and nothing else.
func TestSweptUnderWriter(t *testing.T) {
	s, dir := newStore(t)
	swept := 0
	s.flush = func(f *os.File) error {
		if swept == 0 && strings.Contains(f.Name(), tempDir+"/") {
			swept++
			age(t, tempLifetime+time.Minute, f.Name())
			other, err := Open(dir)
			if err != nil {
				return err
			}
			mustCreate(t, other, "other")
			if _, err := os.Lstat(f.Name()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("not swept: %v", err)
			}
			return errors.Join(f.Sync(), other.Close())
		}
		return f.Sync()
	}
	mustCreate(t, s, "slow/a")
	wantKeys(t, s, "other", "slow/a")
	wantWhole(t, s, "slow/a")
	if swept != 1 {
		t.Error("nothing was swept")
	}
}

var randomName = regexp.MustCompile(`[0-9a-f]{24}`)

// journal records what is synced, and whether key has its name by then.
func journal(s *Store, dir, key string) *[]string {
	var events []string
	s.flush = func(f *os.File) error {
		name, err := filepath.Rel(dir, f.Name())
		if err != nil {
			return err
		}
		there := "before"
		if _, err := os.Lstat(filepath.Join(dir, key)); err == nil {
			there = "after"
		}
		events = append(events, there+" "+randomName.ReplaceAllString(filepath.ToSlash(name), "temp"))
		return f.Sync()
	}
	return &events
}

// The bytes are on disk before they have a name, the name and all folders above it
// before Create returns.
func TestSyncOrder(t *testing.T) {
	s, dir := newStore(t)
	steps := []struct {
		key  string
		want []string
	}{
		{"a/b/c", []string{"before .", "before a", "before .", "before .tmp/temp", "after a/b"}},
		{"a/b/d", []string{"before .tmp/temp", "after a/b"}},
		{"a/e/f", []string{"before a", "before .tmp/temp", "after a/e"}},
		{"g", []string{"before .tmp/temp", "after ."}},
	}
	for _, step := range steps {
		events := journal(s, dir, step.key)
		mustCreate(t, s, step.key)
		if diff := cmp.Diff(onUnix(step.want), *events); diff != "" {
			t.Errorf("Create(%q) (-want +got):\n%s", step.key, diff)
		}
	}
	// Who finds a key taken may build on it; who made it may have been killed before the
	// folder was synced.
	other, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	events := journal(other, dir, "a/b/c")
	if err := other.Create(t.Context(), "a/b/c", nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of what is there: %v", err)
	}
	if diff := cmp.Diff(onUnix([]string{"after .", "after a", "after a/b"}), *events); diff != "" {
		t.Errorf("Create of what is there (-want +got):\n%s", diff)
	}
	events = journal(s, dir, "a/b/c")
	if err := errors.Join(s.Delete(t.Context(), "a/b/c"), s.Delete(t.Context(), "a/b/c")); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(onUnix([]string{"before a/b", "before a/b"}), *events); diff != "" {
		t.Errorf("Delete (-want +got):\n%s", diff)
	}
}

// Every sync, in turn, fails: no object without its bytes on disk, nothing left behind,
// and no success on the strength of a sync that failed.
func TestSyncFails(t *testing.T) {
	for n := 1; ; n++ {
		s, dir := newStore(t)
		count, failed := 0, ""
		s.flush = func(f *os.File) error {
			if count++; count == n {
				failed = f.Name()
				return &fs.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
			}
			return f.Sync()
		}
		err := s.Create(t.Context(), "a/b", bodyOf("a/b"))
		if failed == "" {
			if err != nil || n == 1 {
				t.Errorf("after %d failures: %v", n-1, err)
			}
			return
		}
		if !errors.Is(err, syscall.EIO) || errors.Is(err, fs.ErrExist) {
			t.Errorf("sync %d of %s fails: %v", n, failed, err)
		}
		for _, name := range filesIn(t, dir) {
			if name != "a/b" {
				t.Errorf("sync %d of %s fails: it leaves %s", n, failed, name)
			}
		}
		// The same again: what was not synced is synced now.
		events := journal(s, dir, "a/b")
		err = s.Create(t.Context(), "a/b", bodyOf("a/b"))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Errorf("once more: %v", err)
		}
		wantWhole(t, s, "a/b")
		synced := fmt.Sprint(*events)
		if name, _ := filepath.Rel(dir, failed); !strings.Contains(synced, " "+randomName.ReplaceAllString(filepath.ToSlash(name), "temp")) {
			t.Errorf("sync %d of %s failed, and once more synced only %s", n, failed, synced)
		}
	}
}

// A key that is taken, but not known to be durable, is not said to be taken.
func TestTakenAndSyncFails(t *testing.T) {
	s, _ := newStore(t)
	mustCreate(t, s, "a/b")
	s.flush = func(*os.File) error { return syscall.EIO }
	if onUnix([]string{"."}) == nil {
		return // folders are not synced on this system
	}
	if err := s.Create(t.Context(), "a/b", nil); !errors.Is(err, syscall.EIO) || errors.Is(err, fs.ErrExist) {
		t.Errorf("Create: %v, want the sync's error alone", err)
	}
}

// Some file systems cannot sync folders, and say so in one of several ways; of a file
// that cannot be synced nobody may say that it is saved.
func TestFoldersThatCannotBeSynced(t *testing.T) {
	for _, cannot := range []error{syscall.EINVAL, syscall.ENOTSUP, syscall.ENOSYS, syscall.ENOTTY} {
		s, _ := newStore(t)
		s.flush = func(f *os.File) error {
			if info, err := f.Stat(); err != nil || info.IsDir() {
				return errors.Join(err, &fs.PathError{Op: "sync", Path: f.Name(), Err: cannot})
			}
			return f.Sync()
		}
		mustCreate(t, s, "a/b")
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Errorf("%v: %v", cannot, err)
		}
		s.flush = func(*os.File) error { return cannot }
		if err := s.Create(t.Context(), "a/c", nil); err == nil {
			t.Errorf("%v of a file: saved", cannot)
		}
		wantKeys(t, s)
	}
}

// A network file system that lost its own answer to a link asks again, and hears that
// the name is taken.
func TestLinkAnswerLost(t *testing.T) {
	s, _ := newStore(t)
	mustCreate(t, s, "a") // makes the folder
	ours, err := s.writeTemp(bodyOf("b"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := s.writeTemp(bodyOf("b"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.root.Link(ours.name, "b"); err != nil {
		t.Fatal(err)
	}
	if err := s.publish(ours.name, "b"); err != nil {
		t.Errorf("our own link: %v", err)
	}
	if err := s.publish(theirs.name, "b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("equal bytes of somebody else: %v, want fs.ErrExist", err)
	}
}

func TestPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "vault")
	s, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustCreate(t, s, "a/b")
	for name, want := range map[string]fs.FileMode{"..": 0o700, ".": 0o700, "a": 0o700, tempDir: 0o700, "a/b": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want && onUnix([]string{"."}) != nil {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
