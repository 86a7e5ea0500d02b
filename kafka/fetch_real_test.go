package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coldstream"
	"coldstream/kafka/kafkatest"
	"coldstream/recordbatch"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What only a real broker shows: its bytes are those of its log, and it answers as the
// engine believes.

// segments reads what a node has of a partition on its disk, segment by segment.
func segments(t *testing.T, k *kafkatest.Cluster, node int, tp coldstream.TopicPartition) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.LogDir(node), tp.String(), "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no segments (%v)", tp, err)
	}
	slices.Sort(files)
	var out []byte
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

// wantLog compares what was fetched with what is on a node's disk.
func (r *recorder) wantLog(t *testing.T, k *kafkatest.Cluster, tp coldstream.TopicPartition) {
	t.Helper()
	if got, want := r.bytes(tp), segments(t, k, 1, tp); !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes, want the %d of the log (%q)", tp, len(got), len(want), r.story(tp))
	}
}

// planOf is the plan to read a topic from its log starts to its ends now.
func (c *cluster) planOf(t *testing.T, topic string, partitions int32) []coldstream.FetchPosition {
	t.Helper()
	ends, err := c.LogOffsets(t.Context(), partitionsOf(topic, partitions))
	if err != nil {
		t.Fatal(err)
	}
	id := c.topicID(t, topic)
	var plan []coldstream.FetchPosition
	for _, tp := range partitionsOf(topic, partitions) {
		if ends[tp].Err != nil {
			t.Fatal(ends[tp].Err)
		}
		plan = append(plan, coldstream.FetchPosition{TopicPartition: tp, TopicID: id, NextOffset: ends[tp].LogStartOffset, StopOffset: ends[tp].HighWatermark})
	}
	return plan
}

// write produces records with an ordinary producer.
func (c *cluster) write(t *testing.T, records []*kgo.Record, opts ...kgo.Opt) {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(c.addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// transaction produces records in a transaction, and ends it.
func (c *cluster) transaction(t *testing.T, end kgo.TransactionEndTry, records []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(groupName()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	err = errors.Join(client.BeginTransaction(), client.ProduceSync(t.Context(), records...).FirstErr(), client.EndTransaction(t.Context(), end))
	if err != nil {
		t.Fatal(err)
	}
}

func recordsOf(topic string, partition int32, n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Partition: partition, Key: fmt.Append(nil, "key ", i%7),
			Value: bytes.Repeat(fmt.Append(nil, "value ", i), 10), Headers: []kgo.RecordHeader{{Key: "h"}}}
	}
	return records
}

// fetchesTheLog writes with every codec and in transactions, and compares with the disk.
func fetchesTheLog(t *testing.T, c *cluster, k *kafkatest.Cluster) {
	topic, _ := c.create(t, 2)
	for _, codec := range []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	} {
		c.write(t, recordsOf(topic, 0, 50), kgo.ProducerBatchCompression(codec))
	}
	c.transaction(t, kgo.TryCommit, recordsOf(topic, 0, 5))
	c.transaction(t, kgo.TryAbort, recordsOf(topic, 0, 5))
	c.transaction(t, kgo.TryAbort, recordsOf(topic, 1, 5)) // nothing else: consumers see an empty partition
	plan := c.planOf(t, topic, 2)
	r := fetch(t, c.Client, plan...)
	r.wantStory(t, plan[0].TopicPartition, "data [0,262)", "done 262")
	r.wantStory(t, plan[1].TopicPartition, "data [0,6)", "done 6")
	for _, p := range plan {
		r.wantLog(t, k, p.TopicPartition)
	}
	var codecs, controls []string
	for rest := r.bytes(plan[0].TopicPartition); len(rest) > 0; {
		batch, after, err := recordbatch.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		if codec := batch.Codec().String(); !slices.Contains(codecs, codec) {
			codecs = append(codecs, codec)
		}
		if marker, ok, err := batch.ControlMarker(); ok && err == nil {
			controls = append(controls, fmt.Sprint(marker.Commit))
		}
		rest = after
	}
	if want := []string{"none", "gzip", "snappy", "lz4", "zstd"}; !slices.Equal(codecs, want) {
		t.Errorf("got codecs %v, want %v", codecs, want)
	}
	slices.Sort(controls) // a broker writes markers when it comes to it
	if want := []string{"false", "true"}; !slices.Equal(controls, want) {
		t.Errorf("got markers %q, want %q", controls, want)
	}
}

func TestRealFetchGivesTheBytesOfTheLog(t *testing.T) { fetchesTheLog(t, startReal(t), realCluster(t)) }

func TestRealFetchOfManyPartitions(t *testing.T) {
	const partitions = 300
	c, k := startReal(t), realCluster(t)
	topic, _ := c.create(t, partitions)
	var records []*kgo.Record
	for i := range int32(partitions) {
		records = append(records, recordsOf(topic, i, int(i)%4)...)
	}
	c.write(t, records)
	plan := c.planOf(t, topic, partitions)
	r := fetch(t, c.Client, plan...)
	for i, p := range plan {
		want := []string{fmt.Sprintf("data [0,%d)", i%4), fmt.Sprintf("done %d", i%4)}
		if i%4 == 0 {
			want = want[1:]
		}
		r.wantStory(t, p.TopicPartition, want...)
		r.wantLog(t, k, p.TopicPartition)
	}
}

func TestRealFetchOfLargeRecords(t *testing.T) {
	c, k := startReal(t), realCluster(t)
	topic, id := c.create(t, 3, "max.message.bytes", "104857600")
	producer := c.producer(t)
	large := func(sequence int32) []byte {
		return testBatch{producer: producer, sequence: sequence, timestamp: plainTime, values: []string{strings.Repeat("x", 10<<20)}}.build()
	}
	for _, tp := range partitionsOf(topic, 3) {
		for i := range int32(2) {
			wantError(t, produceOne(t.Context(), c.Client, tp, id, large(11*i)).Err, "")
			wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 11*i+1, 10)).Err, "")
		}
	}
	plan := c.planOf(t, topic, 3)
	r := fetch(t, c.Client, plan...)
	for _, p := range plan {
		r.wantStory(t, p.TopicPartition, "data [0,22)", "done 22")
		r.wantLog(t, k, p.TopicPartition)
	}
}

// readsBehindDeletedRecords begins where the log was cut, in the middle of a batch.
func readsBehindDeletedRecords(t *testing.T, c *cluster, k *kafkatest.Cluster) {
	plan := c.filled(t, 1, 4)
	tp := plan[0].TopicPartition
	if err := c.DeleteRecords(t.Context(), map[coldstream.TopicPartition]int64{tp: 15}); err != nil {
		t.Fatal(err)
	}
	r := fetch(t, c.Client, plan...)
	r.wantStory(t, tp, "gap [0,15) log_start_advanced", "data [15,40)", "done 40")
	fromStart := c.planOf(t, tp.Topic, 1)
	s := fetch(t, c.Client, fromStart...)
	s.wantStory(t, tp, "data [15,40)", "done 40")
	log := segments(t, k, 1, tp)
	for what, got := range map[string][]byte{"over the gap": r.bytes(tp), "from the log start": s.bytes(tp)} {
		if !bytes.Equal(got, log[len(log)/4:]) { // four batches of equal size
			t.Errorf("%s: got %d bytes, want the last three batches of %d", what, len(got), len(log))
		}
	}
}

func TestRealFetchBehindDeletedRecords(t *testing.T) {
	readsBehindDeletedRecords(t, startReal(t), realCluster(t))
}

func TestRealFetchOfATopicMadeAgain(t *testing.T) {
	c := startReal(t)
	client := c.patient(t, 2*time.Second)
	again := func(tp coldstream.TopicPartition) {
		c.delete(t, tp.Topic)
		if err := c.CreateTopic(t.Context(), coldstream.NewTopic{Name: tp.Topic, Partitions: 1, ReplicationFactor: 1}); err != nil {
			t.Fatal(err)
		}
		id, producer := c.topicID(t, tp.Topic), c.producer(t)
		for i := range int32(8) {
			wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 10*i, 10)).Err, "")
		}
	}
	t.Run("while it is read", func(t *testing.T) {
		plan := c.filled(t, 1, 2)
		tp := plan[0].TopicPartition
		plan[0].StopOffset = 50
		once := sync.OnceFunc(func() { again(tp) })
		r := &recorder{onTake: func(coldstream.FetchEvent) error { once(); return nil }}
		if err := client.Fetch(t.Context(), plan, r); err != nil {
			t.Fatal(err)
		}
		r.wantStory(t, tp, "data [0,20)", "gap [20,50) topic_deleted", "failed")
		if !errors.Is(r.failure(tp), coldstream.ErrUnknownTopic) {
			t.Errorf("got error %v, want ErrUnknownTopic", r.failure(tp))
		}
	})
	t.Run("between plan and fetch", func(t *testing.T) {
		plan := c.filled(t, 1, 2)
		again(plan[0].TopicPartition)
		fetch(t, client, plan...).wantStory(t, plan[0].TopicPartition, "gap [0,20) topic_deleted", "failed")
	})
}

func TestRealFetchEndsWhileProducersWrite(t *testing.T) {
	c, k := startReal(t), realCluster(t)
	plan := c.filled(t, 2, 5)
	topic := plan[0].Topic
	ctx, stop := context.WithCancel(t.Context())
	var written atomic.Int64
	var writing sync.WaitGroup
	for i := range int32(2) {
		writing.Go(func() {
			client, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			for ctx.Err() == nil && client.ProduceSync(ctx, recordsOf(topic, i, 20)...).FirstErr() == nil {
				written.Add(20)
			}
		})
	}
	await(t, "the producers write", func() bool { return written.Load() > 200 })
	var rounds []*recorder
	plan = c.planOf(t, topic, 2)
	for range 5 { // each goes on where the one before ended
		r := fetch(t, c.Client, plan...)
		rounds = append(rounds, r)
		next := c.planOf(t, topic, 2)
		for i, p := range plan {
			events := r.events[p.TopicPartition]
			done, ok := events[len(events)-1].(*coldstream.PartitionDone)
			if !ok || done.NextOffset < p.StopOffset {
				t.Fatalf("%s up to %d: got %q", p.TopicPartition, p.StopOffset, r.story(p.TopicPartition))
			}
			next[i].NextOffset = done.NextOffset
			next[i].StopOffset = max(next[i].StopOffset, done.NextOffset)
			next[i].Epochs = []coldstream.EpochStart{{}}
		}
		plan = next
	}
	before := written.Load()
	await(t, "the producers still write", func() bool { return written.Load() > before })
	stop()
	writing.Wait()
	for _, tp := range partitionsOf(topic, 2) {
		var got []byte
		for _, r := range rounds {
			r.checkRuns(t, tp)
			got = append(got, r.bytes(tp)...)
		}
		if !bytes.HasPrefix(segments(t, k, 1, tp), got) {
			t.Errorf("%s: what five rounds brought is not how the log begins", tp)
		}
	}
}

// A broker that dies, and comes back without the end of one log, and with a compacted
// log whose tail holds nothing.
func TestRealFetchAfterABrokerLostItsEnd(t *testing.T) {
	c, k := startReal(t), realCluster(t)
	cut, tail := c.filled(t, 1, 10)[0], c.filled(t, 1, 2)[0]
	before := fetch(t, c.Client, cut)
	if err := k.Kill(1); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(k.LogDir(1), cut.TopicPartition.String(), "00000000000000000000.log")
	info, err := os.Stat(segment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(segment, info.Size()*65/100); err != nil { // in the middle of the seventh batch
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(k.LogDir(1), tail.TopicPartition.String(), "00000000000000000027.log"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := k.StartNode(1); err != nil {
		t.Fatal(err)
	}
	t.Run("the end is lost", func(t *testing.T) {
		p := cut
		p.NextOffset, p.StopOffset, p.Epochs = 100, 101, []coldstream.EpochStart{{}}
		fetch(t, c.Client, p).wantStory(t, p.TopicPartition, "truncated 60 from 100 epoch 0", "done 60")
	})
	t.Run("and written again past where we were", func(t *testing.T) {
		producer := c.producer(t)
		for i := range int32(6) {
			wantError(t, produceOne(t.Context(), c.Client, cut.TopicPartition, cut.TopicID, batchOf(producer, 10*i, 10)).Err, "")
		}
		p := cut
		p.NextOffset, p.StopOffset, p.Epochs = 100, 120, []coldstream.EpochStart{{}}
		r := fetch(t, c.Client, p)
		r.wantStory(t, p.TopicPartition, "truncated 60 from 100 epoch 0", "data [60,120)", "done 120")
		kept := before.bytes(p.TopicPartition)
		if !bytes.Equal(slices.Concat(kept[:len(kept)*6/10], r.bytes(p.TopicPartition)), segments(t, k, 1, p.TopicPartition)) {
			t.Error("what is common and what came now are not the log")
		}
	})
	t.Run("a tail that is empty", func(t *testing.T) {
		p := c.planOf(t, tail.Topic, 1)[0]
		p.Compacted = true
		fetch(t, c.Client, p).wantStory(t, p.TopicPartition, "data [0,20)", "empty [20,27)", "done 27")
		p.Compacted = false
		fetch(t, c.patient(t, briefly), p).wantStory(t, p.TopicPartition, "data [0,20)", "failed")
	})
}

func TestRealMetadataSaysWhatIsInternal(t *testing.T) {
	c, k := startReal(t), realCluster(t)
	topic, id := c.create(t, 2, "retention.ms", "86400000", "max.message.bytes", "2000000")
	c.commitRaw(t, groupName(), partitionsOf(topic, 1)[0], 0, -1, "")
	got, err := c.describe(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	properties, err := os.ReadFile(filepath.Join(k.LogDir(1), "meta.properties"))
	if err != nil || got.ID == "" || !strings.Contains(string(properties), "cluster.id="+got.ID) {
		t.Errorf("got cluster ID %q, want that of %s (%v)", got.ID, properties, err)
	}
	for _, t2 := range got.Topics {
		if t2.Internal != strings.HasPrefix(t2.Name, "__") {
			t.Errorf("topic %s: internal is %t", t2.Name, t2.Internal)
		}
		if t2.Name == "__consumer_offsets" {
			if policy, _ := t2.Config("cleanup.policy"); policy != "compact" {
				t.Errorf("__consumer_offsets has cleanup.policy %q", policy)
			}
		}
		if t2.Name != topic {
			continue
		}
		want := []coldstream.Config{
			{Name: "max.message.bytes", Value: "2000000", Source: "DYNAMIC_TOPIC_CONFIG"},
			{Name: "retention.ms", Value: "86400000", Source: "DYNAMIC_TOPIC_CONFIG"},
		}
		if !slices.Equal(t2.Configs, want) || t2.ID != id || len(t2.Partitions) != 2 || t2.Partitions[1].Leader != 1 {
			t.Errorf("got %+v", t2)
		}
	}
	if !slices.ContainsFunc(got.Topics, func(t coldstream.Topic) bool { return t.Name == "__consumer_offsets" }) {
		t.Error("internal topics are not listed")
	}
}
