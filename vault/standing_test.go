package vault

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

func (k *kit) standing() *Standing {
	k.Helper()
	s, err := k.vault.OpenStanding(k.Context(), func(string) bool { return true })
	if err != nil {
		k.Fatal(err)
	}
	return s
}

// reachedAt is as of which minute the vault holds a topic, as text.
func (k *kit) reachedAt(topic string) string {
	k.Helper()
	at, ahead, ok, err := k.standing().ReachedAt(k.Context(), stream(topic, 0).Incarnation, minute(100))
	if err != nil {
		k.Fatal(err)
	}
	text := "never"
	if ok {
		text = fmt.Sprint(int(at.Sub(testTime).Minutes()))
	}
	if ahead {
		text += " ahead"
	}
	return text
}

func minute(n int) time.Time { return testTime.Add(time.Duration(n) * time.Minute) }

func reached(minutes int, topics ...string) *Reached {
	r := &Reached{AsOf: minute(minutes)}
	for _, topic := range topics {
		r.Topics = append(r.Topics, stream(topic, 0).Incarnation)
	}
	return r
}

// TestReachedIsWhatCommitsSay follows topics through commits that list them, refer to lists, and
// leave some out.
func TestReachedIsWhatCommitsSay(t *testing.T) {
	k := newKit(t, mem.New())
	w := k.writer()
	k.commit(w, Changes{Reached: reached(1, "a", "b", "c")})
	first := keys(t, k.store, format.CommitsPrefix(0))
	k.commit(w, Changes{Reached: reached(2, "a", "c")})           // b is left out
	k.commit(w, Changes{})                                        // says nothing
	k.commit(w, Changes{Reached: reached(3, "a")})                // so are b and c
	k.commit(k.writer(), Changes{Reached: reached(90, "new")})    // another's list
	k.commit(w, Changes{Reached: reached(4, "a", "later")})       // a list anew
	k.commit(w, Changes{Reached: reached(300, "ahead", "later")}) // by a clock that is wrong
	want := map[string]string{"a": "4", "b": "1", "c": "2", "new": "90", "later": "4 ahead", "ahead": "never ahead", "none": "never"}
	got := map[string]string{}
	for topic := range want {
		got[topic] = k.reachedAt(topic)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	k.mustBeSound()
	if err := k.store.Delete(t.Context(), first[0]); err != nil {
		t.Fatal(err)
	}
	if got := k.reachedAt("b"); got != "never" {
		t.Errorf("without the list: %s, want never", got)
	}
}

// TestReachedFallsBackToSnapshots is about what is left where no commit of the epoch tells: a
// snapshot tells, but not of a topic that it shows less of than was due.
func TestReachedFallsBackToSnapshots(t *testing.T) {
	k := newKit(t, mem.New())
	w := k.writer()
	a, b := stream("a", 0), stream("b", 0)
	both := func(minutes int, short ...coldstream.ShortPartition) *NewSnapshot {
		s := snapshotOf(View{Stream: a, NextOffset: 10, LastEpoch: 2}, View{Stream: b, NextOffset: 10, LastEpoch: 2})
		s.Time, s.Metadata.Short = minute(minutes), short
		return s
	}
	k.commit(w, Changes{
		Data:  append(data(a, piece(t, 0, 10, 2)), data(b, piece(t, 0, 10, 2))...),
		Scans: append(begin(a, 0), begin(b, 0)...), Snapshot: both(5), Reached: reached(4, "a", "b"),
	})
	k.commit(w, Changes{Snapshot: both(7, coldstream.ShortPartition{TopicPartition: b.TopicPartition(), TopicID: b.TopicID, NextOffset: 12, Err: fmt.Errorf("away")}), Reached: reached(6, "a")})
	if got := k.reachedAt("a") + ", " + k.reachedAt("b"); got != "6, 4" {
		t.Errorf("a and b: %s, want 6, 4", got)
	}
	k.turn()
	if got := k.reachedAt("a") + ", " + k.reachedAt("b"); got != "7, 5" {
		t.Errorf("after the turn a and b: %s, want the snapshots' 7, 5", got)
	}
	k.commit(w, Changes{Reached: reached(9, "a", "b")})
	if got := k.reachedAt("a") + ", " + k.reachedAt("b"); got != "9, 9" {
		t.Errorf("said again a and b: %s, want 9, 9", got)
	}
	k.mustBeSound()
}

// TestStandingTellsOfStreams: gaps, the newest record, snapshots and writers.
func TestStandingTellsOfStreams(t *testing.T) {
	k := newKit(t, mem.New())
	w, err := k.vault.NewWriter(t.Context(), WriterOptions{Now: k.now, Name: "backup@host"})
	if err != nil {
		t.Fatal(err)
	}
	s := stream("a", 0)
	k.commit(w, Changes{
		Data: data(s, piece(t, 0, 10, 2)), Scans: begin(s, 0), Reached: reached(1, "a"),
		Gaps: []StreamGap{{Stream: s, FirstOffset: 10, NextOffset: 15, Cause: coldstream.GapLogStartAdvanced}},
	})
	k.commit(w, Changes{Snapshot: snapshotOf(View{Stream: s, NextOffset: 15, LastEpoch: 2})})
	for range 2 { // from commits, and then from tables
		got := k.standing()
		if of := got.Stream(s); len(of.Gaps) != 1 || of.Gaps[0].NextOffset != 15 || of.NewestMs <= 0 || of.Offsets != 10 || of.Bytes <= 0 {
			t.Errorf("the stream: %+v", of)
		}
		of, errOf := got.LastSnapshot(t.Context(), s.Incarnation)
		none, errNone := got.LastSnapshot(t.Context(), stream("b", 0).Incarnation)
		if of == nil || none != nil || errOf != nil || errNone != nil {
			t.Errorf("the snapshot of a, and none of b, should be there: %v, %v, %v, %v", of, errOf, none, errNone)
		}
		k.turn()
	}
	k.commit(w, Changes{Reached: reached(2, "a")})
	writers := k.standing().Writers(testTime)
	if len(writers) != 1 || writers[0].Name != "backup@host" || writers[0].Commits != 1 || len(k.standing().Writers(minute(100))) != 0 {
		t.Errorf("writers: %+v", writers)
	}
}
