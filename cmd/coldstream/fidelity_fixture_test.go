package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

var seedFlag = flag.Uint64("seed", 0, "repeat a random test; 0 takes a new seed")

// newRandom is a source of random numbers; a failure prints how to have the same again.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with -seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// world is a cluster, an ordinary client of it, and an empty vault. What commands do is
// judged by that client and by kafkatest's consumer, never by what coldstream fetches.
type world struct {
	*testing.T
	addrs     []string
	bootstrap string
	client    *kgo.Client
	adm       *kadm.Client
	vault     string
	vars      []string // of the environment of commands
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := newWorldOf(t, realCluster(t).Addrs())
	topics, groups := w.names()
	w.Cleanup(func() { w.leaveOnly(topics, groups) })
	return w
}

// names are those of all topics and groups.
func (w *world) names() (topics, groups []string) {
	w.Helper()
	listed, err := w.adm.ListTopics(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	known, err := w.adm.ListGroups(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	return listed.Names(), known.Groups()
}

// leaveOnly removes what a test made, so that the next one may use the names.
func (w *world) leaveOnly(topics, groups []string) {
	w.Helper()
	in := func(kept []string) func(string) bool {
		return func(name string) bool { return slices.Contains(kept, name) }
	}
	topicsNow, groupsNow := w.names()
	if made := slices.DeleteFunc(topicsNow, in(topics)); len(made) > 0 {
		if _, err := w.adm.DeleteTopics(context.Background(), made...); err != nil {
			w.Error(err)
		}
	}
	if made := slices.DeleteFunc(groupsNow, in(groups)); len(made) > 0 {
		if _, err := w.adm.DeleteGroups(context.Background(), made...); err != nil {
			w.Error(err)
		}
	}
}

// newFakeWorld is a world of kfake, which is lenient: only what it has in common with a
// real broker is worth asking it.
func newFakeWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, kafkatest.StartFake(t, kfake.NumBrokers(1)).ListenAddrs())
}

func newWorldOf(t *testing.T, addrs []string) *world {
	t.Helper()
	w := &world{T: t, addrs: addrs, bootstrap: strings.Join(addrs, ","), vault: newVault(t)}
	w.client = w.newClient()
	w.adm = kadm.NewClient(w.client)
	return w
}

// onEachCluster runs a test on the real broker and on kfake.
func onEachCluster(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Run("Kafka", func(t *testing.T) { test(newWorld(t)) })
	t.Run("kfake", func(t *testing.T) { test(newFakeWorld(t)) })
}

// newClient is another client; records go where their Partition says.
func (w *world) newClient(opts ...kgo.Opt) *kgo.Client {
	w.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(32 << 20), kgo.BrokerMaxWriteBytes(64 << 20), kgo.UnknownTopicRetries(20),
		kgo.MaxBufferedRecords(100_000), kgo.MetadataMinAge(10 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(client.Close)
	return client
}

// create makes a topic, and waits until the broker itself knows what its controller said.
func (w *world) create(topic string, partitions int32, configs ...string) {
	w.Helper()
	createTopic(w.T, w.client, topic, partitions, configs...)
	w.await("the broker knows the topic", func() bool {
		ends, err := w.adm.ListEndOffsets(w.Context(), topic)
		if err != nil || ends.Error() != nil || len(ends[topic]) != int(partitions) {
			return false
		}
		described, err := w.adm.DescribeTopicConfigs(w.Context(), topic)
		return err == nil && described[0].Err == nil
	})
}

func (w *world) delete(topic string) {
	w.Helper()
	if _, err := w.adm.DeleteTopic(w.Context(), topic); err != nil {
		w.Fatalf("delete topic %s: %v", topic, err)
	}
}

// produce writes records with the world's client.
func (w *world) produce(records ...*kgo.Record) {
	w.Helper()
	produce(w.T, w.client, records...)
}

// oneBatch writes records of one partition as one batch.
func (w *world) oneBatch(client *kgo.Client, records []*kgo.Record) {
	w.Helper()
	for _, r := range records {
		client.Produce(w.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				w.Errorf("produce: %v", err)
			}
		})
	}
	if err := client.Flush(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// values writes one record for each value into partition 0, a batch each.
func (w *world) values(topic string, values ...string) {
	w.Helper()
	for _, v := range values {
		w.produce(&kgo.Record{Topic: topic, Key: []byte("key of " + v), Value: []byte(v)})
	}
}

// read is all that a consumer sees of a topic.
func (w *world) read(topic string) []kafkatest.Record {
	w.Helper()
	records, err := kafkatest.ReadAll(w.Context(), w.addrs, topic, kgo.ReadUncommitted())
	if err != nil {
		w.Fatal(err)
	}
	return records
}

// readValues is the values of partition 0.
func (w *world) readValues(topic string) []string {
	w.Helper()
	values := []string{}
	for _, r := range w.read(topic) {
		if r.Partition == 0 {
			values = append(values, string(r.Value))
		}
	}
	return values
}

// logRange is a partition's log start offset and its end.
type logRange struct{ Start, Next int64 }

func (w *world) logRanges(topic string) []logRange {
	w.Helper()
	starts, err := w.adm.ListStartOffsets(w.Context(), topic)
	if err != nil || starts.Error() != nil {
		w.Fatal(err, starts.Error())
	}
	ends, err := w.adm.ListEndOffsets(w.Context(), topic)
	if err != nil || ends.Error() != nil {
		w.Fatal(err, ends.Error())
	}
	ranges := make([]logRange, len(starts[topic]))
	for id, start := range starts[topic] {
		ranges[id] = logRange{start.Offset, ends[topic][id].Offset}
	}
	return ranges
}

// ownConfigs are the configs that a topic carries itself.
func (w *world) ownConfigs(topic string) map[string]string {
	w.Helper()
	described, err := w.adm.DescribeTopicConfigs(w.Context(), topic)
	if err != nil || described[0].Err != nil {
		w.Fatal(err, described[0].Err)
	}
	own := map[string]string{}
	for _, c := range described[0].Configs {
		if c.Source.String() == "DYNAMIC_TOPIC_CONFIG" {
			own[c.Key] = c.MaybeValue()
		}
	}
	return own
}

// exists says whether the cluster has a topic.
func (w *world) exists(topic string) bool {
	w.Helper()
	topics, err := w.adm.ListTopics(w.Context(), topic)
	if err != nil {
		w.Fatal(err)
	}
	return topics.Has(topic)
}

// deleteRecords moves the log start of partition 0.
func (w *world) deleteRecords(topic string, logStart int64) {
	w.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, logStart, -1)
	deleted, err := w.adm.DeleteRecords(w.Context(), offsets)
	if err != nil || deleted.Error() != nil {
		w.Fatal(err, deleted.Error())
	}
}

// commit sets a group's offset in a partition.
func (w *world) commit(group string, o kadm.Offset) {
	w.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(o)
	if err := w.adm.CommitAllOffsets(w.Context(), group, offsets); err != nil {
		w.Fatalf("commit offsets of group %s: %v", group, err)
	}
}

// committed is what a group has committed, as "topic-partition": offset and metadata.
func (w *world) committed(group string) map[string]string {
	w.Helper()
	offsets, err := w.adm.FetchOffsets(w.Context(), group)
	if err != nil || offsets.Error() != nil {
		w.Fatal(err, offsets.Error())
	}
	out := map[string]string{}
	for topic, partitions := range offsets {
		for id, o := range partitions {
			out[fmt.Sprintf("%s-%d", topic, id)] = fmt.Sprintf("%d %s", o.At, o.Metadata)
		}
	}
	return out
}

// await looks again until what is waited for is there.
func (w *world) await(what string, there func() bool) {
	w.Helper()
	w.awaitWithin(time.Minute, what, there)
}

func (w *world) awaitWithin(patience time.Duration, what string, there func() bool) {
	w.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !there(); {
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatalf("waited in vain: %s", what)
		}
	}
}

// sameContent fails the test unless both are the same to the byte: partitions, offsets,
// timestamps and their type, keys, values, headers.
func sameContent(t *testing.T, got, want []kafkatest.Record) {
	t.Helper()
	if kafkatest.ContentHash(got) == kafkatest.ContentHash(want) {
		return
	}
	t.Errorf("got %d records, want %d", len(got), len(want))
	for i := range min(len(got), len(want)) {
		a, b := got[i], want[i]
		if a.Topic = b.Topic; kafkatest.ContentHash([]kafkatest.Record{a}) != kafkatest.ContentHash([]kafkatest.Record{b}) {
			t.Errorf("record %d differs (-want +got):\n%.2000s", i, cmp.Diff(b, a))
			return
		}
	}
}

// translated is records as they are with offsets from first on, per partition.
func translated(records []kafkatest.Record, first int64) []kafkatest.Record {
	next := map[int32]int64{}
	out := slices.Clone(records)
	for i := range out {
		p := out[i].Partition
		out[i].Offset = first + next[p]
		next[p]++
	}
	return out
}

// same fails the test unless got is want.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
