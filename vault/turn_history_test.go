package vault

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// TestTurnsInHistories turns while logs grow and lose their ends and writers come and go:
// a base holds every head as the commits made it, and each acknowledged snapshot shows
// its logs.
func TestTurnsInHistories(t *testing.T) {
	histories(t, func(t *testing.T, seed uint64) {
		m := newModel(t, seed)
		var writers []*Writer
		for range 14 {
			m.live()
			if len(writers) < 3 && m.random.IntN(2) == 0 || len(writers) == 0 {
				writers = append(writers, m.writer())
			}
			i := m.random.IntN(len(writers))
			changes, shot := m.backup(writers[i])
			m.shots[m.commit(writers[i], changes).Snapshot] = shot
			if m.random.IntN(4) == 0 {
				writers = slices.Delete(writers, i, i+1)
			}
			for range m.random.IntN(8) / 5 {
				m.turnExactly()
			}
		}
		m.check()
	})
}

// turnExactly turns, and proves that the new base says what the fold said.
func (m *model) turnExactly() {
	m.Helper()
	before := m.catalog()
	viewsBefore := m.eachView(before)
	m.turn()
	after := m.catalog()
	if diff := cmp.Diff(before.heads, after.heads, headsOfBases); diff != "" {
		m.Errorf("heads (-before +after the turn)\n%s", diff)
	}
	if diff := cmp.Diff(before.snapshots, after.snapshots, cmp.AllowUnexported(Snapshot{}), cmpopts.IgnoreTypes(viewsPlace{})); diff != "" {
		m.Errorf("snapshots (-before +after the turn)\n%s", diff)
	}
	if diff := cmp.Diff(viewsBefore, m.eachView(after)); diff != "" {
		m.Errorf("views (-before +after the turn)\n%s", diff)
	}
}

// eachView lists what snapshots show.
func (k *kit) eachView(c *Catalog) [][]View {
	k.Helper()
	var out [][]View
	for _, s := range c.Snapshots() {
		out = append(out, k.views(s))
	}
	return out
}

// TestCommitOnABase: a writer that knows a base has seen all that it holds. Another commit
// that ends its history does not make it one with a hole.
func TestCommitOnABase(t *testing.T) {
	for _, epoch := range []int32{1, 3} { // of the log that the slow one read: before the truncation, or after another one
		k := newKit(t, mem.New())
		s := stream("orders", 0)
		k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 12, 1)), Scans: begin(s, 0)})
		k.turn()
		fast, slow := k.writer(), k.writer()                      // commits are folded in the order of writers
		k.commit(fast, Changes{Data: data(s, piece(t, 6, 9, 2))}) // the log lost its end
		k.commit(slow, Changes{Data: data(s, piece(t, 12, 15, epoch))})
		for range 2 {
			if damage := k.catalog().Damage(); len(damage) > 0 {
				t.Errorf("epoch %d: %v", epoch, damage)
			}
			if h := k.catalog().heads[s]; h.reach != 15 {
				t.Errorf("epoch %d: head %+v", epoch, h)
			}
			k.turn()
		}
	}
}

// TestNothingTwiceAcrossTurns: metadata that a base names is not stored again.
func TestNothingTwiceAcrossTurns(t *testing.T) {
	k := newKit(t, mem.New())
	s := k.mixed()[0]
	for range 4 {
		k.turn()
		r := k.commit(k.writer(), Changes{Snapshot: snapshotOf(View{Stream: s, NextOffset: 15, LastEpoch: 2})})
		if r.Objects != 1 {
			t.Errorf("a backup with nothing new made %d objects", r.Objects)
		}
	}
}

// TestChain: from a printed hash one comes, by digests alone, to every base and commit
// that was.
func TestChain(t *testing.T) {
	k := newKit(t, mem.New())
	s := k.mixed()[0]
	w := k.writer()
	known := map[format.Hash]string{} // what each digest was
	note := func() {
		for _, key := range append(keys(t, k.store, format.AllCommits), keys(t, k.store, format.EpochsPrefix)...) {
			if !strings.HasSuffix(key, "/begun") {
				known[format.Digest(body(t, k.store, key))] = key
			}
		}
	}
	var named []string
	previous := format.HashOf(nil)
	for i := range int64(4) {
		r := k.commit(w, Changes{Data: data(s, piece(t, 15+i, 16+i, 2))})
		note()
		k.turn()
		note()
		base, digest, err := k.vault.loadBase(t.Context(), uint32(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && base.PreviousHash != previous {
			t.Errorf("base %d does not name the one before", base.Epoch)
		}
		previous = digest
		newest, err := k.vault.loadChapter(t.Context(), &base.Chapters[len(base.Chapters)-1])
		if err != nil {
			t.Fatal(err)
		}
		named = nil
		for _, ref := range newest.Commits {
			named = append(named, known[ref.Hash])
			if known[ref.Hash] != ref.ID.Key() {
				t.Errorf("base %d names %s by a digest that it never had", base.Epoch, ref.ID.Key())
			}
		}
		if last := newest.Commits[len(newest.Commits)-1]; i > 0 && last.Hash.String() != r.VaultHash {
			t.Errorf("base %d does not name the commit of the printed hash", base.Epoch)
		}
	}
	if len(named) != 2+4 {
		t.Errorf("bases name %v", named)
	}
}

// TestGarbageRules: what the maker of base 7 may delete.
func TestGarbageRules(t *testing.T) {
	pack := func(epoch uint32) string { return format.PackID{Epoch: epoch, Number: 1}.Key() }
	mark := func(epoch uint32) string {
		return format.Mark{Pack: format.PackID{Epoch: epoch, Number: 1}, Start: 83}.Key()
	}
	table := func(epoch uint32) string { return format.TableID{Epoch: epoch}.Key() }
	commit := func(epoch uint32) string { return format.CommitID{Epoch: epoch}.Key() }
	g := &garbage{n: 7, named: map[string]bool{pack(3): true, table(3): true}}
	for prefix, keys := range map[string]map[string]bool{
		format.PacksPrefix: {pack(3): false, pack(4): true, pack(5): true, pack(6): false, pack(7): false, pack(8): false, "packs/x": false},
		format.MarksPrefix: {
			mark(3): false, mark(4): true, mark(5): true, mark(6): false, mark(8): false, "damaged/x": false,
			format.Mark{Pack: format.PackID{Epoch: 3, Number: 1}, Start: format.WholePack}.Key(): false,
			format.Mark{Pack: format.PackID{Epoch: 3, Number: 2}, Start: format.WholePack}.Key(): true,
		},
		format.TablesPrefix: {table(3): false, table(4): true, table(5): true, table(6): false, table(7): false, "tables/x": false},
		format.AllCommits:   {commit(4): true, commit(5): true, commit(6): false, commit(7): false, commit(9): false, "commits/x": false},
		format.EpochsPrefix: {
			format.BaseKey(5): true, format.BaseKey(6): false, format.BaseKey(7): false, format.BaseKey(8): false,
			format.BegunKey(0): false, format.BegunKey(5): false, "epochs/x": false,
		},
		format.RestoresPrefix: {format.RestoreKey(format.RestoreID{}, 0): false},
	} {
		for key, want := range keys {
			if got := g.isGarbage(prefix, key); got != want {
				t.Errorf("%s: garbage %v, want %v", key, got, want)
			}
		}
	}
}

// TestTableOfTheBaseBefore: who reads the epoch before still finds its tables.
func TestTableOfTheBaseBefore(t *testing.T) {
	k := newKit(t, mem.New())
	s := k.mixed()[0]
	k.turn()
	k.turn()
	before := k.catalog().tables
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 15, 16, 2))})
	k.turn()
	for _, ref := range before {
		if _, err := k.vault.loadTable(t.Context(), &ref); err != nil {
			t.Errorf("epoch %d: %v", k.catalog().epoch, err)
		}
	}
	k.turn()
	if left := fmt.Sprint(k.garbageLeft()); left != "[]" {
		t.Errorf("left %s", left)
	}
}
