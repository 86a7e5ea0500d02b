// Package mem keeps objects in memory: for tests and simulation.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"

	"coldstream/blob"
)

// Store is a [blob.Store] in memory. Its zero value is empty and ready.
type Store struct {
	mu      sync.Mutex
	objects map[string][]byte
}

// New makes an empty store.
func New() *Store { return &Store{} }

var _ blob.Store = (*Store)(nil)

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
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok {
		return fmt.Errorf("create %s: %w", key, fs.ErrExist)
	}
	if s.objects == nil {
		s.objects = map[string][]byte{}
	}
	s.objects[key] = append([]byte{}, body...)
	return nil
}

func (s *Store) get(ctx context.Context, key string) ([]byte, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.objects[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return body, nil
}

// Read is [blob.Store.Read].
func (s *Store) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	body, err := s.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %w", err)
	}
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("read %s: negative range", key)
	}
	if offset > int64(len(body)) || length > int64(len(body))-offset {
		return nil, fmt.Errorf("read %s: %w", key, io.ErrUnexpectedEOF)
	}
	return append([]byte{}, body[offset:offset+length]...), nil
}

// Open is [blob.Store.Open].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	body, err := s.get(ctx, key)
	if err != nil {
		return nil, 0, fmt.Errorf("open %w", err)
	}
	return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
}

// List is [blob.Store.List].
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		for _, e := range s.entries(prefix, after) {
			if ctx.Err() != nil {
				break
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(blob.Entry{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

func (s *Store) entries(prefix, after string) []blob.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []blob.Entry
	for key, body := range s.objects {
		if strings.HasPrefix(key, prefix) && key > after {
			out = append(out, blob.Entry{Key: key, SizeBytes: int64(len(body))})
		}
	}
	slices.SortFunc(out, func(a, b blob.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Delete is [blob.Store.Delete].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
	return nil
}
