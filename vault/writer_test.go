package vault

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	fsstore "coldstream/blob/fs"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// TestRoundTrip stores batches of every kind in a folder, and reads the same bytes.
func TestRoundTrip(t *testing.T) {
	store, err := fsstore.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	k := newKit(t, store)
	orders, quiet := stream("orders", 0), stream("quiet", 3)
	var batches []byte
	at := int64(40)
	for _, codec := range []recordbatch.Codec{recordbatch.CodecNone, recordbatch.CodecGzip, recordbatch.CodecSnappy, recordbatch.CodecLZ4, recordbatch.CodecZstd} {
		batches = append(batches, batchOf(t, at, 50, 4, codec)...)
		at += 50
	}
	batches = append(batches, transactional(batchOf(t, at, 5, 4, recordbatch.CodecNone), 77, 0x10)...)
	batches = append(batches, markerOf(t, at+5, 77, 1)...)
	at += 6
	changes := Changes{
		Data: []StreamData{
			// The first batch begins below the log start; behind the last one is a hole.
			{Stream: orders, Pieces: []Piece{{FirstOffset: 43, NextOffset: at + 10, Batches: batches}}},
			{Stream: quiet, Pieces: []Piece{{FirstOffset: 0, NextOffset: 3, Batches: batchOf(t, 0, 3, 0, recordbatch.CodecNone)}}},
		},
		Scans:    append(begin(orders, 43), begin(quiet, 0)...),
		Snapshot: snapshotOf(View{Stream: orders, LogStartOffset: 43, NextOffset: at + 10, LastEpoch: 4}, View{Stream: quiet, NextOffset: 3}),
	}
	want := bytes.Clone(batches)
	r := k.commit(k.writer(), changes)
	if r.Batches != 8 || r.Records != 258 || r.Snapshot == (SnapshotID{}) {
		t.Errorf("receipt: %+v", r)
	}
	if got := int64(len(keys(t, store, ""))); got != r.Objects+3 { // and vault.json, begun, base
		t.Errorf("%d objects, receipt says %d and 3", got, r.Objects)
	}
	snapshots := k.catalog().Snapshots()
	if len(snapshots) != 1 || snapshots[0].ID != r.Snapshot || snapshots[0].SizeBytes != int64(len(want))+int64(len(changes.Data[1].Pieces[0].Batches)) {
		t.Fatalf("snapshots: %+v", snapshots)
	}
	s := k.history(k.views(snapshots[0])...)[0]
	var got []byte
	for b, err := range s.Batches(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d, or other ones", len(got), len(want))
	}
	var markers []Marker
	for _, run := range s.Runs {
		markers = append(markers, run.Markers...)
	}
	if diff := cmp.Diff([]Marker{{Offset: at - 1, ProducerID: 77, ProducerEpoch: 3, Commit: true}}, markers); diff != "" {
		t.Errorf("markers: %s", diff)
	}
	metadata, err := k.vault.Metadata(t.Context(), &snapshots[0])
	if err != nil {
		t.Fatal(err)
	}
	changes.Snapshot.Metadata.Missing = map[string]string{}
	if diff := cmp.Diff(&changes.Snapshot.Metadata, metadata); diff != "" {
		t.Errorf("metadata: %s", diff)
	}
	k.mustBeSound()
}

// TestReadFrom begins in the middle: the first batch may begin below.
func TestReadFrom(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 9, 1)), Scans: begin(s, 0)})
	for from, want := range map[int64]string{
		0: "0-2@1 3-5@1 6-8@1", 2: "0-2@1 3-5@1 6-8@1", 3: "3-5@1 6-8@1", 8: "6-8@1", 9: "",
	} {
		h := k.history(View{Stream: s, NextOffset: 9, LastEpoch: 1})[0]
		if got, damage := offsets(t, h, from); got != want || damage != nil {
			t.Errorf("from %d: %s (%v), want %s", from, got, damage, want)
		}
	}
	// A view that ends before what is stored shows no batch behind its end.
	h := k.history(View{Stream: s, LogStartOffset: 3, NextOffset: 6, LastEpoch: 1})[0]
	if got, _ := offsets(t, h, 0); got != "3-5@1" {
		t.Errorf("a view of the middle: %s", got)
	}
}

// TestManySmallPartitions is the price of quiet partitions: they share one pack.
func TestManySmallPartitions(t *testing.T) {
	store := mem.New()
	k := newKit(t, store)
	w := k.writer()
	before := len(keys(t, store, ""))
	var changes Changes
	snapshot := snapshotOf()
	for i := range int32(1000) {
		s := stream(fmt.Sprintf("topic-%02d", i/20), i%20)
		changes.Data = append(changes.Data, StreamData{Stream: s, Pieces: []Piece{piece(t, 0, 2, 0)}})
		changes.Scans = append(changes.Scans, begin(s, 0)...)
		snapshot.Views = append(snapshot.Views, View{Stream: s, NextOffset: 2})
	}
	changes.Snapshot = snapshot
	r := k.commit(w, changes)
	made := len(keys(t, store, "")) - before
	if made > 10 || int64(made) != r.Objects {
		t.Errorf("1,000 partitions made %d objects (receipt: %d), at most 10 are allowed", made, r.Objects)
	}
	t.Logf("1,000 partitions with one batch each: %d objects, %d bytes", made, r.BytesStored)
	k.mustBeSound()
}

// TestNothingTwice follows the heads, as every backup does: batches and metadata that are
// there are not stored again.
func TestNothingTwice(t *testing.T) {
	store := &counting{Store: mem.New()}
	k := newKit(t, store)
	s := stream("orders", 0)
	view := View{Stream: s, NextOffset: 9, LastEpoch: 1}
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 9, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(view)})
	before := len(keys(t, store, ""))
	w := k.writer()
	if head, ok := w.Head(s); !ok || head.NextOffset != 9 {
		t.Fatalf("head %+v, %v", head, ok)
	}
	store.creates = 0
	if r := k.commit(w, Changes{Snapshot: snapshotOf(view)}); r.Objects != 1 || store.creates != 1 {
		t.Errorf("a backup with nothing new made %d objects with %d requests, want 1", r.Objects, store.creates)
	}
	if got := len(keys(t, store, "")); got != before+1 {
		t.Errorf("%d new objects, want 1", got-before)
	}
	// Another writer that knows no commit with the section finds the same bytes there.
	for _, key := range keys(t, store, "commits/") {
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if r := k.commit(k.writer(), Changes{Snapshot: snapshotOf()}); r.Objects != 1 {
		t.Errorf("sections that lie there already: %d objects made, want 1", r.Objects)
	}
}

// TestCommitRefuses: nothing is stored of what could not be read again.
func TestCommitRefuses(t *testing.T) {
	s := stream("orders", 0)
	broken := bytes.Clone(batchOf(t, 10, 3, 1, recordbatch.CodecNone))
	broken[len(broken)-1] ^= 1
	short := batchOf(t, 10, 3, 1, recordbatch.CodecNone)
	overlap := append(bytes.Clone(batchOf(t, 10, 3, 1, recordbatch.CodecNone)), batchOf(t, 12, 3, 1, recordbatch.CodecNone)...)
	for name, c := range map[string]Changes{
		"a hole":                   {Data: data(s, piece(t, 12, 15, 1))},
		"a hole inside":            {Data: data(s, piece(t, 10, 15, 1), piece(t, 16, 18, 1))},
		"a gap past the head":      {Gaps: []StreamGap{{Stream: s, FirstOffset: 12, NextOffset: 15, Cause: coldstream.GapTruncated}}},
		"a stream without begin":   {Data: data(stream("new", 0), piece(t, 0, 5, 1))},
		"a scan without begin":     {Data: []StreamData{{Stream: s, Scan: 1, Pieces: []Piece{piece(t, 10, 15, 1)}}}},
		"a view past the head":     {Snapshot: snapshotOf(View{Stream: s, NextOffset: 11, LastEpoch: 1})},
		"a view of nothing known":  {Snapshot: snapshotOf(View{Stream: stream("new", 0), NextOffset: 1})},
		"a bad checksum":           {Data: data(s, Piece{FirstOffset: 10, NextOffset: 13, Batches: broken})},
		"half a batch":             {Data: data(s, Piece{FirstOffset: 10, NextOffset: 13, Batches: short[:len(short)-1]})},
		"batches that overlap":     {Data: data(s, Piece{FirstOffset: 10, NextOffset: 15, Batches: overlap})},
		"a batch past the piece":   {Data: data(s, Piece{FirstOffset: 10, NextOffset: 12, Batches: batchOf(t, 10, 3, 1, recordbatch.CodecNone)})},
		"a batch before the piece": {Data: data(s, Piece{FirstOffset: 10, NextOffset: 12, Batches: batchOf(t, 7, 3, 1, recordbatch.CodecNone)})},
		"an empty range":           {Data: data(s, Piece{FirstOffset: 10, NextOffset: 10})},
	} {
		t.Run(name, func(t *testing.T) {
			store := mem.New()
			k := newKit(t, store)
			w := k.writer()
			k.commit(w, Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0)})
			before := keys(t, store, "")
			r, err := w.Commit(t.Context(), c)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if r != (Receipt{}) {
				t.Errorf("a refused commit has a receipt: %+v", r)
			}
			if diff := cmp.Diff(before, keys(t, store, "")); diff != "" {
				t.Errorf("a refused commit left objects: %s", diff)
			}
			if head, _ := w.Head(s); head.NextOffset != 10 {
				t.Errorf("a refused commit moved the head to %d", head.NextOffset)
			}
		})
	}
}

// TestTruncationInOneCommit: the log loses its end while data waits for the next commit.
func TestTruncationInOneCommit(t *testing.T) {
	k := newKit(t, mem.New())
	w := k.writer()
	s := stream("orders", 0)
	k.commit(w, Changes{
		Scans: begin(s, 0),
		Data: data(s,
			Piece{FirstOffset: 0, NextOffset: 4, Batches: slices.Concat(
				batchOf(t, 0, 2, 1, recordbatch.CodecNone), batchOf(t, 2, 2, 1, recordbatch.CodecNone))},
			// A tail without data makes another row.
			Piece{FirstOffset: 4, NextOffset: 6},
			Piece{FirstOffset: 6, NextOffset: 12, Batches: batchOf(t, 6, 6, 1, recordbatch.CodecNone)},
			Piece{FirstOffset: 2, NextOffset: 3, Batches: batchOf(t, 2, 1, 2, recordbatch.CodecNone)}),
		Snapshot: snapshotOf(View{Stream: s, NextOffset: 3, LastEpoch: 2}),
	})
	for _, w := range []*Writer{w, k.writer()} {
		head, _ := w.Head(s)
		want := Head{NextOffset: 3, Epochs: []coldstream.EpochStart{{Epoch: 1}, {Epoch: 2, FirstOffset: 2}}}
		if diff := cmp.Diff(want, head, extentOfHeads); diff != "" {
			t.Errorf("head: %s", diff)
		}
	}
	if got, damage := offsets(t, k.history(View{Stream: s, NextOffset: 3, LastEpoch: 2})[0], 0); got != "0-1@1 2-2@2" || damage != nil {
		t.Errorf("view: %s, %v", got, damage)
	}
	if damage := k.catalog().Damage(); len(damage) > 0 {
		t.Errorf("damage: %v", damage)
	}
}

// TestFailedCommit lets each storage operation of a commit fail, before or after it was
// carried out, for a moment or for ever. Nothing is acknowledged, and the same changes can
// be committed again, by the same writer or by another.
func TestFailedCommit(t *testing.T) {
	operations := 0
	for n := 1; ; n++ {
		reached := true
		for _, how := range []*failing{{}, {answered: true}, {once: true}, {once: true, answered: true}} {
			reached = reached && failCommit(t, n, how)
		}
		if !reached {
			break
		}
		operations = n
	}
	// A pack, three sections, the commit, the look.
	if operations != 6 {
		t.Errorf("a commit had %d storage operations, want 6", operations)
	}
}

// failCommit is false if a commit does not come to its n-th operation.
func failCommit(t *testing.T, n int, store *failing) bool {
	s := stream("orders", 0)
	view := View{Stream: s, NextOffset: 20, LastEpoch: 1}
	store.Store, store.left = mem.New(), 1<<30
	k := newKit(t, store)
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0)})
	w := k.writer()
	changes := Changes{Data: data(s, piece(t, 10, 20, 1)), Snapshot: snapshotOf(view)}
	store.left = n
	r, err := w.Commit(t.Context(), changes)
	if store.left > 0 {
		return false
	}
	store.left = 1 << 30
	if !errors.Is(err, errStore) || r != (Receipt{}) {
		t.Fatalf("operation %d: %+v, %v", n, r, err)
	}
	if head, _ := w.Head(s); head.NextOffset != 10 {
		t.Errorf("operation %d: a commit that failed moved the head to %d", n, head.NextOffset)
	}
	k.mustBeSound()
	for _, again := range []*Writer{w, k.writer()} {
		if head, _ := again.Head(s); head.NextOffset == 20 {
			changes.Data = nil // it was carried out, and another writer sees it
		}
		k.commit(again, changes)
	}
	k.mustBeSound()
	if got, _ := offsets(t, k.history(view)[0], 0); got != "0-2@1 3-5@1 6-8@1 9-9@1 10-12@1 13-15@1 16-18@1 19-19@1" {
		t.Errorf("operation %d: %s", n, got)
	}
	return true
}

// retrying answers as a store behind a client that tries again when an answer is lost:
// the second attempt finds the object of the first.
type retrying struct{ blob.Store }

func TestCommitThroughRetries(t *testing.T) {
	store := retrying{mem.New()}
	k := newKit(t, store.Store)
	k.vault.useStore(store)
	s := stream("orders", 0)
	w := k.writer()
	k.commit(w, Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 10, LastEpoch: 1})})
	if head, _ := w.Head(s); head.NextOffset != 10 {
		t.Errorf("head at %d", head.NextOffset)
	}
	k.mustBeSound()
}

// TestCommitOverOthers: an object of our name with other bytes is not ours.
func TestCommitOverOthers(t *testing.T) {
	store := mem.New()
	k := newKit(t, store)
	w := k.writer()
	key := format.CommitID{Writer: w.id}.Key()
	if err := store.Create(t.Context(), key, []byte("another process with our name")); err != nil {
		t.Fatal(err)
	}
	s := stream("orders", 0)
	if _, err := w.Commit(t.Context(), Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0)}); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("commit over another's object: %v", err)
	}
	if _, ok := w.Head(s); ok {
		t.Error("it moved the head")
	}
}

// TestVaultHash names all that was there: each commit names what its writer had seen.
func TestVaultHash(t *testing.T) {
	store := mem.New()
	k := newKit(t, store)
	first, second := k.writer(), k.writer()
	a, b := stream("a", 0), stream("b", 0)
	hashes := map[string]bool{}
	for _, r := range []Receipt{
		k.commit(first, Changes{Data: data(a, piece(t, 0, 3, 1)), Scans: begin(a, 0)}),
		k.commit(second, Changes{Data: data(b, piece(t, 0, 3, 1)), Scans: begin(b, 0)}),
		k.commit(k.writer(), Changes{Snapshot: snapshotOf()}),
	} {
		hashes[r.VaultHash] = true
	}
	if len(hashes) != 3 {
		t.Errorf("three commits have %d hashes", len(hashes))
	}
	c := k.catalog()
	tips := c.parents()
	if len(tips) != 1 || !hashes[hex.EncodeToString(tips[0].Hash[:])] {
		t.Errorf("tips: %+v", tips)
	}
}

// TestInterleavedWriters lets two writers, which both opened the empty vault, store the
// same offsets, in every order of their commits and every order of reading them.
func TestInterleavedWriters(t *testing.T) {
	s := stream("orders", 0)
	type step struct{ writer, first, next int }
	scripts := [2][]step{{{0, 0, 6}, {0, 6, 12}, {0, 12, 15}}, {{1, 0, 3}, {1, 3, 9}, {1, 9, 18}}}
	random := rand.New(rand.NewPCG(*seed, 0))
	interleave(scripts[0], scripts[1], func(order []step) {
		store := mem.New()
		k := newKit(t, store)
		writers := []*Writer{k.writer(), k.writer()}
		begun := [2]bool{}
		for _, st := range order {
			changes := Changes{Data: data(s, piece(t, int64(st.first), int64(st.next), 1))}
			if !begun[st.writer] {
				begun[st.writer], changes.Scans = true, begin(s, 0)
			}
			changes.Snapshot = snapshotOf(View{Stream: s, NextOffset: int64(st.next), LastEpoch: 1})
			k.commit(writers[st.writer], changes)
		}
		k.vault.useStore(&shuffled{store, random})
		c := k.catalog()
		if head, _ := c.head(s); head.NextOffset != 18 || len(c.Damage()) > 0 || len(c.Snapshots()) != 6 {
			t.Fatalf("order %v: head %+v, %d snapshots, damage %v", order, head, len(c.Snapshots()), c.Damage())
		}
		for _, snapshot := range c.Snapshots() {
			var got int64
			for _, run := range k.history(k.views(snapshot)...)[0].Runs {
				if run.FirstOffset != got {
					t.Fatalf("order %v: a run begins at %d, the one before ends at %d", order, run.FirstOffset, got)
				}
				got = run.NextOffset
			}
			if want := k.views(snapshot)[0].NextOffset; got != want {
				t.Fatalf("order %v: a view up to %d is covered up to %d", order, want, got)
			}
		}
		k.mustBeSound()
	})
}

// TestForkedWriters: two writers go on from the same head, and only one of them learns of a
// truncation. Neither's commits, nor its snapshots, may be left out for what the other saw.
func TestForkedWriters(t *testing.T) {
	s := stream("orders", 0)
	gap := func(first, next int64) []StreamGap {
		return []StreamGap{{Stream: s, FirstOffset: first, NextOffset: next, Cause: coldstream.GapLogStartAdvanced}}
	}
	view := func(first, next int64, epoch int32) *NewSnapshot {
		return snapshotOf(View{Stream: s, LogStartOffset: first, NextOffset: next, LastEpoch: epoch})
	}
	for name, c := range map[string]struct {
		one, two []Changes
		next     int64
	}{
		"the fork goes on": {
			one:  []Changes{{Data: data(s, piece(t, 10, 20, 1)), Snapshot: view(0, 20, 1)}, {Data: data(s, piece(t, 20, 30, 1)), Snapshot: view(0, 30, 1)}},
			two:  []Changes{{Data: data(s, piece(t, 6, 8, 2)), Snapshot: view(0, 8, 2)}, {Data: data(s, piece(t, 8, 9, 2)), Snapshot: view(0, 9, 2)}},
			next: 9,
		},
		"with a gap": {
			one:  []Changes{{Gaps: gap(10, 15), Data: data(s, piece(t, 15, 20, 1)), Snapshot: view(15, 20, 1)}},
			two:  []Changes{{Data: data(s, piece(t, 6, 8, 2)), Snapshot: view(0, 8, 2)}},
			next: 8,
		},
		"with a gap and a newer epoch": {
			one:  []Changes{{Gaps: gap(10, 15), Data: data(s, piece(t, 15, 20, 3)), Snapshot: view(15, 20, 3)}},
			two:  []Changes{{Data: data(s, piece(t, 6, 8, 2)), Snapshot: view(0, 8, 2)}},
			next: 20,
		},
		"both truncated": {
			one:  []Changes{{Data: data(s, piece(t, 6, 20, 2)), Snapshot: view(0, 20, 2)}, {Data: data(s, piece(t, 3, 5, 3)), Snapshot: view(0, 5, 3)}},
			two:  []Changes{{Data: data(s, piece(t, 6, 12, 2)), Snapshot: view(0, 12, 2)}},
			next: 5,
		},
		"with a gap in the same epoch": {
			one:  []Changes{{Data: data(s, piece(t, 6, 8, 2)), Snapshot: view(0, 8, 2)}},
			two:  []Changes{{Data: data(s, piece(t, 9, 20, 2)), Snapshot: view(9, 20, 2)}},
			next: 0, // 20, or 8 and what is behind it is fetched again: both are right
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := mem.New()
			k := newKit(t, store)
			k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0)})
			one, two := k.writer(), k.writer()
			for _, changes := range c.one {
				k.commit(one, changes)
			}
			for _, changes := range c.two {
				k.commit(two, changes)
			}
			random := rand.New(rand.NewPCG(*seed, 4))
			for range 20 {
				k.vault.useStore(&shuffled{store, random})
				catalog := k.catalog()
				if damage := catalog.Damage(); len(damage) > 0 || len(catalog.Snapshots()) != len(c.one)+len(c.two) {
					t.Fatalf("%d snapshots, damage %v", len(catalog.Snapshots()), damage)
				}
				if head, _ := catalog.head(s); c.next > 0 && head.NextOffset != c.next {
					t.Fatalf("head at %d, want %d", head.NextOffset, c.next)
				}
			}
			k.mustBeSound()
		})
	}
}

// interleave calls f with each interleaving of a and b.
func interleave[T any](a, b []T, f func([]T)) {
	var rec func(done, a, b []T)
	rec = func(done, a, b []T) {
		if len(a)+len(b) == 0 {
			f(done)
		}
		if len(a) > 0 {
			rec(append(slices.Clone(done), a[0]), a[1:], b)
		}
		if len(b) > 0 {
			rec(append(slices.Clone(done), b[0]), a, b[1:])
		}
	}
	rec(nil, a, b)
}

func TestInit(t *testing.T) {
	store := mem.New()
	k := newKit(t, store)
	before := copyStore(t, store)
	if _, err := Init(t.Context(), store, InitOptions{Now: k.now}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("init over a vault: %v", err)
	}
	for _, key := range keys(t, store, "") {
		if !bytes.Equal(body(t, store, key), body(t, before, key)) {
			t.Errorf("init over a vault changed %s", key)
		}
	}
	if _, err := reopened(t, mem.New()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of nothing: %v", err)
	}
	v, err := reopened(t, store)
	if err != nil || v.ID() != k.vault.ID() || len(v.ID()) != 32 {
		t.Errorf("open: %v, ID %s", err, v.ID())
	}
	replace(t, store, format.VaultKey, bytes.Replace(body(t, store, format.VaultKey), []byte(`"version": 1`), []byte(`"version": 2`), 1))
	if _, err := reopened(t, store); !errors.Is(err, coldstream.ErrUnsupported) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("open of a newer vault: %v", err)
	}
}
