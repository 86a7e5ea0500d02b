package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// rollTime gives timestamps hours ahead of now, which is that of transaction markers: with
// segment.ms below that each begins a new segment, and the cleaner may have those before.
func rollTime(n int) time.Time { return time.Now().Add(time.Duration(n) * time.Hour) }

// createCleaned makes a topic that the cleaner looks after at once.
func (w *world) createCleaned(topic string) {
	w.Helper()
	w.create(topic, 1, "cleanup.policy=compact", "min.cleanable.dirty.ratio=0.001", "segment.ms=600000")
}

// overwrite writes random records of few keys, tombstones among them, with all codecs and
// in transactions that are committed or aborted.
func (w *world) overwrite(random *rand.Rand, topic string) {
	w.Helper()
	x := w.newTransactor(topic, topic)
	x.time = rollTime(0)
	for i := range 15 {
		codec := codecs()[i%len(codecs())]
		var records []*kgo.Record
		for range 1 + random.IntN(40) {
			r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%d", random.IntN(30)), Timestamp: rollTime(0), Headers: someHeaders(random)}
			if random.IntN(6) > 0 {
				r.Value = fmt.Appendf(nil, "value %d", random.Uint32())
			}
			records = append(records, r)
		}
		w.oneBatch(w.newClient(kgo.ProducerBatchCompression(codec), kgo.ManualFlushing()), records)
		if i%4 == 0 {
			x.begin()
			x.write("aborted", 3)
			x.end(kgo.TryAbort)
			x.begin()
			x.write("committed", 3)
			x.end(kgo.TryCommit)
		}
	}
}

// roll begins a new segment, and waits until the cleaner has been through those before.
func (w *world) roll(topic string, n int) []kafkatest.Record {
	w.Helper()
	before := len(w.read(topic))
	w.produce(&kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "roll-%d", n), Value: []byte("x"), Timestamp: rollTime(n)})
	var last []kafkatest.Record
	w.await("the cleaner has been there and rests", func() bool {
		now := w.read(topic)
		rests := kafkatest.ContentHash(now) == kafkatest.ContentHash(last)
		last = now
		return len(now) <= before && rests // the new record is one more
	})
	return last
}

func TestCompactedTopicWithHoles(t *testing.T) {
	w, random := newWorld(t), newRandom(t)
	w.createCleaned("holes")
	w.overwrite(random, "holes")
	w.roll("holes", 2)
	w.overwrite(random, "holes") // and what is not cleaned behind it
	before, end := w.read("holes"), w.logRanges("holes")[0].Next
	survive := surviving(before)
	wanted := w.groupsAnywhere(random, "holes", survive, end)
	saved := w.backup("holes")
	same(t, "the cleaner rested", kafkatest.ContentHash(w.read("holes")), kafkatest.ContentHash(before))
	same(t, "records saved", saved.Records, int64(len(before)))
	same(t, "saved again", w.backup("holes").Records, int64(0))
	w.verify()

	w.restoring("-t", "holes", "--map", "holes=holes-exact", "--offsets", "exact").must(t, exitFailed).says(t, "nothing was restored: holes-exact-0 cannot keep its offsets")
	if w.exists("holes-exact") {
		t.Error("a refused restore made its topic")
	}
	r := w.restore("-t", "holes", "--map", "holes=holes-copy", "--groups")
	same(t, "offsets", r.Partitions[0].Offsets, "translated")
	same(t, "records", r.Partitions[0].Records, int64(len(survive)))
	sameContent(t, w.read("holes-copy"), translated(survive, 0))
	same(t, "configs", w.ownConfigs("holes-copy"), w.ownConfigs("holes"))
	for group, offset := range wanted {
		same(t, group, w.committed(group)["holes-copy-0"], fmt.Sprintf("%d of %s", offset, group))
	}
}

// Holes are all that keeps the offsets of this one from coming back.
func TestHolesOfCompactionAreNotExact(t *testing.T) {
	w := newWorld(t)
	w.createCleaned("only-holes")
	for _, v := range []string{"a", "b", "a", "c"} {
		w.produce(&kgo.Record{Topic: "only-holes", Key: []byte(v), Value: []byte(v)})
	}
	before := w.roll("only-holes", 2)
	w.backup("only-holes")
	w.restoring("-t", "only-holes", "--map", "only-holes=holes-exact", "--offsets", "exact").must(t, exitFailed).says(t, "cannot keep its offsets")
	r := w.restore("-t", "only-holes", "--map", "only-holes=holes-copy")
	same(t, "offsets", r.Partitions[0].Offsets, "translated")
	sameContent(t, w.read("holes-copy"), translated(before, 0))
}

// latest is what a compacted topic means: the last value of each key.
func latest(records []kafkatest.Record) map[string]string {
	out := map[string]string{}
	for _, r := range surviving(records) {
		if delete(out, string(r.Key)); r.Value != nil {
			out[string(r.Key)] = string(r.Value)
		}
	}
	return out
}

// The cleaner goes over what the vault holds already, and over what it does not.
func TestCompactionBetweenBackups(t *testing.T) {
	w, random := newWorld(t), newRandom(t)
	w.createCleaned("cleaned")
	for n := range 3 {
		w.overwrite(random, "cleaned")
		same(t, "gaps", w.backup("cleaned").Gaps, []gapReport{})
		w.overwrite(random, "cleaned")
		w.roll("cleaned", 2+2*n)
	}
	w.backup("cleaned")
	w.verify()
	w.restoreAs("cleaned", "cleaned-copy")
	same(t, "the latest of each key", latest(w.read("cleaned-copy")), latest(w.read("cleaned")))
}

// Between two backups the cleaner removes a key and its tombstone, which nobody has read: the
// key must not come back.
func TestTombstonesThatNoBackupHasSeen(t *testing.T) {
	w := newWorld(t)
	w.create("deleted", 1, "cleanup.policy=compact", "min.cleanable.dirty.ratio=0.001", "segment.ms=600000", "delete.retention.ms=100")
	put := func(key string, value []byte, n int) {
		w.produce(&kgo.Record{Topic: "deleted", Key: []byte(key), Value: value, Timestamp: rollTime(n)})
	}
	put("kept", []byte("a value"), 0)
	put("gone", []byte("a value"), 0)
	same(t, "the first backup", w.backup("deleted").Rescanned, []rescannedReport{})
	same(t, "rescans that ls tells of", w.rescans("deleted"), 0)
	put("other", []byte("a value"), 0)
	same(t, "nothing was removed, however late", w.backup("deleted").Rescanned, []rescannedReport{})

	n := 1
	remove := func(key string) {
		put(key, nil, n)
		w.await("the cleaner has removed the tombstone", func() bool {
			n++
			put(fmt.Sprintf("roll-%d", n), []byte("x"), n)
			return !slices.ContainsFunc(w.read("deleted"), func(r kafkatest.Record) bool { return string(r.Key) == key })
		})
	}
	remove("gone")
	dry := w.run("backup", "-b", w.bootstrap, "-t", "deleted", "--dry-run").must(t, exitDone).says(t, "deleted-0 may be read again in full")
	var planned backupReport
	dry.into(t, &planned)
	same(t, "of a dry run", planned.Rescanned, []rescannedReport{}) // only reading tells
	out := w.run("backup", "-b", w.bootstrap, "-t", "deleted").must(t, exitDone).says(t, "deleted-0 was read again in full")
	var report backupReport
	out.into(t, &report)
	if len(report.Rescanned) != 1 || report.Rescanned[0].Topic != "deleted" || report.Rescanned[0].Reason == "" {
		t.Errorf("rescanned %+v", report.Rescanned)
	}
	same(t, "rescans that ls tells of", w.rescans("deleted"), 1)
	w.verify()
	w.restoreAs("deleted", "deleted-copy")
	same(t, "the latest of each key", latest(w.read("deleted-copy")), latest(w.read("deleted")))
	same(t, "with nothing new", w.backup("deleted").Rescanned, []rescannedReport{})

	// Where that is not wanted it is made good later.
	file := filepath.Join(t.TempDir(), "config.yaml")
	write(t, file, "topics:\n  dele*: {rescans: never}\n")
	remove("other")
	var spared backupReport
	w.run("backup", "-b", w.bootstrap, "-t", "deleted", "--config", file).must(t, exitDone).into(t, &spared)
	same(t, "where it is not wanted", spared.Rescanned, []rescannedReport{})
	put("new", []byte("a value"), n)
	same(t, "where it is wanted again", len(w.backup("deleted").Rescanned), 1)
}

// rescans is how often a topic's first partition was read again in full, as ls says.
func (w *world) rescans(topic string) int {
	w.Helper()
	var d lsDocument
	w.run("ls", topic).must(w.T, exitDone).into(w.T, &d)
	return int(d.Topics[0].Partitions[0].Rescans)
}
