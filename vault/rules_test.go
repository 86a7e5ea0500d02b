package vault

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// beforeChange calls a hook before an object is created or deleted, once.
type beforeChange struct {
	blob.Store
	key  string
	hook func()
}

func (b *beforeChange) change(key string) {
	if key == b.key && b.hook != nil {
		hook := b.hook
		b.hook = nil
		hook()
	}
}

func (b *beforeChange) Create(ctx context.Context, key string, body []byte) error {
	b.change(key)
	return b.Store.Create(ctx, key, body)
}

func (b *beforeChange) Delete(ctx context.Context, key string) error {
	b.change(key)
	return b.Store.Delete(ctx, key)
}

// TestRetiredBaseMadeAgain is rule "confirm": who sleeps just before it creates its base
// makes one that was there and is retired. It decided to take away what the base that
// counted has kept, and must delete none of it.
func TestRetiredBaseMadeAgain(t *testing.T) {
	k, _, _ := rolling(t)
	k.turn()
	want := k.histories()
	var before []string
	base := format.BaseKey(2)
	sleeper := k.over(&beforeChange{Store: k.store, key: base, hook: func() {
		for n := 0; n == 0 || slices.Contains(keys(t, k.store, ""), base); n++ {
			k.turn()
		}
		before = keys(t, k.store, "")
	}})
	if err := sleeper.vault.Turn(t.Context(), forgetAll(sleeper)); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(before, base) || len(before) == 0 {
		t.Fatal("the base was not retired while its maker slept")
	}
	made := append(before, base)
	slices.Sort(made)
	if diff := cmp.Diff(made, keys(t, k.store, "")); diff != "" {
		t.Errorf("the sleeper made its base and changed (-want +got)\n%s", diff)
	}
	k.mustBeSound()
	if diff := cmp.Diff(want, k.histories()); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
}

// TestSectionGoesWhileItIsShared is rule "fresh" for metadata: what a writer knows of an
// older epoch may be about to be deleted, although it is there when the writer looks.
func TestSectionGoesWhileItIsShared(t *testing.T) {
	k, s, _ := rolling(t)
	shown := snapshotOf(View{Stream: s, LogStartOffset: 20, NextOffset: 30, LastEpoch: 1})
	shown.Metadata.Topics[0].Name = "only here"
	before := keys(t, k.store, format.TablesPrefix)
	id := k.commit(k.writer(), Changes{Snapshot: shown}).Snapshot
	slow := k.writer()
	section := slices.DeleteFunc(keys(t, k.store, format.TablesPrefix), func(key string) bool { return slices.Contains(before, key) })
	if len(section) != 1 {
		t.Fatalf("a commit with one new section stored %v", section)
	}
	k.turnWith(TurnOptions{Forget: func(s *Snapshot) bool { return s.ID == id }})
	sweeping := &beforeChange{Store: k.store, key: section[0], hook: func() {
		again := *shown
		again.Time = k.now()
		k.commit(slow, Changes{Snapshot: &again})
	}}
	k.over(sweeping).turn()
	if sweeping.hook != nil || slices.Contains(keys(t, k.store, ""), section[0]) {
		t.Fatal("the section of the forgotten snapshot was not deleted")
	}
	k.mustBeSound()
	all := k.catalog().Snapshots()
	if m, err := k.vault.Metadata(t.Context(), &all[len(all)-1]); err != nil || len(m.Damaged) > 0 || m.Topics[0].Name != "only here" {
		t.Errorf("metadata %+v, %v", m, err)
	}
}

// TestSnapshotForgottenBeforeItsWriterKnows: a writer that sleeps before it knows that its
// snapshot was saved does not bring it back if it was forgotten meanwhile. Who knew it is
// told that it was forgotten.
func TestSnapshotForgottenBeforeItsWriterKnows(t *testing.T) {
	found := 0
	for n := 1; ; n++ {
		k, s, _ := rolling(t)
		shown := snapshotOf(View{Stream: s, LogStartOffset: 20, NextOffset: 30, LastEpoch: 1})
		shown.Metadata.Topics[0].Name = "only here"
		slow := &pausing{Store: k.store}
		w := k.over(slow).writer()
		var known []Snapshot
		slow.left, slow.hook = n, func() {
			if known = k.catalog().Snapshots()[3:]; len(known) > 0 {
				k.turnWith(TurnOptions{Forget: func(s *Snapshot) bool { return s.ID == known[0].ID }})
			}
			for range 3 {
				k.turn()
			}
		}
		shown.Time = k.now()
		k.commit(w, Changes{Snapshot: shown})
		if len(known) > 0 {
			found++
			if _, err := k.vault.Metadata(t.Context(), &known[0]); !errors.Is(err, coldstream.ErrForgotten) || len(k.catalog().Snapshots()) != 3 {
				t.Errorf("turns before operation %d: metadata %v, %d snapshots", n, err, len(k.catalog().Snapshots()))
			}
		}
		k.mustBeSound()
		if slow.left > 0 {
			break
		}
	}
	if found == 0 {
		t.Error("nobody knew the snapshot before it was acknowledged")
	}
}

// TestCommitDuringASweep is rule "age": what a commit has stored since the base was made
// is named by no base yet, and stays.
func TestCommitDuringASweep(t *testing.T) {
	k, s, _ := rolling(t)
	old := keys(t, k.store, format.AllCommits)
	k.turn()
	sweeping := &beforeChange{Store: k.store, key: old[0], hook: func() {
		changes := Changes{Data: data(s, piece(t, 30, 33, 1)), Snapshot: snapshotOf(View{Stream: s, LogStartOffset: 20, NextOffset: 33, LastEpoch: 1})}
		changes.Snapshot.Metadata.Topics[0].Name = "never seen before"
		changes.Snapshot.Time = k.now()
		k.commit(k.writer(), changes)
	}}
	k.over(sweeping).turn()
	if sweeping.hook != nil {
		t.Fatalf("%s was not deleted", old[0])
	}
	if c := k.catalog(); c.epoch != 2 || len(c.commits) != 1 {
		t.Errorf("epoch %d has %d commits, want one in epoch 2", c.epoch, len(c.commits))
	}
	k.mustBeSound()
}

// TestLoserDecidesAgain is rule "redo": who finds that another has made the base takes
// away in the next one what it was asked to.
func TestLoserDecidesAgain(t *testing.T) {
	k, _, _ := rolling(t)
	losing := k.over(&beforeChange{Store: k.store, key: format.BaseKey(1), hook: func() { k.catalog() }})
	losing.turnWith(forgetAll(losing))
	if c := k.catalog(); c.epoch != 2 || len(c.snapshots) != 1 {
		t.Errorf("epoch %d with %d snapshots, want one in epoch 2", c.epoch, len(c.snapshots))
	}
	k.mustBeSound()
}
