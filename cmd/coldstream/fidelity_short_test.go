package main

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/kafka/kafkatest"
)

// A partition that a backup could not read to its end does not look whole at a restore.
func TestRestoreOfWhatWasCutShort(t *testing.T) {
	fake := kafkatest.StartFake(t, kfake.NumBrokers(1))
	w := newWorldOf(t, fake.ListenAddrs())
	w.create("short", 2)
	w.produce(&kgo.Record{Topic: "short", Value: []byte("a")}, &kgo.Record{Topic: "short", Partition: 1, Value: []byte("b")})
	w.backup("short")
	w.produce(&kgo.Record{Topic: "short", Value: []byte("c")}, &kgo.Record{Topic: "short", Partition: 1, Value: []byte("d")})
	refused := true
	fake.ControlKey(kmsg.Fetch.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		for i := range req.Topics {
			for _, p := range req.Topics[i].Partitions {
				if p.Partition == 1 && p.FetchOffset == 1 && refused {
					resp := req.ResponseKind().(*kmsg.FetchResponse)
					topic := kmsg.NewFetchResponseTopic()
					topic.Topic, topic.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
					answer := kmsg.NewFetchResponseTopicPartition()
					answer.Partition, answer.ErrorCode = 1, kerr.TopicAuthorizationFailed.Code
					topic.Partitions = append(topic.Partitions, answer)
					resp.Topics = append(resp.Topics, topic)
					return resp, nil, true
				}
			}
		}
		return nil, nil, false
	})
	w.backupEnding(exitIncomplete, "short")
	const says = "short-1 ends at offset 1 in snapshot"
	r := w.restoring("-t", "short", "--map", "short=copy").must(t, exitDone).says(t, says, "was to read it to offset 2", "denied")
	var report restoreReport
	r.into(t, &report)
	same(t, "records", report.Partitions[0].Records+report.Partitions[1].Records, int64(3))
	w.restoring("-t", "short", "--map", "short=copy-2", "--strict").must(t, exitIncomplete).says(t, says)
	w.restoring("-t", "short", "--map", "short=copy-3", "--strict", "--partitions", "0").must(t, exitDone)
	w.restoring("-t", "short", "--map", "short=copy-4", "--strict", "--dry-run").must(t, exitIncomplete).says(t, says)
	refused = false
	w.backup("short")
	w.restoring("-t", "short", "--map", "short=copy-5", "--strict").must(t, exitDone)
}

// Counts are of what is kept: a batch whose first records are deleted is stored as a whole.
func TestCountsBesideAGap(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.create("half", 1)
		w.produce(&kgo.Record{Topic: "half", Value: []byte("saved before")})
		w.backup("half")
		var records []*kgo.Record
		for range 200 {
			records = append(records, &kgo.Record{Topic: "half", Value: []byte("x")})
		}
		w.oneBatch(w.newClient(kgo.ManualFlushing()), records)
		w.deleteRecords("half", 101)
		r := w.backupEnding(exitIncomplete, "half")
		same(w.T, "gaps", r.Gaps, []gapReport{{"half", 0, 1, 101, "log_start_advanced"}})
		same(w.T, "records", r.Records, int64(100))
		w.restoring("-t", "half", "--map", "half=copy", "--strict").must(w.T, exitDone)
	})
}

// The newest snapshot lacks a topic: that an older one is taken is said, with both times.
func TestOlderSnapshotIsTaken(t *testing.T) {
	w := newFakeWorld(t)
	for _, topic := range []string{"one", "other"} {
		w.create(topic, 1)
		w.values(topic, "a")
	}
	w.backup("one", "other")
	w.backup("other")
	all := w.snapshots()
	old, newest := all[0], all[1]
	for _, o := range []outcome{
		w.restoring("-t", "one,other", "--map", "one=copy-1", "--map", "other=copy-2", "--dry-run"),
		w.run("ls", "one"), w.run("cat", "one"),
	} {
		o.must(t, exitDone).says(t, "snapshot "+old.ID+" of "+old.Time[:19], "is taken, and not the newest one, "+newest.ID+" of "+newest.Time[:19])
	}
	if o := w.restoring("-t", "other", "--map", "other=copy-3", "--dry-run").must(t, exitDone); strings.Contains(o.stderr, "not the newest") {
		t.Errorf("of the newest snapshot it says: %s", o.stderr)
	}
}
