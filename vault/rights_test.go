package vault

import (
	"context"
	"fmt"
	"io/fs"
	"testing"

	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// denying is storage seen by somebody who lacks rights.
type denying struct {
	blob.Store
	create bool // is denied as well
}

func (d denying) Create(ctx context.Context, key string, body []byte) error {
	if d.create {
		return fmt.Errorf("create %s: %w", key, fs.ErrPermission)
	}
	return d.Store.Create(ctx, key, body)
}

func (denying) Delete(_ context.Context, key string) error {
	return fmt.Errorf("delete %s: %w", key, fs.ErrPermission)
}

func TestWhoMayNotDeleteLeavesItToTheNextKeeper(t *testing.T) {
	k := newKit(t, mem.New())
	k.chain(stream("orders", 0), 3)
	writer, err := Open(t.Context(), denying{Store: k.store})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := writer.Turn(t.Context(), TurnOptions{}); err != nil {
			t.Fatalf("a turn by who may not delete: %v", err)
		}
	}
	if commits := keys(t, k.store, format.CommitsPrefix(0)); len(commits) != 3 {
		t.Fatalf("commits left: %v", commits)
	}
	k.turn()
	if commits := keys(t, k.store, format.CommitsPrefix(0)); len(commits) != 0 {
		t.Errorf("the keeper left %v", commits)
	}
	k.mustBeSound()
}

func TestWhoMayOnlyReadNeedsNoBase(t *testing.T) {
	k := newKit(t, mem.New())
	k.chain(stream("orders", 0), 3)
	if err := k.store.Create(t.Context(), format.BegunKey(1), nil); err != nil { // and there its maker died
		t.Fatal(err)
	}
	reader, err := Open(t.Context(), denying{k.store, true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := reader.OpenCatalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Snapshots()); n != 3 {
		t.Errorf("%d snapshots, want 3", n)
	}
}
