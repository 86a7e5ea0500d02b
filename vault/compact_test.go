package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// flushed is a vault of many small flushes: some partitions of some topics in each pack.
func flushed(t *testing.T, flushes int64) *kit {
	t.Helper()
	k := newKit(t, mem.New())
	k.flush(flushes)
	return k
}

func (k *kit) flush(flushes int64) {
	t := k.T
	t.Helper()
	w := k.writer()
	for i := range flushes {
		c := Changes{}
		var views []View
		for topic := range 3 {
			for partition := range int32(2) {
				s := stream(fmt.Sprintf("topic-%d", topic), partition)
				if i == 0 {
					c.Scans = append(c.Scans, begin(s, 0)...)
				}
				c.Data = append(c.Data, data(s, piece(t, 3*i, 3*i+3, 1+int32(i/20)))...)
				views = append(views, View{Stream: s, NextOffset: 3*i + 3, LastEpoch: 1 + int32(i/20)})
			}
		}
		if i%10 == 9 || i == flushes-1 {
			c.Snapshot = snapshotOf(views...)
			c.Snapshot.Time = k.now()
		}
		k.commit(w, c)
	}
}

func (k *kit) compact() *CompactReport {
	k.Helper()
	r, err := k.vault.Compact(k.Context(), CompactOptions{Now: k.now})
	if err != nil {
		k.Fatal(err)
	}
	return r
}

// readMeter counts what is read of packs.
type readMeter struct {
	blob.Store
	requests, bytes atomic.Int64
}

func (r *readMeter) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	b, err := r.Store.Read(ctx, key, offset, length)
	if strings.HasPrefix(key, format.PacksPrefix) {
		r.requests.Add(1)
		r.bytes.Add(int64(len(b)))
	}
	return b, err
}

// TestCompact: what every snapshot shows stays as it is, to the byte and the row, in a few packs; the
// old ones are gone when they may be, and there is nothing to do again.
func TestCompact(t *testing.T) {
	for _, turnsBefore := range []int{0, 3} { // rows are in commits, or in tables
		k := flushed(t, 60)
		for range turnsBefore {
			k.turn()
		}
		before, hash := k.histories(), len(k.packIDs())
		foreseen, err := k.vault.ForeseeCompaction(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if foreseen.PacksRead != 60 || foreseen.PacksFreed != 60 || foreseen.Rows != 360 || hash != 60 {
			t.Errorf("foreseen %+v of %d packs", foreseen, hash)
		}
		got := k.compact()
		if got.Rows != foreseen.Rows || got.PacksMade != 1 || got.PacksFreed != 60 || got.BytesFreed != foreseen.BytesFreed {
			t.Errorf("%+v, foreseen %+v", got, foreseen)
		}
		if diff := cmp.Diff(before, k.histories()); diff != "" {
			t.Errorf("(-before +after)\n%s", diff)
		}
		k.mustBeSound()
		for range 2 {
			k.turn()
		}
		if packs := k.packIDs(); len(packs) != 1 {
			t.Errorf("%d packs are left", len(packs))
		}
		if diff := cmp.Diff(before, k.histories()); diff != "" {
			t.Errorf("once the old packs are gone (-before +after)\n%s", diff)
		}
		k.mustBeSound()
		if again := k.compact(); again.Rows != 0 {
			t.Errorf("again: %+v", again)
		}
		w := k.writer()
		s := stream("topic-0", 0)
		k.commit(w, Changes{Data: data(s, piece(t, 180, 183, 4))})
		k.mustBeSound()
	}
}

// TestCompactStands is rule "redo": a base names the new places of those rows alone that are still there.
func TestCompactStands(t *testing.T) {
	k := flushed(t, 40)
	s := stream("topic-1", 0)
	c := Changes{Snapshot: snapshotOf(View{Stream: s, LogStartOffset: 90, NextOffset: 120, LastEpoch: 2})}
	c.Snapshot.Time = k.now()
	k.commit(k.writer(), c)
	keeper := k.over(&beforeChange{Store: k.store, key: format.BegunKey(1), hook: func() {
		k.turnWith(forgetAll(k)) // another keeper releases most of topic-1/0 meanwhile
	}})
	keeper.compact()
	k.mustBeSound()
	if head, _ := k.catalog().head(s); head.Floor != 90 {
		t.Errorf("floor %d", head.Floor)
	}
	for _, of := range k.rowsOf(s) {
		if of.FirstOffset < 90 {
			t.Errorf("a row that was released is back: [%d, %d)", of.FirstOffset, of.NextOffset)
		}
	}
	for range 3 {
		k.turn()
	}
	k.mustBeSound()
}

func (k *kit) rowsOf(s coldstream.Stream) (out []format.Row) {
	k.eachFacts(func(f *format.Facts) {
		for _, r := range f.Rows {
			if f.StreamAt(r.Stream) == s {
				out = append(out, r)
			}
		}
	})
	return out
}

// TestCompactSleeps is rule "fresh" for moved rows: packs of epochs that are long over may be garbage, and
// are named no more.
func TestCompactSleeps(t *testing.T) {
	k := flushed(t, 40)
	before := k.histories()
	keeper := k.over(&beforeChange{Store: k.store, key: format.BegunKey(1), hook: func() {
		for range 4 {
			k.turn()
		}
	}})
	if got := keeper.compact(); got.PacksFreed != 0 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(before, k.histories()); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	for range 3 {
		k.turn()
	}
	k.mustBeSound()
	if got := k.compact(); got.PacksFreed != 40 {
		t.Errorf("begun again: %+v", got)
	}
	k.mustBeSound()
}

// TestCompactCutOff: wherever it stops, all is there, and the next one goes on.
func TestCompactCutOff(t *testing.T) {
	for n := 1; ; n += sweepStep(3) {
		k := flushed(t, 20)
		before := k.histories()
		f := &failing{Store: k.store, left: n, answered: n%2 == 0}
		_, err := k.over(f).vault.Compact(t.Context(), CompactOptions{Now: k.now})
		k.mustBeSound()
		if diff := cmp.Diff(before, k.histories()); diff != "" {
			t.Fatalf("cut off at %d (-before +after)\n%s", n, diff)
		}
		if err == nil {
			break
		}
		k.compact()
		for range 3 {
			k.turn()
		}
		k.mustBeSound()
		if packs := k.packIDs(); len(packs) != 1 {
			t.Errorf("cut off at %d: %d packs are left", n, len(packs))
		}
	}
}

// TestCompactDamage: what cannot be read stays where it is, and is named.
func TestCompactDamage(t *testing.T) {
	k := flushed(t, 30)
	id := k.packIDs()[7]
	object := raw(t, k.store, id.Key())
	for i := 40; i < len(object)-200; i++ {
		object[i] ^= 0x55
	}
	put(t, k.store, id.Key(), object)
	got := k.compact()
	if len(got.Damaged) == 0 || got.Damaged[0].Object != id.Key() || got.PacksFreed != 29 {
		t.Errorf("%+v", got)
	}
	for range 2 {
		k.turn()
	}
	if packs := k.packIDs(); len(packs) != 2 || packs[0] != id {
		t.Errorf("%v", packs)
	}
	if problems := k.verify(VerifyOptions{Deep: true}).Problems; len(problems) < 6 {
		t.Errorf("%v", problems)
	}
	if again := k.compact(); again.Rows != 0 {
		t.Errorf("what is marked: %+v", again)
	}
}

// TestCompactReadsLittle: after many small flushes a reader of one topic reads little else.
func TestCompactReadsLittle(t *testing.T) {
	k := flushed(t, 400)
	read := func() (requests int64, ratio float64) {
		meter := &readMeter{Store: k.store}
		over := k.over(meter)
		snapshots := over.catalog().Snapshots()
		var views []View
		for _, view := range over.views(snapshots[len(snapshots)-1]) {
			if view.Stream.Topic == "topic-1" {
				views = append(views, view)
			}
		}
		var batches int
		for _, s := range over.history(views...) {
			for b, err := range s.Batches(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				batches += len(b)
			}
		}
		stats, err := k.vault.ReadStats(t.Context())
		if err != nil || stats.Topics[1].Stored.BatchBytes != int64(batches) {
			t.Fatalf("%d bytes, %v, %v", batches, stats, err)
		}
		return meter.requests.Load(), float64(meter.bytes.Load()) / float64(stats.Topics[1].Stored.PackBytes)
	}
	requests, ratio := read()
	k.compact()
	after, now := read()
	t.Logf("%d requests and %.2f times the bytes before, %d and %.2f after", requests, ratio, after, now)
	if after > requests/20 || now > 1.2 {
		t.Errorf("%d requests for %.2f times the bytes", after, now)
	}
}

// TestCompactIsSigned: in an encrypted vault a keeper signs it, and who cannot read records cannot do it.
func TestCompactIsSigned(t *testing.T) {
	old := *encrypted
	*encrypted = true
	defer func() { *encrypted = old }()
	k := flushed(t, 20)
	if _, err := k.catalogOnly().vault.Compact(t.Context(), CompactOptions{Now: k.now}); err == nil || errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("a host: %v", err)
	}
	k.compact()
	k.mustBeSound()
	base, _, err := k.vault.loadBase(t.Context(), k.catalog().epoch)
	if err != nil || len(base.Signature) == 0 {
		t.Errorf("%+v, %v", base, err)
	}
}

// TestCompactStoresNothingInVain: where the base could not be signed, no packs are stored for it.
func TestCompactStoresNothingInVain(t *testing.T) {
	k := newKitWith(t, keeperAlone())
	k.flush(20)
	before := keys(t, k.store, "")
	host := k.catalogOnly()
	if _, err := host.vault.Compact(t.Context(), CompactOptions{Now: k.now}); !isWrongKey(err) || !errors.Is(err, errNoKeeper) {
		t.Errorf("a host: %v", err)
	}
	if diff := cmp.Diff(before, keys(t, k.store, "")); diff != "" {
		t.Errorf("a host stores (-before +after)\n%s", diff)
	}
	k.compact()
	k.mustBeSound()
	if got := host.compact(); got.Rows != 0 {
		t.Errorf("nothing is left to move, and a host does so: %+v", got)
	}
}
