package main

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// groups tells of one snapshot, and how a group moved over all of them.
func TestGroupsTellsWhereGroupsWere(t *testing.T) {
	w := newWorld(t)
	w.fill("watched", 2, 10)
	w.commit("watching", kadm.Offset{Topic: "watched", Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "m\x1b[2J"})
	w.commit("watching", kadm.Offset{Topic: "watched", Partition: 1, At: 10, LeaderEpoch: -1})
	w.create("elsewhere", 1)
	w.commit("idle-group", kadm.Offset{Topic: "elsewhere", Partition: 0, At: 0, LeaderEpoch: -1})
	first := w.backup("watched")
	w.commit("watching", kadm.Offset{Topic: "watched", Partition: 0, At: 3, LeaderEpoch: -1})
	second := w.backup("watched")

	var now groupsDocument
	w.run("groups").must(t, exitDone).into(t, &now)
	same(t, "snapshot", now.Snapshot, second.Snapshot)
	found := map[string]int{}
	for _, g := range now.Groups {
		found[g.Group] = len(g.Offsets)
	}
	same(t, "offsets of watching", found["watching"], 2)
	var then groupsDocument
	w.run("groups", "watching", "--snapshot", first.Snapshot).must(t, exitDone).into(t, &then)
	behind := int64(3)
	same(t, "offset then", then.Groups[0].Offsets[0], groupOffsetDocument{
		Topic: "watched", Offset: 7, LeaderEpoch: -1, Metadata: "m\x1b[2J", Behind: &behind,
	})

	var history groupsHistoryDocument
	w.run("groups", "watching", "--history").must(t, exitDone).into(t, &history)
	var offsets []int64
	for _, s := range history.Snapshots {
		offsets = append(offsets, s.Groups[0].Offsets[0].Offset)
	}
	same(t, "offsets of partition 0, oldest snapshot first", offsets, []int64{7, 3})
	text := func(args ...string) string {
		return command(t, []string{"COLDSTREAM_VAULT=" + w.vault}, append([]string{"groups"}, args...)...).must(t, exitDone).stdout
	}
	contains(t, text("watching", "--snapshot", first.Snapshot), "topic    partition  offset  behind  metadata\n",
		`watched  0          7       3       m\x1b[2J`+"\n", "watched  1          10      0       -\n")
	contains(t, text("idle-group", "--history"), first.Snapshot, second.Snapshot, "elsewhere  0          0       -       -\n")
	contains(t, text(), "watching", "classic")
	w.run("groups", "wacthing").must(t, exitUsage).says(t, "no consumer group wacthing", "did you mean: watching")
	w.run("groups", "--history", "--snapshot", first.Snapshot).must(t, exitUsage)
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}
