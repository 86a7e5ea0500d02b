package fsstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"syscall"

	"coldstream/blob"
)

// List is [blob.Store.List]. Folders are read one at a time, so the largest folder says
// how much memory it needs. A name that is no key is passed over: files in the making,
// and what file systems and people leave in folders. A symbolic link, pipe or device that
// could hide objects is an error.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		l := lister{store: s, ctx: ctx, prefix: prefix, after: after, yield: yield}
		if err := l.start(); err != nil && !errors.Is(err, errStop) {
			yield(blob.Entry{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

var errStop = errors.New("the caller has seen enough")

type lister struct {
	store         *Store
	ctx           context.Context //nolint:containedctx // a lister lives for one call
	prefix, after string
	yield         func(blob.Entry, error) bool
}

// start finds the one folder that has all keys with the prefix.
func (l *lister) start() error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	i := strings.LastIndexByte(l.prefix, '/')
	if i < 0 {
		return l.walk(".")
	}
	dir := l.prefix[:i]
	if !isKey(dir) {
		return nil // nothing begins so, and the file system is not to be asked
	}
	info, err := await(l.ctx, l.store.limits, func(func()) (fs.FileInfo, error) { return l.store.root.Lstat(dir) }, dropNothing)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return l.walk(dir)
	case info.Mode().IsRegular():
		return nil
	}
	return fmt.Errorf("%s: %w", dir, &notRegularError{info.Mode().Type()})
}

// walk lists a folder in the order of keys: a folder counts as its name with a slash, so
// that "a-b" stands before "a/b".
func (l *lister) walk(dir string) error {
	entries, err := await(l.ctx, l.store.limits, func(func()) ([]fs.DirEntry, error) { return l.store.readFolder(dir) }, dropNothing)
	if errors.Is(err, fs.ErrNotExist) && dir != "." {
		return nil // somebody took it away while we were listing
	}
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if err := l.visit(path.Join(dir, e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) visit(key string, e fs.DirEntry) error {
	isWanted := strings.HasPrefix(key, l.prefix) && key > l.after
	switch {
	case !isKey(key):
		return nil
	case e.IsDir():
		if !l.mayHold(key + "/") {
			return nil
		}
		return l.walk(key)
	case !e.Type().IsRegular() && (isWanted || l.mayHold(key+"/")):
		return fmt.Errorf("%s: %w", key, &notRegularError{e.Type()})
	case !isWanted:
		return nil
	}
	info, err := await(l.ctx, l.store.limits, func(func()) (fs.FileInfo, error) { return e.Info() }, dropNothing)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !l.yield(blob.Entry{Key: key, SizeBytes: info.Size()}, nil) {
		return errStop
	}
	return nil
}

// mayHold says whether a folder may have keys with the prefix that are greater than after.
func (l *lister) mayHold(folder string) bool {
	n := min(len(folder), len(l.prefix))
	if folder[:n] != l.prefix[:n] {
		return false
	}
	return folder > l.after || strings.HasPrefix(l.after, folder)
}

func isKey(name string) bool { return blob.CheckKey(name) == nil }

func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// readFolder reads a folder in no order.
func (s *Store) readFolder(dir string) ([]fs.DirEntry, error) {
	f, err := s.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return f.ReadDir(-1)
}
