// Package elastio keeps objects in an Elastio vault, through the elastio program, which can
// create, list and read whole recovery points and nothing else. So objects are gathered:
// what a run makes becomes at most two recovery points, one with its packs and one with
// all else, which names the first and makes it count.
package elastio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"coldstream/blob"
)

// Tags of recovery points: few, short, and there with the point or not at all.
const (
	tagVault  = "coldstream"        // the vault's name
	tagKind   = "coldstream-kind"   // "catalog" or "records"
	tagNumber = "coldstream-number" // of a catalog point: one more than all that its maker knew

	kindCatalog = "catalog"
	kindRecords = "records"
)

// packs are streamed as they come; all else is gathered until [Store.Flush].
const packsPrefix = "packs/"

const defaultStall = 10 * time.Minute

// Options say which vault, and where to put what is read.
type Options struct {
	// Vault is the Elastio vault's name: letters, digits, '.', '_' and '-'.
	Vault string
	// Host is the host name that recovery points are listed under; "coldstream" by default.
	Host string
	// Program is the program's name or path; "elastio" by default.
	Program string
	// CacheDir keeps recovery points of catalogs between runs. It may be deleted at any
	// time. If it is empty they are kept in a temporary folder until Close.
	CacheDir string
	// SpoolDir is where packs that are read are kept until Close, at most SpoolBytes of them;
	// a temporary folder and 10 GiB by default.
	SpoolDir   string
	SpoolBytes int64
	// Stall ends a call of the program that takes or gives no byte; 10 min by default.
	Stall time.Duration
}

// Store is a [blob.Store] that keeps the part of the contract that blobtest calls the
// archive level, with one exception, for which it is a [blob.Flusher]: objects are durable
// once Flush has returned nil. It can read ranges of packs, by way of the spool. It cannot
// delete, and two processes that create one key at once both succeed.
type Store struct {
	program *program
	opts    Options

	mu      sync.Mutex
	index   *index
	staged  map[string][]byte // created, and not yet in a recovery point
	records *recordsPoint     // the recovery point of packs that is being written
	broken  error             // of the recovery point of packs: nothing more can be created
	words   string            // for people, in the names of streams

	spool *spool
}

var (
	_ blob.Store     = (*Store)(nil)
	_ blob.Flusher   = (*Store)(nil)
	_ blob.Permanent = (*Store)(nil)

	nameOfVault = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

// Check refuses names that cannot be those of a vault and a host.
func (o *Options) Check() error {
	for _, name := range []string{o.Vault, withDefault(o.Host, "coldstream")} {
		if !nameOfVault.MatchString(name) {
			return fmt.Errorf("the name %q is not of letters, digits, '.', '_' and '-'", name)
		}
	}
	return nil
}

// Open lists the vault's recovery points and reads those catalogs that are not in the cache.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	opts.Host = withDefault(opts.Host, "coldstream")
	if opts.SpoolBytes <= 0 {
		opts.SpoolBytes = 10 << 30
	}
	if opts.Stall <= 0 {
		opts.Stall = defaultStall
	}
	s := &Store{
		program: &program{path: withDefault(opts.Program, "elastio"), vault: opts.Vault, host: opts.Host, stall: opts.Stall, pause: time.Second},
		opts:    opts,
		staged:  map[string][]byte{},
		words:   "vault",
	}
	s.spool = newSpool(s.program, opts.SpoolDir, opts.SpoolBytes)
	var err error
	if s.index, err = openIndex(ctx, s.program, opts.CacheDir); err != nil {
		return nil, err
	}
	return s, nil
}

func withDefault(name, byDefault string) string {
	if name == "" {
		return byDefault
	}
	return name
}

// Describe gives words for the names of the recovery points made from now on, so that a
// person recognizes them in Elastio's own list: a cluster, topics.
func (s *Store) Describe(words ...string) {
	const most = 80
	text := strings.Map(func(r rune) rune {
		if r < 128 && nameOfVault.MatchString("a"+string(r)) {
			return r
		}
		return '-'
	}, strings.Join(words, "-"))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = text[:min(len(text), most)]
}

// Create gathers an object. A pack goes into the recovery point of packs at once.
func (s *Store) Create(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return fmt.Errorf("create %s: %w", key, s.broken)
	}
	if s.has(key) {
		return fmt.Errorf("create %s: %w", key, fs.ErrExist)
	}
	if !strings.HasPrefix(key, packsPrefix) {
		s.staged[key] = bytes.Clone(body)
		return nil
	}
	if s.records == nil {
		r, err := s.beginRecords(ctx)
		if err != nil {
			return fmt.Errorf("create %s: %w", key, err)
		}
		s.records = r
	}
	if err := s.records.add(ctx, key, body); err != nil {
		s.records, s.broken = nil, err
		return fmt.Errorf("create %s: %w", key, err)
	}
	return nil
}

// has says that a key is taken. Its caller holds the lock.
func (s *Store) has(key string) bool {
	_, staged := s.staged[key]
	return staged || s.records.has(key) || s.index.has(key)
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return blob.CheckKey(key)
}

// Open is [blob.Store.Open]. A pack is read into the spool first.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	f, at, err := s.find(ctx, key)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", key, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, at.offset, at.size), f}, at.size, nil
}

// Read is [blob.Store.Read]. A pack is read into the spool first.
func (s *Store) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	f, at, err := s.find(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if offset < 0 || length < 0 || offset > at.size-length {
		return nil, fmt.Errorf("read %s: bytes [%d, %d) of %d: %w", key, offset, offset+length, at.size, io.ErrUnexpectedEOF)
	}
	out := make([]byte, length)
	if _, err := f.ReadAt(out, at.offset+offset); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return out, nil
}

// readable is a file, or bytes in memory.
type readable interface {
	io.ReaderAt
	io.Closer
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// extent is where an object lies in a file.
type extent struct{ offset, size int64 }

// find opens what holds an object.
func (s *Store) find(ctx context.Context, key string) (readable, extent, error) {
	if err := check(ctx, key); err != nil {
		return nil, extent{}, err
	}
	s.mu.Lock()
	body, isStaged := s.staged[key]
	written := s.records.has(key)
	at, isKnown := s.index.places[key]
	s.mu.Unlock()
	switch {
	case isStaged:
		return inMemory{bytes.NewReader(body)}, extent{0, int64(len(body))}, nil
	case written:
		return nil, extent{}, errors.New("its recovery point is still being written, and cannot be read yet")
	case !isKnown:
		return nil, extent{}, fs.ErrNotExist
	case at.records != nil:
		if err := s.index.isThere(ctx, s.program, at.records); err != nil {
			return nil, extent{}, err
		}
		f, err := s.spool.open(ctx, at.records, key)
		return f, extent{0, at.size}, err
	}
	f, err := os.Open(at.file)
	return f, at.extent, err
}

// List is [blob.Store.List], of what was there when the store was opened and what was
// created since. A pack whose recovery point is gone is not there.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		entries, err := s.entries(ctx, prefix, after)
		if err != nil {
			yield(blob.Entry{}, fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(blob.Entry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (s *Store) entries(ctx context.Context, prefix, after string) ([]blob.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []blob.Entry
	take := func(key string, size int64) bool {
		wanted := strings.HasPrefix(key, prefix) && key > after
		if wanted {
			out = append(out, blob.Entry{Key: key, SizeBytes: size})
		}
		return wanted
	}
	unsure := map[*dataPoint]bool{}
	s.mu.Lock()
	for key, body := range s.staged {
		take(key, int64(len(body)))
	}
	if s.records != nil {
		for _, o := range s.records.Objects {
			take(o.Key, o.SizeBytes)
		}
	}
	for key, at := range s.index.places {
		if take(key, at.size) && at.records != nil {
			unsure[at.records] = true
		}
	}
	s.mu.Unlock()
	for d := range unsure {
		err := s.index.isThere(ctx, s.program, d)
		if errors.Is(err, fs.ErrNotExist) {
			out = slices.DeleteFunc(out, func(e blob.Entry) bool { return d.has(e.Key) })
		} else if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b blob.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Delete fails: the program takes nothing away.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	return fmt.Errorf("delete %s: an Elastio vault takes nothing away: %w", key, errors.ErrUnsupported)
}

// TakesNothingAway is [blob.Permanent].
func (s *Store) TakesNothingAway() {}

// Strays are recovery points of packs that no catalog names: their runs were cut off. What
// is in them does not count.
func (s *Store) Strays() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.strays()
}

// Close gives up what was created and not flushed, and removes temporary files.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records != nil {
		s.records.upload.abort()
		s.records = nil
	}
	return errors.Join(s.spool.close(), s.index.close())
}

// removeAll removes a folder of temporary files, if there is one.
func removeAll(dir string) error {
	if dir == "" || filepath.Clean(dir) == string(filepath.Separator) {
		return nil
	}
	return os.RemoveAll(dir)
}
