package restore

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coldstream"
	"coldstream/blob/faultblob"
	"coldstream/vault"
)

// nothingIsCreated makes every Create of the vault's store from now on fail, and the test with it.
func (w *world) nothingIsCreated(t *testing.T) {
	t.Helper()
	w.store.breaks = func(method, key string) error {
		t.Errorf("%s %s in a vault that must not be written to", method, key)
		return errors.New("denied")
	}
}

// A restore with a state file creates nothing in the vault, and groups alone go on with its file.
func TestRestoreWithAStateFile(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(3, 4), dense(0, 2)})}, groupOf("g", "orders", 5, 1))
	before := w.keys(t)
	w.nothingIsCreated(t)
	path := filepath.Join(t.TempDir(), "state")
	req := Request{Maps: mapsOf(t, "orders=copy"), Offsets: OffsetsTranslate, StateFile: path}
	p := w.plan(t, req)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a plan made the state file (%v)", err)
	}
	if !slices.ContainsFunc(p.Warnings, func(w Warning) bool { return strings.Contains(w.Text, "nothing holds snapshot") }) {
		t.Errorf("no warning that nothing is held: %v", p.Warnings)
	}
	if r, err := p.Execute(t.Context()); err != nil || r.Incomplete() {
		t.Fatalf("%+v, %v", r, err)
	}
	w.refused(t, req, "is there already")

	groups := Request{GroupsOnly: true, StateFile: path}
	r := w.restore(t, groups)
	if r.OffsetMapOf != p.ID.String() {
		t.Errorf("groups were restored through the map of %s", r.OffsetMapOf)
	}
	if got := w.committed(t, "g"); got["copy-0"] != 2 || got["copy-1"] != 1 {
		t.Errorf("got offsets %v", got)
	}
	groups.RestoreID = p.ID.String()[:6]
	w.restore(t, groups)
	groups.RestoreID = "0123456789abcdef"
	w.misused(t, groups, "nor the vault knows a restore")
	w.misused(t, Request{GroupsOnly: true, StateFile: path + "-of-nobody"}, "is not there")
	w.misused(t, Request{GroupsOnly: true}, "the vault knows no restore")
	if after := w.keys(t); !slices.Equal(before, after) {
		t.Errorf("the vault holds %v, and held %v", after, before)
	}
	state := w.stateOf(t, path)
	if len(state.begun) != 3 || len(state.records) != 3+2+2 {
		t.Errorf("the file has %d restores and %d records", len(state.begun), len(state.records))
	}
}

func (w *world) misused(t *testing.T, req Request, want string) {
	t.Helper()
	_, err := MakePlan(t.Context(), w.vault, w.target, w.request(req))
	var usage *UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a UsageError with %q", err, want)
	}
}

func (w *world) stateOf(t *testing.T, path string) *stateFile {
	t.Helper()
	s := &stateFile{path: path, vault: w.vault, records: map[stateKey][]byte{}}
	if err := s.read(); err != nil {
		t.Fatal(err)
	}
	return s
}

// The offset map of a restore that the vault knows serves groups whose own records go elsewhere.
func TestGroupsThroughTheVaultsMapIntoAStateFile(t *testing.T) {
	w := newWorld(t)
	p, req := restored(t, w)
	w.nothingIsCreated(t)
	req.StateFile, req.RestoreID = filepath.Join(t.TempDir(), "state"), p.ID.String()
	if r := w.restore(t, req); r.OffsetMapOf != p.ID.String() {
		t.Errorf("groups were restored through the map of %s", r.OffsetMapOf)
	}
	if s := w.stateOf(t, req.StateFile); len(s.records) != 2 {
		t.Errorf("the file has %d records", len(s.records))
	}
}

// Damage that is found is not marked, and costs what it costs.
func TestDamageWithAStateFile(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 40)})})
	for _, key := range w.keys(t) {
		if strings.HasPrefix(key, "packs/") {
			if err := faultblob.FlipBit(t.Context(), w.store, key, 8*200); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.nothingIsCreated(t)
	r, err := w.plan(t, Request{StateFile: filepath.Join(t.TempDir(), "state")}).Execute(t.Context())
	if err != nil || !r.Damaged() {
		t.Errorf("got %+v, %v", r, err)
	}
}

// What is forgotten and removed between the plan and the records stops the restore with a name,
// and no record is made of what is not there.
func TestSnapshotForgottenUnderAStateFile(t *testing.T) {
	for _, when := range []string{"planned", "begun"} {
		t.Run(when, func(t *testing.T) {
			w := newWorld(t)
			id := w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 400)})})
			w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(400, 4)})})
			path := filepath.Join(t.TempDir(), "state")
			p := w.plan(t, Request{Snapshot: id.String(), StateFile: path})
			if when == "planned" {
				w.takeAway(t, id)
				if _, err := p.Execute(t.Context()); !errors.Is(err, coldstream.ErrForgotten) {
					t.Errorf("got %v, want ErrForgotten", err)
				}
				if _, made := w.state(t)["orders"]; made {
					t.Error("the topic was made")
				}
				return
			}
			w.store.reads = func(key string) {
				if strings.HasPrefix(key, "packs/") {
					w.store.reads = nil
					w.takeAway(t, id)
				}
			}
			r, err := p.Execute(t.Context())
			if err != nil || len(r.Partitions) != 1 || !errors.Is(r.Partitions[0].err, coldstream.ErrForgotten) || r.Partitions[0].Records > 0 {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

// takeAway forgets a snapshot, and removes all that only it showed.
func (w *world) takeAway(t *testing.T, id vault.SnapshotID) {
	t.Helper()
	for turn := range 4 {
		opts := vault.TurnOptions{Release: true}
		if turn == 0 {
			opts.Forget = func(s *vault.Snapshot) bool { return s.ID == id }
		}
		if err := w.vault.Turn(context.WithoutCancel(t.Context()), opts); err != nil {
			t.Error(err)
			return
		}
	}
}

// Only a file that restore --state wrote for this vault is taken, to the bit. A line that was cut
// off at the end is not there, and what comes next takes its place.
func TestStateFilesThatAreNone(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "state")
	s := &stateFile{path: path, vault: w.vault, records: map[stateKey][]byte{}}
	id := vault.RestoreID{1}
	for n := range uint32(2) {
		if err := s.PutRestoreRecord(t.Context(), id, n, []byte(`{"a":"<\u2028>"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutRestoreRecord(t.Context(), id, 1, []byte(`{}`)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a record was stored twice: %v", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.stateOf(t, path); !maps.EqualFunc(got.records, s.records, slices.Equal) {
		t.Errorf("got %d other records than the %d written", len(got.records), len(s.records))
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for name, content := range map[string]string{
		"empty": "", "another file": "hello\n", "another vault": strings.Replace(string(whole), w.vault.ID(), strings.Repeat("0", 32), 1),
		"a later version": strings.Replace(string(whole), `"version":1`, `"version":2`, 1), "twice": string(whole) + lines[1],
		"altered": strings.Replace(string(whole), `"a"`, `"b"`, 1), "an empty line": string(whole) + "\n", "no number": string(whole) + strings.Replace(lines[1], `"record":0`, `"record":-1`, 1),
	} {
		if err := (&stateFile{vault: w.vault, records: map[stateKey][]byte{}}).decode([]byte(content)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}

	if err := os.WriteFile(path, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	cut := w.stateOf(t, path)
	if len(cut.records) != 1 {
		t.Errorf("%d records of a file that was cut off in its second", len(cut.records))
	}
	if err := cut.PutRestoreRecord(t.Context(), id, 1, []byte(`{"a":"<\u2028>"}`)); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(whole) {
		t.Errorf("the file is %q (%v), want %q", again, err, whole)
	}
	other := w.stateOf(t, path)
	if err := cut.PutRestoreRecord(t.Context(), id, 2, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if err := other.PutRestoreRecord(t.Context(), id, 2, []byte(`{}`)); err == nil {
		t.Error("two wrote to one file")
	}
}

func FuzzReadState(f *testing.F) {
	for _, text := range []string{"", "{}\n", `{"format":"coldstream restore state","version":1,"vault":"00000000000000000000000000000000"}` + "\n{\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		s := &stateFile{vault: &vault.Vault{}, records: map[stateKey][]byte{}}
		if s.decode(content) == nil && (s.length > int64(len(content)) || s.length == 0) {
			t.Errorf("%d bytes of %d are whole", s.length, len(content))
		}
	})
}

// A file that nothing could read again is not written.
func TestStateFileThatWouldBeTooLarge(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "state")
	s := &stateFile{path: path, vault: w.vault, records: map[stateKey][]byte{}}
	if err := s.PutRestoreRecord(t.Context(), vault.RestoreID{1}, recordHold, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	before := s.length
	s.length = maxStateSize - 5
	if err := s.PutRestoreRecord(t.Context(), vault.RestoreID{1}, recordPiece, []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "would have more than") {
		t.Errorf("got %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != before {
		t.Errorf("the file was changed: %v, %v", info, err)
	}
}
