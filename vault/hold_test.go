package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"coldstream"
)

// archiveOf shows all that the vault holds, and the document that a restore of it would hold it by.
func (k *kit) archiveOf() (*Shown, []byte) {
	k.Helper()
	shown, err := k.catalog().Show(k.Context(), &Choice{Archive: true})
	if err != nil {
		k.Fatal(err)
	}
	holds, err := shown.HeldViews()
	if err != nil {
		k.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{"restore": "0100000000000000", "holds": holds})
	if err != nil {
		k.Fatal(err)
	}
	return shown, document
}

// readsFrom says whether all of a view can be read, from its first offset on.
func (k *kit) readsFrom(view View) bool {
	k.Helper()
	h, err := k.vault.OpenHistory(k.Context(), []View{view}, HistoryOptions{})
	if errors.Is(err, coldstream.ErrForgotten) {
		return false
	}
	if err != nil {
		k.Fatal(err)
	}
	got, damage := offsets(k, h.Streams()[0], 0)
	if damage != nil {
		k.Errorf("read %s: %v", viewText(view), damage)
	}
	return strings.HasPrefix(got, fmt.Sprintf("%d-", view.LogStartOffset))
}

// TestHeldViews: what no snapshot shows stays as long as a restore holds it, and goes when that ends.
func TestHeldViews(t *testing.T) {
	k, s, snapshots := rolling(t)
	// Nothing shows offsets below 20 any more, and nothing was released yet.
	k.turnWith(TurnOptions{Forget: forgetAll(k).Forget})
	shown, document := k.archiveOf()
	if got, want := shown.text(), "orders-0 scan 0 [0, 30) epoch 1"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	const want = `{"version":1,"snapshot":"%s","topics":[{"cluster_id":"cluster-1","topic":"orders","topic_id":"%s","incarnation":0,` +
		`"partitions":[{"partition":0,"scan":0,"first_offset":0}]}]}`
	if b, err := shown.HeldViews(); err != nil || string(b) != fmt.Sprintf(want, snapshots[2].ID, s.TopicID) {
		t.Errorf("holds %s, %v", b, err)
	}
	if err := k.vault.Hold(t.Context(), RestoreID{1}, shown.Snapshot, document); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		k.turnWith(forgetAll(k))
		k.mustBeSound()
		if !k.readsFrom(shown.Views[0]) {
			t.Fatal("what is held was released")
		}
	}
	if err := k.vault.EndRestore(t.Context(), RestoreID{1}); err != nil {
		t.Fatal(err)
	}
	k.turnWith(forgetAll(k))
	if k.readsFrom(shown.Views[0]) {
		t.Error("nothing was released when the hold had ended")
	}
	// Its snapshot is there, and what it would hold beside that is not.
	if err := k.vault.Hold(t.Context(), RestoreID{2}, shown.Snapshot, document); !errors.Is(err, coldstream.ErrForgotten) {
		t.Errorf("a hold on what was released: %v", err)
	}
	k.mustBeSound()
}

// TestHeldViewsAndTurns pauses a turn that releases at each operation for a hold of views, and a
// hold for the turn. Either the hold is refused, or all of the view is there.
func TestHeldViewsAndTurns(t *testing.T) {
	whole, _, _ := rolling(t)
	whole.turnWith(TurnOptions{Forget: forgetAll(whole).Forget})
	outcomes := map[bool]int{}
	for _, holdFirst := range []bool{false, true} {
		for n := 1; ; n++ {
			store := copyStore(t, whole.store)
			k := whole.over(store)
			slow := &pausing{Store: store, left: n}
			shown, document := k.archiveOf()
			var held error
			if holdFirst {
				slow.hook = func() { k.turnWith(forgetAll(k)) }
				held = k.over(slow).vault.Hold(t.Context(), RestoreID{1}, shown.Snapshot, document)
			} else {
				slow.hook = func() { held = k.vault.Hold(t.Context(), RestoreID{1}, shown.Snapshot, document) }
				k.over(slow).turnWith(forgetAll(k))
			}
			if slow.left <= 0 {
				if held != nil && !errors.Is(held, coldstream.ErrForgotten) {
					t.Errorf("operation %d: %v", n, held)
				}
				for range 3 {
					k.turnWith(forgetAll(k))
				}
				if isThere := k.readsFrom(shown.Views[0]); isThere != (held == nil) {
					t.Errorf("operation %d, hold first %v: held: %v, and the view is there: %v", n, holdFirst, held, isThere)
				}
				outcomes[held == nil]++
			}
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

// TestHoldsThatCannotBeRead: a turn that removes something stops at a hold that it does not understand,
// as one of a version before views does at a hold with views.
func TestHoldsThatCannotBeRead(t *testing.T) {
	for document, want := range map[string]error{
		`{"restore":"0100000000000000"}`:                                          coldstream.ErrCorrupt,
		`{"holds":{"version":2,"snapshot":"0102030405060708"}}`:                   coldstream.ErrUnsupported,
		`{"holds":{"version":1,"snapshot":"01"}}`:                                 coldstream.ErrCorrupt,
		`{"holds":{"version":1,"snapshot":"0102030405060708","topics":[{}]}}`:     coldstream.ErrCorrupt,
		`{"holds":{"version":1,"snapshot":"0102030405060708","topics":"orders"}}`: coldstream.ErrCorrupt,
	} {
		k, _, _ := rolling(t)
		if err := k.vault.PutRestoreRecord(t.Context(), RestoreID{1}, recordHold, []byte(document)); err != nil {
			t.Fatal(err)
		}
		if err := k.vault.Turn(t.Context(), forgetAll(k)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", document, err, want)
		}
	}
}
