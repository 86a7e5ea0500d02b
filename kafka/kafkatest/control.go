package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Addrs are the plain listeners of all nodes, host:port.
func (c *Cluster) Addrs() []string { return c.ListenerAddrs("PLAINTEXT") }

// Bootstrap is Addrs in one string.
func (c *Cluster) Bootstrap() string { return strings.Join(c.Addrs(), ",") }

// ListenerAddrs are the addresses of a named listener, node by node.
func (c *Cluster) ListenerAddrs(name string) []string {
	var out []string
	for _, n := range c.nodes {
		out = append(out, "127.0.0.1:"+strconv.Itoa(n.ports[name]))
	}
	return out
}

// LogDir is the folder of a node's partitions; nodes count from 1.
func (c *Cluster) LogDir(id int) string { return filepath.Join(c.dir, strconv.Itoa(id), "data") }

// PID is the process ID of a node's java process; 0 while it does not run.
func (c *Cluster) PID(id int) int {
	if n := c.nodes[id-1]; n.cmd != nil {
		return n.cmd.Process.Pid
	}
	return 0
}

// Kill ends a node as kill -9 does, and waits until it is gone.
func (c *Cluster) Kill(id int) error { return c.end(c.nodes[id-1], syscall.SIGKILL) }

// Stop ends a node as its operator would, and waits until it is gone.
func (c *Cluster) Stop(id int) error { return c.end(c.nodes[id-1], syscall.SIGTERM) }

func (c *Cluster) end(n *node, signal syscall.Signal) error {
	if n.cmd == nil {
		return nil
	}
	if err := n.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-n.exit:
	case <-time.After(stopTimeout):
		_ = n.cmd.Process.Kill() // it did not want to
		<-n.exit
		return fmt.Errorf("node %d did not stop in %s", n.id, stopTimeout)
	}
	n.cmd = nil
	return os.Remove(c.path(n, "pid"))
}

// StartNode starts a stopped node again, with the same ports and data.
func (c *Cluster) StartNode(id int) error {
	n := c.nodes[id-1]
	if n.cmd != nil {
		return fmt.Errorf("node %d runs", id)
	}
	if err := c.run(n); err != nil {
		return err
	}
	if err := c.awaitReady(context.Background()); err != nil {
		return fmt.Errorf("start node %d: %w\n%s", id, err, c.logs())
	}
	return nil
}

// Close ends all nodes and removes the cluster's folder.
func (c *Cluster) Close() {
	for _, n := range c.nodes {
		_ = c.end(n, syscall.SIGKILL) // the watchdog makes sure
	}
	if c.watchdog != nil {
		_ = c.watchdog.Close()
		c.watchdog = nil
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// Tool runs a class of Kafka's jars, and returns what it prints to stdout.
func (c *Cluster) Tool(ctx context.Context, class string, args ...string) ([]byte, error) {
	cmd := c.java(ctx, []string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}, class, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s", class, err, tail(stderr.String()))
	}
	return out, nil
}

// DumpLog runs Kafka's own dump tool over a log file, down to the records.
func (c *Cluster) DumpLog(ctx context.Context, file string) ([]byte, error) {
	class := "org.apache.kafka.tools.DumpLogSegments"
	if strings.HasPrefix(c.cfg.Version, "3.") {
		class = "kafka.tools.DumpLogSegments"
	}
	return c.Tool(ctx, class, "--deep-iteration", "--print-data-log", "--files", file)
}
