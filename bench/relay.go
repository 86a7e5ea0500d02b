package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream/bench/relay"
)

// oneWay is how long the relay of growth holds what goes to the broker, and what comes from it.
const oneWay = 10 * time.Millisecond

// runRelay listens, says where, and relays to the address that it is then told, until its
// input ends: a broker must know where the relay is before it has an address itself.
func runRelay(ctx context.Context, delay time.Duration, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close() //nolint:errcheck // Serve closes it, too
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return err
	}
	orders := bufio.NewReader(in)
	target, err := orders.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read where to relay to: %w", err)
	}
	var group errgroup.Group
	group.Go(func() error {
		defer cancel()
		_, err := io.Copy(io.Discard, orders)
		return err
	})
	return errors.Join(relay.Serve(ctx, l, strings.TrimSpace(target), delay), group.Wait())
}

// relayProcess is a relay that runs as a child: its memory is none of ours.
type relayProcess struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	addr string
}

// startRelay starts a relay that holds bytes for a delay, in each direction.
func startRelay(ctx context.Context, delay time.Duration) (*relayProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &relayProcess{cmd: exec.CommandContext(ctx, self, childCommand, "relay", "-delay", delay.String())}
	r.cmd.Stderr = os.Stderr
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start relay: %w", err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		r.close()
		return nil, fmt.Errorf("start relay: %w", err)
	}
	r.addr = strings.TrimSpace(said)
	return r, nil
}

// to says where to relay to.
func (r *relayProcess) to(addr string) error {
	_, err := fmt.Fprintln(r.in, addr)
	return err
}

func (r *relayProcess) close() {
	_ = r.in.Close()
	_ = r.cmd.Wait() // what was wrong with it the tools have said
}
