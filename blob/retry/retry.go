// Package retry is the one place that reads [blob.ErrTemporary]: around another store, it
// does again what failed for the time being, with a bound for each object, and finds out
// what became of a Create whose answer was lost.
package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"coldstream"
	"coldstream/blob"
)

// Options bound what is done again.
type Options struct {
	// Patience is how long one call goes on while the storage is in trouble, 2 minutes if
	// 0; FirstPatience the same until it has answered once, 15 seconds if 0.
	Patience, FirstPatience time.Duration
	// Attempts is how often an object is asked for that the storage lists and does not
	// give, 6 if 0: then it is that object that is broken, and not the storage.
	Attempts int
	// Observer is told of each attempt that failed, as a [*coldstream.Detail], and of waits
	// that last, as a [*coldstream.Warning].
	Observer coldstream.Observer
}

const (
	firstDelay = 200 * time.Millisecond
	maxDelay   = 20 * time.Second
	// longWait is when a wait is told to people.
	longWait = 3 * time.Second
)

// Store is a [blob.Store] that does again what failed for the time being.
type Store struct {
	inner    blob.Store
	opts     Options
	answered atomic.Bool
	warned   atomic.Bool // of the trouble that goes on now
}

var _ blob.Store = (*Store)(nil)

// New makes a store around another one.
func New(inner blob.Store, opts Options) *Store {
	if opts.Patience <= 0 {
		opts.Patience = 2 * time.Minute
	}
	if opts.FirstPatience <= 0 {
		opts.FirstPatience = 15 * time.Second
	}
	if opts.Attempts <= 0 {
		opts.Attempts = 6
	}
	if opts.Observer == nil {
		opts.Observer = coldstream.NoObserver{}
	}
	return &Store{inner: inner, opts: opts}
}

// Unconditional is [blob.Unconditional], where the storage behind it has it.
func (s *Store) Unconditional() blob.Store {
	if u, ok := s.inner.(blob.Unconditional); ok {
		return New(u.Unconditional(), s.opts)
	}
	return s
}

// Metered is [blob.Metered]: what fails for the time being is far away.
func (s *Store) Metered() {}

// patience is how much of it one call still has.
type patience struct {
	store    *Store
	what     string // the call, for people
	attempts int
	end      *time.Timer
	long     *time.Timer
	isLong   bool
}

// start begins to count when the first attempt has failed.
func (p *patience) start() {
	if p.end != nil {
		return
	}
	limit := p.store.opts.FirstPatience
	if p.store.answered.Load() {
		limit = p.store.opts.Patience
	}
	p.end, p.long = time.NewTimer(limit), time.NewTimer(longWait)
}

func (p *patience) stop() {
	if p.end != nil {
		p.end.Stop()
		p.long.Stop()
	}
}

// after waits until the next attempt is due. It returns the error if there is none.
func (p *patience) after(ctx context.Context, err error) error {
	if !errors.Is(err, blob.ErrTemporary) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.start()
	p.attempts++
	p.store.opts.Observer.Observe(&coldstream.Detail{Text: fmt.Sprintf("storage: attempt %d: %v", p.attempts, err)})
	delay := time.NewTimer(jitter(p.attempts))
	defer delay.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.end.C:
			return fmt.Errorf("%w (after %d attempts)", err, p.attempts)
		case <-p.long.C:
			p.isLong = true
		case <-delay.C:
			p.warn(err)
			return nil
		}
		p.warn(err)
	}
}

// warn tells a person, once for all calls that wait at the same time.
func (p *patience) warn(err error) {
	if p.isLong && p.store.warned.CompareAndSwap(false, true) {
		p.store.opts.Observer.Observe(&coldstream.Warning{Text: fmt.Sprintf("waiting for the storage: %s: %v", p.what, err)})
	}
}

// jitter is a random part of a delay that doubles: so those that failed together do not
// come again together.
func jitter(attempts int) time.Duration {
	limit := maxDelay
	if attempts < 8 {
		limit = min(limit, firstDelay<<attempts)
	}
	return 1 + rand.N(limit)
}

// answer notes that the storage has answered.
func (s *Store) answer() {
	s.answered.Store(true)
	s.warned.Store(false)
}

// isAnswer says that an error is an answer about one object, not trouble.
func isAnswer(err error) bool {
	return err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, blob.ErrTemporary)
}

// again calls until there is an answer or no patience.
func (s *Store) again(ctx context.Context, what string, call func() error) error {
	p := &patience{store: s, what: what}
	defer p.stop()
	for {
		err := call()
		if isAnswer(err) {
			s.answer()
			return err
		}
		if err := p.after(ctx, err); err != nil {
			return err
		}
	}
}

// readAgain is again for an object that is read: if the storage answers, lists the object,
// and does not give it, then it is the object that is broken.
func (s *Store) readAgain(ctx context.Context, key string, call func() error) error {
	attempts := 0
	return s.again(ctx, "read "+key, func() error {
		err := call()
		if attempts++; attempts < s.opts.Attempts || !errors.Is(err, blob.ErrTemporary) || !s.lists(ctx, key) {
			return err
		}
		// What it wraps is told and not promised: it would be done again.
		return fmt.Errorf("%w: it is listed, and %d attempts to read it failed: %v", blob.ErrUnreadable, attempts, err) //nolint:errorlint // see above
	})
}

func (s *Store) lists(ctx context.Context, key string) bool {
	for e, err := range s.inner.List(ctx, key, "") {
		return err == nil && e.Key == key
	}
	return false
}

// Create is [blob.Store.Create]. Where the key is taken after an attempt without an answer,
// the same content counts as our own.
func (s *Store) Create(ctx context.Context, key string, body []byte) error {
	unknown := false
	return s.again(ctx, "create "+key, func() error {
		err := s.inner.Create(ctx, key, body)
		if unknown && errors.Is(err, fs.ErrExist) {
			return s.isOurs(ctx, key, body, err)
		}
		unknown = unknown || errors.Is(err, blob.ErrTemporary)
		return err
	})
}

func (s *Store) isOurs(ctx context.Context, key string, body []byte, taken error) error {
	there, err := blob.ReadAll(ctx, s.inner, key, max(int64(len(body)), 1<<20))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s was there, and is gone", blob.ErrTemporary, key)
	case errors.Is(err, blob.ErrTemporary):
		return err
	case err != nil || !slices.Equal(there, body):
		return taken
	}
	return nil
}

// Read is [blob.Store.Read].
func (s *Store) Read(ctx context.Context, key string, offset, length int64) (out []byte, err error) {
	err = s.readAgain(ctx, key, func() (err error) {
		out, err = s.inner.Read(ctx, key, offset, length)
		return err
	})
	return out, err
}

// Open is [blob.Store.Open]. A body that breaks off is read on by ranges.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	var r io.ReadCloser
	var size int64
	err := s.readAgain(ctx, key, func() (err error) {
		r, size, err = s.inner.Open(ctx, key)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return &reader{ctx: ctx, store: s, key: key, size: size, body: r}, size, nil
}

// reader goes on where a body breaks off.
type reader struct {
	ctx      context.Context //nolint:containedctx // of the call that it is the answer of
	store    *Store
	key      string
	at, size int64
	body     io.ReadCloser
	broken   bool
	rest     []byte // read by a range, not yet given
}

// pieceBytes is how much is asked for at once after a body broke off.
const pieceBytes = 4 << 20

// Read is [io.Reader.Read].
func (r *reader) Read(p []byte) (int, error) {
	if !r.broken {
		n, err := r.body.Read(p)
		r.at += int64(n)
		if err == nil || !errors.Is(err, blob.ErrTemporary) && !r.isShort(err) {
			return n, err
		}
		r.broken = true
		if n > 0 {
			return n, nil
		}
	}
	if len(r.rest) == 0 {
		if r.at >= r.size {
			return 0, io.EOF
		}
		var err error
		if r.rest, err = r.store.Read(r.ctx, r.key, r.at, min(pieceBytes, r.size-r.at)); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest, r.at = r.rest[n:], r.at+int64(n)
	return n, nil
}

// isShort says that a body ended too early, which a second look tells from an object that
// is shorter than its storage says.
func (r *reader) isShort(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) && r.at < r.size
}

// Close is [io.Closer.Close].
func (r *reader) Close() error {
	err := r.body.Close()
	if r.broken {
		return nil // it broke off before
	}
	return err
}

// List is [blob.Store.List]. One that breaks off goes on behind the last entry.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		p := &patience{store: s, what: "list " + prefix}
		defer func() { p.stop() }()
		for {
			err := s.listOnce(ctx, prefix, after, func(e blob.Entry) bool {
				if p.attempts > 0 { // it goes on, so patience begins anew
					p.stop()
					p = &patience{store: s, what: p.what}
				}
				after = e.Key
				return yield(e, nil)
			})
			if err == nil {
				return
			}
			if err := p.after(ctx, err); err != nil {
				yield(blob.Entry{}, err)
				return
			}
		}
	}
}

func (s *Store) listOnce(ctx context.Context, prefix, after string, yield func(blob.Entry) bool) error {
	for e, err := range s.inner.List(ctx, prefix, after) {
		if err != nil {
			return err
		}
		s.answer()
		if !yield(e) {
			return nil
		}
	}
	s.answer()
	return nil
}

// Delete is [blob.Store.Delete].
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.again(ctx, "delete "+key, func() error { return s.inner.Delete(ctx, key) })
}
