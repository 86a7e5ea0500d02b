// Package blob is what a vault asks of storage: objects that are created once, read,
// listed and deleted, and never overwritten.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"
)

// ErrTemporary is wrapped by errors after which the same call may succeed.
var ErrTemporary = errors.New("temporary storage failure")

// Store keeps objects under keys. All methods are safe for use by several goroutines
// and processes. A key that [CheckKey] refuses is refused by every method, with an error
// that is not one of absence. Once ctx is done every method fails with its error. Keys of
// which one is the folder of another ("a" beside "a/b") are not for every storage: Create
// may refuse the second.
type Store interface {
	// Create stores body under key, all of it or nothing. When Create returns nil the
	// object is durable and every later call sees it. If the key is taken Create fails
	// with an error wrapping fs.ErrExist and leaves the object alone, which then is as
	// durable as if Create had made it; of several that create one key at once, in any
	// process, one succeeds. After another error the object may be there, whole, or not.
	// Create does not keep body, but where it gave up a call that hung.
	Create(ctx context.Context, key string, body []byte) error
	// Read returns exactly length bytes from offset on; they are the caller's. An object
	// that ends before is an error wrapping io.ErrUnexpectedEOF, one that is not there
	// an error wrapping fs.ErrNotExist.
	Read(ctx context.Context, key string, offset, length int64) ([]byte, error)
	// Open returns the whole object, to be read and closed by the caller, and its size.
	// One that is not there is an error wrapping fs.ErrNotExist.
	Open(ctx context.Context, key string) (io.ReadCloser, int64, error)
	// List yields the objects whose keys begin with prefix and are greater than after,
	// in ascending order of the keys' bytes. Every object that was there before the
	// call, and is not deleted meanwhile, is among them. An error ends it. A prefix that
	// no key begins with yields nothing.
	List(ctx context.Context, prefix, after string) iter.Seq2[Entry, error]
	// Delete removes an object. Deleting what is not there is not an error: not every
	// storage can tell, and who deletes retries.
	Delete(ctx context.Context, key string) error
}

// Flusher is a [Store] that gathers objects: what Create took is durable, and seen by other
// clients, only once Flush has returned nil. After an error of Flush nothing that was
// created since the Flush before may be relied on.
type Flusher interface {
	Flush(ctx context.Context) error
}

// Flush makes durable what was created in s. Most storage needs none.
func Flush(ctx context.Context, s Store) error {
	if f, ok := s.(Flusher); ok {
		return f.Flush(ctx)
	}
	return nil
}

// Permanent is a [Store] whose Delete always fails with errors.ErrUnsupported. The method
// only marks it.
type Permanent interface {
	TakesNothingAway()
}

// Unconditional is a [Store] that can also work on storage without conditional create: then
// whether a key is taken is looked up first, which keeps no two processes from creating it
// at once.
type Unconditional interface {
	Unconditional() Store
}

// Metered is a [Store] each of whose requests costs money and time, listings most of all:
// one that lists more than is wanted is better than several. The method only marks it.
type Metered interface {
	Metered()
}

// Entry is one object in a listing.
type Entry struct {
	Key       string
	SizeBytes int64
}

const (
	maxKeyBytes     = 512
	maxSegmentBytes = 128
)

var keySegment = regexp.MustCompile(`^[a-z0-9_-]([a-z0-9._-]*[a-z0-9_-])?$`)

// CheckKey accepts keys of segments of lower-case letters, digits, '_', '-' and inner '.',
// joined by '/': what every storage can hold, what cannot lead out of a folder, and what
// stays two names on a file system that does not tell cases apart.
func CheckKey(key string) error {
	if len(key) > maxKeyBytes {
		return fmt.Errorf("key of %d bytes: at most %d are allowed", len(key), maxKeyBytes)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if len(segment) > maxSegmentBytes || !keySegment.MatchString(segment) {
			return fmt.Errorf("key %q: segment %q is not allowed", key, segment)
		}
	}
	return nil
}

// ReadAll reads a whole object of at most maxBytes. One that ends before its own size is
// an error wrapping io.ErrUnexpectedEOF; a larger one is an error.
func ReadAll(ctx context.Context, s Store, key string, maxBytes int64) ([]byte, error) {
	r, size, err := s.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	body, err := readSized(r, size, maxBytes)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return body, nil
}

func readSized(r io.Reader, size, maxBytes int64) ([]byte, error) {
	if size < 0 || size > maxBytes {
		return nil, fmt.Errorf("an object of %d bytes where at most %d are expected", size, maxBytes)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return body, nil
}
