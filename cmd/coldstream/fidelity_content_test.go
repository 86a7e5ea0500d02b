package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// codecs are all that Kafka has.
func codecs() []kgo.CompressionCodec {
	return []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
}

// someBytes is null, empty, text that compresses, or noise that does not and is no UTF-8.
func someBytes(random *rand.Rand, atMost int) []byte {
	switch random.IntN(5) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return slices.Repeat([]byte("coldstream "), 1+random.IntN(atMost)/11)
	}
	b := make([]byte, 1+random.IntN(atMost))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// someHeaders are none, or some with keys that repeat, are empty, or are no UTF-8.
func someHeaders(random *rand.Rand) []kgo.RecordHeader {
	keys := []string{"trace", "trace", "", "a\xff\xfe\x00b", "ключ"}
	var headers []kgo.RecordHeader
	for range random.IntN(4) {
		headers = append(headers, kgo.RecordHeader{Key: keys[random.IntN(len(keys))], Value: someBytes(random, 40)})
	}
	return headers
}

// someTime is a timestamp of any order: the epoch, years ago, now, in a future.
func someTime(random *rand.Rand) time.Time {
	switch random.IntN(12) {
	case 0:
		return time.UnixMilli(0)
	case 1:
		return time.UnixMilli(4102444800000 + random.Int64N(1000)) // 2100
	}
	return time.UnixMilli(1.0e12 + random.Int64N(0.7e12))
}

func someRecords(random *rand.Rand, topic string, partition int32, n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{
			Topic: topic, Partition: partition, Timestamp: someTime(random),
			Key: someBytes(random, 60), Value: someBytes(random, 300), Headers: someHeaders(random),
		}
	}
	return records
}

// fillDense writes into partition i with codec i: batches of one, of a few, and one of
// thousands. One more partition is left empty, one more has a single record.
func (w *world) fillDense(random *rand.Rand, topic string) (records int64) {
	w.Helper()
	last := int32(len(codecs()))
	w.create(topic, last+2, "max.message.bytes=16777216")
	for i, codec := range codecs() {
		client := w.newClient(kgo.ProducerBatchCompression(codec), kgo.ManualFlushing())
		sizes := []int{1, 1, 3000}
		for range 20 {
			sizes = append(sizes, 1+random.IntN(30))
		}
		for _, n := range sizes {
			w.oneBatch(client, someRecords(random, topic, int32(i), n))
			records += int64(n)
		}
	}
	w.produce(someRecords(random, topic, last, 1)...)
	return records + 1
}

func TestDenseTopicComesBackToTheByte(t *testing.T) {
	onEachCluster(t, func(w *world) {
		random := newRandom(w.T)
		records := w.fillDense(random, "dense")
		before, ranges := w.read("dense"), w.logRanges("dense")
		saved := w.backup("dense")
		const batches = 5*23 + 1
		if saved.Records != records || saved.Batches != batches || saved.TopicCount != 1 || saved.PartitionCount != 7 {
			w.Errorf("saved %+v, want %d records in %d batches", saved, records, batches)
		}
		w.verify()

		r := w.restore("-t", "dense", "--map", "dense=dense-copy", "--offsets", "exact")
		var restored int64
		for _, p := range r.Partitions {
			restored += p.Records
			if p.Offsets != "exact" || p.Topic != "dense" || p.TargetTopic != "dense-copy" || p.Partition != p.TargetPartition {
				w.Errorf("partition %+v", p)
			}
		}
		same(w.T, "records restored", restored, records)
		sameContent(w.T, w.read("dense-copy"), before)
		same(w.T, "ends of the logs", w.logRanges("dense-copy"), ranges)
		same(w.T, "configs", w.ownConfigs("dense-copy")["max.message.bytes"], "16777216")

		w.delete("dense")
		w.await("the topic is gone", func() bool { return !w.exists("dense") })
		w.restore("-t", "dense")
		sameContent(w.T, w.read("dense"), before)
	})
}

// What a real broker's data is restored to is the same in another cluster, and the other
// way round.
func TestDenseTopicMovesBetweenClusters(t *testing.T) {
	source, target := newWorld(t), newFakeWorld(t)
	for _, w := range []*world{source, target} {
		other := source
		if w == source {
			other = target
		}
		topic := fmt.Sprintf("moved-%v", w == source)
		w.fillDense(newRandom(t), topic)
		w.backup(topic)
		theirs := *other
		theirs.vault = w.vault
		theirs.restore("-t", topic)
		sameContent(t, other.read(topic), w.read(topic))
		same(t, "ends of the logs", other.logRanges(topic), w.logRanges(topic))
	}
}

func TestLookupsByTimeFindTheSameOffsets(t *testing.T) {
	w := newWorld(t)
	w.create("times", 1)
	var at []int64
	for i := range 50 {
		at = append(at, 1_700_000_000_000+int64(i)*60_000)
		w.produce(&kgo.Record{Topic: "times", Value: make([]byte, 3000), Timestamp: time.UnixMilli(at[i])})
	}
	w.deleteRecords("times", 7) // the filler below must not mislead lookups
	w.backup("times")
	w.restoreAs("times", "times-copy", "--offsets", "exact")
	var newest [2]int64
	for i, topic := range []string{"times", "times-copy"} {
		offsets, err := w.adm.ListMaxTimestampOffsets(t.Context(), topic)
		if err != nil || offsets.Error() != nil {
			t.Fatal(err, offsets.Error())
		}
		newest[i] = offsets[topic][0].Offset
	}
	same(t, "offset of the newest record", newest[1], newest[0])
	for _, ms := range append(at, 0, at[49]+1) {
		var found [2]int64
		for i, topic := range []string{"times", "times-copy"} {
			offsets, err := w.adm.ListOffsetsAfterMilli(t.Context(), ms, topic)
			if err != nil || offsets.Error() != nil {
				t.Fatal(err, offsets.Error())
			}
			found[i] = offsets[topic][0].Offset
		}
		if found[0] != found[1] {
			t.Errorf("the first record not before %d is at offset %d, in the copy at %d", ms, found[0], found[1])
		}
	}
}

func TestTenMegabyteRecords(t *testing.T) {
	w := newWorld(t)
	random := newRandom(t)
	w.create("giants", 2, "max.message.bytes=12582912")
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression()} {
		client := w.newClient(kgo.ProducerBatchCompression(codec))
		noise := make([]byte, 10<<20)
		for at := range len(noise) / 4 {
			noise[4*at] = byte(random.Uint32())
		}
		for _, value := range [][]byte{noise, []byte("small"), noise[:5<<20]} {
			produce(t, client, &kgo.Record{Topic: "giants", Partition: int32(i), Value: value, Timestamp: time.UnixMilli(1_700_000_000_000)})
		}
	}
	w.backup("giants")
	w.restoreAs("giants", "giants-copy")
	sameContent(t, w.read("giants-copy"), w.read("giants"))
	same(t, "configs", w.ownConfigs("giants-copy")["max.message.bytes"], "12582912")
}

// createTimed is records as they come back where a producer cannot say that the broker
// set the time: the time is the same, and CreateTime.
func createTimed(records []kafkatest.Record) []kafkatest.Record {
	out := slices.Clone(records)
	for i := range out {
		out[i].TimestampType = 0
	}
	return out
}

func TestLogAppendTimeKeepsTheTimes(t *testing.T) {
	w, random := newWorld(t), newRandom(t)
	w.create("stamped", int32(len(codecs())), "message.timestamp.type=LogAppendTime")
	for i, codec := range codecs() {
		client := w.newClient(kgo.ProducerBatchCompression(codec), kgo.ManualFlushing())
		for _, n := range []int{1, 5, 200} {
			w.oneBatch(client, someRecords(random, "stamped", int32(i), n))
		}
	}
	before := w.read("stamped")
	w.backup("stamped")
	w.restoreAs("stamped", "stamped-copy", "--offsets", "exact")
	sameContent(t, w.read("stamped-copy"), createTimed(before))
	same(t, "configs", w.ownConfigs("stamped-copy")["message.timestamp.type"], "LogAppendTime")

	// What the topic gets from now on, the broker stamps.
	w.produce(&kgo.Record{Topic: "stamped-copy", Timestamp: time.UnixMilli(1)})
	isStamped := func(r kafkatest.Record) bool { return r.TimestampType == 1 && r.TimestampMs > 1 }
	if !slices.ContainsFunc(w.read("stamped-copy"), isStamped) {
		t.Error("a new record is not stamped by the broker")
	}
}

// A topic that stamps records with the time of their arrival must not do it to restored
// ones.
func TestRestoreIntoTopicThatStampsRecords(t *testing.T) {
	w := newWorld(t)
	w.create("own-times", 1)
	w.produce(someRecords(newRandom(t), "own-times", 0, 100)...)
	w.backup("own-times")
	w.create("stamping", 1, "message.timestamp.type=LogAppendTime")
	w.restoreAs("own-times", "stamping")
	sameContent(t, w.read("stamping"), w.read("own-times"))
	same(t, "configs", w.ownConfigs("stamping"), map[string]string{"message.timestamp.type": "LogAppendTime"})
}
