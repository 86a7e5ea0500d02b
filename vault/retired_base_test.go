package vault

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// beforeCreate calls a hook before an object is created, once.
type beforeCreate struct {
	blob.Store
	key  string
	hook func()
}

func (b *beforeCreate) Create(ctx context.Context, key string, body []byte) error {
	if key == b.key && b.hook != nil {
		hook := b.hook
		b.hook = nil
		hook()
	}
	return b.Store.Create(ctx, key, body)
}

// TestRetiredBaseMadeAgain is rule "confirm": who sleeps just before it creates its base
// makes one that was there and is retired. It decided to take away what the base that
// counted has kept, and must delete none of it.
func TestRetiredBaseMadeAgain(t *testing.T) {
	k, _, _ := rolling(t)
	k.turn()
	want := k.histories()
	var before []string
	base := format.BaseKey(2)
	sleeper := k.over(&beforeCreate{Store: k.store, key: base, hook: func() {
		for n := 0; n == 0 || slices.Contains(keys(t, k.store, ""), base); n++ {
			k.turn()
		}
		before = keys(t, k.store, "")
	}})
	if err := sleeper.vault.Turn(t.Context(), forgetAll(sleeper)); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(before, base) || len(before) == 0 {
		t.Fatal("the base was not retired while its maker slept")
	}
	made := append(before, base)
	slices.Sort(made)
	if diff := cmp.Diff(made, keys(t, k.store, "")); diff != "" {
		t.Errorf("the sleeper made its base and changed (-want +got)\n%s", diff)
	}
	k.mustBeSound()
	if diff := cmp.Diff(want, k.histories()); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
}
