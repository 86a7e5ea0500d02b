package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

const delay = 10 * time.Millisecond

// arrivals notes when how many bytes came.
type arrivals struct {
	count atomic.Int64
	all   bytes.Buffer
	last  time.Time
}

func (a *arrivals) Write(b []byte) (int, error) {
	a.last = time.Now()
	a.count.Add(int64(len(b)))
	return a.all.Write(b)
}

// TestBytesComeLaterAndAsFastAsBefore holds that each byte takes the delay and no more,
// however many are under way, and that order is kept.
func TestBytesComeLaterAndAsFastAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := net.Pipe()
		var got arrivals
		var want bytes.Buffer
		var group errgroup.Group
		group.Go(func() error { return pass(&got, out, delay) })
		began := time.Now()
		send := func(pieces int) {
			for n := range pieces {
				piece := bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 1+n)
				want.Write(piece)
				if _, err := in.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		send(500)
		if n := got.count.Load(); n > 0 {
			t.Errorf("%d bytes came at once", n)
		}
		time.Sleep(delay / 2) //nolint:forbidigo // of the bubble's clock
		send(500)
		if err := errors.Join(in.Close(), group.Wait()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.all.Bytes(), want.Bytes()) {
			t.Errorf("%d bytes came, not the %d that were sent", got.all.Len(), want.Len())
		}
		if took := got.last.Sub(began); took != delay+delay/2 {
			t.Errorf("the last byte came after %s, want %s", took, delay+delay/2)
		}
	})
}

// TestWhatIsUnderWayIsBounded holds that who sends waits for who does not read.
func TestWhatIsUnderWayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1000)
		pushed := 0
		go func() {
			for q.push(make([]byte, 100-cost(nil)), time.Now()) {
				pushed++
			}
		}()
		synctest.Wait()
		if pushed != 10 {
			t.Errorf("%d pieces of 100 were taken, want 10", pushed)
		}
		q.pop(0)
		synctest.Wait()
		if pushed != 10 {
			t.Errorf("%d pieces were taken while one is being written, want 10", pushed)
		}
		q.pop(100)
		synctest.Wait()
		if pushed != 11 {
			t.Errorf("%d pieces were taken after one was written, want 11", pushed)
		}
		q.drop()
	})
}

type refuses struct{}

func (refuses) Write([]byte) (int, error) { return 0, errors.New("refused") }

func TestWhoCannotWriteStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := net.Pipe()
		go func() {
			for {
				if _, err := in.Write(make([]byte, 100_000)); err != nil {
					return
				}
			}
		}()
		if err := pass(refuses{}, out, delay); err == nil {
			t.Error("no error")
		}
	})
}

// TestServe relays real connections to an echo, both ways, until an end that is seen on
// the other side.
func TestServe(t *testing.T) {
	echo, front := listen(t), listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return Serve(ctx, front, echo.Addr().String(), time.Millisecond) })
	group.Go(func() error {
		for {
			conn, err := echo.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			group.Go(func() error {
				_, err := io.Copy(conn, conn)
				return errors.Join(err, conn.Close())
			})
		}
	})
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	for range 3 {
		conn, err := net.Dial("tcp", front.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		group.Go(func() error {
			_, err := conn.Write(want)
			return errors.Join(err, conn.(*net.TCPConn).CloseWrite())
		})
		if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d of %d bytes back: %v", len(got), len(want), err)
		}
	}
	idle, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	cancel()
	if _, err := io.ReadAll(idle); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that the relay ended: %v", err)
	}
	_ = echo.Close()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
