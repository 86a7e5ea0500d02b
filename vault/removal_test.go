package vault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/pack"
)

// forgetAll drops every snapshot but the newest, and what only they needed.
func forgetAll(k *kit) TurnOptions {
	all := k.catalog().Snapshots()
	newest := all[len(all)-1].ID
	return TurnOptions{Release: true, Forget: func(s *Snapshot) bool { return s.ID != newest }}
}

// rolling is a vault of a topic whose log start moves: the newest snapshot needs [20, 30).
func rolling(t *testing.T) (*kit, coldstream.Stream, []Snapshot) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	for i := range int64(3) {
		c := Changes{Data: data(s, piece(t, 10*i, 10*i+10, 1)), Snapshot: snapshotOf(View{Stream: s, LogStartOffset: 10 * i, NextOffset: 10*i + 10, LastEpoch: 1})}
		c.Snapshot.Time = k.now()
		if i == 0 {
			c.Scans = begin(s, 0)
		}
		k.commit(w, c)
	}
	return k, s, k.catalog().Snapshots()
}

func (k *kit) hold(id RestoreID, s SnapshotID) error {
	k.Helper()
	snapshot := Snapshot{ID: s}
	for _, known := range k.catalog().Snapshots() {
		if known.ID == s {
			snapshot = known
		}
	}
	return k.vault.Hold(k.Context(), id, &snapshot, fmt.Appendf(nil, `{"restore":%q,"snapshot":%q}`, id, s))
}

func (k *kit) turnWith(opts TurnOptions) {
	k.Helper()
	if err := k.vault.Turn(k.Context(), opts); err != nil {
		k.Fatal(err)
	}
}

// TestRemoval: what nothing needs is released, counted as covered, and gone two turns later.
func TestRemoval(t *testing.T) {
	k, s, snapshots := rolling(t)
	old := k.history(k.views(snapshots[0])...)[0]
	w := k.writer()
	k.turnWith(forgetAll(k))
	k.mustBeSound()
	c := k.catalog()
	head, _ := c.head(s)
	if len(c.Snapshots()) != 1 || head.Floor != 20 || head.NextOffset != 30 || c.heads[s].bytes != int64(len(piece(t, 20, 30, 1).Batches)) {
		t.Fatalf("%d snapshots, head %+v of %d bytes", len(c.Snapshots()), head, c.heads[s].bytes)
	}
	// The packs are there still: who reads an older epoch is not disturbed.
	if got, damage := offsets(t, old, 0); damage != nil || !strings.HasSuffix(got, "9-9@1") {
		t.Errorf("%s, %v", got, damage)
	}
	// A writer that slept neither stores again what was released, nor shows it.
	stale := Changes{Data: data(s, piece(t, 12, 24, 1)), Snapshot: snapshotOf(View{Stream: s, LogStartOffset: 12, NextOffset: 24, LastEpoch: 1})}
	if _, err := w.Commit(t.Context(), stale); !errors.Is(err, ErrReleased) {
		t.Errorf("a view of what was released: %v", err)
	}
	if head, _ := w.Head(s); head.Floor != 20 {
		t.Errorf("the writer's head is %+v", head)
	}
	stale.Snapshot = snapshotOf(View{Stream: s, LogStartOffset: 20, NextOffset: 24, LastEpoch: 1})
	stale.Gaps = []StreamGap{{Stream: s, FirstOffset: 3, NextOffset: 12, Cause: coldstream.GapTruncated}}
	k.commit(w, stale)
	k.turn()
	k.turn()
	k.turn()
	k.mustBeSound()
	if left := k.garbageLeft(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if got := len(keys(t, k.store, format.PacksPrefix)); got != 2 {
		t.Errorf("%d packs, want the newest and the one stored again", got)
	}
	facts, err := k.vault.loadTable(t.Context(), &k.catalog().tables[0])
	if err != nil || len(facts.Released) != 1 || facts.Released[0] != (format.Released{NextOffset: 20}) || len(facts.Gaps) != 0 {
		t.Errorf("released %+v, gaps %+v, %v", facts.Released, facts.Gaps, err)
	}
	for _, r := range facts.Rows {
		if r.FirstOffset < 20 {
			t.Errorf("released offsets came back: row [%d, %d)", r.FirstOffset, r.NextOffset)
		}
	}
	if _, err := k.vault.Metadata(t.Context(), &snapshots[0]); err != nil {
		t.Errorf("metadata that a later snapshot shares: %v", err)
	}
	// Now its pack is gone, and the newer epoch says why.
	for _, err := range k.vaultOf(old).Batches(t.Context(), 0) {
		if !errors.Is(err, coldstream.ErrForgotten) {
			t.Errorf("reading what was forgotten: %v", err)
		}
	}
}

// TestForgottenMetadata: a section that went with its snapshot is no damage; one that is
// missing from a snapshot that is there is.
func TestForgottenMetadata(t *testing.T) {
	k, s, _ := rolling(t)
	first := snapshotOf(View{Stream: s, LogStartOffset: 20, NextOffset: 30, LastEpoch: 1})
	first.Metadata.Topics[0].Name = "only here"
	k.commit(k.writer(), Changes{Snapshot: first})
	all := k.catalog().Snapshots()
	i := slices.IndexFunc(all, func(s Snapshot) bool {
		m, err := k.vault.Metadata(t.Context(), &s)
		return err == nil && m.Topics[0].Name == "only here"
	})
	lone := all[i]
	k.turnWith(TurnOptions{Forget: func(s *Snapshot) bool { return s.ID == lone.ID }})
	k.turn()
	if _, err := k.vault.Metadata(t.Context(), &lone); !errors.Is(err, coldstream.ErrForgotten) {
		t.Errorf("metadata of what was forgotten: %v", err)
	}
	other := k.catalog().Snapshots()[0]
	k.delete(other.sections[0].Table.Key())
	m, err := k.vault.Metadata(t.Context(), &other)
	if err != nil || len(m.Damaged) != 1 {
		t.Errorf("metadata without a section: damaged %v, %v", m.Damaged, err)
	}
}

// vaultOf forgets the frames that a history has read.
func (k *kit) vaultOf(s *StreamHistory) *StreamHistory {
	s.history.frames = pack.NewReader(k.vault.objects, 1)
	return s
}

// TestReaderFindsNewerEpoch: where a pack moved away under a reader, the newer epoch has
// what the reader still needs.
func TestReaderFindsNewerEpoch(t *testing.T) {
	k, _, snapshots := rolling(t)
	h := k.history(k.views(snapshots[2])...)[0]
	k.turnWith(forgetAll(k))
	// As if the rows had been compacted into another pack: the reader's place is not there.
	ref := *h.Runs[0].Ref.Pack
	ref.ID.Number += 1000
	h.Runs[0].Ref.Pack = &ref
	if got, damage := offsets(t, h, 0); damage != nil || got != "20-22@1 23-25@1 26-28@1 29-29@1" {
		t.Errorf("%s, %v", got, damage)
	}
	// Without a newer epoch the same is damage.
	h = k.history(k.views(snapshots[2])...)[0]
	h.Runs[0].Ref.Pack = &ref
	if got, damage := offsets(t, h, 0); damage == nil || damage.Kind != KindMissing {
		t.Errorf("%s, %v", got, damage)
	}
}

// TestHolds: a snapshot stays while a restore holds it, with all that it shows.
func TestHolds(t *testing.T) {
	k, _, snapshots := rolling(t)
	if err := k.hold(RestoreID{1}, snapshots[1].ID); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		k.turnWith(forgetAll(k))
	}
	got := k.catalog().Snapshots()
	if len(got) != 2 || got[0].ID != snapshots[1].ID {
		t.Fatalf("%d snapshots are left", len(got))
	}
	if got, damage := offsets(t, k.history(k.views(snapshots[1])...)[0], 0); damage != nil || !strings.HasPrefix(got, "10-12@1") {
		t.Errorf("%s, %v", got, damage)
	}
	if err := k.hold(RestoreID{2}, snapshots[0].ID); !errors.Is(err, coldstream.ErrForgotten) {
		t.Errorf("a hold on what is forgotten: %v", err)
	}
	if err := k.vault.PutRestoreRecord(t.Context(), RestoreID{1}, recordResult, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	k.turnWith(forgetAll(k))
	if got := len(k.catalog().Snapshots()); got != 1 {
		t.Errorf("%d snapshots when the hold has ended", got)
	}
	k.mustBeSound()
	if err := k.vault.PutRestoreRecord(t.Context(), RestoreID{3}, recordHold, []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	if err := k.vault.Turn(t.Context(), forgetAll(k)); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("a turn that removes, with a hold that cannot be read: %v", err)
	}
}

// TestHoldsAndTurns pauses a turn that forgets at each operation for a hold, and a hold
// for the turn. Either the hold is refused, or its snapshot is there.
func TestHoldsAndTurns(t *testing.T) {
	whole, _, snapshots := rolling(t)
	outcomes := map[bool]int{}
	for _, holdFirst := range []bool{false, true} {
		for n := 1; ; n++ {
			store := copyStore(t, whole.store)
			k := whole.over(store)
			slow := &pausing{Store: store, left: n}
			var held error
			if holdFirst {
				slow.hook = func() { k.turnWith(forgetAll(k)) }
				held = k.over(slow).hold(RestoreID{1}, snapshots[0].ID)
			} else {
				slow.hook = func() { held = k.hold(RestoreID{1}, snapshots[0].ID) }
				k.over(slow).turnWith(forgetAll(k))
			}
			isThere := slices.ContainsFunc(k.catalog().Snapshots(), func(s Snapshot) bool { return s.ID == snapshots[0].ID })
			if slow.left <= 0 {
				if held != nil && !errors.Is(held, coldstream.ErrForgotten) || isThere != (held == nil) {
					t.Errorf("operation %d: held: %v, and the snapshot is there: %v", n, held, isThere)
				}
				outcomes[isThere]++
			}
			k.turnWith(forgetAll(k))
			k.mustBeSound()
			if slow.left > 0 {
				break
			}
		}
	}
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("outcomes %v", outcomes)
	}
}

// TestReleasedOfAnOlderScan: what was released stays so for those who look for it after the
// log was read anew from its start, and the head knows of the new scan only.
func TestReleasedOfAnOlderScan(t *testing.T) {
	k, s, snapshots := rolling(t)
	k.turnWith(forgetAll(k))
	scan := ScanStart{Stream: s, Scan: 1, FirstOffset: 30, Started: testTime}
	k.commit(k.writer(), Changes{Scans: []ScanStart{scan}, Data: []StreamData{{Stream: s, Scan: 1, Pieces: []Piece{piece(t, 30, 35, 1)}}}})
	k.turn()
	k.mustBeSound()
	for i, want := range []error{coldstream.ErrForgotten, coldstream.ErrForgotten, nil} {
		if _, err := k.vault.OpenHistory(t.Context(), k.views(snapshots[i]), HistoryOptions{}); !errors.Is(err, want) {
			t.Errorf("snapshot %d: error %v, want %v", i, err, want)
		}
	}
}
