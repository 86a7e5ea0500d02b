package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/restore"
)

// mustMatch fails the test unless a line of a table matches.
func mustMatch(t *testing.T, stdout, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^` + pattern).MatchString(stdout) {
		t.Errorf("no line matches %q:\n%s", pattern, stdout)
	}
}

// stamp writes records one by one, each with its timestamp.
func (w *world) stamp(topic string, partition int32, times ...time.Time) {
	w.Helper()
	for _, at := range times {
		w.produce(&kgo.Record{Topic: topic, Partition: partition, Value: []byte(at.Format(time.RFC3339Nano)), Timestamp: at})
	}
}

type cutReport struct {
	Partition      int32 `json:"partition"`
	LogStartOffset int64 `json:"log_start_offset"`
	NextOffset     int64 `json:"next_offset"`
	Cut            *struct {
		Sharp               bool   `json:"sharp"`
		CommittedNextOffset int64  `json:"committed_next_offset"`
		BoundNextOffset     int64  `json:"bound_next_offset"`
		BoundSnapshot       string `json:"bound_snapshot"`
		LeftOutTime         string `json:"left_out_time"`
	} `json:"cut"`
}

// A restore of a time brings what had been saved by then, what else is stamped at or before it, the groups of
// then, and topics that were deleted since.
func TestRestoreAtATime(t *testing.T) {
	w := newWorld(t)
	past := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	future := past.Add(48 * time.Hour)
	w.create("moving", 3)
	w.create("gone", 1)
	w.stamp("moving", 0, past, future, past) // the second one was there, whatever it says
	w.stamp("moving", 1, past)
	w.stamp("moving", 2, past)
	w.stamp("gone", 0, past, past)
	w.commit("readers", kadm.Offset{Topic: "moving", Partition: 0, At: 2, LeaderEpoch: -1})
	w.commit("readers", kadm.Offset{Topic: "gone", Partition: 0, At: 1, LeaderEpoch: -1})
	first := w.backup("moving", "gone")
	at := time.Now().Truncate(time.Millisecond)
	w.await("the clock to go on", func() bool { return time.Now().After(at.Add(2 * time.Millisecond)) })
	w.delete("gone")
	w.stamp("moving", 0, at.Add(-time.Second), at, at.Add(time.Second), at) // three to five belong to then; the last cannot be told
	w.stamp("moving", 1, future, at)                                        // one from the future ends it at once
	w.commit("readers", kadm.Offset{Topic: "moving", Partition: 0, At: 6, LeaderEpoch: -1})
	second := w.backup("moving")

	when := strconv.FormatInt(at.UnixMilli(), 10)
	args := []string{"restore", "-b", w.bootstrap, "--vault", w.vault, "-t", "moving,gone", "--at", when, "--map", "/(.*)/=$1-then", "--yes"}
	plan := command(t, nil, append(args, "--dry-run")...).must(t, exitDone)
	for _, line := range []string{`moving-0 +0 +5 +3 to 7 was saved later, by .*: cut before a batch of ` + timestamp(at.Add(time.Second)), `moving-1 +0 +1 +1 to 3 was saved later`, `moving-2 +0 +1 +sharp`, `gone-0 +0 +2 +sharp`} {
		mustMatch(t, plan.stdout, line)
	}
	var result struct {
		At         string      `json:"at"`
		Snapshot   string      `json:"snapshot"`
		Partitions []cutReport `json:"partitions"`
	}
	command(t, nil, append(args, "--groups", "-o", "json")...).must(t, exitDone).into(t, &result)
	if result.At != timestamp(at) || result.Snapshot != first.Snapshot {
		t.Errorf("at %s from snapshot %s, want %s from %s", result.At, result.Snapshot, timestamp(at), first.Snapshot)
	}
	moving := slices.IndexFunc(result.Partitions, func(p cutReport) bool { return p.Partition == 0 && p.NextOffset == 5 })
	if moving < 0 {
		t.Fatalf("partitions %+v", result.Partitions)
	}
	if c := result.Partitions[moving].Cut; c.Sharp || c.CommittedNextOffset != 3 || c.BoundNextOffset != 7 || c.BoundSnapshot != second.Snapshot || c.LeftOutTime != timestamp(at.Add(time.Second)) {
		t.Errorf("cut %+v", c)
	}
	before := func(r [][3]int64) (out [][3]int64) {
		for _, p := range r {
			if p[0] == 0 && p[1] < 5 || p[0] == 1 && p[1] < 1 || p[0] == 2 {
				out = append(out, p)
			}
		}
		return out
	}
	if diff := cmp.Diff(before(w.stamps("moving")), w.stamps("moving-then")); diff != "" {
		t.Errorf("moving: -source +restored\n%s", diff)
	}
	if got := w.stamps("gone-then"); len(got) != 2 {
		t.Errorf("gone: %v", got)
	}
	if diff := cmp.Diff("2 ", w.committed("readers")["moving-then-0"]); diff != "" {
		t.Errorf("group %v: %s", w.committed("readers"), diff)
	}
	w.looksAt(when, first.Snapshot)
	w.refusesTimes(at, past)
}

// stamps are partition, offset and time of all records of a topic, as a consumer sees them.
func (w *world) stamps(topic string) (out [][3]int64) {
	w.Helper()
	for _, r := range w.read(topic) {
		out = append(out, [3]int64{int64(r.Partition), r.Offset, r.TimestampMs})
	}
	return out
}

// looksAt has the commands that only read look at the time.
func (w *world) looksAt(when, snapshot string) {
	w.Helper()
	out := command(w.T, nil, "cat", "moving", "-p", "0", "-f", "%o ", "--at", when, "--vault", w.vault).must(w.T, exitDone)
	if out.stdout != "0 1 2 3 4 " {
		w.Errorf("cat --at: %q", out.stdout)
	}
	var ls struct {
		At       string `json:"at"`
		Snapshot string `json:"snapshot"`
		Topics   []struct {
			Topic      string      `json:"topic"`
			Records    int64       `json:"records"`
			Partitions []cutReport `json:"partitions"`
		} `json:"topics"`
	}
	command(w.T, nil, "ls", "-o", "json", "--at", when, "--vault", w.vault).must(w.T, exitDone).into(w.T, &ls)
	if ls.Snapshot != snapshot || ls.At == "" || len(ls.Topics) != 2 || ls.Topics[1].Records != 7 || ls.Topics[1].Partitions[0].NextOffset != 5 {
		w.Errorf("ls --at: %+v", ls)
	}
	mustMatch(w.T, command(w.T, nil, "groups", "readers", "--at", when, "--vault", w.vault).must(w.T, exitDone).stdout, `moving +0 +2 `)
	command(w.T, nil, "groups", "--history", "--at", when, "--vault", w.vault).must(w.T, exitUsage)
}

// refusesTimes asks for what cannot be.
func (w *world) refusesTimes(at, past time.Time) {
	w.Helper()
	for _, c := range []struct {
		says string
		args []string
	}{
		{"no snapshot is as old as", []string{"-t", "moving", "--at", timestamp(past)}},
		{"--snapshot and --at exclude each other", []string{"-t", "moving", "--at", "-1m", "--snapshot", "abcd"}},
		{"--archive excludes --snapshot and --at", []string{"-t", "moving", "--at", "-1m", "--archive"}},
		{`"yesterday" is no time`, []string{"-t", "moving", "--at", "yesterday"}},
		{"no snapshot up to", []string{"-t", "nothing", "--at", timestamp(at)}},
		{"it excludes --archive", []string{"-t", "moving", "--groups-only", "--archive"}},
		{"--until offset 3 is not behind", []string{"-t", "moving", "--since", "3", "--until", "offset:3"}},
		{"no time and no offset", []string{"-t", "moving", "--since", "offset:-3"}},
	} {
		command(w.T, nil, append([]string{"restore", "-b", w.bootstrap, "--vault", w.vault, "--dry-run"}, c.args...)...).must(w.T, exitUsage).says(w.T, c.says)
	}
	for _, name := range []string{"cat", "ls"} {
		command(w.T, nil, name, "moving", "--vault", w.vault, "--at", "-1m", "--snapshot", "abcd").must(w.T, exitUsage)
	}
}

// All that the vault holds comes back, also what the cluster deleted between two backups; and parts of it.
func TestRestoreArchiveAndParts(t *testing.T) {
	w := newWorld(t)
	w.create("kept", 1)
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			w.stamp("kept", 0, base.Add(time.Duration(i)*time.Second))
		}
	}
	fill(0, 10)
	w.backup("kept")
	all := w.stamps("kept")
	w.deleteRecords("kept", 6)
	fill(10, 14)
	w.backup("kept")
	for _, s := range w.stamps("kept") {
		if s[1] >= 10 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b [3]int64) int { return slices.Compare(a[:], b[:]) })
	part := func(first, next int64) (out [][3]int64) {
		for _, s := range all {
			if s[1] >= first && s[1] < next {
				out = append(out, s)
			}
		}
		return out
	}
	ms := func(i int) string { return strconv.FormatInt(base.Add(time.Duration(i)*time.Second).UnixMilli(), 10) }
	for i, c := range []struct {
		args        []string
		first, next int64
	}{
		{nil, 6, 14},
		{[]string{"--archive"}, 0, 14},
		{[]string{"--archive", "--since", "3", "--until", "8"}, 3, 8},
		{[]string{"--archive", "--since", ms(4), "--until", ms(12)}, 4, 12},
		{[]string{"--since", "offset:2", "--until", timestamp(base.Add(8500 * time.Millisecond))}, 6, 9},
		{[]string{"--at", timestamp(time.Now()), "--until", "7"}, 6, 7},
	} {
		target := fmt.Sprintf("kept-%d", i)
		r := w.restore(append([]string{"-t", "kept", "--map", "kept=" + target}, c.args...)...)
		got := w.stamps(target)
		slices.SortFunc(got, func(a, b [3]int64) int { return slices.Compare(a[:], b[:]) })
		if diff := cmp.Diff(part(c.first, c.next), got); diff != "" {
			t.Errorf("%v: -want +got\n%s", c.args, diff)
		}
		if r.Partitions[0].Offsets != "exact" {
			t.Errorf("%v: offsets are %s", c.args, r.Partitions[0].Offsets)
		}
		if log := w.logRanges(target)[0]; log != (logRange{c.first, c.next}) {
			t.Errorf("%v: the log is %v", c.args, log)
		}
	}
	plan := command(t, nil, "restore", "-t", "kept", "--map", "kept=planned", "--since", "8", "--until", "12", "--dry-run", "-b", w.bootstrap, "--vault", w.vault).must(t, exitDone)
	mustMatch(t, plan.stdout, `kept-0 +8 +12$`)
}

func TestReadBound(t *testing.T) {
	e := testEnv(nil)
	now := time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)
	e.now = func() time.Time { return now }
	for text, want := range map[string]string{
		"0": "offset 0", "99999999999": "offset 99999999999", "offset:100000000000": "offset 100000000000",
		"100000000000": "1973-03-03T09:46:40.000Z", "2026-11-22T14:05:00Z": "2026-11-22T14:05:00.000Z", "-30m": "2026-11-22T13:35:00.000Z",
	} {
		b, err := readBound(e, "--since", text)
		if err != nil || b.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, b, err, want)
		}
	}
	for _, text := range []string{"offset:", "offset:-1", "offset:x", "noon"} {
		if b, err := readBound(e, "--since", text); err == nil || !strings.Contains(err.Error(), "--since") {
			t.Errorf("%q: %v, %v", text, b, err)
		}
	}
	var none *restore.Bound
	if b, err := readBound(e, "--since", ""); err != nil || b != none {
		t.Errorf("nothing: %v, %v", b, err)
	}
}
