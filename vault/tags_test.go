package vault

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
)

func (k *kit) tagsOf(id SnapshotID) string {
	k.Helper()
	said, err := k.readTags().Of(k.Context(), k.snapshot(id))
	if err != nil {
		k.Fatal(err)
	}
	return said.String()
}

func (k *kit) readTags() *TagReader {
	k.Helper()
	r, err := k.vault.ReadTags(k.Context())
	if err != nil {
		k.Fatal(err)
	}
	return r
}

func (k *kit) snapshot(id SnapshotID) *Snapshot {
	k.Helper()
	s, err := k.catalog().find(id)
	if err != nil {
		k.Fatal(err)
	}
	return s
}

func (k *kit) changeTags(id SnapshotID, change func(*coldstream.Tags)) error {
	k.Helper()
	_, err := k.vault.ChangeTags(k.Context(), id, change)
	return err
}

func pin(t *coldstream.Tags)   { t.Pinned = true }
func unpin(t *coldstream.Tags) { t.Pinned = false }

// TestPin: a pinned snapshot stays with all that it shows, whenever it was pinned; what was said
// of one that went is gone with it, and nothing is overwritten.
func TestPin(t *testing.T) {
	k, s, snapshots := rolling(t)
	c := Changes{Snapshot: snapshotOf(View{Stream: s, LogStartOffset: 20, NextOffset: 30, LastEpoch: 1})}
	c.Snapshot.Metadata.Tags = coldstream.Tags{Values: map[string]string{"release": "4"}, Pinned: true}
	made := k.commit(k.writer(), c).Snapshot
	k.commit(k.writer(), Changes{Snapshot: snapshotOf(View{Stream: s, LogStartOffset: 20, NextOffset: 30, LastEpoch: 1})})
	later := snapshots[1].ID
	if err := k.changeTags(later, func(t *coldstream.Tags) { t.Values["why"] = "audit"; t.Pinned = true }); err != nil {
		t.Fatal(err)
	}
	k.turnWith(forgetAll(k))
	for id, want := range map[SnapshotID]string{made: "release=4, pinned", later: "why=audit, pinned"} {
		if got := k.tagsOf(id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if got := len(k.catalog().Snapshots()); got != 3 {
		t.Errorf("%d snapshots", got)
	}
	if head, _ := k.catalog().head(s); head.Floor != 10 {
		t.Errorf("released up to %d, where a pinned snapshot begins at 10", head.Floor)
	}
	k.mustBeSound()
	for _, id := range []SnapshotID{made, later} {
		if err := k.changeTags(id, unpin); err != nil {
			t.Fatal(err)
		}
	}
	if got := k.tagsOf(made); got != "release=4" {
		t.Errorf("unpinned: %s", got)
	}
	k.turnWith(forgetAll(k))
	if err := k.changeTags(later, pin); !errors.Is(err, coldstream.ErrForgotten) {
		t.Errorf("pinned what was forgotten: %v", err)
	}
	k.turn()
	k.turn()
	if left := keys(t, k.store, format.TagsPrefix); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	k.mustBeSound()
}

// TestPinWhileTurning is rule "hold" for pins: a pin is there before the look, and a turn lists pins
// after its epoch has begun. So whenever the turn comes, the pin counts or its maker hears that it is too late.
func TestPinWhileTurning(t *testing.T) {
	for _, at := range []string{format.EpochsPrefix, format.TagsPrefix, ""} { // the maker sleeps here
		k, _, snapshots := rolling(t)
		id, once := snapshots[0].ID, true
		turn := func() {
			if once {
				once = false
				k.turnWith(forgetAll(k))
			}
		}
		maker := k.over(&hooked{k.store, func(prefix string) {
			if prefix == at {
				turn()
			}
		}})
		if at == "" { // the turn lists, then the pin comes
			maker = k.over(&beforeChange{Store: k.store, key: format.TagsID{Snapshot: format.SnapshotID(id)}.Key(), hook: turn})
		}
		err := maker.changeTags(id, pin)
		_, gone := k.catalog().find(id)
		if (err == nil) != (gone == nil) || once || err != nil && !errors.Is(err, coldstream.ErrForgotten) {
			t.Errorf("turned at %q: the pin says %v, the snapshot %v", at, err, gone)
		}
	}
	// The other way around: the pin comes while the turn is on its way.
	k, _, snapshots := rolling(t)
	id := snapshots[0].ID
	keeper := k.over(&beforeChange{Store: k.store, key: format.BegunKey(1), hook: func() {
		if err := k.changeTags(id, pin); err != nil {
			t.Error(err)
		}
	}})
	keeper.turnWith(forgetAll(k))
	if _, err := k.catalog().find(id); err != nil {
		t.Errorf("a pin that was there before the epoch began: %v", err)
	}
}

// TestTagsAtOnce: of two who change the tags of one snapshot nobody loses anything.
func TestTagsAtOnce(t *testing.T) {
	for _, turns := range []bool{false, true} {
		k, _, snapshots := rolling(t)
		id := snapshots[2].ID
		slow := k.over(&beforeChange{Store: k.store, key: format.TagsID{Snapshot: format.SnapshotID(id)}.Key(), hook: func() {
			if turns {
				k.turn()
			}
			if err := k.changeTags(id, func(t *coldstream.Tags) { t.Values["a"] = "1" }); err != nil {
				t.Error(err)
			}
		}})
		if err := slow.changeTags(id, func(t *coldstream.Tags) { t.Values["b"] = "2" }); err != nil {
			t.Fatal(err)
		}
		if got := k.tagsOf(id); got != "a=1, b=2" {
			t.Errorf("turned %v: %s", turns, got)
		}
	}
}

// TestDamagedTagsPin: what cannot be read may have been a pin. Saying it again mends it.
func TestDamagedTagsPin(t *testing.T) {
	k, _, snapshots := rolling(t)
	id := snapshots[0].ID
	if err := k.changeTags(id, func(t *coldstream.Tags) { t.Values["a"] = "1" }); err != nil {
		t.Fatal(err)
	}
	key := keys(t, k.store, format.TagsPrefix)[0]
	object := raw(t, k.store, key)
	object[len(object)-1] ^= 1
	put(t, k.store, key, object)
	if got := k.verify(VerifyOptions{}).Problems; len(got) != 1 || got[0].Object != key {
		t.Errorf("verify: %v", got)
	}
	k.turnWith(forgetAll(k))
	if _, err := k.catalog().find(id); err != nil {
		t.Error(err)
	}
	if err := k.changeTags(id, unpin); err != nil {
		t.Fatal(err)
	}
	if k.tagsOf(id) != "" {
		t.Errorf("said again: %q", k.tagsOf(id))
	}
}

// TestUnpinIsSigned: in a vault with a keeper's key, who could not take a snapshot away cannot unpin it.
func TestUnpinIsSigned(t *testing.T) {
	t.Run("encrypted", func(t *testing.T) { unpinIsSigned(t, testEncryption()) })
	t.Run("with a keeper's key alone", func(t *testing.T) { unpinIsSigned(t, keeperAlone()) })
}

func unpinIsSigned(t *testing.T, made *Encryption) {
	k := newKitWith(t, made)
	s := stream("orders", 0)
	id := k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 3, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 3, LastEpoch: 1})}).Snapshot
	host := k.catalogOnly()
	if err := host.changeTags(id, pin); err != nil {
		t.Fatal(err)
	}
	if err := host.changeTags(id, unpin); !isWrongKey(err) {
		t.Errorf("a host unpins: %v", err)
	}
	at := format.TagsID{Snapshot: format.SnapshotID(id), Number: 1}
	for name, forged := range map[string]*format.TagsChange{
		"unsigned": {}, "signed by nobody": {Signature: []byte(strings.Repeat("x", 64)), SignatureKey: [8]byte{1}},
	} {
		over := host.over(copyStore(t, k.store))
		if err := over.vault.storeTags(t.Context(), at, forged); err != nil {
			t.Fatal(err)
		}
		if got := over.tagsOf(id); got != "pinned" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if err := k.changeTags(id, unpin); err != nil {
		t.Fatal(err)
	}
	if got := host.tagsOf(id); got != "" {
		t.Errorf("unpinned by the operator: %q", got)
	}
	if names := keys(t, k.store, format.TagsPrefix); !slices.Equal(names, []string{format.TagsID{Snapshot: format.SnapshotID(id)}.Key(), at.Key()}) {
		t.Errorf("%v", names)
	}
}

// TestTagsWithTheHighestNumber: behind what somebody stored under the highest number nothing can be said.
// That is an error: what is said must not be lost, nor be tried for ever.
func TestTagsWithTheHighestNumber(t *testing.T) {
	k, _, snapshots := rolling(t)
	id := snapshots[0].ID
	for _, number := range []uint32{0, math.MaxUint32} {
		if err := k.vault.storeTags(t.Context(), format.TagsID{Snapshot: format.SnapshotID(id), Number: number}, &format.TagsChange{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	var damage *DamageError
	if _, err := k.vault.ChangeTags(ctx, id, pin); !errors.As(err, &damage) || damage.Kind != KindAltered {
		t.Errorf("pinned behind the highest number: %v", err)
	}
}
