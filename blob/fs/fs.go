// Package fsstore keeps objects as files in a local folder: written to a temporary file,
// synced, linked to its name (which never replaces), and the folder synced.
package fsstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"coldstream/blob"
)

const (
	// tempDir holds files in the making. It is no valid key, so it is never listed.
	tempDir  = ".tmp"
	fileMode = 0o600
	dirMode  = 0o700
)

// Store is a [blob.Store] in a folder. Symbolic links cannot lead out of it.
type Store struct {
	root *os.Root

	mu   sync.Mutex
	made map[string]bool // folders known to be there, and synced into their parents
}

var _ blob.Store = (*Store)(nil)

// Open opens a folder that must be there: else the error wraps fs.ErrNotExist.
func Open(dir string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Store{root: root, made: map[string]bool{}}, nil
}

// Create opens a folder, and makes it and those above it if they are missing.
func Create(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, err
	}
	return Open(dir)
}

// Foreign returns the name of something in a folder, or "" if it is empty; temporary
// files left by a crash do not count. A folder that is not there wraps fs.ErrNotExist.
func Foreign(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name() != tempDir {
			return e.Name(), nil
		}
	}
	return "", nil
}

// Close lets go of the folder.
func (s *Store) Close() error { return s.root.Close() }

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return blob.CheckKey(key)
}

// Create is [blob.Store.Create].
func (s *Store) Create(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	dir := path.Dir(key)
	if err := errors.Join(s.makeDir(tempDir), s.makeDir(dir)); err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	temp, err := s.writeTemp(body)
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	err = s.publish(temp, key)
	// What is left behind by a failure here is never listed, and harms nobody.
	_ = s.root.Remove(temp)
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	if err := s.syncDir(dir); err != nil {
		return fmt.Errorf("create %s: sync folder: %w", key, err)
	}
	return nil
}

// writeTemp writes and syncs a new file; on failure nothing is left.
func (s *Store) writeTemp(body []byte) (string, error) {
	var random [12]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	name := path.Join(tempDir, hex.EncodeToString(random[:]))
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return "", err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = s.root.Remove(name) // the first error is the one to tell
		return "", err
	}
	return name, nil
}

// publish gives a finished file its name, if that is free.
func (s *Store) publish(temp, key string) error {
	err := s.root.Link(temp, key)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if done, renameErr := s.renameNoReplace(temp, key); done {
		return renameErr
	}
	return err
}

// makeDir makes a folder and those above it, each synced into its parent, once.
func (s *Store) makeDir(dir string) error {
	if dir == "." {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.makeDirLocked(dir)
}

func (s *Store) makeDirLocked(dir string) error {
	if dir == "." || s.made[dir] {
		return nil
	}
	parent := path.Dir(dir)
	if err := s.makeDirLocked(parent); err != nil {
		return err
	}
	if err := s.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Synced also where it was there: whoever made it may have crashed before its sync.
	if err := s.syncDir(parent); err != nil {
		return err
	}
	s.made[dir] = true
	return nil
}

// open refuses what is not a regular file.
func (s *Store) open(ctx context.Context, key string) (*os.File, int64, error) {
	if err := check(ctx, key); err != nil {
		return nil, 0, err
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", key)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Read is [blob.Store.Read].
func (s *Store) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	f, size, err := s.open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("read %s: negative range", key)
	}
	if offset > size || length > size-offset {
		return nil, fmt.Errorf("read %s: %w", key, io.ErrUnexpectedEOF)
	}
	out := make([]byte, length)
	if _, err := f.ReadAt(out, offset); err != nil && (length > 0 || !errors.Is(err, io.EOF)) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return out, nil
}

// Open is [blob.Store.Open].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	f, size, err := s.open(ctx, key)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", key, err)
	}
	return f, size, nil
}

// Delete is [blob.Store.Delete].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	if err := s.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	if err := s.syncDir(path.Dir(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: sync folder: %w", key, err)
	}
	return nil
}
