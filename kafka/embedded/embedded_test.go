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

func TestContentTellsRecordsApart(t *testing.T) {
	base := func() *kgo.Record {
		return &kgo.Record{
			Partition: 1, Offset: 2, Timestamp: time.UnixMilli(3), Key: []byte("k"), Value: []byte("v"),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("w")}},
		}
	}
	changes := map[string]func(*kgo.Record){
		"partition":    func(r *kgo.Record) { r.Partition = 0 },
		"offset":       func(r *kgo.Record) { r.Offset = 1 },
		"timestamp":    func(r *kgo.Record) { r.Timestamp = time.UnixMilli(4) },
		"null key":     func(r *kgo.Record) { r.Key = nil },
		"empty key":    func(r *kgo.Record) { r.Key = []byte{} },
		"null value":   func(r *kgo.Record) { r.Value = nil },
		"moved byte":   func(r *kgo.Record) { r.Key, r.Value = []byte("kv"), []byte{} },
		"header key":   func(r *kgo.Record) { r.Headers[0].Key = "i" },
		"null header":  func(r *kgo.Record) { r.Headers[0].Value = nil },
		"no header":    func(r *kgo.Record) { r.Headers = nil },
		"twice header": func(r *kgo.Record) { r.Headers = append(r.Headers, r.Headers[0]) },
	}
	seen := map[string]string{string(embedded.AppendRecord(nil, base())): "base"}
	for name, change := range changes {
		r := base()
		change(r)
		b := string(embedded.AppendRecord(nil, r))
		if other, known := seen[b]; known {
			t.Errorf("%s is written like %s", name, other)
		}
		seen[b] = name
	}
}

func TestClientProducesConsumesAndReads(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := start(t, embedded.Options{Topics: []embedded.Topic{{Name: "orders", Partitions: 2}}})
	client, err := c.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	records := make([]embedded.Record, 20)
	for i := range records {
		records[i] = embedded.Record{Topic: "orders", Key: string(rune('a' + i)), Value: []byte{byte(i)}, Time: time.UnixMilli(int64(i))}
	}
	if err := client.Produce(ctx, records); err != nil {
		t.Fatal(err)
	}
	if err := client.Consume(ctx, "readers", "orders", 5); err != nil {
		t.Fatal(err)
	}
	first, err := client.Content(ctx, "orders", "readers")
	if err != nil || first.Records != 20 || first.Read != 5 || first.Rest == first.SHA256 {
		t.Errorf("content %+v, %v", first, err)
	}
	if err := client.Produce(ctx, records[:1]); err != nil {
		t.Fatal(err)
	}
	if second, err := client.Content(ctx, "orders", "readers"); err != nil || second.Records != 21 || second.SHA256 == first.SHA256 {
		t.Errorf("content %+v after %+v, %v", second, first, err)
	}
	if err := client.DeleteTopic(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	if content, err := client.Content(ctx, "orders", "readers"); err == nil {
		t.Errorf("a deleted topic has content %+v", content)
	}
}

// TestContentLeavesAbortedRecordsOut: and it does not wait for records behind the last marker.
func TestContentLeavesAbortedRecordsOut(t *testing.T) {
	c := start(t, embedded.Options{Topics: []embedded.Topic{{Name: "paid"}, {Name: "again"}}})
	client, err := c.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	transactor, err := client.NewTransactor("shop")
	if err != nil {
		t.Fatal(err)
	}
	defer transactor.Close()
	record := func(topic, value string) []embedded.Record {
		return []embedded.Record{{Topic: topic, Key: "k", Value: []byte(value), Time: time.UnixMilli(1)}}
	}
	for _, err := range []error{
		transactor.Commit(t.Context(), record("paid", "a")),
		transactor.Abort(t.Context(), record("paid", "b")),
		transactor.Commit(t.Context(), record("paid", "c")),
		transactor.Abort(t.Context(), record("paid", "d")),
		client.Produce(t.Context(), append(record("again", "a"), record("again", "c")...)),
		client.Consume(t.Context(), "readers", "paid", 1),
		client.Consume(t.Context(), "readers", "again", 1),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := client.Content(t.Context(), "paid", "readers")
	if err != nil {
		t.Fatal(err)
	}
	want, err := client.Content(t.Context(), "again", "readers")
	if err != nil {
		t.Fatal(err)
	}
	if got.WithOffsets == want.WithOffsets {
		t.Error("other offsets have the same sum")
	}
	got.WithOffsets = want.WithOffsets
	if diff := cmp.Diff(want, got); diff != "" || want.Records != 2 || want.Read != 1 {
		t.Errorf("%+v (-want +got)\n%s", want, diff)
	}
}
