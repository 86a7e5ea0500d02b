package main

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (w *world) fill(topic string, partitions int32, records int) {
	w.Helper()
	w.create(topic, partitions)
	random := newRandom(w.T)
	for p := range partitions {
		w.produce(someRecords(random, topic, p, records)...)
	}
}

// names are the groups of a result in its order.
func (r restoreReport) names() []string {
	names := []string{}
	for _, g := range r.Groups {
		names = append(names, g.Group+" "+g.Status)
	}
	return names
}

func TestGroupsFollowTheirRecords(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.fill("read", 2, 50)
		w.fill("read-too", 1, 50)
		w.commit("both", kadm.Offset{Topic: "read", Partition: 0, At: 10, LeaderEpoch: -1, Metadata: "state=7"})
		w.commit("both", kadm.Offset{Topic: "read", Partition: 1, At: 50, LeaderEpoch: -1})
		w.commit("both", kadm.Offset{Topic: "read-too", At: 33, LeaderEpoch: -1})
		w.commit("other", kadm.Offset{Topic: "read-too", At: 1, LeaderEpoch: -1})
		w.commit("first", kadm.Offset{Topic: "read", At: 0, LeaderEpoch: -1, Metadata: "\xe2\x82\xac"})
		w.backup("read", "read-too")

		// Only offsets in restored partitions, and only groups that have some.
		r := w.restore("-t", "read", "--map", "read=copy", "--partitions", "0", "--groups")
		same(w.T, "groups", r.names(), []string{"both committed", "first committed"})
		same(w.T, "offsets", r.Groups[0].Offsets, []groupOffsetReport{{"copy", 0, 10, 10, "state=7"}})
		same(w.T, "both", w.committed("both"), map[string]string{
			"copy-0": "10 state=7", "read-0": "10 state=7", "read-1": "50 ", "read-too-0": "33 ",
		})
		same(w.T, "first", w.committed("first")["copy-0"], "0 €")
		same(w.T, "other", w.committed("other"), map[string]string{"read-too-0": "1 "})

		// Named groups, several topics, offsets that move.
		w.create("half-full", 1)
		w.values("half-full", "a", "b", "c")
		r = w.restore("-t", "read,read-too", "--map", "read=copy-2", "--map", "read-too=half-full", "--append", "--group", "both", "--group", "other")
		same(w.T, "groups", r.names(), []string{"both committed", "other committed"})
		same(w.T, "both", w.committed("both")["half-full-0"], "36 ")
		same(w.T, "other", w.committed("other")["half-full-0"], "4 ")
		if _, ok := w.committed("first")["copy-2-0"]; ok {
			w.Error("a group that was not named is restored")
		}
		w.restoring("-t", "read", "--map", "read=copy-3", "--group", "bath").must(w.T, exitUsage).says(w.T, "did you mean: both")
	})
}

// An empty group of the same name is overwritten.
func TestGroupIsSetBack(t *testing.T) {
	w := newWorld(t)
	w.fill("progress", 1, 20)
	w.commit("worker", kadm.Offset{Topic: "progress", At: 5, LeaderEpoch: -1})
	w.backup("progress")
	w.commit("worker", kadm.Offset{Topic: "progress", At: 20, LeaderEpoch: -1})
	w.delete("progress")
	w.await("the topic is gone", func() bool { return !w.exists("progress") })
	w.restore("-t", "progress", "--groups")
	same(t, "worker", w.committed("worker"), map[string]string{"progress-0": "5 "})
}

// join makes a member of a group that stays until the test is over.
func (w *world) join(group, topic string) {
	w.Helper()
	member := w.newClient(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	ctx, cancel := context.WithCancel(w.Context())
	w.Cleanup(cancel)
	polled := member.PollFetches(ctx)
	if err := polled.Err(); err != nil {
		w.Fatal(err)
	}
}

func TestGroupWithMembersIsRefused(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.fill("busy", 1, 10)
		for _, group := range []string{"a-idle", "b-active", "c-idle"} {
			w.commit(group, kadm.Offset{Topic: "busy", At: 7, LeaderEpoch: -1})
		}
		w.backup("busy")
		w.join("b-active", "busy")
		r := w.restoreEnding(exitIncomplete, "-t", "busy", "--map", "busy=busy-copy", "--groups")
		same(w.T, "groups", r.names(), []string{"a-idle committed", "b-active refused_active", "c-idle committed"})
		sameContent(w.T, w.read("busy-copy"), w.read("busy"))
		for group, want := range map[string]string{"a-idle": "7 ", "b-active": "", "c-idle": "7 "} {
			same(w.T, group, w.committed(group)["busy-copy-0"], want)
		}
	})
}

// Offsets below a log start and, as brokers take anything, behind the end.
func TestGroupOffsetsOutsideTheLog(t *testing.T) {
	w := newWorld(t)
	w.create("outside", 1)
	w.values("outside", strings.Split("abcdefgh", "")...)
	w.commit("outside-below", kadm.Offset{Topic: "outside", At: 1, LeaderEpoch: -1})
	w.commit("outside-above", kadm.Offset{Topic: "outside", At: 100, LeaderEpoch: -1})
	w.deleteRecords("outside", 4)
	w.backup("outside")
	r := w.restore("-t", "outside", "--map", "outside=outside-exact", "--groups")
	same(t, "exact", r.offsets(), []int64{8, 4})
	r = w.restore("-t", "outside", "--map", "outside=outside-moved", "--groups", "--offsets", "translate")
	same(t, "translated", r.offsets(), []int64{4, 0})
}

// offsets are the first target offset of each group.
func (r restoreReport) offsets() []int64 {
	var out []int64
	for _, g := range r.Groups {
		out = append(out, g.Offsets[0].TargetOffset)
	}
	return out
}
