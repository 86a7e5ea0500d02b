package kafkatest

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// outlives takes a cluster through the death and the rest of one node.
func outlives(t *testing.T, c *Cluster, topic string) {
	t.Helper()
	before := readAll(t, c.Addrs(), topic, kgo.ReadUncommitted())
	if len(before) == 0 {
		t.Fatal("there is nothing to lose")
	}
	for _, end := range []struct {
		how  string
		call func(int) error
	}{{"kill", c.Kill}, {"stop", c.Stop}} {
		pid := c.PID(1)
		if err := end.call(1); err != nil {
			t.Fatalf("%s: %v", end.how, err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Fatalf("after %s process %d: got %v, want it gone", end.how, pid, err)
		}
		if got := c.PID(1); got != 0 {
			t.Errorf("after %s: got process %d, want 0", end.how, got)
		}
		if err := c.StartNode(1); err != nil {
			t.Fatalf("after %s: %v", end.how, err)
		}
		after := readAll(t, c.Addrs()[:1], topic, kgo.ReadUncommitted())
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", end.how, diff)
		}
	}
}

// dumps tries the dump tool on a file with the record payload-1.
func dumps(t *testing.T, c *Cluster, topic string) {
	t.Helper()
	out, err := c.DumpLog(t.Context(), filepath.Join(c.LogDir(1), topic+"-0", "00000000000000000000.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"isvalid: true", "payload: payload-1"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the dump does not say %q:\n%s", want, out)
		}
	}
}

func TestNodeKeepsItsDataAndClusterIsRemoved(t *testing.T) {
	var dir string
	var pid int
	t.Run("while the test runs", func(t *testing.T) {
		c := Start(t, Config{})
		client := connect(t, c.Addrs())
		createTopic(t, client, "t", 1, 1)
		produce(t, client, &kgo.Record{Topic: "t", Value: []byte("payload-1")}, &kgo.Record{Topic: "t", Value: []byte("payload-2")})
		outlives(t, c, "t")
		dumps(t, c, "t")
		if err := c.StartNode(1); err == nil {
			t.Error("a running node was started again")
		}
		dir, pid = c.dir, c.PID(1)
		if log, err := os.ReadFile(c.Log(1)); err != nil || strings.Contains(string(log), "SLF4J") {
			t.Errorf("the broker's log: %v\n%s", err, log)
		}
	})
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder %s: got %v, want it gone", dir, err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: got %v, want it gone", pid, err)
	}
}

func TestExtraListenerAnswers(t *testing.T) {
	c := real.Cluster(t)
	addrs := c.ListenerAddrs("EXTRA")
	if diff := cmp.Diff(c.Addrs(), addrs); diff == "" {
		t.Fatal("it is the plain listener")
	}
	client := connect(t, addrs)
	createTopic(t, client, "by-extra", 1, 1)
	produce(t, client, &kgo.Record{Topic: "by-extra"})
	if got := readAll(t, addrs, "by-extra", kgo.ReadUncommitted()); len(got) != 1 {
		t.Errorf("got %d records, want 1", len(got))
	}
	brokers, err := kadm.NewClient(client).ListBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := address(int(brokers[0].Port)); addrs[0] != want {
		t.Errorf("who asks at %s is sent to %s", addrs[0], want)
	}
}

func TestAListenerAdvertisesTheAddressItWasGiven(t *testing.T) {
	brokers, err := kadm.NewClient(connect(t, real.Cluster(t).ListenerAddrs("RELAYED"))).ListBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := address(int(brokers[0].Port)); got != relayAddr {
		t.Errorf("who asks at the listener is sent to %s, want %s", got, relayAddr)
	}
}

func TestToolFailsWithWhatItSaid(t *testing.T) {
	c := real.Cluster(t)
	_, err := c.Tool(t.Context(), "kafka.tools.StorageTool", "format", "-t", "x", "-c", filepath.Join(t.TempDir(), "missing.properties"))
	if err == nil || !strings.Contains(err.Error(), "missing.properties") {
		t.Errorf("got %v, want what the tool printed", err)
	}
	if _, err := c.DumpLog(t.Context(), filepath.Join(c.LogDir(1), "no-such.log")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dump of what is not there: got %v", err)
	}
}

func TestStartFailsWithTheBrokersLog(t *testing.T) {
	properties := map[string]string{"metric.reporters": "no.such.Reporter"}
	c, err := StartShared(Config{Properties: properties})
	if err == nil {
		c.Close()
		t.Fatal("the cluster started")
	}
	if !strings.Contains(err.Error(), "no.such.Reporter") || !strings.Contains(err.Error(), "--- node 1") {
		t.Errorf("got %v, want the broker's own words", err)
	}
}

func TestStartTriesOtherPortsWhenOneIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port, tries := taken.Addr().(*net.TCPAddr).Port, 0
	c, err := start(Config{}, func(n int) ([]int, error) {
		ports, err := freePorts(n)
		if tries++; tries == 1 {
			ports[0] = port
		}
		return ports, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if tries != 2 {
		t.Errorf("got %d tries, want 2", tries)
	}
}
