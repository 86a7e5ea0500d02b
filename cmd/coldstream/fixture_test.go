package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// kafkaVersionVariable names the version of Kafka that tests run against.
const kafkaVersionVariable = "COLDSTREAM_TEST_KAFKA"

// shared is the one real broker of this package's tests; they use topics of their own.
var shared = kafkatest.NewShared(kafkatest.Config{Version: os.Getenv(kafkaVersionVariable), Users: map[string]string{secureUser: securePassword},
	Listeners:  map[string]string{mskListener: "PLAINTEXT", relayListener: "PLAINTEXT"},
	Advertised: map[string]string{mskListener: msk.address(), relayListener: relayed.address()}, Properties: map[string]string{
		"message.max.bytes":                   "33554432",
		"replica.fetch.max.bytes":             "33554432",
		"group.initial.rebalance.delay.ms":    "0",
		"log.retention.ms":                    "-1", // records of tests may be old
		"log.cleaner.backoff.ms":              "100",
		"transaction.state.log.min.isr":       "1",
		"log.message.timestamp.after.max.ms":  "9223372036854775807",
		"log.message.timestamp.before.max.ms": "9223372036854775807",
	}})

func TestMain(m *testing.M) { os.Exit(shared.Main(withExotic{m})) }

// withExotic ends the other cluster too.
type withExotic struct{ tests *testing.M }

func (w withExotic) Run() int {
	defer func() {
		if exotic.cluster != nil {
			exotic.cluster.Close()
		}
	}()
	return w.tests.Run()
}

// outcome is what a command left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// into decodes the document on stdout; a field that the document has and v does not is
// no error.
func (o outcome) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(o.stdout), v); err != nil {
		t.Fatalf("stdout is no JSON document: %v\nstdout: %s\nstderr: %s", err, o.stdout, o.stderr)
	}
}

// must fails the test unless the command ended with this exit code.
func (o outcome) must(t *testing.T, code int) outcome {
	t.Helper()
	if o.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", o.code, code, o.stdout, o.stderr)
	}
	return o
}

// says fails the test unless all the texts stand on stderr.
func (o outcome) says(t *testing.T, texts ...string) outcome {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("stderr does not say %q:\n%s", text, o.stderr)
		}
	}
	return o
}

// command runs a command in this process as a script would: no terminal, no
// environment but what env holds as NAME=VALUE.
func command(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	return commandContext(ctx, env, args...)
}

func commandContext(ctx context.Context, vars []string, args ...string) outcome {
	var stdout, stderr lockedBuffer
	e := testEnv(vars)
	e.stdout, e.stderr = &stdout, &stderr
	code := run(ctx, args, e)
	return outcome{code, stdout.String(), stderr.String()}
}

func testEnv(vars []string) *env {
	return &env{
		stdin:   strings.NewReader(""),
		program: "coldstream",
		now:     time.Now,
		getenv: func(name string) string {
			for _, v := range vars {
				if key, value, _ := strings.Cut(v, "="); key == name {
					return value
				}
			}
			if strings.HasPrefix(name, "STORAGE_") || strings.HasPrefix(name, "AZURE_") {
				return os.Getenv(name) // as the libraries do, whose variables these are
			}
			return ""
		},
	}
}

// lockedBuffer is a buffer that progress may be written to while a test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newVault makes a vault with the command and returns its folder.
func newVault(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vault")
	command(t, nil, "init", "--vault", path).must(t, exitDone)
	return path
}

// newClient is an ordinary client of the cluster.
func newClient(t *testing.T, c *kafkatest.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(32 << 20), kgo.BrokerMaxWriteBytes(64 << 20), kgo.UnknownTopicRetries(20),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// createTopic makes a topic with configs as NAME=VALUE.
func createTopic(t *testing.T, client *kgo.Client, topic string, partitions int32, configs ...string) {
	t.Helper()
	values := map[string]*string{}
	for _, c := range configs {
		name, value, _ := strings.Cut(c, "=")
		values[name] = &value
	}
	_, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, values, topic)
	if err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// produce writes records and waits until the broker has them.
func produce(t *testing.T, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// realCluster is the shared broker; -short leaves such tests out.
func realCluster(t *testing.T) *kafkatest.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Kafka: run without -short")
	}
	return shared.Cluster(t)
}
