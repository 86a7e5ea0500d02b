package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// diff tells a cluster that is as it was from one that is not, and where.
func TestDiffFindsWhatIsNotTheSame(t *testing.T) {
	w := newWorld(t)
	w.fill("diffed", 2, 50)
	w.abortedBetween("diffed")
	saved := w.backup("diffed")
	w.values("diffed", "newer")
	diff := func(code int, args ...string) (d diffDocument) {
		t.Helper()
		w.run("diff", append([]string{"-b", w.bootstrap, "-t", "diffed"}, args...)...).must(t, code).into(t, &d)
		return d
	}

	d := diff(exitDone)
	same(t, "differences", d.Differences, []differenceDocument{})
	if len(d.Partitions) != 2 || d.Records < 100 {
		t.Errorf("compared %d records in %d partitions", d.Records, len(d.Partitions))
	}
	newer := int64(0)
	for _, p := range d.Partitions {
		newer += offsetsOf(p.OtherOnly)
	}
	if newer != 1 {
		t.Errorf("%d offsets are only in the cluster, want the one that is newer", newer)
	}

	// Under other names: a topic that is not there, and one with other content.
	if d = diff(exitDamage, "--map", "diffed=diffed-gone"); len(d.Differences) != 2 || d.Differences[0].Kind != "no_partition" {
		t.Errorf("without a topic: %+v", d.Differences)
	}
	w.create("diffed-other", 2)
	for p := range int32(2) {
		for i := range 30 {
			value := fmt.Sprintf("%d", i)
			w.produce(&kgo.Record{Topic: "diffed-other", Partition: p, Value: []byte(value)})
		}
	}
	d = diff(exitDamage, "--map", "diffed=diffed-other")
	if len(d.Differences) != 2 || d.Differences[0].Kind != "content" || d.Differences[0].FirstOffset != 0 || d.Differences[0].Detail == "" {
		t.Errorf("other content: %+v", d.Differences)
	}

	// A restored topic is the same as what it was made of.
	w.fill("diffed-dense", 2, 50)
	w.backup("diffed-dense")
	w.restoreAs("diffed-dense", "diffed-dense-again")
	w.run("diff", "-b", w.bootstrap, "-t", "diffed-dense", "--map", "diffed-dense=diffed-dense-again").must(t, exitDone).into(t, &d)
	same(t, "records that are the same", d.Records, int64(100))

	// What retention took is outside.
	w.deleteRecords("diffed", 7)
	d = diff(exitDone)
	same(t, "only in the snapshot", offsetsOf(d.Partitions[0].SnapshotOnly), int64(7))

	// Snapshots are held against each other without a cluster.
	later := w.backup("diffed")
	var both diffDocument
	w.run("diff", "-t", "diffed", "--snapshot", saved.Snapshot, "--with", later.Snapshot).must(t, exitDone).into(t, &both)
	same(t, "with", both.With, later.Snapshot)
	w.run("diff", "-t", "diffed", "-b", w.bootstrap, "--with", later.Snapshot, "--map", "diffed=x").must(t, exitUsage)
	out := command(t, []string{"COLDSTREAM_VAULT=" + w.vault}, "diff", "-b", w.bootstrap, "-t", "diffed").must(t, exitDone)
	contains(t, out.stdout, "no differences: snapshot "+later.Snapshot+" against the cluster")
}

// abortedBetween writes records of a transaction that is aborted, and then others.
func (w *world) abortedBetween(topic string) {
	w.Helper()
	client := w.newClient(kgo.TransactionalID("diff-"+topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	ctx := w.Context()
	if err := client.BeginTransaction(); err != nil {
		w.Fatal(err)
	}
	err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: 0, Value: []byte("never")}).FirstErr()
	if err := errors.Join(err, client.EndTransaction(context.WithoutCancel(ctx), kgo.TryAbort)); err != nil {
		w.Fatal(err)
	}
	w.values(topic, "after")
}
