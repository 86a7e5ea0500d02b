package vault

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// TestDamageReplayed puts in the place of objects what another history of the same vault
// had there: a copy of the folder was used for a while, and is mixed with the first.
func TestDamageReplayed(t *testing.T) {
	replayed := 0
	for how, s := range sounds(t) {
		for i, was := range s.was {
			other := s.elsewhere(t, was)
			for _, key := range s.keys {
				if !slices.Contains(keys(t, other, ""), key) {
					continue
				}
				if !bytes.Equal(body(t, other, key), body(t, s.store, key)) {
					replayed++
					s.checkReplayed(t, how+fmt.Sprintf("%s of a history that went its own way after commit %d", key, i), key, other)
				}
			}
		}
	}
	if replayed < 3 {
		t.Errorf("only %d objects differ: that is no test", replayed)
	}
}

// checkReplayed looks at a vault with an object that is true elsewhere. Which of two that
// do not fit was exchanged nobody can say: some are named, and what they cost.
func (s *sound) checkReplayed(t *testing.T, how, key string, other blob.Store) {
	t.Helper()
	store := copyStore(t, s.store)
	for _, name := range slices.Concat(keys(t, other, format.PacksPrefix), keys(t, other, format.TablesPrefix)) {
		if !slices.Contains(s.keys, name) { // so that it is not known by what it lacks
			put(t, store, name, raw(t, other, name))
		}
	}
	put(t, store, key, raw(t, other, key))
	v, err := reopened(t, store)
	if err != nil {
		t.Fatalf("%s: %v", how, err)
	}
	r, err := v.Verify(t.Context(), VerifyOptions{})
	if err != nil || len(r.Problems) == 0 {
		t.Errorf("%s: a verify finds nothing (%v)", how, err)
		return
	}
	s.checkRead(t, v, how, blamed(r, key))
}

// blamed are the objects that damage may be put down to: those that a verify names, those
// given, and all commits together, where a reader finds none.
func blamed(r *VerifyReport, objects ...string) map[string][]byte {
	out := map[string][]byte{format.AllCommits: nil}
	for _, p := range r.Problems {
		out[p.Object] = nil
	}
	for _, key := range objects {
		out[key] = nil
	}
	return out
}

// elsewhere is what a copy of the vault has become: another commit, and turns.
func (s *sound) elsewhere(t *testing.T, was blob.Store) blob.Store {
	t.Helper()
	store := copyStore(t, was)
	v, err := reopened(t, store)
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{T: t, store: store, vault: v, ticks: 1000}
	foreign := stream("foreign", 0)
	k.commit(k.writer(), Changes{
		Data:  []StreamData{{Stream: foreign, Pieces: []Piece{piece(t, 0, 3, 1)}}},
		Scans: begin(foreign, 0), Snapshot: snapshotOf(View{Stream: foreign, NextOffset: 3, LastEpoch: 1}),
	})
	k.turn()
	k.mustBeSound()
	return store
}

// TestDamageRolledBack takes one kind of objects back to what it was earlier, as a restore
// of one folder from a backup of the vault does. It is found, unless it is only commits
// that nothing names that are gone; nothing that was not stored is read in any case.
func TestDamageRolledBack(t *testing.T) {
	found := map[string]int{}
	for how, s := range sounds(t) {
		for i, was := range s.was {
			for _, kind := range []string{"epochs", "commits", "packs", "tables"} {
				store, gone := s.rolledBack(t, was, kind)
				if len(gone) == 0 {
					continue
				}
				name := how + fmt.Sprintf("%s as they were after commit %d", kind, i)
				v, err := reopened(t, store)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				r, err := v.Verify(t.Context(), VerifyOptions{})
				switch {
				case err != nil:
					t.Errorf("%s: verify: %v", name, err)
				case len(r.Problems) > 0:
					found[kind]++
					namesOneOf(t, name, r, gone)
				case kind != "commits":
					t.Errorf("%s: %q are gone, and a verify finds nothing", name, slices.Collect(maps.Keys(gone)))
				}
				lost := slices.Collect(maps.Keys(gone))
				if kind == "epochs" { // and with an epoch its commits
					if _, err := v.NewWriter(t.Context(), WriterOptions{Now: time.Now}); err == nil {
						t.Errorf("%s: a writer begins anew in an old epoch", name)
					}
					lost = append(lost, keys(t, s.store, format.AllCommits)...)
				}
				s.checkRead(t, v, name, blamed(r, lost...))
			}
		}
	}
	for _, kind := range []string{"epochs", "packs", "tables"} {
		if found[kind] == 0 {
			t.Errorf("no rolled back %s were found: that is no test", kind)
		}
	}
}

// rolledBack is the vault with all objects below a folder as they were; gone are those
// that were not there then.
func (s *sound) rolledBack(t *testing.T, was blob.Store, kind string) (blob.Store, map[string][]byte) {
	t.Helper()
	store, gone := copyStore(t, s.store), map[string][]byte{}
	then := keys(t, was, kind+"/")
	for _, key := range keys(t, store, kind+"/") {
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(then, key) {
			gone[key] = nil
		}
	}
	for _, key := range then {
		if err := store.Create(t.Context(), key, raw(t, was, key)); err != nil {
			t.Fatal(err)
		}
	}
	return store, gone
}

func namesOneOf(t *testing.T, how string, r *VerifyReport, objects map[string][]byte) {
	t.Helper()
	for key := range objects {
		if names(r, key) {
			return
		}
	}
	t.Errorf("%s: a verify names none of %d objects that are gone: %v", how, len(objects), r.Problems)
}

// TestDamageWholeVaultRolledBack pins down what verify cannot see: a vault as it was
// earlier is a whole vault. It shows what it did then, and nothing of what came
// after: only who kept a hash that was printed later can tell.
func TestDamageWholeVaultRolledBack(t *testing.T) {
	for how, s := range sounds(t) {
		for i, was := range s.was {
			v, err := reopened(t, was)
			if err != nil {
				t.Fatal(err)
			}
			r, err := v.Verify(t.Context(), VerifyOptions{Deep: true})
			if err != nil || len(r.Problems) > 0 {
				t.Errorf("%sas it was after commit %d: %+v, %v", how, i, r, err)
			}
			c, err := v.OpenCatalog(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(idsOf(s.snapshots[:len(c.Snapshots())]), idsOf(c.Snapshots())); diff != "" || r.Snapshots >= len(s.snapshots) {
				t.Errorf("%sas it was after commit %d: snapshots (-want +got)\n%s", how, i, diff)
			}
		}
	}
}

func idsOf(snapshots []Snapshot) []SnapshotID {
	out := []SnapshotID{}
	for _, s := range snapshots {
		out = append(out, s.ID)
	}
	return out
}
