// Package fsstore keeps objects as files in a local folder: written to a temporary file,
// synced, linked to its name (which never replaces), and the folder synced.
package fsstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"coldstream/blob"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// Store is a [blob.Store] in a folder. An object is a regular file. Symbolic links cannot
// lead out of the folder, and one in the place of an object is an error, not an object:
// passed over in silence it would take what is behind it out of the vault.
type Store struct {
	root   *os.Root
	flush  func(*os.File) error // (*os.File).Sync, but in tests of what fails there
	limits limits

	mu   sync.Mutex
	made map[string]bool // folders known to be there, and synced into their parents
}

var _ blob.Store = (*Store)(nil)

// Open opens a folder that must be there: else the error wraps fs.ErrNotExist. Nothing is
// written before the first Create.
func Open(dir string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Store{root: root, flush: (*os.File).Sync, limits: limits{hangLimit, graceLimit}, made: map[string]bool{}}, nil
}

// Create opens a folder, and makes it and those above it if they are missing.
func Create(dir string) (*Store, error) {
	if err := makeVaultFolder(dir); err != nil {
		return nil, err
	}
	return Open(dir)
}

// Foreign returns the name of something in a folder, or "" if it is empty. Temporary
// files left by a crash do not count, nor does what a fresh file system has at its top. A
// folder that is not there wraps fs.ErrNotExist.
func Foreign(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name() != tempDir && e.Name() != "lost+found" {
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
	err := check(ctx, key)
	if err == nil {
		err = s.done(ctx, func(alive func()) error { return s.createOrAgain(key, body, alive) })
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	return nil
}

func (s *Store) createOrAgain(key string, body []byte, alive func()) error {
	err := s.create(key, body, alive)
	// Somebody took a folder or the temporary file away: they are made once more, for a
	// process that runs for months must not need a new start after that.
	for retries := 2; retries > 0 && errors.Is(err, fs.ErrNotExist); retries-- {
		s.forgetFolders()
		err = s.create(key, body, alive)
	}
	return err
}

func (s *Store) create(key string, body []byte, alive func()) error {
	dir := path.Dir(key)
	newDir, err := s.makeFolder(dir)
	if err != nil {
		return err
	}
	// Publishing finds this too, but not on a full disk, and not before all is written.
	if _, err := s.find(key); err == nil {
		return s.taken(key)
	}
	newTempDir, err := s.makeFolder(tempDir)
	if err != nil {
		return err
	}
	temp, err := s.writeTemp(body, alive)
	if err != nil {
		return err
	}
	alive()
	if newDir || newTempDir {
		s.sweep(temp.modTime)
	}
	err = s.publish(temp.name, key)
	// What is left behind by a failure here is never listed, and swept later.
	_ = s.root.Remove(temp.name)
	if errors.Is(err, fs.ErrExist) {
		return s.taken(key)
	}
	if err != nil {
		return err
	}
	return s.syncFolder(dir)
}

// taken is the error of Create for a key that has an object. Its maker may have been
// killed, or be slow, between link and sync; who is told that the object is there builds
// on it, so it is made durable first.
func (s *Store) taken(key string) error {
	if info, err := s.root.Lstat(key); err == nil && info.IsDir() {
		return errors.New("it is the folder of other objects")
	}
	if _, err := s.find(key); err != nil {
		return err
	}
	if err := s.syncFolder(path.Dir(key)); err != nil {
		return err
	}
	return fs.ErrExist
}

// publish gives a finished file its name, if that is free.
func (s *Store) publish(temp, key string) error {
	err := s.root.Link(temp, key)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		// A network file system that lost its own answer asks again, and is told that
		// the name is taken: by us.
		if s.isSame(temp, key) {
			return nil
		}
		return err
	}
	done, renameErr := s.renameNoReplace(temp, key)
	switch {
	case done:
		return renameErr
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (the file system must have hard links, or a rename that never replaces)", err)
	}
	return err
}

func (s *Store) isSame(a, b string) bool {
	infoA, errA := s.root.Lstat(a)
	infoB, errB := s.root.Lstat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// find returns an object's facts. A folder is no object, and what is below a file is not
// there; anything else in its place is an error that is not one of absence.
func (s *Store) find(key string) (fs.FileInfo, error) {
	info, err := s.root.Lstat(key)
	switch {
	case errors.Is(err, syscall.ENOTDIR), err == nil && info.IsDir():
		return nil, fs.ErrNotExist
	case err == nil && !info.Mode().IsRegular():
		return nil, &notRegularError{info.Mode().Type()}
	}
	return info, err
}

type notRegularError struct{ mode fs.FileMode }

func (e *notRegularError) Error() string {
	if e.mode&fs.ModeSymlink != 0 {
		return "a symbolic link is in its place"
	}
	return fmt.Sprintf("neither a file nor a folder is in its place (%v)", e.mode)
}

func (s *Store) open(key string) (*os.File, int64, error) {
	// Before it is opened: to open a named pipe is to wait for its other end.
	if _, err := s.find(key); err != nil {
		return nil, 0, err
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Read is [blob.Store.Read].
func (s *Store) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	err := check(ctx, key)
	var out []byte
	if err == nil {
		out, err = await(ctx, s.limits, func(alive func()) ([]byte, error) { return s.read(key, offset, length, alive) }, dropNothing)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return out, nil
}

func (s *Store) read(key string, offset, length int64, alive func()) ([]byte, error) {
	f, size, err := s.open(key)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if offset < 0 || length < 0 {
		return nil, errors.New("negative range")
	}
	if offset > size || length > size-offset {
		return nil, io.ErrUnexpectedEOF
	}
	out := make([]byte, length)
	for at := int64(0); at < length; at += readBytes {
		alive()
		if _, err := f.ReadAt(out[at:min(at+readBytes, length)], offset+at); err != nil {
			if errors.Is(err, io.EOF) { // it got shorter
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return out, nil
}

// Open is [blob.Store.Open].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	type opened struct {
		file *os.File
		size int64
	}
	err := check(ctx, key)
	var o opened
	if err == nil {
		o, err = await(ctx, s.limits, func(func()) (opened, error) {
			f, size, err := s.open(key)
			return opened{f, size}, err
		}, func(o opened) {
			if o.file != nil {
				_ = o.file.Close() // nobody has it any more
			}
		})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", key, err)
	}
	return &openFile{ctx: ctx, store: s, file: o.file}, o.size, nil
}

// Delete is [blob.Store.Delete]. Folders stay, so that none vanishes under another
// process that is about to put an object into it.
func (s *Store) Delete(ctx context.Context, key string) error {
	err := check(ctx, key)
	if err == nil {
		err = s.done(ctx, func(func()) error { return s.remove(key) })
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func (s *Store) remove(key string) error {
	_, err := s.find(key)
	if err == nil {
		err = s.root.Remove(key)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Synced also if it was gone: who deleted it may have been killed before.
	err = s.syncFolder(path.Dir(key))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}
