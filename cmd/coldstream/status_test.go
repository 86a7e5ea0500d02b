package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/internal/protection"
)

// statusOf runs status, and returns what it says of the only topic.
func statusOf(t *testing.T, code int, args ...string) (*protection.Document, *protection.Topic) {
	t.Helper()
	var d protection.Document
	command(t, nil, append([]string{"status", "-o", "json"}, args...)...).must(t, code).into(t, &d)
	if len(d.Topics) != 1 {
		t.Fatalf("status lists %d topics, want 1: %+v", len(d.Topics), d.Topics)
	}
	return &d, &d.Topics[0]
}

// TestStatus follows a topic of a real broker: never saved, saved, behind, saved again.
func TestStatus(t *testing.T) {
	cluster, vault := realCluster(t), newVault(t)
	client := newClient(t, cluster)
	createTopic(t, client, "status", 2, "retention.ms=3600000")
	write := func(n int) {
		for i := range n {
			// A producer's clock that is wrong by decades: it must not count.
			produce(t, client, &kgo.Record{Topic: "status", Partition: int32(i % 2), Value: []byte("v"), Timestamp: time.Unix(int64(1e9+i), 0)})
		}
	}
	write(10)
	at := []string{"-b", strings.Join(cluster.Addrs(), ","), "--vault", vault, "-t", "status"}
	with := func(more ...string) []string { return append(append([]string{}, at...), more...) }
	backup := func() { command(t, nil, append([]string{"backup"}, at...)...).must(t, exitDone) }

	d, topic := statusOf(t, exitDone, with("--max-rpo", "5m")...)
	if topic.RPOSeconds != nil || topic.Protected || topic.LagRecords != 10 || topic.LagBytes == nil || *d.OK || topic.HeadroomSeconds != nil {
		t.Errorf("never saved: %+v", topic)
	}
	statusOf(t, exitBelowTarget, with("--check", "--max-rpo", "5m")...)

	backup()
	d, topic = statusOf(t, exitDone, with("--check", "--max-rpo", "1ms")...)
	if *topic.RPOSeconds != 0 || topic.LagRecords != 0 || *topic.LagBytes != 0 || !*topic.OK || *topic.HeadroomSeconds != 3600 || topic.LastSnapshot == "" ||
		*topic.NewestRecordAge < 1e8 || topic.PartitionCount != 2 || len(topic.Partitions) != 0 {
		t.Errorf("saved: %+v", topic)
	}
	if len(d.Writers) != 1 || d.Writers[0].Name != "backup" || d.Writers[0].Commits != 1 {
		t.Errorf("writers: %+v", d.Writers)
	}

	write(3)
	_, first := statusOf(t, exitDone, with("--partitions")...)
	if *first.RPOSeconds <= 0 || first.LagRecords != 3 || *first.LagBytes <= 0 || first.BehindCount != 2 || len(first.Partitions) != 2 || first.Partitions[0].LagRecords != 2 {
		t.Errorf("behind: %+v", first)
	}
	_, second := statusOf(t, exitDone, at...)
	if *second.RPOSeconds <= *first.RPOSeconds || *second.HeadroomSeconds >= 3600 {
		t.Errorf("RPO %v after %v, headroom %v", *second.RPOSeconds, *first.RPOSeconds, *second.HeadroomSeconds)
	}
	statusOf(t, exitBelowTarget, with("--check", "--max-rpo", "1ms")...)
	statusOf(t, exitDone, with("--check", "--max-rpo", "1h")...)

	backup()
	if _, topic = statusOf(t, exitDone, at...); *topic.RPOSeconds != 0 || topic.SavedAsOf <= second.SavedAsOf {
		t.Errorf("saved again: %+v", topic)
	}
	out := command(t, nil, append([]string{"status"}, at...)...).must(t, exitDone)
	if lines := strings.Split(out.stdout, "\n"); !strings.HasPrefix(lines[0], "topic") || strings.Fields(lines[1])[2] != "0" {
		t.Errorf("the table:\n%s", out.stdout)
	}
}

// TestStatusTellsOfGaps: what retention took before it was saved is lost for good, and is said.
func TestStatusTellsOfGaps(t *testing.T) {
	cluster, vault := realCluster(t), newVault(t)
	client := newClient(t, cluster)
	createTopic(t, client, "status-gaps", 1)
	at := []string{"-b", strings.Join(cluster.Addrs(), ","), "--vault", vault, "-t", "status-gaps"}
	for i := range 3 {
		produce(t, client, &kgo.Record{Topic: "status-gaps", Value: fmt.Append(nil, i)})
	}
	command(t, nil, append([]string{"backup"}, at...)...).must(t, exitDone)
	for i := range 4 {
		produce(t, client, &kgo.Record{Topic: "status-gaps", Value: fmt.Append(nil, i)})
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("status-gaps", 0, 5, -1)
	if deleted, err := kadm.NewClient(client).DeleteRecords(t.Context(), offsets); err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted.Error())
	}
	if _, topic := statusOf(t, exitDone, at...); *topic.HeadroomSeconds != 0 || topic.LostOffsets != 0 {
		t.Errorf("overtaken: %+v", topic)
	}
	command(t, nil, append([]string{"backup"}, at...)...).must(t, exitIncomplete)
	if _, topic := statusOf(t, exitDone, at...); *topic.RPOSeconds != 0 || topic.LostOffsets != 2 || len(topic.Gaps) != 1 || topic.Gaps[0].Cause != "log_start_advanced" {
		t.Errorf("with a gap: %+v", topic)
	}
}

func TestStatusUsage(t *testing.T) {
	command(t, nil, "status", "-b", "localhost:1", "--vault", newVault(t), "--check").must(t, exitUsage).says(t, "--max-rpo 5m")
	command(t, nil, "status", "-b", "localhost:1", "--vault", newVault(t), "--max-rpo", "-1s").must(t, exitUsage)
	command(t, nil, "status", "-b", "localhost:1", "--vault", t.TempDir()).must(t, exitNoVault)
	command(t, nil, "status", "-b", "localhost:1", "--vault", newVault(t), "--connect-timeout", "1s").must(t, exitUnreachable)
}
