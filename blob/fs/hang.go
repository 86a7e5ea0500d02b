package fsstore

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"coldstream/blob"
)

// A call of a file system on a network may never come back, and nothing can end it. So each
// runs in a goroutine of its own, which is left behind if it hangs.
const (
	// hangLimit is how long a call may go without a sign of life. What is written gives one for
	// each piece; a sync gives none, and may take long on a slow disk.
	hangLimit = 2 * time.Minute
	// graceLimit is the same once the caller was interrupted: what comes to its end leaves nothing
	// undecided, and what hangs must not keep the program from ending.
	graceLimit = 5 * time.Second
)

// limits are those of a store; tests have shorter ones, or none.
type limits struct{ hang, grace time.Duration }

// answer is what a call came to.
type answer[T any] struct {
	value T
	err   error
}

// await calls do, which says that it goes on by calling its argument. If it hangs, await returns
// without it, and drop gets its value should it come after all.
func await[T any](ctx context.Context, l limits, do func(alive func()) (T, error), drop func(T)) (none T, err error) {
	if l == (limits{}) {
		return do(func() {})
	}
	answers, signs, left := make(chan answer[T]), make(chan struct{}, 1), make(chan struct{})
	go func() {
		value, err := do(func() {
			select {
			case signs <- struct{}{}:
			default:
			}
		})
		select {
		case answers <- answer[T]{value, err}:
		case <-left:
			drop(value)
		}
	}()
	limit, interrupted := l.hang, ctx.Done()
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		select {
		case a := <-answers:
			return a.value, a.err
		case <-signs:
		case <-interrupted:
			limit, interrupted = l.grace, nil
		case <-late.C:
			close(left)
			return none, hangs(ctx, limit)
		}
		late.Reset(limit)
	}
}

func hangs(ctx context.Context, limit time.Duration) error {
	err := fmt.Errorf("the file system has not answered for %v: %w", limit, os.ErrDeadlineExceeded)
	if ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	return &blob.Failure{Err: err, Next: "check whether the vault's folder can be reached, for instance that the network share it is on is mounted and its server up"}
}

func dropNothing[T any](T) {}

// done is await for calls that have no value.
func (s *Store) done(ctx context.Context, do func(alive func()) error) error {
	_, err := await(ctx, s.limits, func(alive func()) (struct{}, error) { return struct{}{}, do(alive) }, dropNothing)
	return err
}

// openFile is a file that is read for somebody who may not wait for ever.
type openFile struct {
	ctx   context.Context //nolint:containedctx // of the call that it is the answer of
	store *Store
	file  *os.File
	room  []byte // of one call; one that hangs keeps it
}

// readBytes are read by one call at most.
const readBytes = 1 << 20

// Read is [io.Reader.Read].
func (f *openFile) Read(p []byte) (int, error) {
	n := min(len(p), readBytes)
	if len(f.room) < n {
		f.room = make([]byte, n)
	}
	room := f.room[:n]
	n, err := await(f.ctx, f.store.limits, func(func()) (int, error) { return f.file.Read(room) }, dropNothing)
	if err != nil && n == 0 && err != io.EOF { //nolint:errorlint // as files say it
		f.room = nil
	}
	return copy(p, room[:n]), err
}

// Close is [io.Closer.Close].
func (f *openFile) Close() error {
	return f.store.done(f.ctx, func(func()) error { return f.file.Close() })
}
