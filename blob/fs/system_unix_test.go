//go:build unix

package fsstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// onUnix is a list of folders that are synced: here all of them.
func onUnix(synced []string) []string { return synced }

// playFull creates an object larger than this process may write, as on a full disk.
func playFull(dir string, _ []string) error {
	signal.Ignore(syscall.SIGXFSZ) // so that write fails instead
	limit := syscall.Rlimit{Cur: 50_000, Max: 50_000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	if err := s.Create(context.Background(), "a/large", bodyOf("a/large")); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("large: %w, want EFBIG", err)
	}
	if err := s.Create(context.Background(), "a/taken", bodyOf("a/taken")); !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("taken: %w, want fs.ErrExist also where nothing can be written", err)
	}
	return s.Create(context.Background(), "a/small", []byte("small"))
}

func TestFullDisk(t *testing.T) {
	s, dir := newStore(t)
	mustCreate(t, s, "a/taken")
	if err := process(t, "full", dir, "").Run(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(filesIn(t, dir), " "); got != "a/small a/taken" {
		t.Errorf("a full disk leaves %q", got)
	}
	wantWhole(t, s, "a/taken")
}

// playReadOnly uses a vault that it may not write to.
func playReadOnly(dir string, _ []string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 { // who may do everything is no test
		if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
	}
	ctx := context.Background()
	for _, key := range []string{"a/c", "b/c", "c"} {
		if err := s.Create(ctx, key, nil); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("create %s: %w, want fs.ErrPermission", key, err)
		}
	}
	if err := s.Create(ctx, "a/b", nil); !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create a/b: %w, want fs.ErrExist", err)
	}
	if err := s.Delete(ctx, "a/b"); !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("delete: %w, want fs.ErrPermission", err)
	}
	if body, err := s.Read(ctx, "a/b", 0, 4); string(body) != "a/b\n" || err != nil {
		return fmt.Errorf("read: %q, %w", body, err)
	}
	keys, err := keysOf(ctx, s, "", "")
	if len(keys) != 1 || err != nil {
		return fmt.Errorf("list: %q, %w", keys, err)
	}
	return nil
}

func TestReadOnly(t *testing.T) {
	s, dir := newStore(t)
	mustCreate(t, s, "a/b")
	if err := os.Remove(filepath.Join(dir, tempDir)); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"a/b": 0o444, "a": 0o555, ".": 0o555} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
				t.Error(err)
			}
		})
	}
	if err := process(t, "read-only", dir, "").Run(); err != nil {
		t.Error(err)
	}
}

// Opening a named pipe would wait for ever for somebody at its other end.
func TestPipeInPlaceOfObject(t *testing.T) {
	s, dir := newStore(t)
	mustCreate(t, s, "a/b")
	if err := syscall.Mkfifo(filepath.Join(dir, "a", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, errOpen := s.Open(t.Context(), "a/pipe")
	_, errRead := s.Read(t.Context(), "a/pipe", 0, 0)
	_, errList := keysOf(t.Context(), s, "a/", "")
	_, errListBelow := keysOf(t.Context(), s, "a/pipe/", "")
	for call, err := range map[string]error{
		"Open": errOpen, "Read": errRead, "List": errList, "List below": errListBelow,
		"Create": s.Create(t.Context(), "a/pipe", nil), "Create below": s.Create(t.Context(), "a/pipe/x", nil),
		"Delete": s.Delete(t.Context(), "a/pipe"),
	} {
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", call, err)
		}
	}
}
