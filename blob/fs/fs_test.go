package fsstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob"
	"coldstream/blob/blobtest"
)

// TestMain lets this binary be the other processes of its tests.
func TestMain(m *testing.M) {
	if name := os.Getenv("FSSTORE_TEST_ROLE"); name != "" {
		os.Exit(play(name))
	}
	os.Exit(m.Run())
}

func TestContract(t *testing.T) {
	for _, check := range blobtest.Checks(blobtest.Shared) {
		t.Run(check.Name, func(t *testing.T) {
			t.Parallel() // most of the time is waiting for the disk
			dir := t.TempDir()
			open := func() (blob.Store, error) { return Open(dir) }
			if err := check.Run(t.Context(), open); err != nil {
				t.Error(err)
			}
		})
	}
}

func newStore(t *testing.T) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

func mustCreate(t *testing.T, s *Store, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := s.Create(t.Context(), key, bodyOf(key)); err != nil {
			t.Fatal(err)
		}
	}
}

// bodyOf is the body of a key in these tests, so that everybody can tell whether an
// object is whole.
func bodyOf(key string) []byte { return bytes.Repeat([]byte(key+"\n"), 1+200_000/(len(key)+1)) }

func wantWhole(t *testing.T, s *Store, key string) {
	t.Helper()
	got, err := blob.ReadAll(t.Context(), s, key, 1<<30)
	if err != nil || !bytes.Equal(got, bodyOf(key)) {
		t.Errorf("%s: %d bytes that are not its own, or %v", key, len(got), err)
	}
}

func keysOf(ctx context.Context, s *Store, prefix, after string) (keys []string, err error) {
	for e, err := range s.List(ctx, prefix, after) {
		if err != nil {
			return keys, err
		}
		keys = append(keys, e.Key)
	}
	return keys, nil
}

func wantKeys(t *testing.T, s *Store, want ...string) {
	t.Helper()
	got, err := keysOf(t.Context(), s, "", "")
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
}

// filesIn returns all that is in a folder, by slash-separated names.
func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, err = filepath.Rel(dir, name)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func write(t *testing.T, parts ...string) {
	t.Helper()
	name := filepath.Join(parts...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("not an object"), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenWantsFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is absent: %v, want fs.ErrNotExist", err)
	}
	write(t, dir, "file")
	for _, name := range []string{"file", "file/below"} {
		if s, err := Create(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is opened: %v", name, s)
		}
	}
	for _, name := range []string{"new/vault", "new/vault", "new/other/", "new"} {
		s, err := Create(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"file"}, filesIn(t, dir)); diff != "" {
		t.Errorf("opening leaves (-want +got):\n%s", diff)
	}
}

func TestForeign(t *testing.T) {
	dir := t.TempDir()
	if _, err := Foreign(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is absent: %v, want fs.ErrNotExist", err)
	}
	// Nothing, what a crash of ours leaves, and the top of a fresh disk.
	for _, own := range []string{"", ".tmp/0123456789abcdef01234567", "lost+found/x"} {
		if own != "" {
			write(t, dir, own)
		}
		if name, err := Foreign(dir); name != "" || err != nil {
			t.Errorf("with %q: %q, %v", own, name, err)
		}
	}
	write(t, dir, ".hidden")
	if name, err := Foreign(dir); name != ".hidden" || err != nil {
		t.Errorf("with .hidden: %q, %v", name, err)
	}
	if _, err := Foreign(filepath.Join(dir, ".hidden")); err == nil {
		t.Error("a file is an empty folder")
	}
}

// What file systems, their tools and people leave in folders is no object.
func TestListPassesOver(t *testing.T) {
	s, dir := newStore(t)
	mustCreate(t, s, "packs/0/a", "vault.json")
	for _, name := range []string{
		".DS_Store", "Thumbs.db", "lost+found/x", "@eaDir/vault.json", ".snapshot/packs/0/a", ".tmp/left",
		"packs/.nfs0000000000000001", "packs/0/a (copy)", "packs/0/a~", "packs/0/.a.swp", "packs/0/A", "Packs2/0/a",
	} {
		write(t, dir, name)
	}
	wantKeys(t, s, "packs/0/a", "vault.json")
	for _, prefix := range []string{".tmp/", "lost+found/", "Packs2/", "packs/0/A"} {
		if keys, err := keysOf(t.Context(), s, prefix, ""); len(keys) > 0 || err != nil {
			t.Errorf("List(%q): %q, %v", prefix, keys, err)
		}
	}
}

// A vault whose folder went away, or cannot be read, is not an empty vault.
func TestListOfVanishedFolder(t *testing.T) {
	s, dir := newStore(t)
	mustCreate(t, s, "a/b")
	if err := os.RemoveAll(dir); err != nil {
		t.Skipf("run where an open folder can be removed: %v", err)
	}
	if keys, err := keysOf(t.Context(), s, "", ""); err == nil {
		t.Errorf("listing: %q and no error", keys)
	}
	if err := s.Create(t.Context(), "a/c", nil); err == nil {
		t.Error("created in a folder that is gone")
	}
}

// A process that runs for months outlives what people tidy up.
func TestFoldersTakenAway(t *testing.T) {
	s, dir := newStore(t)
	mustCreate(t, s, "a/b/c", "x/y")
	for _, gone := range []string{".tmp", "a/b", "a"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, s, "a/b/"+strings.Trim(strings.ReplaceAll(gone, "/", "-"), "."))
	}
	wantKeys(t, s, "a/b/a", "x/y")
	wantWhole(t, s, "a/b/a")
}

// A key that is another one's folder cannot be had here: refused, nothing broken, and
// not taken for an object that is there.
func TestFolderOfAnother(t *testing.T) {
	s, dir := newStore(t)
	mustCreate(t, s, "a/b", "c")
	for _, key := range []string{"a", "a/b/x", "c/x", "c/x/y"} {
		if err := s.Create(t.Context(), key, nil); err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Create(%q): %v", key, err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	for _, prefix := range []string{"c/", "c/x", "a/b/"} {
		if keys, err := keysOf(t.Context(), s, prefix, ""); len(keys) > 0 || err != nil {
			t.Errorf("List(%q): %q, %v", prefix, keys, err)
		}
	}
	wantKeys(t, s, "a/b", "c")
	// An empty folder is no object either.
	if err := errors.Join(s.Delete(t.Context(), "a/b"), s.Delete(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		t.Errorf("Delete took a folder: %v", err)
	}
	mustCreate(t, s, "a/b")
}

// symlink makes a symbolic link.
func symlink(t *testing.T, target string, parts ...string) {
	t.Helper()
	name := filepath.Join(parts...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Symlink(target, name)); err != nil {
		t.Skipf("run with the right to make symbolic links: %v", err)
	}
}

// A symbolic link is neither followed nor taken for absence, and what it leads to is
// left alone.
func TestSymlinkInPlaceOfObject(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside)
	for name, target := range map[string]string{
		"to an object": "b", "to a file outside": outside, "to a folder": "../d", "to nothing": "nowhere", "up and out": "../../x",
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newStore(t)
			mustCreate(t, s, "a/b", "d/e")
			symlink(t, target, dir, "a", "link")
			_, _, errOpen := s.Open(t.Context(), "a/link")
			_, errRead := s.Read(t.Context(), "a/link", 0, 1)
			_, errList := keysOf(t.Context(), s, "a/", "")
			for call, err := range map[string]error{
				"Open": errOpen, "Read": errRead, "List": errList,
				"Create": s.Create(t.Context(), "a/link", nil),
				"Delete": s.Delete(t.Context(), "a/link"),
			} {
				if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "symbolic link") {
					t.Errorf("%s: %v", call, err)
				}
			}
			if _, err := os.Lstat(filepath.Join(dir, "a", "link")); err != nil {
				t.Errorf("the link: %v", err)
			}
			wantWhole(t, s, "a/b")
			// Where it hides nothing that was asked for it is nobody's business.
			if keys, err := keysOf(t.Context(), s, "a/", "a/link0"); len(keys) > 0 || err != nil {
				t.Errorf("behind it: %q, %v", keys, err)
			}
			if keys, err := keysOf(t.Context(), s, "d/", ""); !slices.Equal(keys, []string{"d/e"}) || err != nil {
				t.Errorf("beside it: %q, %v", keys, err)
			}
		})
	}
	if body, err := os.ReadFile(outside); string(body) != "not an object" || err != nil {
		t.Errorf("outside: %q, %v", body, err)
	}
}

func TestSymlinkInPlaceOfFolder(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "c")
	for name, target := range map[string]string{"to a folder": "b", "to a folder outside": outside} {
		t.Run(name, func(t *testing.T) {
			s, dir := newStore(t)
			mustCreate(t, s, "a/b/c")
			symlink(t, target, dir, "a", "link")
			if err := s.Create(t.Context(), "a/link/d", nil); err == nil {
				t.Error("an object was made behind a link, where List does not look")
			}
			for _, from := range [][2]string{{"", ""}, {"a/", ""}, {"a/link", ""}, {"a/link/", ""}, {"", "a/link/b"}} {
				if keys, err := keysOf(t.Context(), s, from[0], from[1]); err == nil {
					t.Errorf("List(%q, %q): %q, as if nothing were there", from[0], from[1], keys)
				}
			}
			if diff := cmp.Diff([]string{"a/b/c", "a/link"}, filesIn(t, dir)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff([]string{"c"}, filesIn(t, outside)); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
	// In place of the folder of temporary files.
	s, dir := newStore(t)
	symlink(t, outside, dir, tempDir)
	if err := s.Create(t.Context(), "a", nil); err == nil {
		t.Error("temporary files were made elsewhere")
	}
}
