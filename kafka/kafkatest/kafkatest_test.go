package kafkatest

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// real is for tests that end no node.
var real = NewShared(Config{
	Listeners:  map[string]string{"EXTRA": "PLAINTEXT", "RELAYED": "PLAINTEXT"},
	Advertised: map[string]string{"RELAYED": relayAddr},
})

// relayAddr is where a relay would be.
const relayAddr = "127.0.0.1:9"

func TestMain(m *testing.M) {
	if how := os.Getenv(childVariable); how != "" {
		dieAsToldBy(how)
	}
	os.Exit(real.Main(m))
}

// connect returns a client that sends records to the partitions that they name.
func connect(t *testing.T, addrs []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func produce(t *testing.T, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func createTopic(t *testing.T, client *kgo.Client, name string, partitions, replicas int) {
	t.Helper()
	resp, err := kadm.NewClient(client).CreateTopic(t.Context(), int32(partitions), int16(replicas), nil, name)
	if err := errors.Join(err, resp.Err); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
}

func readAll(t *testing.T, addrs []string, topic string, isolation kgo.IsolationLevel) []Record {
	t.Helper()
	records, err := ReadAll(t.Context(), addrs, topic, isolation)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// await waits until something outside this process is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}

func TestSharedStartsOnce(t *testing.T) {
	first, second := real.Cluster(t), real.Cluster(t)
	if first != second || first.PID(1) == 0 {
		t.Errorf("got clusters %p and %p with process %d, want one that runs", first, second, first.PID(1))
	}
}

func TestSharedFailsEveryTestThatAsks(t *testing.T) {
	s := NewShared(Config{Version: "0.8"})
	for range 2 {
		tb := &failing{}
		if s.Cluster(tb); tb.failures != 1 {
			t.Errorf("got %d failures, want 1", tb.failures)
		}
	}
	if got := s.Main(result(3)); got != 3 {
		t.Errorf("Main returned %d, want the tests' result 3", got)
	}
}

// failing is a test that notes its failures and goes on.
type failing struct {
	failures int
}

func (*failing) Helper()                 {}
func (*failing) Cleanup(func())          {}
func (*failing) Logf(string, ...any)     {}
func (f *failing) Failed() bool          { return f.failures > 0 }
func (f *failing) Fatalf(string, ...any) { f.failures++ }

// result stands for a *testing.M.
type result int

func (r result) Run() int { return int(r) }

func TestFakeAnswersUntilTheTestEnds(t *testing.T) {
	var addrs []string
	t.Run("inner", func(t *testing.T) {
		addrs = StartFake(t, kfake.NumBrokers(1)).ListenAddrs()
		createTopic(t, connect(t, addrs), "t", 1, 1)
	})
	client := connect(t, addrs, kgo.RequestRetries(0))
	if err := client.Ping(t.Context()); err == nil {
		t.Error("the fake still answers after its test")
	}
}

func TestUnknownVersionIsAFailureThatNamesTheKnown(t *testing.T) {
	tb := &failing{}
	if Start(tb, Config{Version: "../x"}); tb.failures != 1 {
		t.Errorf("got %d failures, want 1", tb.failures)
	}
	if _, err := StartShared(Config{Version: "0.8"}); err == nil || !strings.Contains(err.Error(), DefaultVersion) {
		t.Errorf("got %v, want the versions there are", err)
	}
}
