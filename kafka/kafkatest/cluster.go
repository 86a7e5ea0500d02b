// Package kafkatest starts, for tests, a real Apache Kafka of a named version from
// Maven's jars, of one node or three, on free loopback ports; and reads topics with a
// consumer that shares nothing with Coldstream's own fetching. Whatever becomes of the
// test's process, its brokers and their folders are removed.
package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// DefaultVersion is the Kafka that tests use if they name none.
const DefaultVersion = "4.3.1"

const (
	readyTimeout = 90 * time.Second
	stopTimeout  = 30 * time.Second
	pollInterval = 50 * time.Millisecond
	startTries   = 3 // another process may take a port that was just free
)

// Config says which cluster to start.
type Config struct {
	Version string // DefaultVersion if empty
	Nodes   int    // 1 if 0; each is broker and controller
	// Properties are added to every node's server.properties, and win.
	Properties map[string]string
	// Listeners are added to the plain one, by name, with their security protocol.
	Listeners map[string]string
	HeapMB    int // 512 if 0
}

// Cluster is a running cluster.
type Cluster struct {
	cfg      Config
	dir      string
	jars     string
	nodes    []*node
	watchdog io.Closer
}

// node is one broker, running or not.
type node struct {
	id    int
	ports map[string]int // by listener
	cmd   *exec.Cmd      // nil while it does not run
	exit  chan struct{}  // closed when cmd has ended
}

// TB is the part of testing.TB that Start needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Start starts a cluster for one test, and removes it at the test's end.
func Start(tb TB, cfg Config) *Cluster {
	tb.Helper()
	c, err := StartShared(cfg)
	if err != nil {
		tb.Fatalf("%v", err)
		return nil
	}
	tb.Cleanup(c.Close)
	return c
}

// StartShared starts a cluster for all tests of a package: for TestMain, which closes it.
func StartShared(cfg Config) (*Cluster, error) {
	if cfg.Version == "" {
		cfg.Version = DefaultVersion
	}
	cfg.Nodes = max(cfg.Nodes, 1)
	if cfg.HeapMB == 0 {
		cfg.HeapMB = 512
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // a first run downloads
	defer cancel()
	dir, err := jars(ctx, cfg.Version)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		c := &Cluster{cfg: cfg, jars: dir}
		if err = c.start(ctx); err == nil {
			return c, nil
		}
		err = fmt.Errorf("start Kafka %s: %w\n%s", cfg.Version, err, c.logs())
		c.Close()
		if try == startTries || !strings.Contains(err.Error(), "Address already in use") {
			return nil, err
		}
	}
}

func (c *Cluster) start(ctx context.Context) error {
	var err error
	if c.dir, err = os.MkdirTemp("", "coldstream-kafka-"); err != nil {
		return err
	}
	if c.watchdog, err = startWatchdog(c.dir); err != nil {
		return err
	}
	if err := c.plan(); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := c.format(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := c.run(n); err != nil {
			return err
		}
	}
	return c.awaitReady(ctx)
}

// startWatchdog starts a shell that outlives us by a moment: when its input closes, which
// happens however we end, it kills what runs in the folder and removes it.
func startWatchdog(dir string) (io.Closer, error) {
	cmd := exec.Command("sh", "-c",
		`trap '' INT TERM HUP; read _; for f in "$1"/*/pid; do kill -9 "$(cat "$f")" 2>/dev/null; done; sleep 0.2; rm -rf "$1"`, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return closer(func() error { return errors.Join(in.Close(), cmd.Wait()) }), cmd.Start()
}

type closer func() error

func (c closer) Close() error { return c() }

// plan chooses ports and writes each node's properties.
func (c *Cluster) plan() error {
	names := append([]string{"PLAINTEXT", "CONTROLLER"}, slices.Sorted(maps.Keys(c.cfg.Listeners))...)
	var voters []string
	for id := 1; id <= c.cfg.Nodes; id++ {
		n := &node{id: id, ports: map[string]int{}}
		for _, name := range names {
			port, err := freePort()
			if err != nil {
				return err
			}
			n.ports[name] = port
		}
		c.nodes = append(c.nodes, n)
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", id, n.ports["CONTROLLER"]))
	}
	for _, n := range c.nodes {
		if err := c.writeProperties(n, names, strings.Join(voters, ",")); err != nil {
			return err
		}
	}
	return c.writeLogging()
}

func (c *Cluster) writeProperties(n *node, listeners []string, voters string) error {
	var listen, advertised, protocols []string
	for _, name := range listeners {
		address := fmt.Sprintf("%s://127.0.0.1:%d", name, n.ports[name])
		listen = append(listen, address)
		protocol := "PLAINTEXT"
		if name != "CONTROLLER" {
			advertised = append(advertised, address)
		}
		if p, ok := c.cfg.Listeners[name]; ok {
			protocol = p
		}
		protocols = append(protocols, name+":"+protocol)
	}
	replicas := strconv.Itoa(min(3, c.cfg.Nodes))
	properties := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(n.id),
		"controller.quorum.voters":                         voters,
		"listeners":                                        strings.Join(listen, ","),
		"advertised.listeners":                             strings.Join(advertised, ","),
		"listener.security.protocol.map":                   strings.Join(protocols, ","),
		"controller.listener.names":                        "CONTROLLER",
		"inter.broker.listener.name":                       "PLAINTEXT",
		"log.dirs":                                         c.LogDir(n.id),
		"num.partitions":                                   "1",
		"auto.create.topics.enable":                        "false",
		"offsets.topic.num.partitions":                     "8",
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.num.partitions":             "4",
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
	}
	maps.Copy(properties, c.cfg.Properties)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&b, "%s=%s\n", key, properties[key])
	}
	if err := os.MkdirAll(c.LogDir(n.id), 0o755); err != nil {
		return err
	}
	return os.WriteFile(c.path(n, "server.properties"), []byte(b.String()), 0o644)
}

func (c *Cluster) writeLogging() error {
	log4j2 := `rootLogger.level=WARN
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=[%d] %p %m (%c)%n
rootLogger.appenderRefs=c
rootLogger.appenderRef.c.ref=c
`
	log4j := `log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
`
	return errors.Join(
		os.WriteFile(filepath.Join(c.dir, "log4j2.properties"), []byte(log4j2), 0o644),
		os.WriteFile(filepath.Join(c.dir, "log4j.properties"), []byte(log4j), 0o644),
	)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

func (c *Cluster) path(n *node, name string) string {
	return filepath.Join(c.dir, strconv.Itoa(n.id), name)
}

// java makes a command; options keep a short-lived JVM short.
func (c *Cluster) java(ctx context.Context, options []string, class string, args ...string) *exec.Cmd {
	all := append([]string{
		"-Dlog4j2.configurationFile=" + filepath.Join(c.dir, "log4j2.properties"),
		"-Dlog4j.configuration=file:" + filepath.Join(c.dir, "log4j.properties"),
		"-cp", filepath.Join(c.jars, "*"),
	}, options...)
	return exec.CommandContext(ctx, "java", append(append(all, class), args...)...)
}

func (c *Cluster) format(ctx context.Context, n *node) error {
	id := filepath.Join(c.dir, "cluster-id")
	cluster, err := os.ReadFile(id)
	if errors.Is(err, os.ErrNotExist) {
		var random [16]byte
		if _, err := rand.Read(random[:]); err != nil {
			return err
		}
		random[0] &= 0x7f // StorageTool refuses IDs that begin with a dash
		cluster = []byte(base64.RawURLEncoding.EncodeToString(random[:]))
		err = os.WriteFile(id, cluster, 0o644)
	}
	if err != nil {
		return err
	}
	out, err := c.Tool(ctx, "kafka.tools.StorageTool", "format", "-t", string(cluster), "-c", c.path(n, "server.properties"))
	if err != nil {
		return fmt.Errorf("format node %d: %w\n%s", n.id, err, out)
	}
	return nil
}

// run starts a node's java process, and records that process's own ID.
func (c *Cluster) run(n *node) error {
	log, err := os.OpenFile(c.path(n, "broker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	cmd := c.java(context.Background(), []string{
		fmt.Sprintf("-Xmx%dm", c.cfg.HeapMB), "-Xms128m", "-XX:+UseSerialGC", "-Dkafka.logs.dir=" + filepath.Join(c.dir, strconv.Itoa(n.id), "logs"),
	}, "kafka.Kafka", c.path(n, "server.properties"))
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: an interrupt at the terminal is for the tests, which then stop it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.cmd, n.exit = cmd, make(chan struct{})
	go func() { // ends with the process, which Kill, Stop or Close await
		_ = cmd.Wait()
		close(n.exit)
	}()
	return os.WriteFile(c.path(n, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

// awaitReady waits until all running nodes are in the metadata.
func (c *Cluster) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.RetryTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	running := 0
	for _, n := range c.nodes {
		if n.cmd != nil {
			running++
		}
	}
	for {
		brokers, err := kadm.NewClient(client).ListBrokers(ctx)
		if err == nil && len(brokers) >= running {
			return nil
		}
		for _, n := range c.nodes {
			if n.cmd != nil && !n.alive() {
				return fmt.Errorf("node %d ended", n.id)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready in %s: %w", readyTimeout, err)
		case <-time.After(pollInterval):
		}
	}
}

func (n *node) alive() bool {
	select {
	case <-n.exit:
		return false
	default:
		return true
	}
}

func (c *Cluster) logs() string {
	var out []string
	for _, n := range c.nodes {
		b, err := os.ReadFile(c.path(n, "broker.log"))
		if err == nil {
			out = append(out, fmt.Sprintf("--- node %d\n%s", n.id, tail(string(b))))
		}
	}
	return strings.Join(out, "\n")
}
