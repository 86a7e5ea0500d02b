package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// leave makes a member of a group go, and waits until the group has none.
func (w *world) leave(member *kgo.Client, group string) {
	w.Helper()
	member.Close()
	w.await("the group is empty", func() bool {
		described, err := w.adm.DescribeGroups(w.Context(), group)
		return err == nil && described[group].State == "Empty"
	})
}

// A group that had members when its topic was restored gets its offsets later, through the same
// offset map.
func TestGroupsAlone(t *testing.T) {
	w := newWorld(t)
	w.fill("alone", 2, 10)
	for _, group := range []string{"idle", "it's busy"} {
		w.commit(group, kadm.Offset{Topic: "alone", Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "m"})
		w.commit(group, kadm.Offset{Topic: "alone", Partition: 1, At: 10, LeaderEpoch: -1})
	}
	w.backup("alone")
	w.create("half-full", 2)
	w.values("half-full", "a", "b", "c")
	member := w.newClient(kgo.ConsumerGroup("it's busy"), kgo.ConsumeTopics("half-full"), kgo.DisableAutoCommit())
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	member.PollFetches(ctx)

	into := []string{"-t", "alone", "--map", "alone=half-full", "--append"}
	var dry, first restoreReport
	w.restoring(append(into, "--groups", "--dry-run")...).must(t, exitIncomplete).says(t, "it has members now", "--groups-only").into(t, &dry)
	same(t, "the plan's groups", dry.names(), []string{"idle planned", "it's busy refused_active"})
	w.restoring(append(into, "--groups")...).must(t, exitIncomplete).
		says(t, `coldstream restore --groups-only --restore `, `--group 'it'\''s busy'`).into(t, &first)
	same(t, "groups", first.names(), []string{"idle committed", "it's busy refused_active"})

	// Still refused, and then not.
	r := w.restoreEnding(exitIncomplete, "--groups-only", "--group", "it's busy")
	same(t, "groups", r.names(), []string{"it's busy refused_active"})
	w.leave(member, "it's busy")
	r = w.restore("-t", "alone", "--groups-only", "--group", "it's busy", "--dry-run")
	same(t, "the plan's groups", r.names(), []string{"it's busy planned"})
	same(t, "half-full before", w.committed("it's busy")["half-full-0"], "")
	r = w.restore("-t", "alone", "--groups-only", "--group", "it's busy")
	same(t, "groups", r.names(), []string{"it's busy committed"})
	same(t, "partitions", len(r.Partitions), 0)
	idle, busy := w.committed("idle"), w.committed("it's busy")
	same(t, "half-full", []string{busy["half-full-0"], busy["half-full-1"]}, []string{"10 m", "10 "})
	same(t, "half-full of the other group", busy["half-full-0"], idle["half-full-0"])

	// The last restore is meant, unless another one is named, or the target is.
	w.restore("-t", "alone", "--map", "alone=alone-2")
	w.restore("--groups-only", "--partitions", "0")
	same(t, "alone-2", []string{w.committed("idle")["alone-2-0"], w.committed("idle")["alone-2-1"]}, []string{"7 m", ""})
	w.commit("idle", kadm.Offset{Topic: "half-full", At: 1, LeaderEpoch: -1})
	w.restore("--groups-only", "--restore", first.Restore[:6])
	same(t, "half-full", w.committed("idle")["half-full-0"], "10 m")
	w.commit("idle", kadm.Offset{Topic: "half-full", At: 1, LeaderEpoch: -1})
	w.restore("--groups-only", "-t", "alone", "--map", "alone=half-full", "--group", "idle")
	same(t, "half-full", w.committed("idle")["half-full-0"], "10 m")
	w.groupsAloneRefused(first.Restore)
}

// groupsAloneRefused shows what no groups are restored through.
func (w *world) groupsAloneRefused(id string) {
	w.Helper()
	w.restoring("--groups-only", "-t", "alone", "--map", "alone=never").must(w.T, exitUsage).says(w.T, "no restore of these topics")
	w.restoring("--groups-only", "-t", "other").must(w.T, exitUsage).says(w.T, "no restore of these topics")
	w.restoring("--groups-only", "--restore", "0123456789abcdef").must(w.T, exitUsage).says(w.T, "no restore")
	w.restoring("--groups-only", "--append").must(w.T, exitUsage)
	w.restoring("-t", "alone", "--restore", id).must(w.T, exitUsage).says(w.T, "--groups-only")
	w.restoring("--groups-only", "--group", "nobody").must(w.T, exitUsage).says(w.T, "has no consumer group")
	w.delete("half-full")
	w.await("the topic is gone", func() bool { return !w.exists("half-full") })
	w.restoring("--groups-only", "--restore", id).must(w.T, exitFailed).says(w.T, "topic half-full", "is not there any more")
	w.create("half-full", 2)
	w.restoring("--groups-only", "--restore", id).must(w.T, exitFailed).says(w.T, "was deleted and made again")
}

// The name of a group may be that of a share group in the target, which takes no committed
// offsets: that is known before anything is written.
func TestGroupWhoseNameIsTaken(t *testing.T) {
	if version := os.Getenv(kafkaVersionVariable); strings.HasPrefix(version, "3.") {
		t.Skipf("needs share groups, which Kafka %s does not have: run with a newer one in %s", version, kafkaVersionVariable)
	}
	w := newWorld(t)
	w.fill("taken", 1, 10)
	for _, group := range []string{"free", "sharers"} {
		w.commit(group, kadm.Offset{Topic: "taken", At: 7, LeaderEpoch: -1})
	}
	w.backup("taken")
	if _, err := w.adm.DeleteGroups(t.Context(), "sharers"); err != nil {
		t.Fatal(err)
	}
	starts := kadm.Offsets{}
	starts.AddOffset("taken", 0, 0, -1)
	if _, err := w.adm.AlterShareGroupOffsets(t.Context(), "sharers", starts); err != nil {
		t.Fatal(err)
	}
	into := []string{"-t", "taken", "--map", "taken=taken-2", "--groups"}
	var r restoreReport
	w.restoring(append(into, "--dry-run")...).must(t, exitIncomplete).says(t, "sharers: unsupported: the target has a share group of this name").into(t, &r)
	same(t, "the plan's groups", r.names(), []string{"free planned", "sharers unsupported"})
	r = w.restoreEnding(exitIncomplete, into...)
	same(t, "groups", r.names(), []string{"free committed", "sharers unsupported"})
}

// What is left out of a restore is said, with the reason.
func TestWhatIsLeftOutIsSaid(t *testing.T) {
	w := newWorld(t)
	w.fill("kept", 2, 10)
	w.fill("elsewhere", 1, 10)
	for _, o := range []kadm.Offset{{Topic: "kept", Partition: 0, At: 7}, {Topic: "kept", Partition: 1, At: 3}, {Topic: "elsewhere", At: 2}} {
		o.LeaderEpoch = -1
		w.commit("wide", o)
	}
	open := w.newClient(kgo.TransactionalID("left-open"))
	if err := open.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, open, &kgo.Record{Topic: "kept", Value: []byte("undecided")})
	w.backup("kept", "elsewhere")
	o := command(t, nil, "restore", "--vault", w.vault, "-b", w.bootstrap, "-t", "kept", "--map", "kept=kept-2", "--partitions", "0", "--groups", "--yes").must(t, exitDone)
	for _, want := range []string{
		"group wide: committed in 1 partition; left out elsewhere-0 (the topic is not restored); left out kept-1 (the partition is not restored)",
		"left out 1 record of transactions that were still open",
	} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("stdout does not say %q:\n%s", want, o.stdout)
		}
	}
	r := w.restore("-t", "kept", "--map", "kept=kept-3", "--groups")
	same(t, "left out", r.Groups[0].LeftOut, []leftOutOffset{{"elsewhere", 0, 2, "the topic is not restored"}})
	if err := open.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}

// A share group starts in a restored topic at the record at which it did before: an ordinary member
// gets this one first.
func TestShareGroupComesBack(t *testing.T) {
	if version := os.Getenv(kafkaVersionVariable); strings.HasPrefix(version, "3.") {
		t.Skipf("needs share groups, which Kafka %s does not have: run with a newer one in %s", version, kafkaVersionVariable)
	}
	w := newWorld(t)
	w.fill("shared", 1, 20)
	w.deleteRecords("shared", 3)
	starts := kadm.Offsets{}
	starts.AddOffset("shared", 0, 7, -1)
	if altered, err := w.adm.AlterShareGroupOffsets(t.Context(), "back-sharers", starts); err != nil || altered.Error() != nil {
		t.Fatal(err, altered.Error())
	}
	w.backup("shared")
	var listed groupsDocument
	w.run("groups", "back-sharers").must(t, exitDone).into(t, &listed)
	if g := listed.Groups[0]; g.Type != "share" || g.Error != "" || len(g.Offsets) != 1 || g.Offsets[0].Offset != 7 || *g.Offsets[0].Behind != 13 {
		t.Errorf("saved: %+v", g)
	}
	r := w.restore("-t", "shared", "--map", "shared=shared-2", "--group", "back-sharers", "--offsets", "translate")
	same(t, "groups", r.names(), []string{"back-sharers committed"})
	same(t, "where it starts now", r.offsets(), []int64{4})
	member := w.newClient(kgo.ShareGroup("back-sharers"), kgo.ConsumeTopics("shared-2"))
	first := member.PollFetches(t.Context())
	if err := first.Err(); err != nil || first.NumRecords() == 0 {
		t.Fatal(err, first.NumRecords())
	}
	same(t, "the first record that a member gets", string(first.Records()[0].Value), string(w.read("shared")[4].Value))
	w.restoring("--groups-only", "--group", "back-sharers").must(t, exitIncomplete).says(t, "refused_active")
}
