package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream"
	"coldstream/vault"
)

// TestLsTellsWhatIsThere: records of a compacted topic too, gaps, groups, configs and times.
func TestLsTellsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	w.create("ls-plain", 2, "retention.ms=-1")
	w.createCleaned("ls-compacted")
	for i := range 20 {
		at := time.UnixMilli(1_700_000_000_000 + int64(i))
		w.produce(&kgo.Record{Topic: "ls-plain", Partition: int32(i % 2), Value: []byte("x"), Timestamp: at},
			&kgo.Record{Topic: "ls-compacted", Key: fmt.Append(nil, i%4), Value: []byte("x"), Timestamp: rollTime(0)})
	}
	left := w.roll("ls-compacted", 2)
	w.commit("ls-group", kadm.Offset{Topic: "ls-plain", Partition: 1, At: 7, LeaderEpoch: -1})
	vars := []string{"COLDSTREAM_BOOTSTRAP_SERVER=" + w.bootstrap, "COLDSTREAM_VAULT=" + w.vault}
	command(t, vars, "backup", "-t", "ls-plain,ls-compacted").must(t, exitDone)
	w.values("ls-plain", "x", "x")
	w.deleteRecords("ls-plain", 11)
	var saved backupNumbers
	command(t, vars, "backup", "-t", "ls-plain,ls-compacted", "-o", "json").must(t, exitIncomplete).into(t, &saved)

	var d lsDocument
	command(t, vars, "ls", "-o", "json").must(t, exitDone).into(t, &d)
	if d.Snapshot != saved.Snapshot || d.ClusterID == "" || d.Time == "" || len(d.Topics) != 2 {
		t.Fatalf("%+v", d)
	}
	compacted, plain := d.Topics[0], d.Topics[1]
	if n := compacted.Records; n != int64(len(left)) || n >= 20 || compacted.Bytes == 0 {
		t.Errorf("the compacted topic has %d records in %d bytes; the cleaner left %d", n, compacted.Bytes, len(left))
	}
	if plain.Partitions[1].Records != 10 || plain.Partitions[1].NewestRecord != "2023-11-14T22:13:20.019Z" {
		t.Errorf("%+v", plain.Partitions[1])
	}
	if diff := cmp.Diff([]string{"ls-group"}, plain.Groups); diff != "" {
		t.Errorf("groups (-want +got)\n%s", diff)
	}
	out := command(t, vars, "ls", "ls-plain", "-l").must(t, exitDone).stdout
	for _, text := range []string{"config retention.ms=-1", "group ls-group: partition 1 at offset 7, 3 offsets before the end", "in snapshot " + saved.Snapshot, "topic ls-plain has ID "} {
		if !strings.Contains(out, text) {
			t.Errorf("ls -l does not say %q:\n%s", text, out)
		}
	}
	if out := command(t, vars, "ls", "-l").must(t, exitDone).stdout; !strings.Contains(out, "cleanup.policy=compact") || !strings.Contains(out, "ls-group") {
		t.Errorf("ls -l: %s", out)
	}
	if out := command(t, vars, "snapshots", "-l").must(t, exitDone).stdout; !strings.Contains(out, "ls-compacted, ls-plain") {
		t.Errorf("snapshots -l: %s", out)
	}
}

func TestLsTellsOfGaps(t *testing.T) {
	s := &vault.StreamHistory{
		View: vault.View{Stream: coldstream.Stream{Partition: 3}, LogStartOffset: 5, NextOffset: 40, Scan: 2},
		Runs: []vault.Run{{FirstOffset: 5, NextOffset: 10, Records: 5, MaxTimestampMs: 7, SizeBytes: 100, Forked: true}, {FirstOffset: 20, NextOffset: 40, Records: 30, MaxTimestampMs: 1000, SizeBytes: 50}},
		Gaps: []coldstream.Gap{{FirstOffset: 10, NextOffset: 20, Cause: coldstream.GapTruncated}},
	}
	p, _ := newRangeDocument(s)
	want := rangeDocument{
		Partition: 3, LogStartOffset: 5, NextOffset: 40, Records: 25, Bytes: 150, NewestRecord: "1970-01-01T00:00:01.000Z",
		Gaps: []gapRangeDocument{{10, 20, "truncated"}}, Forks: []int64{10}, Rescans: 2,
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	d := topicDocument{Topic: "t", Partitions: []rangeDocument{p}}
	if got, want := d.gapRows(), []row{{"gap: t-3 offsets [10, 20): truncated"}}; !cmp.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	details := fmt.Sprint(d.detailRows())
	contains(t, details, "fork: t-3 had lost its end at offset 10,", "rescanned: t-3 was read again in full, 2 times")
	if got := (&listing{document: lsDocument{Topics: []topicDocument{d}}}).topicRows()[1]; got[len(got)-1] != "10" {
		t.Errorf("%q does not count 10 lost offsets", got)
	}
}
