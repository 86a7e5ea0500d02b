package kafkatest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"coldstream/internal/testproc"
)

// Addrs are the plain listeners of all nodes, host:port, also of those that are down.
func (c *Cluster) Addrs() []string { return c.ListenerAddrs(plainListener) }

// Bootstrap is Addrs in one string, as for --bootstrap-server.
func (c *Cluster) Bootstrap() string { return strings.Join(c.Addrs(), ",") }

// ListenerAddrs are the addresses of a listener of Config.Listeners, node by node. It
// panics if there is none of that name.
func (c *Cluster) ListenerAddrs(name string) []string {
	var out []string
	for _, n := range c.nodes {
		port, ok := n.ports[name]
		if !ok {
			panic(fmt.Sprintf("kafkatest: no listener %q in Config.Listeners", name))
		}
		out = append(out, address(port))
	}
	return out
}

// LogDir is the folder of a node's partitions.
func (c *Cluster) LogDir(id int) string { return c.nodes[id-1].logDir() }

// Log is the file with all that a node's process printed, over all its starts: warnings
// and errors of the broker.
func (c *Cluster) Log(id int) string { return c.nodes[id-1].logFile() }

// PID is the process ID of a node's java process; 0 while it does not run.
func (c *Cluster) PID(id int) int {
	if n := c.nodes[id-1]; n.exit != nil {
		return n.process.Pid
	}
	return 0
}

// Kill ends a node as kill -9 does, and returns when it is gone.
func (c *Cluster) Kill(id int) error { return c.nodes[id-1].end(syscall.SIGKILL) }

// Stop ends a node as its operator would, with SIGTERM, and returns when it is gone. One
// that does not end within 30 s is killed, and that is an error.
func (c *Cluster) Stop(id int) error { return c.nodes[id-1].end(syscall.SIGTERM) }

// StartNode starts a node again that was stopped or killed, with the same ports and data.
// It returns when all nodes that were started know each other.
func (c *Cluster) StartNode(id int) error {
	n := c.nodes[id-1]
	if n.exit != nil {
		return fmt.Errorf("start node %d: it was not ended with Stop or Kill", id)
	}
	if err := c.run(n); err != nil {
		return err
	}
	if err := c.awaitReady(context.Background()); err != nil {
		return fmt.Errorf("start node %d again: %w\n%s", id, err, c.logTails())
	}
	return nil
}

// Close kills all nodes and removes the cluster's folder. Calling it again does nothing.
func (c *Cluster) Close() {
	for _, n := range c.nodes {
		_ = n.end(syscall.SIGKILL) // the watchdog makes sure
	}
	if c.secrets != nil && c.secrets.Tokens != nil {
		c.secrets.Tokens.server.Close()
	}
	if c.watchdog != nil {
		_ = c.watchdog.Close()
		c.watchdog = nil
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir) // the watchdog did; but perhaps somebody killed it
	}
}

// Tool runs a class of the same jars and returns what it printed to stdout. If it fails
// the error holds the end of its stderr.
func (c *Cluster) Tool(ctx context.Context, class string, args ...string) ([]byte, error) {
	out, err := testproc.Output(c.java(ctx, []string{"-Xmx256m"}, class, args...))
	if err != nil {
		return out, fmt.Errorf("run %s: %w", class, err)
	}
	return out, nil
}

// DumpLog runs Kafka's own dump tool over a file of a partition, down to the records. The
// tool ends well also when it meets bad batches: its output says isvalid: false.
func (c *Cluster) DumpLog(ctx context.Context, file string) ([]byte, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("dump log: %w", err)
	}
	class := "org.apache.kafka.tools.DumpLogSegments"
	if strings.HasPrefix(c.cfg.Version, "3.") {
		class = "kafka.tools.DumpLogSegments"
	}
	return c.Tool(ctx, class, "--deep-iteration", "--print-data-log", "--files", file)
}
