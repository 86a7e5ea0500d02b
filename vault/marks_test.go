package vault

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// frames lists the frames that the catalog names.
func (k *kit) frames() []format.Mark {
	k.Helper()
	var out []format.Mark
	k.eachFacts(func(facts *format.Facts) {
		for _, p := range facts.Packs {
			for _, start := range p.Place(k.vault.info.ID).Starts {
				out = append(out, format.Mark{Pack: p.ID, Start: start})
			}
		}
	})
	return out
}

func (k *kit) mark(all ...format.Mark) {
	k.Helper()
	for _, m := range all {
		if err := k.vault.mark(k.Context(), m); err != nil {
			k.Fatal(err)
		}
	}
}

// allTopics takes every topic.
func allTopics(string) bool { return true }

// losses are texts: object, kind and offsets.
func (k *kit) losses() []string {
	k.Helper()
	l, err := k.writer().Losses(k.Context(), allTopics)
	if err != nil {
		k.Fatal(err)
	}
	out := []string{}
	for _, r := range l.Ranges {
		out = append(out, costText(r.Damage))
	}
	return out
}

func costText(d *DamageError) string {
	return fmt.Sprintf("%s %s %s [%d, %d)", d.Object, d.Kind, d.Stream.TopicPartition(), d.FirstOffset, d.NextOffset)
}

func (k *kit) problems(opts VerifyOptions) []string {
	k.Helper()
	out := []string{}
	for _, p := range k.verify(opts).Problems {
		out = append(out, costText(p))
	}
	return out
}

// TestFalseMarksCostNothing marks what is whole, one frame or pack at a time, and many:
// everything is read as before, nothing is lost, and nothing is to be fetched again.
func TestFalseMarksCostNothing(t *testing.T) {
	for how, s := range sounds(t) {
		v, err := reopened(t, s.store)
		if err != nil {
			t.Fatal(err)
		}
		k := &kit{T: t, store: s.store, vault: v}
		all := k.frames()
		for _, m := range slices.Clone(all) {
			all = append(all, format.Mark{Pack: m.Pack, Start: format.WholePack})
		}
		sets := [][]format.Mark{all}
		for _, m := range all {
			sets = append(sets, []format.Mark{m})
		}
		random := rand.New(rand.NewPCG(*seed, 0))
		for range 20 {
			random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			sets = append(sets, slices.Clone(all[:1+random.IntN(len(all))]))
		}
		if len(all) < 8 {
			t.Fatalf("%sonly %d frames and packs", how, len(all))
		}
		for _, set := range sets {
			marked := &sound{store: copyStore(t, s.store), snapshots: s.snapshots, log: s.log, held: s.held}
			v, err := reopened(t, marked.store)
			if err != nil {
				t.Fatal(err)
			}
			k := &kit{T: t, store: marked.store, vault: v}
			k.mark(set...)
			k.mark(set...) // to say so again changes nothing
			marked.checkRead(t, v, how+fmt.Sprint(set), nil)
			k.mustBeSound()
			if lost := slices.Concat(k.problems(VerifyOptions{}), k.losses()); len(lost) > 0 {
				t.Errorf("%s%v: lost %v", how, set, lost)
			}
			if t.Failed() {
				t.Fatalf("repeat with -seed %d", *seed)
			}
		}
	}
}

// TestBatchesOnceOverMarks: where a marked row ends inside a batch, because another begins
// there, the batch comes once.
func TestBatchesOnceOverMarks(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	k.commit(w, Changes{Data: data(s, piece(t, 0, 9, 1)), Scans: begin(s, 0)})
	first := k.frames()[0]
	later := piece(t, 3, 15, 1)
	later.FirstOffset = 4 // as after a log start inside a batch
	k.commit(w, Changes{Data: data(s, later)})
	view := View{Stream: s, NextOffset: 15, LastEpoch: 1}
	k.mark(first)
	h := k.history(view)[0]
	var runs []string
	for _, r := range h.Runs {
		runs = append(runs, fmt.Sprintf("[%d, %d)", r.FirstOffset, r.NextOffset))
	}
	if diff := cmp.Diff([]string{"[0, 4)", "[4, 15)"}, runs); diff != "" {
		t.Errorf("runs: -want +got\n%s", diff)
	}
	for from, want := range map[int64]string{
		0: "0-2@1 3-5@1 6-8@1 9-11@1 12-14@1", 4: "3-5@1 6-8@1 9-11@1 12-14@1", 7: "6-8@1 9-11@1 12-14@1",
	} {
		if got, damage := offsets(t, h, from); got != want || damage != nil {
			t.Errorf("from %d: got %s, %v, want %s", from, got, damage, want)
		}
	}
}

// breaking damages the object of a pack in one way.
type breaking struct {
	name  string
	body  func([]byte) []byte // nil: it is deleted
	kind  string
	quick bool // the listing shows it
}

func breakings() []breaking {
	return []breaking{
		{"deleted", nil, KindMissing, true},
		{"emptied", func([]byte) []byte { return []byte{} }, KindTruncated, true},
		{"cut", func(b []byte) []byte { return b[:len(b)/2] }, KindTruncated, true},
		{"longer", func(b []byte) []byte { return append(bytes.Clone(b), 0) }, KindAltered, true},
		{"altered", func(b []byte) []byte {
			b = bytes.Clone(b)
			for i := len(b) / 4; i < len(b)*3/4; i++ {
				b[i] ^= 0x41
			}
			return b
		}, KindAltered, false},
	}
}

func (k *kit) breakPack(id format.PackID, how breaking) {
	k.Helper()
	b := raw(k, k.store, id.Key())
	k.delete(id.Key())
	if how.body != nil {
		if err := k.store.Create(k.Context(), id.Key(), how.body(b)); err != nil {
			k.Fatal(err)
		}
	}
}

// packIDs are the packs of the vault, in order.
func (k *kit) packIDs() []format.PackID {
	k.Helper()
	var out []format.PackID
	for _, key := range keys(k, k.store, format.PacksPrefix) {
		id, err := format.ParsePackKey(key)
		if err != nil {
			k.Fatal(err)
		}
		out = append(out, id)
	}
	return out
}

// TestHealing damages a pack in each way, before and after turns, stores again what it
// held, in two parts, and watches what is said and read.
func TestHealing(t *testing.T) {
	for _, how := range breakings() {
		for turns := range 3 {
			t.Run(fmt.Sprint(how.name, " after ", turns, " turns"), func(t *testing.T) {
				k := newKit(t, mem.New())
				s := stream("orders", 0)
				w := k.writer()
				k.commit(w, Changes{Data: data(s, piece(t, 0, 12, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 12, LastEpoch: 1})})
				k.commit(w, Changes{Data: data(s, piece(t, 12, 18, 1)), Snapshot: snapshotOf(View{Stream: s, NextOffset: 18, LastEpoch: 1})})
				want := k.histories()
				pack := k.packIDs()[0]
				for range turns {
					k.turn()
				}
				k.breakPack(pack, how)
				lost := func(first, next int64) []string {
					return []string{fmt.Sprintf("%s %s orders-0 [%d, %d)", pack.Key(), how.kind, first, next)}
				}
				if got := k.problems(VerifyOptions{}); how.quick != (len(got) > 0) {
					t.Errorf("a quick verify says %v", got)
				}
				k.says("before", lost(0, 12))
				w = k.writer()
				k.commit(w, Changes{Data: data(s, piece(t, 0, 6, 1))})
				k.says("a part is healed", lost(6, 12))
				if got, damage := offsets(t, k.history(View{Stream: s, NextOffset: 18, LastEpoch: 1})[0], 0); how.name != "longer" && (got != "0-2@1 3-5@1" || damage == nil || damage.FirstOffset != 6 || damage.NextOffset != 12) {
					t.Errorf("read %s, %v", got, damage)
				}
				k.commit(w, Changes{Data: data(s, piece(t, 6, 12, 1))})
				k.says("healed", []string{})
				if diff := cmp.Diff(want, k.histories()); diff != "" {
					t.Errorf("read: -want +got\n%s", diff)
				}
				for range 3 {
					k.turn()
					k.says("healed and turned", []string{})
				}
				if diff := cmp.Diff(want, k.histories()); diff != "" {
					t.Errorf("read after turns: -want +got\n%s", diff)
				}
			})
		}
	}
}

// says holds against what is lost what verify, deep and then quick, and Losses say of it:
// the deep one marks what it finds, so that the others know.
func (k *kit) says(when string, want []string) {
	k.Helper()
	for name, got := range map[string][]string{
		"verify --deep": k.problems(VerifyOptions{Deep: true}), "verify": k.problems(VerifyOptions{}), "losses": k.losses(),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			k.Errorf("%s: %s: -want +got\n%s", when, name, diff)
		}
	}
}

// TestHealingOfForks: what another leader epoch wrote at the same offsets heals nothing,
// and what only an older snapshot shows stays lost to that one alone.
func TestHealingOfForks(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	old, now := View{Stream: s, NextOffset: 12, LastEpoch: 1}, View{Stream: s, NextOffset: 15, LastEpoch: 2}
	k.commit(w, Changes{Data: data(s, piece(t, 0, 12, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(old)})
	k.commit(w, Changes{Data: data(s, piece(t, 6, 15, 2)), Snapshot: snapshotOf(now)})
	packs := k.packIDs()
	k.breakPack(packs[0], breakings()[0])
	missing := func(first, next int64) string {
		return fmt.Sprintf("%s missing orders-0 [%d, %d)", packs[0].Key(), first, next)
	}
	if diff := cmp.Diff([]string{missing(0, 12)}, k.problems(VerifyOptions{})); diff != "" {
		t.Errorf("verify: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string{missing(0, 6)}, k.losses()); diff != "" {
		t.Errorf("losses of the newest history: -want +got\n%s", diff)
	}
	k.commit(w, Changes{Data: data(s, piece(t, 0, 6, 1))})
	if diff := cmp.Diff([]string{missing(6, 12)}, k.problems(VerifyOptions{})); diff != "" {
		t.Errorf("verify, healed: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string{}, k.losses()); diff != "" {
		t.Errorf("losses, healed: -want +got\n%s", diff)
	}
	if got, damage := offsets(t, k.history(now)[0], 0); got != "0-2@1 3-5@1 6-8@2 9-11@2 12-14@2" || damage != nil {
		t.Errorf("the newest history: %s, %v", got, damage)
	}
	if got, damage := offsets(t, k.history(old)[0], 0); got != "0-2@1 3-5@1" || damage == nil {
		t.Errorf("the older history: %s, %v", got, damage)
	}
}

// TestHealingWhatWasCompacted: the cleaner has removed what was lost since, all of it or a
// part. An empty row heals it too. Snapshots from before show less then, which verify says
// for as long as there are any; newer ones are whole.
func TestHealingWhatWasCompacted(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	k.commit(w, Changes{Data: data(s, piece(t, 0, 12, 1)), Scans: begin(s, 0)})
	view := View{Stream: s, NextOffset: 15, LastEpoch: 1}
	snapshot := func() *NewSnapshot {
		out := snapshotOf(view)
		out.Time = k.now()
		return out
	}
	k.commit(w, Changes{Data: data(s, piece(t, 12, 15, 1)), Snapshot: snapshot()})
	pack := k.packIDs()[0]
	k.breakPack(pack, breakings()[0])
	k.verify(VerifyOptions{}) // it marks the pack
	rest := piece(t, 4, 6, 1)
	k.commit(w, Changes{Data: data(s, Piece{FirstOffset: 0, NextOffset: 6, Batches: rest.Batches}, Piece{FirstOffset: 6, NextOffset: 12})})
	k.commit(w, Changes{Snapshot: snapshot()})
	if got, damage := offsets(t, k.history(view)[0], 0); got != "4-5@1 12-14@1" || damage != nil {
		t.Errorf("read %s, %v", got, damage)
	}
	if diff := cmp.Diff([]string{}, k.losses()); diff != "" {
		t.Errorf("losses: -want +got\n%s", diff)
	}
	snapshots := k.catalog().Snapshots()
	for i, want := range [][]string{{pack.Key() + " marked as damaged orders-0 [0, 12)"}, {}} {
		h, err := k.vault.OpenHistory(t.Context(), []View{view}, HistoryOptions{SnapshotTime: snapshots[i].Time})
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, d := range h.Streams()[0].Fewer {
			got = append(got, costText(d))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("snapshot %d shows fewer: -want +got\n%s", i, diff)
		}
	}
	problems := k.verify(VerifyOptions{}).Problems
	if len(problems) != 1 || costText(problems[0]) != pack.Key()+" missing orders-0 [0, 12)" || !strings.Contains(problems[0].Error(), "show 2 of the 12 records") {
		t.Errorf("verify: %v", problems)
	}
	k.turnWith(forgetAll(k))
	k.says("without the older snapshot", []string{})
}

// TestWhoMarks: a reader that meets damage, and a verify, say so for others. Where nothing
// can be written the finding counts all the same.
func TestWhoMarks(t *testing.T) {
	frame := func(k *kit) string { return k.frames()[0].Key() }
	pack := func(k *kit) string { return format.Mark{Pack: k.frames()[0].Pack, Start: format.WholePack}.Key() }
	deep := func(k *kit) { k.verify(VerifyOptions{Deep: true}) }
	for name, c := range map[string]struct {
		how  int
		look func(k *kit)
		want func(k *kit) string
	}{
		"quick verify, deleted": {0, func(k *kit) { k.verify(VerifyOptions{}) }, pack},
		"quick verify, cut":     {2, func(k *kit) { k.verify(VerifyOptions{}) }, pack},
		"quick verify, altered": {4, func(k *kit) { k.verify(VerifyOptions{}) }, nil},
		"deep verify, deleted":  {0, deep, pack},
		"deep verify, altered":  {4, deep, frame},
		"reader, deleted":       {0, func(k *kit) { k.readAll() }, pack},
		"reader, cut":           {2, func(k *kit) { k.readAll() }, frame},
		"reader, altered":       {4, func(k *kit) { k.readAll() }, frame},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, mem.New())
			s := stream("orders", 0)
			k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 12, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 12, LastEpoch: 1})})
			k.breakPack(k.packIDs()[0], breakings()[c.how])
			want := []string{}
			if c.want != nil {
				want = append(want, c.want(k))
			}
			v, err := reopened(t, &spoiled{k.store, nil})
			if err != nil {
				t.Fatal(err)
			}
			c.look(&kit{T: t, store: k.store, vault: v})
			if got := keys(t, k.store, format.MarksPrefix); len(got) > 0 {
				t.Errorf("in a vault that is only looked at: %v", got)
			}
			for range 2 {
				c.look(k)
				if diff := cmp.Diff(want, append([]string{}, keys(t, k.store, format.MarksPrefix)...)); diff != "" {
					t.Errorf("marks: -want +got\n%s", diff)
				}
			}
		})
	}
}

// readAll reads what all snapshots show, and proves that damage is met.
func (k *kit) readAll() {
	k.Helper()
	met := 0
	for _, s := range k.catalog().Snapshots() {
		for _, h := range k.history(k.views(s)...) {
			if _, damage := offsets(k, h, 0); damage != nil {
				met++
			}
		}
	}
	if met == 0 {
		k.Error("no damage was met")
	}
}

// TestMarksThatAreNone: a mark is under a hash as everything is, and verify looks at it;
// what else lies there says nothing to anybody.
func TestMarksThatAreNone(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 12, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 12, LastEpoch: 1})})
	m := k.frames()[0]
	if err := k.store.Create(t.Context(), m.Key()+"0/x", nil); err != nil {
		t.Fatal(err)
	}
	k.says("a stray", []string{})
	k.mark(m)
	b := body(t, k.store, m.Key())
	for how, spoil := range map[string][]byte{"empty": {}, "cut": b[:len(b)-1], "altered": append(bytes.Clone(b[:len(b)-1]), b[len(b)-1]^1)} {
		replace(t, k.store, m.Key(), spoil)
		if got := k.verify(VerifyOptions{}); len(got.Problems) != 1 || got.Problems[0].Object != m.Key() {
			t.Errorf("%s: %v", how, got.Problems)
		}
	}
}

// TestGarbageOfMarks: marks go with the packs that they are about.
func TestGarbageOfMarks(t *testing.T) {
	k, _, _ := rolling(t)
	all := k.frames()
	k.mark(all[0], all[2], format.Mark{Pack: all[0].Pack, Start: format.WholePack})
	k.turnWith(forgetAll(k))
	k.turn()
	k.turn()
	if diff := cmp.Diff([]string{all[2].Key()}, keys(t, k.store, format.MarksPrefix)); diff != "" {
		t.Errorf("marks: -want +got\n%s", diff)
	}
}

// TestReadingThatAnotherEpochEnded: what a turn deleted under a reader is no damage, and is
// not marked.
func TestReadingThatAnotherEpochEnded(t *testing.T) {
	k, _, snapshots := rolling(t)
	h := k.history(k.views(snapshots[0])...)[0]
	k.turnWith(forgetAll(k))
	k.turn()
	k.turn()
	for _, err := range h.Batches(t.Context(), 0) {
		if err == nil {
			t.Error("a deleted pack was read")
		}
	}
	if got := keys(t, k.store, format.MarksPrefix); len(got) > 0 {
		t.Errorf("marked: %v", got)
	}
}

// batches of a codec that frames do not compress again; it makes a second frame.
func zipped(t *testing.T, firstOffset int64, n int) Piece {
	return Piece{FirstOffset: firstOffset, NextOffset: firstOffset + int64(n), Batches: batchOf(t, firstOffset, n, 1, recordbatch.CodecZstd)}
}

// TestOneFrameOfMany: a damaged frame costs its own rows only, and the mark finds it also
// where a table lists other frames than the commit.
func TestOneFrameOfMany(t *testing.T) {
	k := newKit(t, mem.New())
	s, other := stream("orders", 0), stream("payments", 0)
	w := k.writer()
	k.commit(w, Changes{Data: slices.Concat(data(s, piece(t, 0, 6, 1)), data(other, zipped(t, 0, 9))), Scans: slices.Concat(begin(s, 0), begin(other, 0)),
		Snapshot: snapshotOf(View{Stream: s, NextOffset: 6, LastEpoch: 1}, View{Stream: other, NextOffset: 9, LastEpoch: 1})})
	want := k.histories()
	frames := k.frames()
	if len(frames) != 2 {
		t.Fatalf("frames %v", frames)
	}
	b := bytes.Clone(body(t, k.store, frames[1].Pack.Key()))
	b[frames[1].Start+60] ^= 1
	replace(t, k.store, frames[1].Pack.Key(), b)
	lost := []string{frames[1].Pack.Key() + " altered payments-0 [0, 9)"}
	k.says("before", lost)
	k.turn()
	k.says("after a turn", lost)
	if diff := cmp.Diff([]string{frames[1].Key()}, keys(t, k.store, format.MarksPrefix)); diff != "" {
		t.Errorf("marks: -want +got\n%s", diff)
	}
	k.commit(k.writer(), Changes{Data: data(other, zipped(t, 0, 9))})
	k.says("healed", []string{})
	k.turn()
	k.says("healed and turned", []string{})
	if diff := cmp.Diff(want, k.histories()); diff != "" {
		t.Errorf("read: -want +got\n%s", diff)
	}
}
