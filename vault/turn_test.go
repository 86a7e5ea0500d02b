package vault

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	fsstore "coldstream/blob/fs"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// histories reads all that every snapshot shows.
func (k *kit) histories() []string {
	k.Helper()
	var out []string
	for _, s := range k.catalog().Snapshots() {
		for _, h := range k.history(k.views(s)...) {
			batches, damage := offsets(k, h, h.View.LogStartOffset)
			line := fmt.Sprintf("%s %d bytes, %s: %s gaps %v", s.ID, s.SizeBytes, h.View.Stream.TopicPartition(), batches, h.Gaps)
			if damage != nil {
				line += fmt.Sprint(" DAMAGE ", damage)
			}
			for _, lost := range h.Lost {
				line += fmt.Sprint(" LOST ", lost)
			}
			out = append(out, line)
		}
	}
	return out
}

// mixed commits to several topics, with a truncated log, a gap and an empty row.
func (k *kit) mixed() []coldstream.Stream {
	a, b, c := stream("orders", 0), stream("orders", 1), stream("events", 0)
	w := k.writer()
	snapshot := func(views ...View) *NewSnapshot {
		s := snapshotOf(views...)
		s.Time = k.now()
		return s
	}
	k.commit(w, Changes{
		Data: []StreamData{
			{Stream: c, Pieces: []Piece{piece(k, 5, 9, 1)}},
			{Stream: a, Pieces: []Piece{piece(k, 0, 12, 1)}},
			{Stream: b, Pieces: []Piece{piece(k, 0, 3, 0), {FirstOffset: 3, NextOffset: 8}}},
		},
		Scans:    slices.Concat(begin(a, 0), begin(b, 0), begin(c, 5)),
		Snapshot: snapshot(View{Stream: c, LogStartOffset: 5, NextOffset: 9, LastEpoch: 1}, View{Stream: a, NextOffset: 12, LastEpoch: 1}, View{Stream: b, NextOffset: 8}),
	})
	k.commit(w, Changes{
		Data:     []StreamData{{Stream: c, Pieces: []Piece{piece(k, 20, 24, 1)}}, {Stream: a, Pieces: []Piece{piece(k, 6, 15, 2)}}},
		Gaps:     []StreamGap{{Stream: c, FirstOffset: 9, NextOffset: 20, Cause: coldstream.GapLogStartAdvanced}},
		Snapshot: snapshot(View{Stream: c, LogStartOffset: 5, NextOffset: 24, LastEpoch: 1}, View{Stream: a, NextOffset: 15, LastEpoch: 2}),
	})
	return []coldstream.Stream{a, b, c}
}

// TestTurn: what was there is there after each of many turns, in a folder as in memory.
func TestTurn(t *testing.T) {
	store, err := fsstore.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	k := newKit(t, store)
	streams := k.mixed()
	want := k.histories()
	var heads []Head
	for _, s := range streams {
		h, _ := k.catalog().head(s)
		heads = append(heads, h)
	}
	for range 4 {
		k.turn()
		k.mustBeSound()
		if diff := cmp.Diff(want, k.histories()); diff != "" {
			t.Fatalf("(-before +after the turn)\n%s", diff)
		}
		c := k.catalog()
		for i, s := range streams {
			if got, _ := c.head(s); cmp.Diff(heads[i], got, extentOfHeads) != "" {
				t.Errorf("head of %s: %s", s.TopicPartition(), cmp.Diff(heads[i], got, extentOfHeads))
			}
			if was, is := c.heads[s], k.writer().catalog.heads[s]; cmp.Diff(was, is, headsOfBases) != "" {
				t.Error("readers and writers have other heads")
			}
		}
	}
	// One table per topic, of the epoch that made it; no commit is left.
	if got := keys(t, store, format.AllCommits); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	tables := k.catalog().tables
	if len(tables) != 2 || tables[0].Table.Epoch != 1 || tables[1].Table.Epoch != 1 {
		t.Errorf("tables: %+v", tables)
	}
	if got := keys(t, store, format.EpochsPrefix); len(got) != 5+2 {
		t.Errorf("left: %v", got)
	}
}

// TestTurnSharesTables: a topic that got nothing keeps its table.
func TestTurnSharesTables(t *testing.T) {
	k := newKit(t, mem.New())
	streams := k.mixed()
	k.turn()
	before := k.catalog().tables
	w := k.writer()
	k.commit(w, Changes{Data: data(streams[2], piece(t, 24, 26, 1)), Snapshot: snapshotOf(View{Stream: streams[0], NextOffset: 15, LastEpoch: 2})})
	k.turn()
	after := k.catalog().tables
	if after[0].Topic != "events" || after[0].Table == before[0].Table || after[0].Table.Epoch != 2 || after[1] != before[1] {
		t.Errorf("tables were %+v, are %+v", before, after)
	}
	k.turn()
	k.turn()
	k.mustBeSound()
	// The table that was replaced is gone by now, the shared one is not.
	names := strings.Join(keys(t, k.store, format.TablesPrefix), " ")
	if strings.Contains(names, before[0].Table.Key()) || !strings.Contains(names, before[1].Table.Key()) {
		t.Errorf("tables: %s", names)
	}
	if h, _ := k.catalog().head(streams[2]); h.NextOffset != 26 {
		t.Errorf("head %+v", h)
	}
}

// TestCommitAcrossTurns: a writer that slept finds the newer epoch, and stores there what
// it did not take.
func TestCommitAcrossTurns(t *testing.T) {
	for turns := range 5 {
		t.Run(fmt.Sprint(turns), func(t *testing.T) {
			k := newKit(t, mem.New())
			s := k.mixed()[0]
			w := k.writer()
			for range turns {
				k.turn()
			}
			changes := Changes{Data: data(s, piece(t, 15, 20, 2)), Snapshot: snapshotOf(View{Stream: s, NextOffset: 20, LastEpoch: 2})}
			changes.Snapshot.Time = k.now()
			r := k.commit(w, changes)
			if head, _ := k.catalog().head(s); head.NextOffset != 20 {
				t.Errorf("acknowledged, and the head is at %d", head.NextOffset)
			}
			// A pack of the epoch before is named again, an older one is stored again.
			packs := 0
			for _, key := range keys(t, k.store, format.PacksPrefix) {
				if strings.Contains(key, w.id.String()) {
					packs++
				}
			}
			if want := map[bool]int{true: 1, false: 2}[turns < 2]; packs != want {
				t.Errorf("%d packs after %d turns, want %d", packs, turns, want)
			}
			k.commit(w, Changes{Data: data(s, piece(t, 20, 22, 2))})
			snapshots := k.catalog().Snapshots()
			if last := snapshots[len(snapshots)-1]; len(snapshots) != 3 || last.ID != r.Snapshot {
				t.Errorf("%d snapshots, the last is %s, want %s", len(snapshots), last.ID, r.Snapshot)
			}
			k.mustBeSound()
			for range 3 {
				k.turn()
			}
			k.mustBeSound()
			if got := keys(t, k.store, format.PacksPrefix); len(got) != 4 {
				t.Errorf("packs: %v, want 4", got)
			}
			if got := k.histories(); strings.Contains(fmt.Sprint(got), "LOST") || !strings.Contains(got[len(got)-1], "18-19@2") {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestTurnByNobodyElse: who opens makes the base that a crashed keeper left out.
func TestTurnByNobodyElse(t *testing.T) {
	k := newKit(t, mem.New())
	s := k.mixed()[0]
	want := k.histories()
	w := k.writer()
	replace(t, k.store, format.BegunKey(1), nil)
	k.commit(w, Changes{Data: data(s, piece(t, 15, 20, 2))})
	if got := k.histories(); cmp.Diff(want, got) != "" {
		t.Error(cmp.Diff(want, got))
	}
	if c := k.catalog(); c.epoch != 1 || len(c.commits) != 0 || c.heads[s].nextOffset != 20 {
		t.Errorf("epoch %d with %d commits, head %+v: the base should have taken the commit", c.epoch, len(c.commits), c.heads[s])
	}
	k.mustBeSound()
}

// TestTurnIsRefusedOnDamage: a base made of what is damaged would hide it for ever.
func TestTurnIsRefusedOnDamage(t *testing.T) {
	whole := newKit(t, mem.New())
	s := whole.mixed()[0]
	whole.turn()
	whole.commit(whole.writer(), Changes{Data: data(s, piece(t, 15, 20, 2))})
	whole.commit(whole.writer(), Changes{Data: data(s, piece(t, 20, 25, 2))})
	commits := keys(t, whole.store, format.CommitsPrefix(1))
	tables := whole.catalog().tables
	for name, key := range map[string]string{
		"commit": commits[0], "base": format.BaseKey(1), "changed table": tables[1].Table.Key(), "changed chapter": whole.catalog().chapters[0].Chapter.Key(),
	} {
		for kind, spoil := range map[string]func(k *kit){
			"missing": func(k *kit) { k.delete(key) },
			"altered": func(k *kit) { replace(k, k.store, key, []byte("x")) },
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				k := &kit{T: t, store: copyStore(t, whole.store), ticks: whole.ticks}
				k.vault = whole.vault.over(k.store)
				spoil(k)
				before := keys(t, k.store, "")
				err := k.vault.Turn(t.Context(), TurnOptions{})
				if err == nil || !strings.Contains(err.Error(), key) {
					t.Errorf("turn: %v, want %s named", err, key)
				}
				if diff := cmp.Diff(before, keys(t, k.store, "")); diff != "" {
					t.Errorf("the turn changed the vault: %s", diff)
				}
				if got := kinds(k.verify(VerifyOptions{}).Problems); !slices.Contains(got, kind+" "+key) {
					t.Errorf("verify: %v", got)
				}
				// With the epoch begun, readers still get what is left, and are told what is not.
				replace(t, k.store, format.BegunKey(2), nil)
				if name != "base" {
					c := k.catalog()
					if name == "commit" && !strings.Contains(fmt.Sprint(kinds(c.Damage())), key) || len(c.Snapshots()) != map[bool]int{true: 0, false: 2}[name == "changed chapter"] {
						t.Errorf("damage %v, %d snapshots", c.Damage(), len(c.Snapshots()))
					}
					if _, err := k.vault.NewWriter(t.Context(), WriterOptions{Now: k.now}); err == nil {
						t.Error("a writer built on what is damaged")
					}
				}
			})
		}
	}
}

// TestChapterHoldsASnapshotOnce: a writer that could not read whether a base took its
// commit stored the snapshot again, and then their chapters are merged.
func TestChapterHoldsASnapshotOnce(t *testing.T) {
	s := Snapshot{ID: SnapshotID{1}, Time: testTime}
	earlier, later := &chapter{snapshots: []Snapshot{s}}, &chapter{firstEpoch: 1, lastEpoch: 1, snapshots: []Snapshot{s}, packs: map[format.PackID]int64{}}
	later.addEarlier(earlier)
	payload, views, err := later.encode(t.Context(), newKit(t, mem.New()).vault)
	if err != nil {
		t.Fatal(err)
	}
	c, err := format.DecodeChapter(payload)
	if err != nil {
		t.Fatal(err)
	}
	v, err := format.DecodeViews(views)
	if err != nil || len(c.Snapshots) != 1 || len(v.Snapshots) != 1 {
		t.Errorf("%d snapshots, %d views, %v", len(c.Snapshots), len(v.Snapshots), err)
	}
}

// TestLargePartsAreLeftAlone: what is new is not merged with a chapter, or a table, that is
// far larger; both stay.
func TestLargePartsAreLeftAlone(t *testing.T) {
	k := newKit(t, mem.New())
	s := k.mixed()[0]
	large := &NewSnapshot{Time: k.now(), ClusterID: strings.Repeat("x", 3*smallPart), Views: []View{{Stream: s, NextOffset: 12, LastEpoch: 1}}}
	k.commit(k.writer(), Changes{Snapshot: large})
	k.turn()
	for i := range int64(3) {
		k.commit(k.writer(), Changes{Data: data(s, piece(t, 15+i, 16+i, 2)), Snapshot: snapshotOf(View{Stream: s, NextOffset: 16 + i, LastEpoch: 2})})
		k.turn()
		k.mustBeSound()
	}
	c := k.catalog()
	if len(c.chapters) != 2 || c.chapters[0].LastEpoch != 0 || c.chapters[1].FirstEpoch != 1 || c.chapters[1].LastEpoch != 3 {
		t.Errorf("chapters %+v", c.chapters)
	}
	if len(c.Snapshots()) != 6 {
		t.Errorf("%d snapshots", len(c.Snapshots()))
	}
}
