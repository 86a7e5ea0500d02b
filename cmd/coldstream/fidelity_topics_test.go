package main

import (
	"bytes"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

func TestTopicsOfManyNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"eu.orders", "eu.refunds", "us.orders"} {
		w.create("names."+name, 1)
		w.values("names."+name, name)
	}
	w.backup("names.*")
	w.restore("--all-topics", "--map", `/names\.(..)\.(.*)/=copy.$2-$1`)
	w.restore("-t", "names.us.orders", "-t", `/names\.eu\..*s/`, "--map", "names.us.orders=chosen", "--map", "/names[.](.*)/=again-$1")
	for target, value := range map[string]string{
		"copy.orders-eu": "eu.orders", "copy.refunds-eu": "eu.refunds", "copy.orders-us": "us.orders",
		"chosen": "us.orders", "again-eu.orders": "eu.orders", "again-eu.refunds": "eu.refunds",
	} {
		same(t, target, w.readValues(target), []string{value})
	}
	w.restoring("--all-topics", "--map", "/names.*/=one").must(t, exitUsage).says(t, "would both be restored into one")
	w.restoring("-t", "names.us.orders", "--map", "names.us.orders=__consumer_offsets").must(t, exitFailed).says(t, "internal")
	if w.exists("one") {
		t.Error("a refused restore made its topic")
	}
}

func TestSomePartitions(t *testing.T) {
	w := newWorld(t)
	w.fill("parts", 5, 10)
	w.backup("parts")
	r := w.restore("-t", "parts", "--map", "parts=parts-copy", "--partitions", "0-1,4")
	var got []int32
	for _, p := range r.Partitions {
		got = append(got, p.TargetPartition)
	}
	same(t, "partitions", got, []int32{0, 1, 4})
	same(t, "ends of the logs", w.logRanges("parts-copy"), []logRange{{0, 10}, {0, 10}, {0, 0}, {0, 0}, {0, 10}})

	// The others, later, into the same topic: they are empty there.
	w.restore("-t", "parts", "--map", "parts=parts-copy", "--partitions", "2,3")
	sameContent(t, w.read("parts-copy"), w.read("parts"))
	w.restoring("-t", "parts", "--map", "parts=parts-copy", "--partitions", "5").must(t, exitUsage)
}

func TestTargetsWithOtherPartitions(t *testing.T) {
	w := newWorld(t)
	w.fill("three", 3, 10)
	w.backup("three")
	w.create("two", 2)
	w.restoring("-t", "three", "--map", "three=two").must(t, exitFailed).says(t, "nothing was restored", "two-2 is needed")
	same(t, "ends of the logs", w.logRanges("two"), []logRange{{0, 0}, {0, 0}})
	w.create("four", 4)
	w.restoring("-t", "three", "--map", "three=four").must(t, exitDone).says(t, "1 more than in the snapshot")
	sameContent(t, w.read("four"), w.read("three"))
}

func TestTargetWithRecords(t *testing.T) {
	w := newWorld(t)
	w.fill("news", 2, 10)
	w.backup("news")
	w.create("olds", 2, "retention.ms=9999999999999999")
	w.values("olds", "old")
	w.restoring("-t", "news", "--map", "news=olds").must(t, exitFailed).says(t, "holds records", "--append")
	same(t, "ends of the logs", w.logRanges("olds"), []logRange{{0, 1}, {0, 0}})
	w.restoring("-t", "news", "--map", "news=olds", "--append", "--offsets", "exact").must(t, exitFailed).says(t, "nothing was restored")

	// Refused as a whole: the topic that could be restored is not made either.
	w.restoring("-t", "news,ne*", "--map", "news=olds").must(t, exitFailed)
	r := w.restore("-t", "news", "--map", "news=olds", "--append")
	same(t, "offsets", []string{r.Partitions[0].Offsets, r.Partitions[1].Offsets}, []string{"translated", "translated"})
	same(t, "ends of the logs", w.logRanges("olds"), []logRange{{0, 11}, {0, 10}})
	same(t, "configs", w.ownConfigs("olds"), map[string]string{"retention.ms": "9999999999999999"})
	got := w.read("olds")
	sameContent(t, translated(got[1:], 0), w.read("news"))
	same(t, "first", string(got[0].Value), "old")
}

// One of two topics cannot be restored: nothing is changed for the other.
func TestRefusalIsForAllTopics(t *testing.T) {
	w := newWorld(t)
	w.fill("all-a", 1, 5)
	w.fill("all-b", 1, 5)
	w.backup("all-*")
	w.create("taken-b", 1)
	w.values("taken-b", "old")
	w.restoring("--all-topics", "--map", "/all-(.)/=taken-$1").must(t, exitFailed).says(t, "taken-b-0 holds records")
	if w.exists("taken-a") {
		t.Error("a refused restore made a topic")
	}
}

func TestEmptyTargetKeepsItsOwnConfigs(t *testing.T) {
	w := newWorld(t)
	w.create("styled", 1, "cleanup.policy=compact", "max.message.bytes=8000000", "segment.bytes=2097152")
	w.produce(&kgo.Record{Topic: "styled", Key: []byte("k"), Value: make([]byte, 2<<20)}, &kgo.Record{Topic: "styled", Key: []byte("l")})
	w.backup("styled")
	own := []string{"cleanup.policy=delete", "compression.type=gzip", "max.message.bytes=100000", "retention.ms=9999999999999999", "segment.bytes=1048576", "min.insync.replicas=1"}
	w.create("own-style", 1, own...)
	before := w.ownConfigs("own-style")
	w.restoreAs("styled", "own-style")
	sameContent(t, w.read("own-style"), w.read("styled"))
	same(t, "configs", w.ownConfigs("own-style"), before)

	// A topic that the restore makes has those of the source.
	w.restoreAs("styled", "same-style")
	sameContent(t, w.read("same-style"), w.read("styled"))
	same(t, "configs", w.ownConfigs("same-style"), w.ownConfigs("styled"))
}

// Configs of every kind, and those that could keep records out, come back.
func TestConfigsComeBack(t *testing.T) {
	w := newWorld(t)
	configs := []string{
		"cleanup.policy=compact,delete", "compression.type=lz4", "delete.retention.ms=12345", "file.delete.delay.ms=23456", "flush.messages=9999",
		"flush.ms=99999", "index.interval.bytes=5000", "max.compaction.lag.ms=345678", "max.message.bytes=1200000", "message.timestamp.type=LogAppendTime",
		"message.timestamp.after.max.ms=4000000", "message.timestamp.before.max.ms=400000000", "min.cleanable.dirty.ratio=0.7", "min.compaction.lag.ms=4321",
		"preallocate=true", "retention.bytes=99999999999", "retention.ms=99999999999999", "segment.bytes=1500000",
		"segment.index.bytes=1000000", "segment.jitter.ms=10", "segment.ms=600000", "unclean.leader.election.enable=true",
	}
	if os.Getenv(kafkaVersionVariable) == "" {
		configs = append(configs, "min.insync.replicas=2") // older versions take no record then
	}
	w.create("all-configs", 1, configs...)
	w.values("all-configs", "a", "b")
	before := w.ownConfigs("all-configs")
	same(t, "configs to begin with", len(before), len(configs))
	w.backup("all-configs")
	r := w.restore("-t", "all-configs", "--map", "all-configs=all-configs-copy")
	same(t, "configs", w.ownConfigs("all-configs-copy"), before)
	same(t, "held", len(r.RetentionHeld), 0)
	sameContent(t, w.read("all-configs-copy"), createTimed(w.read("all-configs")))
}

func TestRetentionThatWouldDeleteIsHeld(t *testing.T) {
	w := newWorld(t)
	const week = 7 * 24 * time.Hour
	w.create("ancient", 1, "retention.ms="+strconv.FormatInt(week.Milliseconds(), 10), "retention.bytes=1000")
	for range 20 {
		w.produce(&kgo.Record{Topic: "ancient", Value: make([]byte, 200), Timestamp: time.Now().Add(-30 * 24 * time.Hour)})
	}
	before := w.read("ancient")
	w.backup("ancient")
	out := w.restoring("-t", "ancient", "--map", "ancient=ancient-copy").must(t, exitDone)
	out.says(t, "retention.ms=604800000 is not put back", "kafka-configs.sh --bootstrap-server "+w.bootstrap+" --alter --topic ancient-copy --add-config retention.ms=604800000")
	var r restoreReport
	out.into(t, &r)
	same(t, "held", r.RetentionHeld, []heldReport{{"ancient-copy", "retention.ms", "604800000"}, {"ancient-copy", "retention.bytes", "1000"}})
	same(t, "configs", w.ownConfigs("ancient-copy"), map[string]string{"retention.ms": "-1", "retention.bytes": "-1"})
	sameContent(t, w.read("ancient-copy"), before)

	r = w.restore("-t", "ancient", "--map", "ancient=ancient-again", "--put-back-retention")
	same(t, "held", len(r.RetentionHeld), 0)
	same(t, "configs", w.ownConfigs("ancient-again"), map[string]string{"retention.ms": "604800000", "retention.bytes": "1000"})
}

// A broker begins a new segment where the times of records are far apart, and retention
// then looks at each by itself: one new record does not save the old ones before it.
func TestRetentionIsHeldForOldRecordsBeforeNewOnes(t *testing.T) {
	w := newWorld(t)
	w.create("old-and-new", 1, "retention.ms=3600000")
	w.produce(&kgo.Record{Topic: "old-and-new", Value: []byte("old"), Timestamp: time.Now().Add(-30 * 24 * time.Hour)})
	w.values("old-and-new", "new")
	w.backup("old-and-new")
	r := w.restore("-t", "old-and-new", "--map", "old-and-new=old-copy")
	same(t, "held", r.RetentionHeld, []heldReport{{"old-copy", "retention.ms", "3600000"}})
	same(t, "configs", w.ownConfigs("old-copy"), map[string]string{"retention.ms": "-1"})
}

// A config that the target does not know, and more replicas than it has brokers.
func TestWhatTheTargetCannotHaveIsLeftOut(t *testing.T) {
	if os.Getenv(kafkaVersionVariable) != "" {
		t.Skip("needs Kafka 4, where a config of older versions is gone: run without " + kafkaVersionVariable)
	}
	fake := kafkatest.StartFake(t, kfake.NumBrokers(3))
	source, target := newWorldOf(t, fake.ListenAddrs()), newWorld(t)
	configs := map[string]*string{"max.message.bytes": kadm.StringPtr("2000000"), "message.downconversion.enable": kadm.StringPtr("false")}
	if _, err := source.adm.CreateTopic(t.Context(), 1, 3, configs, "foreign"); err != nil {
		t.Fatal(err)
	}
	source.values("foreign", "a")
	source.backup("foreign")
	target.vault = source.vault
	out := target.restoring("-t", "foreign").must(t, exitDone)
	out.says(t, "warning: topic foreign gets replication factor 1 instead of 3", "config message.downconversion.enable=false is left out: the cluster does not know it")
	var r restoreReport
	out.into(t, &r)
	same(t, "left out", r.ConfigsLeftOut, []leftOutReport{{"foreign", "message.downconversion.enable"}})
	// The shared broker keeps records for ever; the source kept them for a week.
	same(t, "configs", target.ownConfigs("foreign"), map[string]string{"max.message.bytes": "2000000", "retention.ms": "604800000"})
	same(t, "values", target.readValues("foreign"), []string{"a"})
}

// topicID is what the newest snapshot that has the topic says.
func (w *world) topicID(topic string) string {
	w.Helper()
	var r struct {
		Topics []struct {
			TopicID string `json:"topic_id"`
		} `json:"topics"`
	}
	w.run("ls", topic).must(w.T, exitDone).into(w.T, &r)
	return r.Topics[0].TopicID
}

func TestDeletedAndMadeAgainIsAnotherTopic(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.create("phoenix", 1)
		w.values("phoenix", "first life", "first death")
		first := w.backup("phoenix")
		id := w.topicID("phoenix")
		w.delete("phoenix")
		w.await("the topic is gone", func() bool { return !w.exists("phoenix") })
		w.create("phoenix", 2)
		w.client = w.newClient() // the old one knows the old topic's ID
		w.values("phoenix", "second life")
		second := w.backup("phoenix")
		same(w.T, "records of the second", second.Records, int64(1))
		same(w.T, "gaps", second.Gaps, []gapReport{})

		w.restoreAs("phoenix", "phoenix-newest")
		same(w.T, "newest", w.readValues("phoenix-newest"), []string{"second life"})
		same(w.T, "partitions", len(w.logRanges("phoenix-newest")), 2)
		w.restore("-t", "phoenix", "--snapshot", first.Snapshot[:4], "--map", "phoenix=phoenix-older")
		same(w.T, "older", w.readValues("phoenix-older"), []string{"first life", "first death"})
		w.restore("-t", "phoenix@"+id, "--map", "phoenix=phoenix-chosen")
		same(w.T, "chosen", w.readValues("phoenix-chosen"), []string{"first life", "first death"})
		same(w.T, "partitions", len(w.logRanges("phoenix-chosen")), 1)
		w.verify()
	})
}

// A broker takes no batch that is larger than a segment of its topic.
func TestTargetWithSmallSegments(t *testing.T) {
	w := newWorld(t)
	w.create("large", 1, "max.message.bytes=8388608")
	client := w.newClient(kgo.ProducerBatchCompression(kgo.NoCompression()))
	w.oneBatch(client, []*kgo.Record{{Topic: "large", Value: bytes.Repeat([]byte("x"), 3<<20)}})
	w.backup("large")
	w.create("narrow", 1, "segment.bytes=1048576")
	w.restoreAs("large", "narrow")
	sameContent(t, w.read("narrow"), w.read("large"))
	same(t, "configs", w.ownConfigs("narrow"), map[string]string{"segment.bytes": "1048576"})
}
