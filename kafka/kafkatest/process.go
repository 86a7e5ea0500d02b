package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
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

// tied makes a command run in a process group of its own, so that an interrupt at the
// terminal is for the tests only, and, where the system can do that, die with the thread
// that started it.
func tied(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// output runs a command that ends by itself, or with this process.
func output(cmd *exec.Cmd) ([]byte, error) {
	runtime.LockOSThread() // its end would be the command's
	defer runtime.UnlockOSThread()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := tied(cmd).Output()
	if err != nil {
		return out, fmt.Errorf("%w\n%s\n%s", err, tail(string(out)), tail(stderr.String()))
	}
	return out, nil
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
	cmd := tied(c.java(context.Background(), options, "kafka.Kafka", n.propertiesFile()))
	cmd.Stdout, cmd.Stderr = log, log
	exit, err := launch(cmd)
	if err != nil {
		return fmt.Errorf("start node %d: %w", n.id, err)
	}
	n.process, n.exit = cmd.Process, exit
	return os.WriteFile(n.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

// launch starts a command from a thread that lives as long as the command, because the
// system takes the end of that thread for the end of the parent. The channel is closed
// when the process is gone: end waits for it.
func launch(cmd *exec.Cmd) (exit <-chan struct{}, err error) {
	started, gone := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(gone)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	return gone, <-started
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

// The watchdog outlives us by a moment. When its input closes, which happens however we
// end, it kills the nodes that are still there, and removes the folder: several times,
// since a process that is being killed may make one more file.
const watchdogScript = `
trap '' INT TERM HUP
read -r _
for f in "$1"/*/pid; do
	[ -e "$f" ] || continue
	pid=$(cat "$f")
	kill -9 "$pid" 2>/dev/null
	i=0
	while kill -0 "$pid" 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
done
i=0
while rm -rf "$1"; [ -e "$1" ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
`

// startWatchdog starts the watchdog of a cluster's folder. Close lets it do its work, and
// returns when that is done.
func startWatchdog(dir string) (io.Closer, error) {
	cmd := exec.Command("sh", "-c", watchdogScript, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return closer(func() error { return errors.Join(in.Close(), cmd.Wait()) }), nil
}

type closer func() error

func (c closer) Close() error { return c() }
