package blobtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"

	"coldstream/blob"
	"coldstream/blob/blobtest"
	"coldstream/blob/mem"
)

// wrong is a store with one defect: what is set replaces the method of a sound one.
type wrong struct {
	*mem.Store
	create func(ctx context.Context, key string, body []byte) error
	read   func(ctx context.Context, key string, offset, length int64) ([]byte, error)
	open   func(ctx context.Context, key string) (io.ReadCloser, int64, error)
	list   func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error]
	remove func(ctx context.Context, key string) error
}

func (w *wrong) Create(ctx context.Context, key string, body []byte) error {
	if w.create != nil {
		return w.create(ctx, key, body)
	}
	return w.Store.Create(ctx, key, body)
}

func (w *wrong) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if w.read != nil {
		return w.read(ctx, key, offset, length)
	}
	return w.Store.Read(ctx, key, offset, length)
}

func (w *wrong) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	if w.open != nil {
		return w.open(ctx, key)
	}
	return w.Store.Open(ctx, key)
}

func (w *wrong) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	if w.list != nil {
		return w.list(ctx, prefix, after)
	}
	return w.Store.List(ctx, prefix, after)
}

func (w *wrong) Delete(ctx context.Context, key string) error {
	if w.remove != nil {
		return w.remove(ctx, key)
	}
	return w.Store.Delete(ctx, key)
}

func bytesOf(body []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }

// body reads a whole object of a sound store.
func body(ctx context.Context, s blob.Store, key string) ([]byte, error) {
	return blob.ReadAll(ctx, s, key, 1<<30)
}

// under is what a sound store lists.
func under(ctx context.Context, s *mem.Store, prefix string) (out []blob.Entry) {
	for e, err := range s.List(ctx, prefix, "") {
		if err == nil {
			out = append(out, e)
		}
	}
	return out
}

// sortedBy lists in another order than that of bytes.
func sortedBy(s *mem.Store, order func(key string) string) func(context.Context, string, string) iter.Seq2[blob.Entry, error] {
	return func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
		return func(yield func(blob.Entry, error) bool) {
			var entries []blob.Entry
			for e, err := range s.List(ctx, prefix, after) {
				if err != nil {
					yield(e, err)
					return
				}
				entries = append(entries, e)
			}
			slices.SortFunc(entries, func(a, b blob.Entry) int { return strings.Compare(order(a.Key), order(b.Key)) })
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// filtered lists what keep keeps, as keep changes it.
func filtered(s *mem.Store, keep func(n int, e *blob.Entry) bool) func(context.Context, string, string) iter.Seq2[blob.Entry, error] {
	return func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
		return func(yield func(blob.Entry, error) bool) {
			n := 0
			for e, err := range s.List(ctx, prefix, after) {
				if n++; (err != nil || keep(n, &e)) && !yield(e, err) {
					return
				}
			}
		}
	}
}

type defect struct {
	level blobtest.Level // the lowest one that must notice
	check string         // the check that must notice
	put   func(w *wrong) // into a sound store
}

func archiveDefects() map[string]defect {
	return map[string]defect{
		"keeps body": {blobtest.Archive, "Create does not keep body", func(w *wrong) {
			var mu sync.Mutex
			kept := map[string][]byte{}
			w.create = func(ctx context.Context, key string, body []byte) error {
				mu.Lock()
				defer mu.Unlock()
				kept[key] = body
				return w.Store.Create(ctx, key, body)
			}
			w.open = func(ctx context.Context, key string) (io.ReadCloser, int64, error) {
				r, size, err := w.Store.Open(ctx, key)
				mu.Lock()
				defer mu.Unlock()
				if body, ok := kept[key]; ok && err == nil {
					return bytesOf(body), size, nil
				}
				return r, size, err
			}
		}},
		"cuts off": {blobtest.Archive, "what is created is opened", func(w *wrong) {
			w.create = func(ctx context.Context, key string, body []byte) error {
				return w.Store.Create(ctx, key, body[:min(len(body), 1<<20)])
			}
		}},
		"wrong size": {blobtest.Archive, "what is created is opened", func(w *wrong) {
			w.open = func(ctx context.Context, key string) (io.ReadCloser, int64, error) {
				r, size, err := w.Store.Open(ctx, key)
				return r, size + 1, err
			}
		}},
		"absent is another error": {blobtest.Archive, "what is absent is fs.ErrNotExist", func(w *wrong) {
			w.open = func(ctx context.Context, key string) (io.ReadCloser, int64, error) {
				r, size, err := w.Store.Open(ctx, key)
				if errors.Is(err, fs.ErrNotExist) {
					err = errors.New("no such object")
				}
				return r, size, err
			}
		}},
		"a folder is an object": {blobtest.Archive, "what is absent is fs.ErrNotExist", func(w *wrong) {
			w.open = func(ctx context.Context, key string) (io.ReadCloser, int64, error) {
				if entries := under(ctx, w.Store, key+"/"); len(entries) > 0 {
					return bytesOf(nil), 0, nil
				}
				return w.Store.Open(ctx, key)
			}
		}},
		"refused keys are absent": {blobtest.Archive, "keys that CheckKey refuses are refused", func(w *wrong) {
			w.open = func(ctx context.Context, key string) (io.ReadCloser, int64, error) {
				if blob.CheckKey(key) != nil {
					return nil, 0, fs.ErrNotExist
				}
				return w.Store.Open(ctx, key)
			}
		}},
		"takes any key": {blobtest.Archive, "keys that CheckKey refuses are refused", func(w *wrong) {
			w.create = func(ctx context.Context, key string, body []byte) error {
				if err := w.Store.Create(ctx, key, body); blob.CheckKey(key) == nil {
					return err
				}
				return nil
			}
		}},
	}
}

func archiveListDefects() map[string]defect {
	return map[string]defect{
		"short keys only": {blobtest.Archive, "keys that CheckKey accepts are kept", func(w *wrong) {
			w.create = func(ctx context.Context, key string, body []byte) error {
				if len(key) > 255 {
					return errors.New("too long")
				}
				return w.Store.Create(ctx, key, body)
			}
		}},
		"creates although the context is done": {blobtest.Archive, "a done context ends every method", func(w *wrong) {
			w.create = func(ctx context.Context, key string, body []byte) error {
				return w.Store.Create(context.WithoutCancel(ctx), key, body)
			}
		}},
		"lists although the context is done": {blobtest.Archive, "a done context ends every method", func(w *wrong) {
			w.list = func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
				return w.Store.List(context.WithoutCancel(ctx), prefix, after)
			}
		}},
		"order of folders": {blobtest.Archive, "List is by prefix, after and bytes", func(w *wrong) {
			w.list = sortedBy(w.Store, func(key string) string { return strings.ReplaceAll(key, "/", "\x00") })
		}},
		"after is included": {blobtest.Archive, "List is by prefix, after and bytes", func(w *wrong) {
			w.list = func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
				if n := len(after); n > 0 {
					after = after[:n-1] + string([]byte{after[n-1] - 1, 0xff})
				}
				return w.Store.List(ctx, prefix, after)
			}
		}},
		"prefix is a folder": {blobtest.Archive, "List is by prefix, after and bytes", func(w *wrong) {
			w.list = func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
				if prefix != "" && !strings.HasSuffix(prefix, "/") {
					prefix += "/"
				}
				return w.Store.List(ctx, prefix, after)
			}
		}},
		"sizes are not listed": {blobtest.Archive, "List is by prefix, after and bytes", func(w *wrong) {
			w.list = filtered(w.Store, func(_ int, e *blob.Entry) bool { e.SizeBytes = 0; return true })
		}},
		"first page only": {blobtest.Archive, "List is whole when it is long", func(w *wrong) {
			w.list = filtered(w.Store, func(n int, _ *blob.Entry) bool { return n <= 1000 })
		}},
		"prefix is cleaned": {blobtest.Archive, "List of what no key begins with is empty", func(w *wrong) {
			w.list = func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
				return w.Store.List(ctx, strings.TrimPrefix(strings.ReplaceAll(prefix, "//", "/"), "/"), after)
			}
		}},
	}
}

func rangedDefects() map[string]defect {
	return map[string]defect{
		"short read": {blobtest.Ranged, "Read past the end is io.ErrUnexpectedEOF", func(w *wrong) {
			w.read = func(ctx context.Context, key string, offset, length int64) ([]byte, error) {
				all, err := body(ctx, w.Store, key)
				if err != nil {
					return nil, err
				}
				from := min(max(offset, 0), int64(len(all)))
				return all[from : from+min(max(length, 0), int64(len(all))-from)], nil
			}
		}},
		"offset off by one": {blobtest.Ranged, "Read returns exactly the range", func(w *wrong) {
			w.read = func(ctx context.Context, key string, offset, length int64) ([]byte, error) {
				return w.Store.Read(ctx, key, max(offset-1, 0), length)
			}
		}},
		"whole object": {blobtest.Ranged, "Read returns exactly the range", func(w *wrong) {
			w.read = func(ctx context.Context, key string, _, _ int64) ([]byte, error) { return body(ctx, w.Store, key) }
		}},
		"shared bytes": {blobtest.Ranged, "what Read returns is the caller's", func(w *wrong) {
			cache := map[string][]byte{}
			w.read = func(ctx context.Context, key string, offset, length int64) ([]byte, error) {
				out, err := w.Store.Read(ctx, key, offset, length)
				cache[key] = out
				return out, err
			}
			w.open = func(ctx context.Context, key string) (io.ReadCloser, int64, error) {
				if cached, ok := cache[key]; ok {
					return bytesOf(cached), int64(len(cached)), nil
				}
				return w.Store.Open(ctx, key)
			}
		}},
		"read of what is absent is empty": {blobtest.Ranged, "Read of what is absent is fs.ErrNotExist", func(w *wrong) {
			w.read = func(ctx context.Context, key string, offset, length int64) ([]byte, error) {
				out, err := w.Store.Read(ctx, key, offset, length)
				if length == 0 && errors.Is(err, fs.ErrNotExist) {
					return nil, nil
				}
				return out, err
			}
		}},
		"does not delete": {blobtest.Ranged, "Delete removes one object", func(w *wrong) {
			w.remove = func(context.Context, string) error { return nil }
		}},
		"deletes by prefix": {blobtest.Ranged, "Delete removes one object", func(w *wrong) {
			w.remove = func(ctx context.Context, key string) error {
				for _, e := range under(ctx, w.Store, key) {
					if err := w.Store.Delete(ctx, e.Key); err != nil {
						return err
					}
				}
				return nil
			}
		}},
		"deletes folders": {blobtest.Ranged, "Delete of what is absent is no error", func(w *wrong) {
			w.remove = func(ctx context.Context, key string) error {
				for _, e := range under(ctx, w.Store, key+"/") {
					if err := w.Store.Delete(ctx, e.Key); err != nil {
						return err
					}
				}
				return w.Store.Delete(ctx, key)
			}
		}},
		"delete of what is absent fails": {blobtest.Ranged, "Delete of what is absent is no error", func(w *wrong) {
			w.remove = func(ctx context.Context, key string) error {
				if _, err := body(ctx, w.Store, key); err != nil {
					return err
				}
				return w.Store.Delete(ctx, key)
			}
		}},
		"tombstones": {blobtest.Ranged, "a deleted key is free", func(w *wrong) {
			deleted := map[string]bool{}
			w.create = func(ctx context.Context, key string, body []byte) error {
				if deleted[key] {
					return fs.ErrExist
				}
				return w.Store.Create(ctx, key, body)
			}
			w.remove = func(ctx context.Context, key string) error {
				deleted[key] = true
				return w.Store.Delete(ctx, key)
			}
		}},
		"deletes although the context is done": {blobtest.Ranged, "Read and Delete refuse keys and done contexts", func(w *wrong) {
			w.remove = func(ctx context.Context, key string) error {
				return w.Store.Delete(context.WithoutCancel(ctx), key)
			}
		}},
	}
}

func sharedDefects() map[string]defect {
	return map[string]defect{
		"overwrites": {blobtest.Shared, "Create never replaces", func(w *wrong) {
			w.create = func(ctx context.Context, key string, body []byte) error {
				if err := w.Store.Create(ctx, key, body); !errors.Is(err, fs.ErrExist) {
					return err
				}
				return errors.Join(w.Store.Delete(ctx, key), w.Store.Create(ctx, key, body), fs.ErrExist)
			}
		}},
		"same bytes again are fine": {blobtest.Shared, "Create never replaces", func(w *wrong) {
			w.create = func(ctx context.Context, key string, wanted []byte) error {
				if there, err := body(ctx, w.Store, key); err == nil && bytes.Equal(there, wanted) {
					return nil
				}
				return w.Store.Create(ctx, key, wanted)
			}
		}},
		"looks, then creates": {blobtest.Shared, "of many creators one wins", func(w *wrong) {
			// All that are at it at once find the key free before one of them goes on.
			var mu sync.Mutex
			claimed := map[string]int{}
			w.create = func(ctx context.Context, key string, body []byte) error {
				mu.Lock()
				defer mu.Unlock()
				err := w.Store.Create(ctx, key, body)
				if claimed[key]++; errors.Is(err, fs.ErrExist) && claimed[key] == 2 && strings.HasPrefix(key, "race/") {
					return nil
				}
				return err
			}
		}},
		"nobody wins": {blobtest.Shared, "of many creators one wins", func(w *wrong) {
			w.create = func(ctx context.Context, key string, body []byte) error {
				if err := w.Store.Create(ctx, key, body); err != nil || !strings.HasPrefix(key, "race/") {
					return err
				}
				return fs.ErrExist
			}
		}},
		"listed later": {blobtest.Shared, "what is created is at once read and listed", func(w *wrong) {
			var mu sync.Mutex
			newest := ""
			w.create = func(ctx context.Context, key string, body []byte) error {
				mu.Lock()
				defer mu.Unlock()
				if strings.HasPrefix(key, "there/") {
					newest = key
				}
				return w.Store.Create(ctx, key, body)
			}
			w.list = func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
				mu.Lock()
				hidden := newest
				mu.Unlock()
				return filtered(w.Store, func(_ int, e *blob.Entry) bool { return e.Key != hidden })(ctx, prefix, after)
			}
		}},
		"seen in the making": {blobtest.Shared, "an object is seen whole or not at all", func(w *wrong) {
			seen := make(chan struct{})
			once := sync.OnceFunc(func() { close(seen) })
			w.create = func(ctx context.Context, key string, body []byte) error {
				if !strings.HasPrefix(key, "whole/") {
					return w.Store.Create(ctx, key, body)
				}
				if err := w.Store.Create(ctx, key, body[:len(body)/2]); err != nil {
					return err
				}
				<-seen
				return errors.Join(w.Store.Delete(ctx, key), w.Store.Create(ctx, key, body))
			}
			w.open = func(ctx context.Context, key string) (io.ReadCloser, int64, error) {
				r, size, err := w.Store.Open(ctx, key)
				if err == nil && strings.HasPrefix(key, "whole/") {
					once()
				}
				return r, size, err
			}
		}},
		"pages by number": {blobtest.Shared, "List has all that was there before it", func(w *wrong) {
			w.list = func(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
				return func(yield func(blob.Entry, error) bool) {
					for n := 0; ; n++ {
						entry, ok := nth(w.Store.List(ctx, prefix, after), n)
						if !ok || !yield(entry, ctx.Err()) || ctx.Err() != nil {
							return
						}
					}
				}
			}
		}},
	}
}

func nth(entries iter.Seq2[blob.Entry, error], n int) (blob.Entry, bool) {
	for e, err := range entries {
		if n == 0 || err != nil {
			return e, true
		}
		n--
	}
	return blob.Entry{}, false
}
