// Package blobtest is the contract of [blob.Store] as checks that any storage can be held
// against, in levels, because not every storage can be all that the contract asks for.
package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob"
)

// Level is how much of the contract a storage keeps. Each includes those below it.
type Level int

// The levels.
const (
	// Archive is Create of new keys, Open and List: enough to back up, restore and copy.
	Archive Level = iota + 1
	// Ranged adds Read and Delete: reading parts of objects, and taking away.
	Ranged
	// Shared adds that Create never replaces, and that what it made is at once read and
	// listed by all: enough for several processes at once.
	Shared
)

// Check is one promise of the contract.
type Check struct {
	Level Level
	// Name is the promise in a few words.
	Name string
	// Run says what was not as promised. The storage is empty at first; each call of
	// open gives another client of it.
	Run func(ctx context.Context, open func() (blob.Store, error)) error
}

// Checks returns the checks of a level and of those below it.
func Checks(level Level) []Check {
	all := slices.Concat(archiveChecks(), rangedChecks(), sharedChecks())
	return slices.DeleteFunc(all, func(c Check) bool { return c.Level > level })
}

// alone makes a check for one client.
func alone(level Level, name string, run func(ctx context.Context, s blob.Store) error) Check {
	return Check{level, name, func(ctx context.Context, open func() (blob.Store, error)) error {
		s, err := open()
		if err != nil {
			return err
		}
		return run(ctx, s)
	}}
}

// together makes a check for several clients.
func together(name string, run func(ctx context.Context, clients []blob.Store) error) Check {
	const clients = 8
	return Check{Shared, name, func(ctx context.Context, open func() (blob.Store, error)) error {
		stores := make([]blob.Store, clients)
		for i := range stores {
			var err error
			if stores[i], err = open(); err != nil {
				return err
			}
		}
		return run(ctx, stores)
	}}
}

// atOnce runs n functions that start together and joins their errors.
func atOnce(n int, run func(i int) error) error {
	errs := make([]error, n)
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-start
			errs[i] = run(i)
		})
	}
	close(start)
	running.Wait()
	return errors.Join(errs...)
}

// noise is a body that depends on all of its arguments and does not compress.
func noise(seed uint64, size int) []byte {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	out := make([]byte, size)
	_, _ = random.Read(out) // never fails, by its documentation
	return out
}

func create(ctx context.Context, s blob.Store, key string, body []byte) error {
	if err := s.Create(ctx, key, body); err != nil {
		return fmt.Errorf("Create(%q): %w", key, err)
	}
	return nil
}

// open reads a whole object, and holds the size that Open tells against it.
func open(ctx context.Context, s blob.Store, key string) ([]byte, error) {
	r, size, err := s.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("Open(%q): %w", key, err)
	}
	body, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read and close Open(%q): %w", key, err)
	}
	if size != int64(len(body)) {
		return nil, fmt.Errorf("Open(%q) says %d bytes and gives %d", key, size, len(body))
	}
	return body, nil
}

func wantBody(ctx context.Context, s blob.Store, key string, want []byte) error {
	got, err := open(ctx, s, key)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("Open(%q) gives other bytes than were created: %d of them, want %d", key, len(got), len(want))
	}
	return nil
}

// list collects a listing.
func list(ctx context.Context, s blob.Store, prefix, after string) ([]blob.Entry, error) {
	var out []blob.Entry
	for entry, err := range s.List(ctx, prefix, after) {
		if err != nil {
			return out, fmt.Errorf("List(%q, %q): %w", prefix, after, err)
		}
		out = append(out, entry)
	}
	return out, nil
}

func wantList(ctx context.Context, s blob.Store, from [2]string, want []blob.Entry) error {
	got, err := list(ctx, s, from[0], from[1])
	if err != nil {
		return err
	}
	if slices.Equal(want, got) { // thousands of listings are, and to find differences takes long
		return nil
	}
	return fmt.Errorf("List(%q, %q) (-want +got):\n%s", from[0], from[1], cmp.Diff(want, got))
}

// wantError says that an error is not the one that is due.
func wantError(call string, got, want error) error {
	if errors.Is(got, want) {
		return nil
	}
	return fmt.Errorf("%s: error is %v, want one wrapping %v", call, got, want) //nolint:errorlint // told, not promised
}

// wantRefused says that an error is missing, or could be taken for an answer.
func wantRefused(call string, got error) error {
	if got == nil || errors.Is(got, fs.ErrNotExist) || errors.Is(got, fs.ErrExist) {
		return fmt.Errorf("%s: error is %v, want one that is neither fs.ErrNotExist nor fs.ErrExist", call, got) //nolint:errorlint // told, not promised
	}
	return nil
}
