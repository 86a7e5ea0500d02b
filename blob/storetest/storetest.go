// Package storetest starts real object stores for tests, on free loopback ports and with
// their files in folders that go with them. What is not in the cache of the tests is
// installed first, by name and pinned version.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"coldstream/internal/testproc"
)

// The credentials of every server.
const (
	AccessKey = "testadmin"
	SecretKey = "testsecret123"
)

const (
	installPatience = 20 * time.Minute
	startPatience   = time.Minute
	startAttempts   = 3 // another process may take the port that was found free
)

// TB is the part of testing.TB that this package needs.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Setenv(key, value string)
}

// program is a server that can be run.
type program struct {
	name string
	// command makes the command for a folder of its own and an address to listen on.
	command func(ctx context.Context, dir, addr string) (*exec.Cmd, error)
}

// process is a running server.
type process struct {
	addr string
	dir  string
	exit <-chan struct{}
	end  io.Closer
	cmd  *exec.Cmd
}

func start(tb TB, p program) *process {
	tb.Helper()
	started, err := startOnce(p)
	if err != nil {
		tb.Fatalf("%v", err)
		return nil
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("what %s said:\n%s", p.name, started.log())
		}
		started.stop()
	})
	return started
}

// startOnce starts one server, however many attempts that takes.
func startOnce(p program) (started *process, err error) {
	for range startAttempts {
		if started, err = try(p); err == nil {
			return started, nil
		}
	}
	return nil, fmt.Errorf("start %s: %w", p.name, err)
}

func try(p program) (*process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), installPatience)
	defer cancel()
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("", "coldstream-"+p.name+"-")
	if err != nil {
		return nil, err
	}
	s := &process{addr: addr, dir: filepath.Join(root, "server")}
	if s.end, err = testproc.StartWatchdog(root); err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	if err := s.run(ctx, p); err != nil {
		log := s.log()
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, log)
	}
	return s, nil
}

func (s *process) run(ctx context.Context, p program) error {
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return err
	}
	cmd, err := p.command(ctx, s.dir, s.addr)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = log, log
	if s.exit, err = testproc.Launch(testproc.Tied(cmd)); err != nil {
		return err
	}
	s.cmd = cmd
	pid := []byte(strconv.Itoa(cmd.Process.Pid))
	return errors.Join(os.WriteFile(filepath.Join(s.dir, "pid"), pid, 0o644), s.await())
}

// await waits until the server takes connections.
func (s *process) await() error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	patience := time.NewTimer(startPatience)
	defer patience.Stop()
	for {
		c, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.exit:
			return errors.New("it ended")
		case <-patience.C:
			return fmt.Errorf("it does not listen: %w", err)
		case <-tick.C:
		}
	}
}

func (s *process) stop() {
	if s.exit != nil {
		_ = s.cmd.Process.Signal(syscall.SIGKILL)
		<-s.exit
	}
	_ = s.end.Close()
}

func (s *process) log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return testproc.Tail(string(b))
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// prefixes makes names for prefixes and buckets, so that tests of one server keep apart.
var prefixes atomic.Int64 //nolint:gochecknoglobals // a counter

// NewPrefix is a prefix that nobody else in this process has.
func NewPrefix() string { return "test/p" + strconv.FormatInt(prefixes.Add(1), 10) }

// subfolder makes a folder of a server.
func subfolder(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.MkdirAll(path, 0o755)
}
