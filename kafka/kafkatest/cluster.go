package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"coldstream/internal/testproc"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

const (
	startTimeout  = 10 * time.Minute // a first run downloads
	readyTimeout  = 90 * time.Second // a machine may be slow, and busy with other packages
	answerTimeout = 5 * time.Second
	pollInterval  = 50 * time.Millisecond
	startTries    = 3 // another process may take a port that was just free

	plainListener      = "PLAINTEXT"
	controllerListener = "CONTROLLER"
)

// Cluster is a running cluster. Its methods are for one goroutine at a time.
type Cluster struct {
	cfg      Config
	dir      string
	jars     string
	nodes    []*node
	secrets  *Secrets // nil without Config.Users
	watchdog io.Closer
}

// StartShared starts a cluster that belongs to no test: who calls it calls Close. A
// package whose tests share one uses Shared. The error holds the end of the brokers' logs.
func StartShared(cfg Config) (*Cluster, error) { return start(cfg, freePorts) }

// start starts a cluster on ports that choose says are free. It tries again if they are
// not, after all.
func start(cfg Config, choose func(n int) ([]int, error)) (*Cluster, error) {
	if cfg.Version == "" {
		cfg.Version = DefaultVersion
	}
	if cfg.HeapMB == 0 {
		cfg.HeapMB = 512
	}
	cfg.Nodes = max(cfg.Nodes, 1)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	dir, err := jars(ctx, cfg.Version)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		c := &Cluster{cfg: cfg, jars: dir}
		err := c.startOnce(ctx, choose)
		if err == nil {
			return c, nil
		}
		logs := c.logTails()
		c.Close()
		if try == startTries || !strings.Contains(logs, "Address already in use") {
			return nil, fmt.Errorf("start Kafka %s: %w\n%s", cfg.Version, err, logs)
		}
	}
}

// startOnce starts the cluster; whatever it started is Close's to end.
func (c *Cluster) startOnce(ctx context.Context, choose func(n int) ([]int, error)) error {
	var err error
	if c.dir, err = os.MkdirTemp("", "coldstream-kafka-"); err != nil {
		return err
	}
	if c.watchdog, err = testproc.StartWatchdog(c.dir); err != nil {
		return fmt.Errorf("start watchdog: %w", err)
	}
	if len(c.cfg.Users) > 0 {
		if err := c.secure(); err != nil {
			return err
		}
	}
	if err := c.plan(choose); err != nil {
		return err
	}
	id := newClusterID()
	var formats errgroup.Group
	for _, n := range c.nodes {
		formats.Go(func() error { return c.format(ctx, n, id) })
	}
	if err := formats.Wait(); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := c.run(n); err != nil {
			return err
		}
	}
	if err := c.awaitReady(ctx); err != nil {
		return err
	}
	return c.addUsers(ctx)
}

// plan gives each node its ports and writes its configuration.
func (c *Cluster) plan(choose func(n int) ([]int, error)) error {
	names := c.listenerNames()
	ports, err := choose(c.cfg.Nodes * len(names))
	if err != nil {
		return fmt.Errorf("choose free ports: %w", err)
	}
	for id := 1; id <= c.cfg.Nodes; id++ {
		n := &node{id: id, dir: filepath.Join(c.dir, strconv.Itoa(id)), ports: map[string]int{}}
		for i, name := range names {
			n.ports[name] = ports[i]
		}
		ports = ports[len(names):]
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := c.writeProperties(n); err != nil {
			return err
		}
	}
	return c.writeLogging()
}

// freePorts finds ports that nobody uses, outside the range from which systems take the
// ports of outgoing connections: so nobody takes those of a node that is down, either.
func freePorts(n int) ([]int, error) {
	const first, count, tries = 15000, 17000, 1000
	var ports []int
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := first + rand.IntN(count)
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		defer l.Close() //nolint:errcheck // held until all are chosen, so that none comes twice
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("found %d of %d in %d tries", len(ports), n, tries)
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// awaitReady waits until every node that was started answers, and says that all of them
// are brokers of the cluster and that there is a controller. What other nodes say of one
// that was killed and started again proves nothing: for seconds they take it for alive.
func (c *Cluster) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, n := range c.nodes {
		if n.exit == nil {
			continue
		}
		if err := c.awaitNode(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) awaitNode(ctx context.Context, n *node) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address(n.ports[plainListener])), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := c.askReady(ctx, client, n)
		if err == nil {
			return nil
		}
		select {
		case <-n.exit:
			return fmt.Errorf("node %d ended", n.id)
		case <-ctx.Done():
			return fmt.Errorf("node %d is not ready after %s: %w", n.id, readyTimeout, err)
		case <-tick.C:
		}
	}
}

// askReady asks one node, with a client that knows no other.
func (c *Cluster) askReady(ctx context.Context, client *kgo.Client, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	answer, err := client.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	resp := answer.(*kmsg.MetadataResponse)
	seen := map[int32]bool{}
	for _, broker := range resp.Brokers {
		seen[broker.NodeID] = true
	}
	for _, other := range c.nodes {
		if other.exit != nil && !seen[int32(other.id)] {
			return fmt.Errorf("node %d does not know node %d", n.id, other.id)
		}
	}
	if resp.ControllerID < 0 {
		return fmt.Errorf("node %d knows no controller", n.id)
	}
	return nil
}

// logTails is the end of what each node said, for errors.
func (c *Cluster) logTails() string {
	var out []string
	for _, n := range c.nodes {
		b, err := os.ReadFile(n.logFile())
		if errors.Is(err, os.ErrNotExist) {
			continue // it was never started
		}
		if err != nil {
			b = []byte(err.Error())
		}
		out = append(out, fmt.Sprintf("--- node %d\n%s", n.id, testproc.Tail(string(b))))
	}
	return strings.Join(out, "\n")
}
