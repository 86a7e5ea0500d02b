package fsstore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"coldstream/blob"
)

// TestCallsThatHang are left behind: after a while, or soon if the caller was interrupted. What
// gives signs of life goes on.
func TestCallsThatHang(t *testing.T) {
	for name, c := range map[string]struct {
		interrupt time.Duration // when the caller is interrupted; 0 is never
		sign      time.Duration // how often it says that it goes on; 0 is never
		takes     time.Duration // 0 is for ever
		want      time.Duration
		fails     bool
	}{
		"quick":                         {takes: time.Second, want: time.Second},
		"slow":                          {takes: hangLimit - time.Second, want: hangLimit - time.Second},
		"hangs":                         {want: hangLimit, fails: true},
		"slow and alive":                {sign: hangLimit - time.Second, takes: 10 * hangLimit, want: 10 * hangLimit},
		"interrupted":                   {interrupt: time.Second, takes: 2 * time.Second, want: 2 * time.Second},
		"interrupted and alive":         {interrupt: time.Second, sign: time.Second, takes: time.Minute, want: time.Minute},
		"interrupted and hangs":         {interrupt: time.Second, want: time.Second + graceLimit, fails: true},
		"interrupted after it had hung": {interrupt: hangLimit - time.Second, want: hangLimit - time.Second + graceLimit, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.interrupt > 0 {
					defer time.AfterFunc(c.interrupt, cancel).Stop()
				}
				never, dropped := make(chan struct{}), make(chan int, 1)
				do := func(alive func()) (int, error) {
					if c.takes == 0 {
						<-never
						return 7, nil
					}
					for began := time.Now(); time.Since(began) < c.takes; {
						rest := c.takes - time.Since(began)
						if c.sign > 0 {
							rest = min(rest, c.sign)
						}
						<-time.After(rest)
						alive()
					}
					return 7, nil
				}
				began := time.Now()
				got, err := await(ctx, limits{hangLimit, graceLimit}, do, func(n int) { dropped <- n })
				if took := time.Since(began); took != c.want || (err != nil) != c.fails {
					t.Errorf("%d, %v after %v, want %v", got, err, took, c.want)
				}
				var failure *blob.Failure
				switch {
				case err == nil:
					if got != 7 {
						t.Errorf("got %d", got)
					}
					return
				case c.interrupt > 0 && !errors.Is(err, context.Canceled), c.interrupt == 0 && !errors.As(err, &failure), !errors.Is(err, os.ErrDeadlineExceeded):
					t.Errorf("the error is %v", err)
				}
				close(never)
				if n := <-dropped; n != 7 {
					t.Errorf("what came after all is %d", n)
				}
			})
		})
	}
}

// TestFolderThatHangs: a sync that does not come back keeps nobody from ending. What it was of is
// there once it does.
func TestFolderThatHangs(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // of a test
	s.limits = limits{hang: time.Millisecond, grace: time.Millisecond}
	hanging := make(chan struct{})
	s.flush = func(f *os.File) error {
		<-hanging
		return f.Sync()
	}
	var failure *blob.Failure
	if err := s.Create(t.Context(), "packs/a", []byte("body")); !errors.As(err, &failure) {
		t.Errorf("the error is %v", err)
	}
	close(hanging)
	s.limits = limits{hangLimit, graceLimit}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		body, err := blob.ReadAll(ctx, s, "packs/a", 100)
		if err == nil && string(body) == "body" {
			return
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%q, %v", body, err)
		}
		runtime.Gosched()
	}
}

// TestReadingThatHangs ends when the reader is interrupted, though the file gives nothing.
func TestReadingThatHangs(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close() //nolint:errcheck // it lets the read that was left behind end
	ctx, cancel := context.WithCancel(t.Context())
	f := &openFile{ctx: ctx, store: &Store{limits: limits{time.Hour, time.Millisecond}}, file: read}
	if _, err := write.Write([]byte("begin")); err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 5)
	if _, err := io.ReadFull(f, room); err != nil || string(room) != "begin" {
		t.Fatalf("%q, %v", room, err)
	}
	cancel()
	if _, err := io.ReadFull(f, room); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}
