package backup

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/vault"
)

// Offsets that are saved are never read again: neither by the next run, nor by one that
// finds a single new record, even the one at offset 0.
func TestNothingIsSavedTwice(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 2)
	w.produce(t, "orders", 0, 7)
	first := w.run(t, Options{})
	if first.Records != 7 || first.Batches != 7 || first.TopicCount != 1 || first.PartitionCount != 2 || first.Incomplete() {
		t.Errorf("first run: %+v", first)
	}
	w.holds(t, first.Snapshot, "orders-0 [0, 7) 7 records", "orders-1 [0, 0) 0 records")
	packs := w.objects(t, w.store, "packs/")

	second := w.run(t, Options{})
	if second.BytesRead != 0 || second.Records != 0 || w.objects(t, w.store, "packs/") != packs {
		t.Errorf("a run without anything new: %+v", second)
	}
	if second.Snapshot == first.Snapshot || second.VaultHash == first.VaultHash || second.VaultHash == "" {
		t.Errorf("snapshots %s and %s, vault hashes %q and %q", first.Snapshot, second.Snapshot, first.VaultHash, second.VaultHash)
	}
	w.holds(t, second.Snapshot, "orders-0 [0, 7) 7 records", "orders-1 [0, 0) 0 records")

	w.produce(t, "orders", 0, 1)
	w.produce(t, "orders", 1, 1)
	third := w.run(t, Options{})
	if third.Records != 2 || third.Batches != 2 {
		t.Errorf("a run with one new record in each partition: %+v", third)
	}
	w.holds(t, third.Snapshot, "orders-0 [0, 8) 8 records", "orders-1 [0, 1) 1 records")
	w.holds(t, first.Snapshot, "orders-0 [0, 7) 7 records", "orders-1 [0, 0) 0 records")
}

func TestOnlyWhatIsChosen(t *testing.T) {
	w := newWorld(t)
	for _, topic := range []string{"__internal", "orders", "payments"} {
		w.create(t, topic, 1)
		w.produce(t, topic, 0, 1)
	}
	w.holds(t, w.run(t, Options{}).Snapshot, "orders-0 [0, 1) 1 records", "payments-0 [0, 1) 1 records")
	w.holds(t, w.run(t, Options{Topics: patterns(t, "__internal,p*")}).Snapshot, "__internal-0 [0, 1) 1 records", "payments-0 [0, 1) 1 records")
	var unknown *coldstream.PatternError
	if _, err := Run(t.Context(), w.source, w.vault, Options{Topics: patterns(t, "ordres"), Now: w.now}); !errors.As(err, &unknown) {
		t.Errorf("a topic that is not there: %v", err)
	}
	if n := len(w.snapshots(t)); n != 2 {
		t.Errorf("there are %d snapshots, want 2", n)
	}
}

// No group of a snapshot points behind its data, however fast it moves: at each request
// of the backup one more record comes, and the group has read it.
func TestGroupThatMovesDuringABackup(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	at := int64(0)
	move := func() {
		if err := w.append(t.Context(), "orders", 0, 10); err != nil {
			t.Error(err)
		}
		at++
		if err := w.commit(t.Context(), "readers", "orders", at); err != nil {
			t.Error(err)
		}
	}
	move()
	w.run(t, Options{})
	asked := map[kmsg.Key]int{}
	for _, key := range []kmsg.Key{kmsg.OffsetFetch, kmsg.ListOffsets} {
		w.fake.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.fake.KeepControl()
			w.fake.SleepControl(move)
			asked[key]++
			return nil, nil, false
		})
	}
	r := w.run(t, Options{})
	if asked[kmsg.OffsetFetch] == 0 || asked[kmsg.ListOffsets] == 0 {
		t.Fatalf("the group moved at no request of the backup: %v", asked)
	}
	s := w.snapshot(t, r.Snapshot)
	metadata, err := w.vault.Metadata(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	group, next := metadata.Groups[0].Offsets[0].Offset, w.views(t, s.ID)[0].NextOffset
	if group > next || group < 2 {
		t.Errorf("the group reads on at offset %d, and the data ends at %d", group, next)
	}
	if next <= group {
		t.Errorf("the data ends at %d: not at the ends that were read after the group's offset %d", next, group)
	}
}

func TestLogStartThatAdvancedBetweenRuns(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 5)
	w.deleteRecords(t, "orders", 3)
	first := w.run(t, Options{}) // first seen with a log start above 0: that is no gap
	if len(first.Gaps) > 0 || first.Incomplete() {
		t.Errorf("gaps of the first run: %v", first.Gaps)
	}
	w.holds(t, first.Snapshot, "orders-0 [3, 5) 2 records")

	w.produce(t, "orders", 0, 6)
	w.deleteRecords(t, "orders", 5) // just what is saved
	if r := w.run(t, Options{}); r.Incomplete() || r.Records != 6 {
		t.Errorf("the log start advanced over what was saved: %+v", r)
	}
	w.produce(t, "orders", 0, 6)
	w.deleteRecords(t, "orders", 14)
	third := w.run(t, Options{})
	want := []coldstream.Gap{gap("orders", 11, 14, coldstream.GapLogStartAdvanced)}
	if diff := cmp.Diff(want, third.Gaps); diff != "" || !third.Incomplete() {
		t.Errorf("incomplete %v, gaps -want +got:\n%s", third.Incomplete(), diff)
	}
	w.holds(t, third.Snapshot, "orders-0 [14, 17) 3 records")
	w.deleteRecords(t, "orders", 17) // all of it
	fourth := w.run(t, Options{})
	if fourth.Incomplete() {
		t.Errorf("gaps are told again: %v", fourth.Gaps)
	}
	w.holds(t, fourth.Snapshot, "orders-0 [17, 17) 0 records")
	w.holds(t, first.Snapshot, "orders-0 [3, 5) 2 records")
}

// A log whose retention took all that was due, and that is empty now.
func TestGapUpToTheEnd(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 2)
	w.run(t, Options{})
	w.produce(t, "orders", 0, 2)
	w.deleteRecords(t, "orders", 4)
	r := w.run(t, Options{})
	if diff := cmp.Diff([]coldstream.Gap{gap("orders", 2, 4, coldstream.GapLogStartAdvanced)}, r.Gaps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	w.holds(t, r.Snapshot, "orders-0 [4, 4) 0 records")
	w.produce(t, "orders", 0, 1)
	w.holds(t, w.run(t, Options{}).Snapshot, "orders-0 [4, 5) 1 records")
}

// The log start passes the backup while it reads.
func TestLogStartThatAdvancesDuringARun(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 2)
	w.run(t, Options{})
	w.produce(t, "orders", 0, 6)
	w.once(kmsg.Fetch, func() {
		if err := w.fake.DeleteRecords("orders", 0, 5); err != nil {
			t.Error(err)
		}
	})
	r := w.run(t, Options{})
	if diff := cmp.Diff([]coldstream.Gap{gap("orders", 2, 5, coldstream.GapLogStartAdvanced)}, r.Gaps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	w.holds(t, r.Snapshot, "orders-0 [5, 8) 3 records")
}

// once does something while the next request of a kind, and those beside it, wait.
func (w *world) once(key kmsg.Key, do func()) {
	var once sync.Once
	w.fake.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.DropControl()
		w.fake.SleepControl(func() { once.Do(do) })
		return nil, nil, false
	})
}

func TestTopicThatIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 5)
	old := w.run(t, Options{})
	if err := w.fake.DeleteTopic("orders"); err != nil {
		t.Fatal(err)
	}
	gone := w.run(t, Options{})
	w.holds(t, gone.Snapshot)
	w.create(t, "orders", 1)
	w.connectApp(t)
	w.produce(t, "orders", 0, 2) // below what is saved of the first
	r := w.run(t, Options{})
	if r.Incomplete() || r.Records != 2 {
		t.Errorf("got %+v", r)
	}
	w.holds(t, r.Snapshot, "orders-0 [0, 2) 2 records")
	w.holds(t, old.Snapshot, "orders-0 [0, 5) 5 records")
}

// What was due of a topic that is deleted while it is read is a gap; all else is saved.
func TestTopicThatIsDeletedDuringARun(t *testing.T) {
	w := newWorld(t)
	for _, topic := range []string{"orders", "payments"} {
		w.create(t, topic, 1)
		w.produce(t, topic, 0, 4)
	}
	w.once(kmsg.Fetch, func() {
		if err := w.fake.DeleteTopic("orders"); err != nil {
			t.Error(err)
		}
	})
	r := w.run(t, Options{})
	if diff := cmp.Diff([]coldstream.Gap{gap("orders", 0, 4, coldstream.GapTopicDeleted)}, r.Gaps); diff != "" {
		t.Errorf("gaps: -want +got:\n%s", diff)
	}
	if len(r.Failed) != 1 || !errors.Is(r.Failed[0].Err, coldstream.ErrUnknownTopic) || !r.Incomplete() {
		t.Errorf("failed: %v", errorTexts(r.Failed))
	}
	w.holds(t, r.Snapshot, "orders-0 [0, 4) 0 records, gap [0, 4) topic_deleted", "payments-0 [0, 4) 4 records")
}

func TestNewPartitions(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 2)
	w.run(t, Options{})
	if _, err := w.admin.CreatePartitions(t.Context(), 2, "orders"); err != nil {
		t.Fatal(err)
	}
	w.connectApp(t)
	w.produce(t, "orders", 2, 3)
	r := w.run(t, Options{})
	if r.Incomplete() || r.Records != 3 {
		t.Errorf("got %+v", r)
	}
	w.holds(t, r.Snapshot, "orders-0 [0, 2) 2 records", "orders-1 [0, 0) 0 records", "orders-2 [0, 3) 3 records")
}

// What one partition, topic or request is refused is named; all else is saved, and the
// next run saves the rest.
func TestRefusals(t *testing.T) {
	all := []string{"orders-0 [0, 4) 4 records", "orders-1 [0, 4) 4 records", "payments-0 [0, 4) 4 records"}
	tests := []struct {
		name           string
		fault          kfake.Fault
		denied, failed []string
		holds          []string
	}{
		{
			name: "reading a partition", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed},
			denied: []string{"orders-1: denied"}, holds: []string{all[0], "orders-1 [0, 2) 2 records", all[2]},
		},
		{
			name: "bad bytes", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Partitions: []int32{1}, Err: kerr.CorruptMessage},
			failed: []string{"orders-1: at offset 2: corrupt"}, holds: []string{all[0], "orders-1 [0, 2) 2 records", all[2]},
		},
		{
			name: "the ends of a partition", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed},
			denied: []string{"orders-1: denied"}, holds: []string{all[0], all[2]},
		},
		{
			name: "ends that cannot be told", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Partitions: []int32{1}, Err: kerr.InvalidRequest},
			failed: []string{"orders-1: "}, holds: []string{all[0], all[2]},
		},
		{
			name: "the groups", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.ListGroups}, TopLevel: true, Err: kerr.ClusterAuthorizationFailed},
			denied: []string{"--1: read consumer groups: "}, holds: all,
		},
		{
			name: "one group", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "readers", Err: kerr.GroupAuthorizationFailed},
			denied: []string{`--1: consumer group "readers": read its offsets: `}, holds: all,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.create(t, "orders", 2)
			w.create(t, "payments", 1)
			for range 2 {
				w.produce(t, "orders", 0, 2)
				w.produce(t, "orders", 1, 2)
				w.produce(t, "payments", 0, 2)
				if len(w.snapshots(t)) == 0 {
					w.run(t, Options{})
				}
			}
			if err := w.commit(t.Context(), "readers", "orders", 1); err != nil {
				t.Fatal(err)
			}
			tt.fault.Count = -1
			faults := w.fake.Fault(tt.fault)
			r := w.run(t, Options{})
			faults.Remove()
			beginWith(t, "denied", r.Denied, tt.denied...)
			beginWith(t, "failed", r.Failed, tt.failed...)
			if !r.Incomplete() || len(r.Gaps) > 0 {
				t.Errorf("incomplete %v, gaps %v", r.Incomplete(), r.Gaps)
			}
			w.holds(t, r.Snapshot, tt.holds...)
			w.showsGroups(t, r.Snapshot, tt.name)
			next := w.run(t, Options{})
			if next.Incomplete() {
				t.Errorf("the next run: %+v", next)
			}
			w.holds(t, next.Snapshot, all...)
		})
	}
}

// showsGroups proves that groups that could not be read do not look like none.
func (w *world) showsGroups(t *testing.T, id vault.SnapshotID, refused string) {
	t.Helper()
	m, err := w.vault.Metadata(t.Context(), w.snapshot(t, id))
	if err != nil {
		t.Fatal(err)
	}
	_, missing := m.Missing[vault.SectionGroups]
	if got, want := w.snapshot(t, id).GroupsWhole(), refused != "the groups" && refused != "one group"; got != want {
		t.Errorf("all groups are in the snapshot: %v, want %v", got, want)
	}
	switch {
	case missing != (refused == "the groups"):
		t.Errorf("the section of the groups is missing: %v", missing)
	case missing:
	case len(m.Groups) != 1 || (m.Groups[0].Err != nil) != (refused == "one group"):
		t.Errorf("groups are %+v", m.Groups)
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 2)
	w.produce(t, "orders", 0, 3)
	w.run(t, Options{})
	w.produce(t, "orders", 0, 6)
	w.produce(t, "orders", 1, 2)
	w.deleteRecords(t, "orders", 5)
	before := w.objects(t, w.store, "")
	r, offsets, err := DryRun(t.Context(), w.source, w.vault, Options{Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	if offsets != 6 || r.PartitionCount != 2 || r.TopicCount != 1 || r.BytesRead != 0 || r.HasSnapshot() {
		t.Errorf("%d offsets to read, %+v", offsets, r)
	}
	if diff := cmp.Diff([]coldstream.Gap{gap("orders", 3, 5, coldstream.GapLogStartAdvanced)}, r.Gaps); diff != "" {
		t.Errorf("gaps: -want +got:\n%s", diff)
	}
	if after := w.objects(t, w.store, ""); after != before {
		t.Errorf("%d objects were made", after-before)
	}
	if _, _, err := DryRun(t.Context(), w.source, w.vault, Options{Now: w.now, Topics: patterns(t, "no-such")}); err == nil {
		t.Error("a dry run of a topic that is not there")
	}
	if r := w.run(t, Options{}); r.Records != offsets {
		t.Errorf("the run read %d records, the dry run promised %d", r.Records, offsets)
	}
}
