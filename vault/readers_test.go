package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// readKinds counts the objects that are read as a whole, and their bytes, by their kind.
type readKinds struct {
	blob.Store
	objects, bytes map[format.Kind]int64
}

func (s *readKinds) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	body, err := blob.ReadAll(ctx, s.Store, key, 1<<30)
	if err != nil {
		return nil, 0, err
	}
	if kind, err := format.KindOf(body); err == nil {
		s.objects[kind]++
		s.bytes[kind] += int64(len(body))
	}
	return s.Store.Open(ctx, key)
}

// TestReadersReadWhatTheyAskFor: a catalog that is open has headers of all snapshots. Views are
// read of those that are asked for, tables of the topics that are, and a hold reads nothing.
func TestReadersReadWhatTheyAskFor(t *testing.T) {
	k := newKit(t, mem.New())
	var streams []coldstream.Stream
	for i := range 4 {
		streams = append(streams, stream(fmt.Sprintf("topic-%d", i), 0))
	}
	const epochs, each = 3, 5
	at := int64(0)
	for range epochs {
		for range each {
			w, c := k.writer(), Changes{Snapshot: snapshotOf()}
			for _, s := range streams {
				if at == 0 {
					c.Scans = append(c.Scans, begin(s, 0)...)
				}
				c.Data = append(c.Data, data(s, piece(t, at, at+3, 1))...)
				c.Snapshot.Views = append(c.Snapshot.Views, View{Stream: s, NextOffset: at + 3, LastEpoch: 1})
			}
			k.commit(w, c)
			at += 3
		}
		k.turn()
	}
	store := &readKinds{Store: k.store, objects: map[format.Kind]int64{}, bytes: map[format.Kind]int64{}}
	v, err := reopened(t, store)
	if err != nil {
		t.Fatal(err)
	}
	var c *Catalog
	step := func(what string, want map[format.Kind]int64, do func() error) {
		t.Helper()
		store.objects, store.bytes = map[format.Kind]int64{}, map[format.Kind]int64{}
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for kind, n := range store.objects {
			if n > want[kind] {
				t.Errorf("%s reads %d objects of kind %d with %d bytes, and should read %d", what, n, kind, store.bytes[kind], want[kind])
			}
		}
	}
	step("the catalog", map[format.Kind]int64{format.KindBase: 1, format.KindChapter: epochs}, func() error {
		c, err = v.OpenCatalog(t.Context())
		return err
	})
	if len(c.Snapshots()) != epochs*each || len(c.Damage()) > 0 {
		t.Fatalf("%d snapshots, damage %v", len(c.Snapshots()), c.Damage())
	}
	var chosen *Snapshot
	step("the choice", map[format.Kind]int64{format.KindViews: 1}, func() error {
		chosen, _, err = c.Choose(t.Context(), &Choice{})
		return err
	})
	step("what it holds besides", nil, func() error {
		s, names, err := c.LeftBehind(t.Context(), chosen, []coldstream.Topic{{Name: "topic-0"}, {Name: "topic-1"}, {Name: "topic-2"}, {Name: "topic-3"}}, &Choice{})
		if s != nil {
			t.Errorf("%v of %s are left behind", names, s.ID)
		}
		return err
	})
	var views []View
	step("its views", nil, func() error { // they are those of the choice
		views, err = chosen.Views(t.Context())
		return err
	})
	tables := int64(0)
	for _, ref := range c.tables {
		if ref.Topic == "topic-2" {
			tables++
		}
	}
	step("rows of one topic", map[format.Kind]int64{format.KindTable: tables}, func() error {
		views = slices.DeleteFunc(views, func(v View) bool { return v.Stream.Topic != "topic-2" })
		h, err := c.OpenHistory(t.Context(), views, HistoryOptions{})
		if err == nil && len(h.Streams()[0].Lost) > 0 {
			t.Errorf("lost: %v", h.Streams()[0].Lost)
		}
		return err
	})
	step("the hold", nil, func() error {
		return v.Hold(t.Context(), RestoreID{1}, chosen, fmt.Appendf(nil, `{"snapshot":%q}`, chosen.ID))
	})
	step("all snapshots", map[format.Kind]int64{format.KindViews: int64(len(c.chapters))}, func() error {
		return c.EachSnapshot(t.Context(), func(s *Snapshot) error { _, err := s.Partitions(t.Context()); return err })
	})
	step("verify", map[format.Kind]int64{
		format.KindBase: 2, format.KindChapter: int64(len(c.chapters)), format.KindViews: int64(len(c.chapters)),
		format.KindTable: int64(len(c.tables)), format.KindSection: 3, format.KindRestore: 1,
	}, func() error {
		r, err := v.Verify(t.Context(), VerifyOptions{})
		if err == nil && len(r.Problems) > 0 {
			t.Error(r.Problems)
		}
		return err
	})
}

// TestViewsOfATurnedCatalog: what a turn has deleted meanwhile is read from what it made of it;
// a snapshot that was forgotten is said to be, and damage is damage.
func TestViewsOfATurnedCatalog(t *testing.T) {
	k, _, _ := rolling(t)
	k.turn()
	old := k.catalog()
	first, last := old.Snapshots()[0], old.Snapshots()[2]
	k.turnWith(TurnOptions{Forget: func(s *Snapshot) bool { return s.ID == first.ID }})
	k.turn()
	k.turn()
	if _, err := first.Views(t.Context()); !errors.Is(err, coldstream.ErrForgotten) {
		t.Errorf("of a snapshot that was forgotten: %v", err)
	}
	views, err := last.Views(t.Context())
	if err != nil || len(views) != 1 {
		t.Errorf("views %v, %v", views, err)
	}
	c := k.catalog()
	k.delete(c.chapters[0].Views.Key())
	damaged := c.Snapshots()[0]
	if _, err := damaged.Views(t.Context()); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("of damaged views: %v", err)
	}
	if found := c.Damage(); len(found) != 1 || found[0].Object != c.chapters[0].Views.Key() {
		t.Errorf("damage %v", found)
	}
	if _, _, err := c.Choose(t.Context(), &Choice{}); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("a choice without any snapshot that can be read: %v", err)
	}
}

// TestViewsOfOtherSnapshots: views that are not of the snapshots of their chapter are damage.
func TestViewsOfOtherSnapshots(t *testing.T) {
	k, _, _ := rolling(t)
	k.turn()
	at := k.catalog().snapshots[0].place.chapter
	if _, err := loadViews(t.Context(), k.vault.objects, at); err != nil {
		t.Fatal(err)
	}
	others := &shelvedViews{ref: at.ref, ids: slices.Clone(at.ids)}
	slices.Reverse(others.ids)
	if _, err := loadViews(t.Context(), k.vault.objects, others); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("in another order: %v", err)
	}
	others.ids = at.ids[1:]
	if _, err := loadViews(t.Context(), k.vault.objects, others); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("of fewer: %v", err)
	}
}
