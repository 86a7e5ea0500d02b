package vault

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// kinds writes damage as "kind object", sorted.
func kinds(damage []*DamageError) []string {
	out := []string{}
	for _, d := range damage {
		out = append(out, d.Kind+" "+d.Object)
	}
	slices.Sort(out)
	return out
}

func (k *kit) delete(key string) {
	k.Helper()
	if err := k.store.Delete(k.Context(), key); err != nil {
		k.Fatal(err)
	}
}

// edit makes a commit anew, with something changed, under the same name or another.
func (k *kit) edit(key string, change func(*format.Commit)) string {
	k.Helper()
	payload, _, err := k.vault.objects.Load(k.Context(), format.KindCommit, key)
	if err != nil {
		k.Fatal(err)
	}
	commit, err := format.DecodeCommit(payload)
	if err != nil {
		k.Fatal(err)
	}
	change(commit)
	k.place(commit)
	return commit.ID.Key()
}

// chain commits [0,10), [10,20), … of a stream, each with a snapshot, and returns the keys
// of the commits.
func (k *kit) chain(s coldstream.Stream, n int) []string {
	k.Helper()
	w := k.writer()
	for i := range int64(n) {
		changes := Changes{
			Data:     data(s, piece(k, 10*i, 10*i+10, 1)),
			Snapshot: snapshotOf(View{Stream: s, NextOffset: 10*i + 10, LastEpoch: 1}),
		}
		changes.Snapshot.Time = k.now()
		if i == 0 {
			changes.Scans = begin(s, 0)
		}
		k.commit(w, changes)
	}
	return keys(k, k.store, format.CommitsPrefix(0))
}

func TestCrashedInit(t *testing.T) {
	for name, left := range map[string][]string{
		"only vault.json":  {format.VaultKey},
		"without base":     {format.VaultKey, format.BegunKey(0)},
		"without begun":    {format.VaultKey, format.BaseKey(0)},
		"nothing is left ": {format.VaultKey, format.BegunKey(0), format.BaseKey(0)},
	} {
		t.Run(name, func(t *testing.T) {
			whole := newKit(t, mem.New())
			store := mem.New()
			for _, key := range left {
				replace(t, store, key, body(t, whole.store, key))
			}
			v, err := reopened(t, store)
			if err != nil {
				t.Fatal(err)
			}
			k := &kit{T: t, store: store, vault: v}
			if damage := k.catalog().Damage(); len(damage) > 0 {
				t.Errorf("damage: %v", damage)
			}
			for _, key := range keys(t, whole.store, "") {
				if !slices.Equal(body(t, store, key), body(t, whole.store, key)) {
					t.Errorf("%s is not what init would have made", key)
				}
			}
			k.chain(stream("orders", 0), 1)
			k.mustBeSound()
		})
	}
}

// TestLostBase: the base of epoch 0 is empty, so its loss costs nothing but a word. It is
// not made again: commits name the one that was.
func TestLostBase(t *testing.T) {
	s := stream("orders", 0)
	for name, c := range map[string]struct {
		spoil func(*kit)
		want  []string
	}{
		"begun": {func(k *kit) { k.delete(format.BegunKey(0)) }, []string{"missing epochs/0000000000/begun"}},
		"base":  {func(k *kit) { k.delete(format.BaseKey(0)) }, []string{"missing epochs/0000000000/base"}},
		"both": {func(k *kit) { k.delete(format.BegunKey(0)); k.delete(format.BaseKey(0)) },
			[]string{"missing epochs/0000000000/base", "missing epochs/0000000000/begun"}},
		"altered": {func(k *kit) { replace(k, k.store, format.BaseKey(0), []byte("x")) }, []string{"altered epochs/0000000000/base"}},
		"begun, not empty": {func(k *kit) { replace(k, k.store, format.BegunKey(0), []byte("x")) },
			[]string{"altered epochs/0000000000/begun"}},
		"strangers": {func(k *kit) {
			replace(k, k.store, "epochs/stranger", nil)
			replace(k, k.store, "commits/0000000000/stranger", nil)
		}, []string{"unexpected commits/0000000000/stranger", "unexpected epochs/stranger"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, mem.New())
			k.chain(s, 2)
			c.spoil(k)
			before := keys(t, k.store, "")
			if diff := cmp.Diff(c.want, kinds(k.verify(VerifyOptions{}).Problems)); diff != "" {
				t.Errorf("verify: %s", diff)
			}
			if got := len(k.catalog().Snapshots()); got != 2 {
				t.Errorf("%d snapshots, want 2", got)
			}
			if diff := cmp.Diff(before, keys(t, k.store, "")); diff != "" {
				t.Errorf("looking changed the vault: %s", diff)
			}
			w := k.writer()
			if head, _ := w.Head(s); head.NextOffset != 20 {
				t.Fatalf("head at %d, want 20", head.NextOffset)
			}
			k.commit(w, Changes{Data: data(s, piece(t, 20, 25, 1))})
			if head, _ := k.catalog().head(s); head.NextOffset != 25 {
				t.Errorf("head at %d after another commit, want 25", head.NextOffset)
			}
		})
	}
}

func TestNoBaseAndNoCommits(t *testing.T) {
	k := newKit(t, mem.New())
	replace(t, k.store, format.BaseKey(0), []byte("x"))
	if damage := kinds(k.catalog().Damage()); len(damage) != 1 {
		t.Errorf("damage: %v", damage)
	}
	if _, err := k.vault.NewWriter(t.Context(), WriterOptions{Now: k.now}); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("a writer on an unknown base: %v", err)
	}
}

// TestVaultInfoAltered: vault.json has no hash of its own, but repeats what the base says.
func TestVaultInfoAltered(t *testing.T) {
	k := newKit(t, mem.New())
	k.chain(stream("orders", 0), 1)
	info := string(body(t, k.store, format.VaultKey))
	replace(t, k.store, format.VaultKey, []byte(strings.Replace(info, `"2026-11`, `"2025-11`, 1)))
	v, err := reopened(t, k.store)
	if err != nil {
		t.Fatal(err)
	}
	k.vault = v
	if diff := cmp.Diff([]string{"altered vault.json"}, kinds(k.verify(VerifyOptions{}).Problems)); diff != "" {
		t.Error(diff)
	}
}

// TestTurnedWhileOpening: the second look is what finds it.
func TestTurnedWhileOpening(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	k.chain(s, 1)
	v, once := *k.vault, true
	v.useStore(&hooked{k.store, func(prefix string) {
		if prefix == format.CommitsPrefix(0) && once {
			once = false
			k.turn()
			k.commit(k.writer(), Changes{Data: data(s, piece(t, 10, 15, 1))})
		}
	}})
	c, err := v.OpenCatalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if head, _ := c.head(s); c.epoch != 1 || head.NextOffset != 15 {
		t.Errorf("epoch %d, head at %d", c.epoch, head.NextOffset)
	}
}

// hooked calls after each listing.
type hooked struct {
	blob.Store
	after func(prefix string)
}

func (h *hooked) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		for e, err := range h.Store.List(ctx, prefix, after) {
			if !yield(e, err) {
				return
			}
		}
		h.after(prefix)
	}
}

// TestLostCommit: writers go back to before it, so that what it held is fetched again
// where it is still there; readers see what is left.
func TestLostCommit(t *testing.T) {
	s := stream("orders", 0)
	for name, spoil := range map[string]func(*kit, string){
		KindMissing: func(k *kit, key string) { k.delete(key) },
		KindAltered: func(k *kit, key string) {
			b := body(k, k.store, key)
			b[len(b)/2] ^= 1
			replace(k, k.store, key, b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, mem.New())
			commits := k.chain(s, 4)
			spoil(k, commits[1])
			want := []string{KindDoesNotJoin + " " + commits[2], KindDoesNotJoin + " " + commits[3], name + " " + commits[1]}
			slices.Sort(want)
			w := k.writer()
			if diff := cmp.Diff(want, kinds(w.Damage())); diff != "" {
				t.Errorf("damage: %s", diff)
			}
			if head, _ := w.Head(s); head.NextOffset != 10 {
				t.Errorf("a writer goes on from %d, want 10", head.NextOffset)
			}
			c := k.catalog()
			if got := len(c.Snapshots()); got != 3 {
				t.Fatalf("%d snapshots can be read, want 3", got)
			}
			h := k.history(k.views(c.Snapshots()[2])...)[0]
			got, damage := offsets(t, h, 0)
			if got != "0-2@1 3-5@1 6-8@1 9-9@1" || damage == nil || damage.Object != commits[1] || damage.Kind != name ||
				damage.Stream != s || damage.FirstOffset != 10 || damage.NextOffset != 20 {
				t.Errorf("%s, %v", got, damage)
			}
			if got, damage := offsets(t, h, 30); got != "30-32@1 33-35@1 36-38@1 39-39@1" || damage != nil {
				t.Errorf("what is left: %s, %v", got, damage)
			}
			checkProblem(t, k.verify(VerifyOptions{}), commits[1], s, 10, 20)

			// The log still has it: what follows joins again.
			k.commit(w, Changes{Data: data(s, piece(t, 10, 20, 1))})
			c = k.catalog()
			if head, _ := c.head(s); head.NextOffset != 40 || !slices.Equal(kinds(c.Damage()), []string{name + " " + commits[1]}) {
				t.Errorf("healed: head at %d, damage %v", head.NextOffset, kinds(c.Damage()))
			}
			if got, damage := offsets(t, k.history(k.views(c.Snapshots()[2])...)[0], 20); !strings.HasPrefix(got, "20-22@1") || damage != nil {
				t.Errorf("healed: %s, %v", got, damage)
			}
		})
	}
}

// checkProblem wants a problem of an object that costs a stream's offsets.
func checkProblem(t *testing.T, r *VerifyReport, object string, s coldstream.Stream, first, next int64) {
	t.Helper()
	for _, p := range r.Problems {
		if p.Object == object && p.Stream == s && p.FirstOffset == first && p.NextOffset == next {
			return
		}
	}
	t.Errorf("no problem says that %s costs %s [%d, %d): %v", object, s.TopicPartition(), first, next, r.Problems)
}

// TestReplacedCommit: a commit in place of another is found by those that name the first.
func TestReplacedCommit(t *testing.T) {
	k := newKit(t, mem.New())
	commits := k.chain(stream("orders", 0), 3)
	k.edit(commits[1], func(c *format.Commit) { c.TimeMs++ })
	if diff := cmp.Diff([]string{"altered " + commits[1]}, kinds(k.verify(VerifyOptions{}).Problems)); diff != "" {
		t.Error(diff)
	}
}

// TestCommitOfAnotherBase is not of this vault's history.
func TestCommitOfAnotherBase(t *testing.T) {
	k := newKit(t, mem.New())
	commits := k.chain(stream("orders", 0), 1)
	other := k.edit(commits[0], func(c *format.Commit) { c.ID.Seq, c.BaseHash[0] = 7, c.BaseHash[0]+1 })
	if diff := cmp.Diff([]string{"altered " + other}, kinds(k.catalog().Damage())); diff != "" {
		t.Error(diff)
	}
}

// TestCommitThatIsItsOwnAncestor cannot be made, as hashes name contents; but it can be
// claimed.
func TestCommitThatIsItsOwnAncestor(t *testing.T) {
	k := newKit(t, mem.New())
	commits := k.chain(stream("orders", 0), 2)
	second, err := format.ParseCommitKey(commits[1])
	if err != nil {
		t.Fatal(err)
	}
	k.edit(commits[0], func(c *format.Commit) { c.Parents = []format.CommitRef{{ID: second}} })
	c := k.catalog()
	if head, _ := c.head(stream("orders", 0)); head.NextOffset != 20 || len(c.Damage()) == 0 {
		t.Errorf("head %+v, damage %v", head, c.Damage())
	}
}

// TestCommitsWhileListing: a listing may have a commit and not the one it was built on,
// which was made, in front of where the listing was, between the two.
func TestCommitsWhileListing(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	first := k.writer()
	k.commit(first, Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0)})
	late := &lateListing{Store: k.store, hide: format.CommitID{Writer: first.id, Seq: 1}.Key()}
	k.vault.useStore(late)
	k.commit(first, Changes{Data: data(s, piece(t, 10, 20, 1))})
	k.vault.useStore(k.store)
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 20, 30, 1))})
	k.vault.useStore(late)
	c := k.catalog()
	if head, _ := c.head(s); head.NextOffset != 30 || len(c.Damage()) > 0 {
		t.Errorf("head at %d, damage %v", head.NextOffset, c.Damage())
	}
}

// lateListing leaves out an object that came when the listing had passed its place.
type lateListing struct {
	blob.Store
	hide string
}

func (l *lateListing) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		for e, err := range l.Store.List(ctx, prefix, after) {
			if e.Key != l.hide && !yield(e, err) {
				return
			}
		}
	}
}

// TestHostileRows point at what is not theirs. None may crash a reader, or pass for data.
func TestHostileRows(t *testing.T) {
	orders, other, zipped := stream("orders", 0), stream("orders", 1), stream("orders", 2)
	view := View{Stream: orders, NextOffset: 9, LastEpoch: 1}
	for name, change := range map[string]func(*format.Commit){
		"another stream's block": func(c *format.Commit) { c.Facts.Rows[0].Offset = c.Facts.Rows[2].Offset },
		"a part of a block":      func(c *format.Commit) { c.Facts.Rows[0].Length-- },
		"another frame":          func(c *format.Commit) { c.Facts.Rows[0].Frame = 1 },
		"another pack":           func(c *format.Commit) { c.Facts.Packs[0].ID.Number = 99 },
		"frames elsewhere":       func(c *format.Commit) { c.Facts.Packs[0].Frames[0].StoredLength++; c.Facts.Packs[0].SizeBytes++ },
		"other offsets": func(c *format.Commit) {
			r := &c.Facts.Rows[0]
			r.FirstOffset, r.BaseOffset, r.Epochs[0].FirstOffset = 1, 1, 1
		},
		"a giant frame": func(c *format.Commit) {
			c.Facts.Packs[0].Frames[0].StoredLength, c.Facts.Packs[0].SizeBytes = 1<<31, 1<<40
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, mem.New())
			k.commit(k.writer(), Changes{
				Data: []StreamData{
					{Stream: orders, Pieces: []Piece{piece(t, 0, 9, 1), {FirstOffset: 20, NextOffset: 23, Batches: batchOf(t, 20, 3, 1, recordbatch.CodecNone)}}},
					{Stream: other, Pieces: []Piece{piece(t, 0, 9, 1)}},
					{Stream: zipped, Pieces: []Piece{{FirstOffset: 0, NextOffset: 200, Batches: batchOf(t, 0, 200, 1, recordbatch.CodecZstd)}}},
				},
				Gaps:     []StreamGap{{Stream: orders, FirstOffset: 9, NextOffset: 20, Cause: coldstream.GapLogStartAdvanced}},
				Scans:    slices.Concat(begin(orders, 0), begin(other, 0), begin(zipped, 0)),
				Snapshot: snapshotOf(view),
			})
			k.mustBeSound()
			k.edit(keys(t, k.store, "commits/")[0], change)
			if got, damage := offsets(t, k.history(view)[0], 0); got != "" || damage == nil {
				t.Errorf("read as data: %q, %v", got, damage)
			}
			if problems := k.verify(VerifyOptions{Deep: true}).Problems; len(problems) == 0 {
				t.Error("a deep verify finds nothing")
			}
		})
	}
}

// TestRowsThatLie about their batches: a reader gets the right batches, a deep verify says
// that the catalog is wrong.
func TestRowsThatLie(t *testing.T) {
	s := stream("orders", 0)
	for name, change := range map[string]func(*format.Row){
		"records":    func(r *format.Row) { r.Records-- },
		"batches":    func(r *format.Row) { r.Batches-- },
		"timestamp":  func(r *format.Row) { r.MaxTimestampMs++ },
		"batch size": func(r *format.Row) { r.MaxBatchBytes++ },
		"epoch":      func(r *format.Row) { r.Epochs[0].Epoch = 0 },
		"marker":     func(r *format.Row) { r.Markers = []format.Marker{{Offset: 3}} },
		"transaction": func(r *format.Row) {
			r.Transactions = []format.TransactionStart{{FirstOffset: 3}}
		},
	} {
		k := newKit(t, mem.New())
		commits := k.chain(s, 1)
		k.edit(commits[0], func(c *format.Commit) { change(&c.Facts.Rows[0]) })
		if problems := k.verify(VerifyOptions{}).Problems; len(problems) > 0 {
			t.Errorf("%s: a quick verify finds %v", name, problems)
		}
		r := k.verify(VerifyOptions{Deep: true})
		checkProblem(t, r, keys(t, k.store, "packs/")[0], s, 0, 10)
	}
}

// TestSectionThatIsNone has the right hash, and is no metadata.
func TestSectionThatIsNone(t *testing.T) {
	k := newKit(t, mem.New())
	commits := k.chain(stream("orders", 0), 1)
	garbage := []byte("{}")
	id := format.TableID{Hash: k.vault.objects.NameOf(garbage)}
	sealed, err := k.vault.objects.Seal(format.KindSection, id.Key(), garbage)
	if err != nil {
		t.Fatal(err)
	}
	k.put(id.Key(), sealed)
	k.edit(commits[0], func(c *format.Commit) {
		c.Snapshot.Sections[2].Table, c.Snapshot.Sections[2].SizeBytes = id, int64(len(garbage))
	})
	if diff := cmp.Diff([]string{"altered " + id.Key()}, kinds(k.verify(VerifyOptions{}).Problems)); diff != "" {
		t.Error(diff)
	}
	m, err := k.vault.Metadata(t.Context(), &k.catalog().Snapshots()[0])
	if err != nil || len(m.Damaged) != 1 || m.Damaged[SectionTopics] == nil || len(m.Cluster.Brokers) == 0 && m.Cluster.ID == "" {
		t.Errorf("metadata: %+v, %v", m, err)
	}
}

// TestHostileDescription: a second commit says other things of the same pack.
func TestHostileDescription(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	commits := k.chain(s, 1)
	forged := k.edit(commits[0], func(c *format.Commit) {
		c.ID.Seq = 5
		frames := c.Facts.Packs[0].Frames
		c.Facts.Packs[0].Frames = append(slices.Clone(frames), frames[0], frames[0])
		c.Facts.Packs[0].SizeBytes += 1 << 20
		c.Facts.Rows[0].Frame = 2
		c.Facts.Rows[0].NextOffset += 5 // so that it is the one to be read
	})
	if got, damage := offsets(t, k.history(View{Stream: s, NextOffset: 10, LastEpoch: 1})[0], 0); got != "" || damage == nil {
		t.Errorf("read as data: %q, %v", got, damage)
	}
	checkProblem(t, k.verify(VerifyOptions{}), forged, s, 0, 15)
}

// TestAbsenceHasOneName: an error of the store is none of the vault's, and never damage.
func TestAbsenceHasOneName(t *testing.T) {
	k := newKit(t, mem.New())
	k.chain(stream("orders", 0), 3)
	store := k.store
	for name, call := range map[string]func() error{
		"catalog": func() error { _, err := k.vault.OpenCatalog(t.Context()); return err },
		"writer":  func() error { _, err := k.vault.NewWriter(t.Context(), WriterOptions{Now: k.now}); return err },
		"verify":  func() error { _, err := k.vault.Verify(t.Context(), VerifyOptions{Deep: true}); return err },
	} {
		for n := 1; ; n++ {
			failing := &unreadable{Store: store, left: n}
			k.vault.useStore(failing)
			err := call()
			if failing.left > 0 {
				break
			}
			if !errors.Is(err, fs.ErrPermission) || errors.Is(err, coldstream.ErrCorrupt) {
				t.Errorf("%s, operation %d: %v", name, n, err)
			}
		}
	}
}
