package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"coldstream/internal/testproc"
)

const stopTimeout = 30 * time.Second

// node is one broker, running or not.
type node struct {
	id    int
	dir   string
	ports map[string]int // by listener

	process *os.Process
	exit    <-chan struct{} // nil while it does not run; closed when it ended by itself
}

func (n *node) logDir() string         { return filepath.Join(n.dir, "data") }
func (n *node) logFile() string        { return filepath.Join(n.dir, "broker.log") }
func (n *node) propertiesFile() string { return filepath.Join(n.dir, "server.properties") }
func (n *node) pidFile() string        { return filepath.Join(n.dir, "pid") }

// java makes a command. All JVMs here live for a short time: they compile quickly rather
// than well.
func (c *Cluster) java(ctx context.Context, options []string, class string, args ...string) *exec.Cmd {
	classes := filepath.Join(c.jars, "*")
	if c.cfg.Classes != "" {
		classes += string(filepath.ListSeparator) + c.cfg.Classes
	}
	all := append([]string{
		"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto",
		"-Dlog4j2.configurationFile=" + filepath.Join(c.dir, "log4j2.properties"),
		"-Dlog4j.configuration=file:" + filepath.Join(c.dir, "log4j.properties"),
		"-cp", classes,
	}, options...)
	return exec.CommandContext(ctx, "java", append(append(all, class), args...)...)
}

// format prepares a node's folder for the cluster.
func (c *Cluster) format(ctx context.Context, n *node, clusterID string) error {
	if _, err := c.Tool(ctx, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", n.propertiesFile()); err != nil {
		return fmt.Errorf("format node %d: %w", n.id, err)
	}
	return nil
}

// run starts a node's java process and records its process ID.
func (c *Cluster) run(n *node) error {
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	options := []string{fmt.Sprintf("-Xmx%dm", c.cfg.HeapMB), "-Dkafka.logs.dir=" + filepath.Join(n.dir, "logs")}
	options = slices.Concat(options, c.javaOptions(), c.cfg.JavaOptions)
	cmd := testproc.Tied(c.java(context.Background(), options, "kafka.Kafka", n.propertiesFile()))
	cmd.Stdout, cmd.Stderr = log, log
	exit, err := testproc.Launch(cmd)
	if err != nil {
		return fmt.Errorf("start node %d: %w", n.id, err)
	}
	n.process, n.exit = cmd.Process, exit
	return os.WriteFile(n.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

// end sends a signal to a node and waits until it is gone.
func (n *node) end(signal os.Signal) error {
	if n.exit == nil {
		return nil
	}
	if err := n.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end node %d: %w", n.id, err)
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	var err error
	select {
	case <-n.exit:
	case <-patience.C:
		_ = n.process.Kill()
		<-n.exit
		err = fmt.Errorf("node %d did not stop in %s and was killed", n.id, stopTimeout)
	}
	n.process, n.exit = nil, nil
	return errors.Join(err, os.Remove(n.pidFile()))
}
