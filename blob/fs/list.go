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

	"coldstream/blob"
)

// List is [blob.Store.List]. Folders are read one at a time. What is no object (a name
// that is no key, a symbolic link, a file in the making) is passed over.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		dir := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			dir = prefix[:i]
		}
		l := lister{store: s, ctx: ctx, prefix: prefix, after: after, yield: yield}
		if err := l.walk(dir); err != nil && !errors.Is(err, errStop) {
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

// walk lists a folder in the order of keys: a folder counts as its name with a slash, so
// that "a-b" stands before "a/b".
func (l *lister) walk(dir string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(l.store.root.FS(), nonEmpty(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no object has such a key; or the last one went while we were listing
	}
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		if err := l.visit(path.Join(dir, e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) visit(key string, e fs.DirEntry) error {
	switch {
	case blob.CheckKey(key) != nil:
		return nil
	case e.IsDir():
		if folder := key + "/"; !l.mayHold(folder) {
			return nil
		}
		return l.walk(key)
	case !e.Type().IsRegular() || !strings.HasPrefix(key, l.prefix) || key <= l.after:
		return nil
	}
	info, err := e.Info()
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

func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

func nonEmpty(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}
