// Package kafkatest hides how a test gets a Kafka to talk to: a real Apache Kafka of a
// named version from Maven's jars, of one node or three, on free loopback ports; or kfake
// in this process. It also reads topics with an ordinary consumer that shares nothing
// with Coldstream's own fetching, so that fidelity is judged by somebody else. Whatever
// becomes of the test's process, its brokers and their folders are removed.
package kafkatest

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// DefaultVersion is the Kafka that tests use if they name none.
const DefaultVersion = "4.4.0"

// Config says which cluster to start. The zero value is one node of DefaultVersion.
type Config struct {
	// Version of Apache Kafka, one of those in the folder poms; DefaultVersion if empty.
	Version string
	// Nodes is their number, 1 if 0. Each is broker and controller; they count from 1.
	Nodes int
	// Properties are added to every node's server.properties, and win over ours.
	Properties map[string]string
	// NodeProperties are those of single nodes, by their number, and win over Properties.
	NodeProperties map[int]map[string]string
	// Classes is a folder of Java classes that brokers find besides their own, as those of
	// policies (CompileJava).
	Classes string
	// Listeners are added to the one named PLAINTEXT: security protocols by name. What
	// they need besides (keystores, JAAS) goes into Properties.
	Listeners map[string]string
	// Advertised are addresses, host:port, that clients of a listener of Listeners are sent
	// to instead of its own: of a relay before it. They are for a cluster of one node.
	Advertised map[string]string
	// Users are names and passwords. With them the cluster has listeners with TLS and logins
	// besides (SSL, SASLSSL and so on); Cluster.ClientProperties is what their clients need.
	Users map[string]string
	// JavaOptions are added to those of every node's java process.
	JavaOptions []string
	// HeapMB is the size of each node's Java heap in MiB, 512 if 0.
	HeapMB int
}

// TB is the part of testing.TB that this package needs.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Start starts a cluster for one test, and removes it at the test's end. A cluster that
// does not start, also for want of Java or Maven, fails the test.
func Start(tb TB, cfg Config) *Cluster {
	tb.Helper()
	c, err := StartShared(cfg)
	if err != nil {
		tb.Fatalf("%v", err)
		return nil
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("what the brokers said:\n%s", c.logTails())
		}
		c.Close()
	})
	return c
}

// Shared is one cluster for all tests of a package, started by the first that asks:
//
//	var real = kafkatest.NewShared(kafkatest.Config{})
//
//	func TestMain(m *testing.M) { os.Exit(real.Main(m)) }
//
//	func TestX(t *testing.T) { c := real.Cluster(t) ... }
//
// Tests keep out of each other's way by names of topics and groups of their own.
type Shared struct {
	start func() (*Cluster, error)

	mu      sync.Mutex
	started *Cluster // nil until a start went well
}

// NewShared describes a shared cluster. It starts nothing.
func NewShared(cfg Config) *Shared {
	s := &Shared{}
	s.start = sync.OnceValues(func() (*Cluster, error) {
		c, err := StartShared(cfg)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.started = c
		return c, err
	})
	return s
}

// Cluster returns the cluster, and starts it if nobody asked before. If it does not start
// every test that asks fails.
func (s *Shared) Cluster(tb TB) *Cluster {
	tb.Helper()
	c, err := s.start()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return c
}

// Main runs a package's tests (m is a *testing.M), removes the cluster if one was
// started, and returns the code to exit with.
func (s *Shared) Main(m interface{ Run() int }) int {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.started != nil {
			s.started.Close()
		}
	}()
	return m.Run()
}

// StartFake starts a kfake cluster in this process, and ends it with the test. It is
// lenient where Apache Kafka is strict: it proves which requests we send, and never that
// a broker accepts them.
func StartFake(tb TB, opts ...kfake.Opt) *kfake.Cluster {
	tb.Helper()
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		tb.Fatalf("start kfake: %v", err)
		return nil
	}
	tb.Cleanup(c.Close)
	return c
}
