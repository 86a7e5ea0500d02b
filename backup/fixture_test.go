package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/kafka"
	"coldstream/kafka/kafkatest"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// world is an embedded cluster, an application of it, and a vault in memory.
type world struct {
	fake   *kfake.Cluster
	app    *kgo.Client
	admin  *kadm.Client
	source *kafka.Client
	store  *mem.Store
	vault  *vault.Vault

	mu    sync.Mutex
	clock time.Time
}

func newWorld(t *testing.T, opts ...kfake.Opt) *world {
	t.Helper()
	w := &world{
		fake:  kafkatest.StartFake(t, append([]kfake.Opt{kfake.NumBrokers(1), kfake.ClusterID("source")}, opts...)...),
		store: mem.New(), clock: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
	}
	w.connectApp(t)
	var err error
	if w.source, err = kafka.Connect(t.Context(), kafka.Config{Bootstrap: w.fake.ListenAddrs(), Patience: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.source.Close)
	if w.vault, err = vault.Init(t.Context(), w.store, vault.InitOptions{Now: w.now}); err != nil {
		t.Fatal(err)
	}
	return w
}

// connectApp makes the application one that knows nothing of topics that were.
func (w *world) connectApp(t *testing.T) {
	t.Helper()
	app, err := kgo.NewClient(kgo.SeedBrokers(w.fake.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.UnknownTopicRetries(20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	w.app, w.admin = app, kadm.NewClient(app)
}

// now is a clock of which no two readings are the same.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(time.Second)
	return w.clock
}

func (w *world) create(t *testing.T, topic string, partitions int32) {
	t.Helper()
	if err := w.fake.CreateTopic(topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
}

// produce appends n records to a partition, each in a batch of its own.
func (w *world) produce(t *testing.T, topic string, partition int32, n int) {
	t.Helper()
	for range n {
		if err := w.append(t.Context(), topic, partition, 10); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) append(ctx context.Context, topic string, partition int32, valueBytes int) error {
	value := []byte(strings.Repeat("x", valueBytes))
	return w.app.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: value}).FirstErr()
}

// commit sets a group's offset in partition 0 of a topic.
func (w *world) commit(ctx context.Context, group, topic string, offset int64) error {
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, offset, -1)
	return w.admin.CommitAllOffsets(ctx, group, offsets)
}

func (w *world) deleteRecords(t *testing.T, topic string, offset int64) {
	t.Helper()
	if err := w.fake.DeleteRecords(topic, 0, offset); err != nil {
		t.Fatal(err)
	}
}

// run makes a backup that ends without an error.
func (w *world) run(t *testing.T, opts Options) *Result {
	t.Helper()
	opts.Now = w.now
	r, err := Run(t.Context(), w.source, w.vault, opts)
	if err != nil {
		t.Fatal(err)
	}
	if !r.HasSnapshot() {
		t.Fatal("there is no snapshot")
	}
	return r
}

// snapshots are those of the vault, the oldest first.
func (w *world) snapshots(t *testing.T) []vault.Snapshot {
	t.Helper()
	catalog, err := w.vault.OpenCatalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if damage := catalog.Damage(); len(damage) > 0 {
		t.Fatalf("the catalog is damaged: %v", damage)
	}
	return catalog.Snapshots()
}

func (w *world) snapshot(t *testing.T, id vault.SnapshotID) *vault.Snapshot {
	t.Helper()
	all := w.snapshots(t)
	i := slices.IndexFunc(all, func(s vault.Snapshot) bool { return s.ID == id })
	if i < 0 {
		t.Fatalf("snapshot %s is not in the vault", id)
	}
	return &all[i]
}

// views are what a snapshot shows.
func (w *world) views(t *testing.T, id vault.SnapshotID) []vault.View {
	t.Helper()
	views, err := w.snapshot(t, id).Views(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return views
}

// held are the logs of a snapshot as the vault gives them back: partition, range, and how
// many records are in it, proved to be one at each offset unless there is a gap.
func (w *world) held(t *testing.T, id vault.SnapshotID) []string {
	t.Helper()
	h, err := w.vault.OpenHistory(t.Context(), w.views(t, id), vault.HistoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, s := range h.Streams() {
		n, next := 0, s.View.LogStartOffset
		for b, err := range s.Batches(t.Context(), s.View.LogStartOffset) {
			if err != nil {
				t.Fatalf("%s: %v", s.View.Stream.TopicPartition(), err)
			}
			n += inView(t, b, s.View, &next)
		}
		text := fmt.Sprintf("%s [%d, %d) %d records", s.View.Stream.TopicPartition(), s.View.LogStartOffset, s.View.NextOffset, n)
		for _, g := range s.Gaps {
			text += fmt.Sprintf(", gap [%d, %d) %s", g.FirstOffset, g.NextOffset, g.Cause)
		}
		out = append(out, text)
	}
	return out
}

// inView counts the records of a batch in a view, which must be those next in turn.
func inView(t *testing.T, b recordbatch.Batch, view vault.View, next *int64) int {
	t.Helper()
	records, err := recordbatch.NewDecoder().Absolute(b, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range records {
		if r.Offset < view.LogStartOffset || r.Offset >= view.NextOffset {
			continue
		}
		if r.Offset < *next {
			t.Errorf("%s: offset %d comes twice", view.Stream.TopicPartition(), r.Offset)
		}
		*next = r.Offset + 1
		n++
	}
	return n
}

// holds fails the test unless a snapshot holds these logs and all of the vault verifies.
func (w *world) holds(t *testing.T, id vault.SnapshotID, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), w.held(t, id)); diff != "" {
		t.Errorf("the snapshot holds: -want +got:\n%s", diff)
	}
	report, err := w.vault.Verify(t.Context(), vault.VerifyOptions{Deep: true})
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %v, %v", err, report.Problems)
	}
}

// objects counts those below a prefix.
func (w *world) objects(t *testing.T, s blob.Store, prefix string) int {
	t.Helper()
	n := 0
	for _, err := range s.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func errorTexts(list []PartitionError) []string {
	out := []string{}
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s: %v", e.TopicPartition, e.Err))
	}
	return out
}

// beginWith compares errors by their beginnings.
func beginWith(t *testing.T, what string, got []PartitionError, want ...string) {
	t.Helper()
	if texts := errorTexts(got); !slices.EqualFunc(texts, want, strings.HasPrefix) {
		t.Errorf("%s are %q, want %q", what, texts, want)
	}
}

func patterns(t *testing.T, include ...string) *coldstream.Patterns {
	t.Helper()
	ps, err := coldstream.ParsePatterns(include, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func gap(topic string, firstOffset, nextOffset int64, cause coldstream.GapCause) coldstream.Gap {
	return coldstream.Gap{TopicPartition: coldstream.TopicPartition{Topic: topic}, FirstOffset: firstOffset, NextOffset: nextOffset, Cause: cause}
}
