// Package relay hides how a network with a long way is imitated: it passes on the bytes of
// TCP connections, each byte as much later as the way is long, and as many of them at a
// time as come.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// underWayBytes bounds what one direction of a connection holds. With a way of 10 ms it
	// lets 3.3 GB pass in a second, more than there is to come.
	underWayBytes = 32 << 20
	readBytes     = 256 << 10
)

// Serve relays whatever connects to l to the address target, until ctx ends. Making a
// connection takes no time, its bytes take delay in each direction.
func Serve(ctx context.Context, l net.Listener, target string, delay time.Duration) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var group errgroup.Group
	for {
		near, err := l.Accept()
		if err != nil && ctx.Err() != nil {
			return group.Wait()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("accept: %w", err), group.Wait())
		}
		group.Go(func() error {
			relay(ctx, near.(*net.TCPConn), target, delay)
			return nil
		})
	}
}

// relay serves one connection. What breaks one end breaks the other: neither has anybody
// else to tell.
func relay(ctx context.Context, near *net.TCPConn, target string, delay time.Duration) {
	defer near.Close() //nolint:errcheck // whoever reads from it sees what was lost
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // the same
	far := conn.(*net.TCPConn)
	end := func() { _, _ = near.Close(), far.Close() }
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var group sync.WaitGroup
	for _, way := range []struct{ to, from *net.TCPConn }{{far, near}, {near, far}} {
		group.Go(func() {
			if pass(way.to, way.from, delay) != nil || way.to.CloseWrite() != nil {
				end()
			}
		})
	}
	group.Wait()
}

// pass copies until the end of from, and writes what was read a delay before. If it cannot
// write it closes from.
func pass(to io.Writer, from io.ReadCloser, delay time.Duration) error {
	q := newQueue(underWayBytes)
	var group errgroup.Group
	group.Go(func() error {
		buf := make([]byte, readBytes)
		for {
			n, err := from.Read(buf)
			if n > 0 && !q.push(append([]byte(nil), buf[:n]...), time.Now().Add(delay)) { //nolint:forbidigo // the delay is of real bytes
				return nil // the writer says why
			}
			if err != nil {
				q.end(time.Now().Add(delay)) //nolint:forbidigo // the same
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
		}
	})
	err := q.drain(to)
	if err != nil {
		q.drop()
		_ = from.Close() // so that the reader ends, too
	}
	return errors.Join(err, group.Wait())
}

// chunk is what was read at once; the last one is empty.
type chunk struct {
	bytes []byte
	due   time.Time
}

// queue holds what is under way, the first to come first.
type queue struct {
	limit int

	mu     sync.Mutex
	change *sync.Cond
	chunks []chunk
	size   int
	closed bool // nobody will take anything any more
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.change = sync.NewCond(&q.mu)
	return q
}

// push waits for room, and is false if nobody will take the bytes.
func (q *queue) push(b []byte, due time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size > 0 && q.size+cost(b) > q.limit && !q.closed {
		q.change.Wait()
	}
	q.chunks, q.size = append(q.chunks, chunk{b, due}), q.size+cost(b)
	q.change.Broadcast()
	return !q.closed
}

// cost is what bytes count for: many small pieces take more memory than they hold.
func cost(b []byte) int { return len(b) + 64 }

// end says that nothing more will come. The news travel as bytes do.
func (q *queue) end(due time.Time) { q.push(nil, due) }

func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.chunks = true, nil
	q.change.Broadcast()
}

// pop waits for the next chunk. Its bytes count until the one after is asked for, which
// the caller does when they are written.
func (q *queue) pop(written int) chunk {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size -= written
	q.change.Broadcast()
	for len(q.chunks) == 0 {
		q.change.Wait()
	}
	c := q.chunks[0]
	q.chunks[0] = chunk{} // the array outlives it
	q.chunks = q.chunks[1:]
	return c
}

// drain writes each chunk when it is due. A chunk that was read while another one waited
// is due as soon after it as it came: waiting for one is waiting for all.
func (q *queue) drain(to io.Writer) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for written := 0; ; {
		c := q.pop(written)
		if wait := time.Until(c.due); wait > 0 {
			timer.Reset(wait)
			<-timer.C
		}
		if len(c.bytes) == 0 {
			return nil
		}
		if _, err := to.Write(c.bytes); err != nil {
			return err
		}
		written = cost(c.bytes)
	}
}
