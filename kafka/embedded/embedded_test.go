package embedded_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"coldstream/kafka/embedded"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func start(t *testing.T, opts embedded.Options) *embedded.Cluster {
	t.Helper()
	c, err := embedded.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, c *embedded.Cluster) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// partitionCounts asks the cluster for all its topics.
func partitionCounts(t *testing.T, c *embedded.Cluster) (clusterID string, counts map[string]int) {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	resp, err := req.RequestWith(t.Context(), client(t, c))
	if err != nil {
		t.Fatal(err)
	}
	counts = map[string]int{}
	for _, topic := range resp.Topics {
		counts[*topic.Topic] = len(topic.Partitions)
	}
	return *resp.ClusterID, counts
}

func TestStartHasTheTopicsAskedForAndListensOnLoopbackOnly(t *testing.T) {
	c := start(t, embedded.Options{
		Brokers: 2,
		Topics:  []embedded.Topic{{Name: "orders", Partitions: 3}, {Name: "plain"}},
	})
	if got, want := len(c.Addrs()), 2; got != want {
		t.Errorf("got %d addresses, want %d", got, want)
	}
	for _, addr := range c.Addrs() {
		ap, err := netip.ParseAddrPort(addr)
		if err != nil || !ap.Addr().IsLoopback() {
			t.Errorf("address %s (%v) is not on the loopback interface", addr, err)
		}
	}
	id, got := partitionCounts(t, c)
	if diff := cmp.Diff(map[string]int{"orders": 3, "plain": 1}, got); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
	if len(id) != 22 {
		t.Errorf("got cluster ID %q, want 22 characters as Kafka makes them", id)
	}
	c.Close() // a second Close, by the cleanup, does nothing
}

func TestDataDirKeepsRecordsAcrossRestart(t *testing.T) {
	opts := embedded.Options{ClusterID: "demo", DataDir: t.TempDir(), Topics: []embedded.Topic{{Name: "orders"}}}
	c := start(t, opts)
	record := &kgo.Record{Topic: "orders", Value: []byte("kept")}
	if err := client(t, c).ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.Close()

	c = start(t, opts) // the topic is there already: not an error
	id, _ := partitionCounts(t, c)
	if got, want := id, "demo"; got != want {
		t.Errorf("got cluster ID %q, want %q", got, want)
	}
	cl := client(t, c)
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{"orders": {0: kgo.NewOffset().AtStart()}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	records := cl.PollFetches(ctx).Records()
	if len(records) != 1 || string(records[0].Value) != "kept" {
		t.Errorf("got records %v, want the one produced before the restart", records)
	}
}

func TestStartNamesTheTopicItCannotCreate(t *testing.T) {
	_, err := embedded.Start(embedded.Options{Topics: []embedded.Topic{{Name: "a.b"}, {Name: "a_b"}}})
	want := "create topic a_b in embedded cluster: INVALID_TOPIC_EXCEPTION: The request attempted to perform an operation on an invalid topic."
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}
