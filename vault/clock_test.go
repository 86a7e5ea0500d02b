package vault

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// backupBy commits three offsets and a snapshot by a clock of its own.
func (k *kit) backupBy(w *Writer, clock time.Time, s coldstream.Stream, from int64) Receipt {
	k.Helper()
	c := Changes{Data: data(s, piece(k, from, from+3, 1)), Snapshot: snapshotOf(View{Stream: s, NextOffset: from + 3, LastEpoch: 1})}
	if from == 0 {
		c.Scans = begin(s, 0)
	}
	c.Snapshot.Time = clock
	return k.commit(w, c)
}

func (k *kit) writerBy(clock time.Time) *Writer {
	k.Helper()
	w, err := k.vault.NewWriter(k.Context(), WriterOptions{Now: func() time.Time { return clock }})
	if err != nil {
		k.Fatal(err)
	}
	return w
}

// ends are the next offsets that the snapshots show of one stream, in their order.
func (k *kit) ends() []int64 {
	k.Helper()
	var out []int64
	for _, s := range k.catalog().Snapshots() {
		out = append(out, k.views(s)[0].NextOffset)
	}
	return out
}

// TestOrderIsNoClocks: a backup by a clock that is ten years ahead is not the newest for
// ever, in its epoch or behind any turn, and its time and that of the next one are doubted.
func TestOrderIsNoClocks(t *testing.T) {
	clocks := []time.Time{testTime, testTime.AddDate(10, 0, 0), testTime.Add(time.Hour), testTime.Add(2 * time.Hour), testTime.AddDate(-30, 0, 0), testTime.Add(3 * time.Hour)}
	for turns := 0; turns < 1<<len(clocks); turns += sweepStep(5) { // behind which of the backups
		k := newKit(t, mem.New())
		s := stream("orders", 0)
		var want, parents []time.Time
		for i, clock := range clocks {
			r := k.backupBy(k.writerBy(clock), clock, s, int64(3*i))
			if len(want) > 0 {
				parents = append(parents, want[len(want)-1])
			} else {
				parents = append(parents, time.Time{})
			}
			want = append(want, clock)
			if !r.ParentTime.Equal(parents[i]) {
				t.Errorf("turns %b: backup %d was told %v of the one before, want %v", turns, i, r.ParentTime, parents[i])
			}
			if turns&(1<<i) != 0 {
				k.turn()
			}
		}
		var got, gotParents []time.Time
		var doubts [][]string
		for _, snapshot := range k.catalog().Snapshots() {
			got, gotParents = append(got, snapshot.Time), append(gotParents, snapshot.ParentTime)
			doubts = append(doubts, snapshot.TimeDoubts(testTime.Add(4*time.Hour)))
		}
		if diff := cmp.Diff([][]time.Time{want, parents}, [][]time.Time{got, gotParents}); diff != "" {
			t.Fatalf("turns %b: times, and those of parents (-want +got)\n%s", turns, diff)
		}
		if diff := cmp.Diff([][]string{nil, {TimeAhead}, {TimeBeforeParent}, nil, {TimeBeforeParent}, nil}, doubts); diff != "" {
			t.Errorf("turns %b: (-want +got)\n%s", turns, diff)
		}
		k.mustBeSound()
	}
}

// TestOrderOfWritersAtOnce: a process that goes on overtakes one that ended, although
// neither knows of the other, and their clocks say the contrary.
func TestOrderOfWritersAtOnce(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	long := k.writerBy(testTime)
	k.backupBy(long, testTime, s, 0)
	once := k.writerBy(testTime.AddDate(1, 0, 0))
	for i := range int64(3) {
		k.backupBy(long, testTime.Add(time.Duration(i)*time.Minute), s, 3+3*i)
	}
	k.backupBy(once, testTime.AddDate(1, 0, 0), s, 3) // it does not know of the three
	k.backupBy(long, testTime, s, 12)
	want := []int64{3, 6, 6, 9, 12, 15}
	for range 3 {
		if diff := cmp.Diff(want, k.ends()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		for _, snapshot := range k.catalog().Snapshots() {
			if doubts := snapshot.TimeDoubts(testTime.AddDate(2, 0, 0)); len(doubts) > 0 {
				t.Errorf("the time of %v is doubted though its parent is of %v: %v", snapshot.Time, snapshot.ParentTime, doubts)
			}
		}
		k.turn()
	}
}

// TestChapterByTime: a chapter of the first version, whose snapshots stand in the order of
// their times, is read as it is, and what came after it is newer than all of it.
func TestChapterByTime(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	for i, clock := range []time.Time{testTime.AddDate(10, 0, 0), testTime, testTime.Add(time.Hour)} {
		k.backupBy(k.writerBy(clock), clock, s, int64(3*i))
	}
	k.turn()
	k.chapterOfVersion1()
	if diff := cmp.Diff([]int64{6, 9, 3}, k.ends()); diff != "" {
		t.Fatalf("by time (-want +got)\n%s", diff)
	}
	k.mustBeSound()
	for i := range int64(2) {
		k.backupBy(k.writerBy(testTime.Add(2*time.Hour)), testTime.Add(2*time.Hour), s, 9+3*i)
	}
	for range 4 {
		if diff := cmp.Diff([]int64{6, 9, 3, 12, 15}, k.ends()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		var doubts [][]string
		for _, snapshot := range k.catalog().Snapshots() {
			doubts = append(doubts, snapshot.TimeDoubts(testTime.Add(3*time.Hour)))
		}
		if diff := cmp.Diff([][]string{nil, nil, {TimeAhead}, {TimeBeforeParent}, nil}, doubts); diff != "" {
			t.Errorf("doubts (-want +got)\n%s", diff)
		}
		k.turn()
	}
	k.mustBeSound()
}

// chapterOfVersion1 makes of the only chapter what earlier versions made.
func (k *kit) chapterOfVersion1() {
	k.Helper()
	base, _, err := k.vault.loadBase(k.Context(), k.catalog().epoch)
	if err != nil || len(base.Chapters) != 1 {
		k.Fatalf("%d chapters, error %v", len(base.Chapters), err)
	}
	ref := &base.Chapters[0]
	chapter, err := k.vault.loadChapter(k.Context(), ref)
	if err != nil {
		k.Fatal(err)
	}
	payload, err := k.vault.objects.Content(k.Context(), format.KindViews, ref.Views, ref.ViewsSizeBytes)
	if err != nil {
		k.Fatal(err)
	}
	views, err := format.DecodeViews(payload)
	if err != nil {
		k.Fatal(err)
	}
	at := map[format.SnapshotID]int64{}
	for _, s := range chapter.Snapshots {
		at[s.ID] = s.TimeMs
	}
	chapter.ByTime = true
	slices.SortFunc(chapter.Snapshots, func(a, b format.Snapshot) int { return int(at[a.ID]/1000 - at[b.ID]/1000) })
	slices.SortFunc(views.Snapshots, func(a, b format.SnapshotViews) int { return int(at[a.ID]/1000 - at[b.ID]/1000) })
	ref.Chapter, ref.SizeBytes = k.content(format.KindChapter, chapter)
	ref.Views, ref.ViewsSizeBytes = k.content(format.KindViews, views)
	k.seal(format.KindBase, format.BaseKey(base.Epoch), base)
}

// content stores an object under the hash of its payload.
func (k *kit) content(kind format.Kind, content interface{ Append([]byte) ([]byte, error) }) (format.TableID, int64) {
	k.Helper()
	payload, err := content.Append(nil)
	if err != nil {
		k.Fatal(err)
	}
	id := format.TableID{Epoch: k.catalog().epoch, Hash: k.vault.objects.NameOf(payload)}
	k.seal(kind, id.Key(), content)
	return id, int64(len(payload))
}
