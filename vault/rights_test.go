package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"coldstream/blob"
	"coldstream/blob/faultblob"
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
	writer, err := reopened(t, denying{Store: k.store})
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
	reader, err := reopened(t, denying{k.store, true})
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

// uncreated fails the test at each Create.
type uncreated struct {
	blob.Store
	t *testing.T
}

func (u uncreated) Create(_ context.Context, key string, _ []byte) error {
	u.t.Errorf("create %s", key)
	return fs.ErrPermission
}

// Verify writes nothing to a sound vault, and a vault that is only read is never written to.
func TestWhoOnlyReadsCreatesNothing(t *testing.T) {
	k := newKit(t, mem.New())
	k.chain(stream("orders", 0), 3)
	v, err := reopened(t, uncreated{k.store, t})
	if err != nil {
		t.Fatal(err)
	}
	report, err := v.Verify(t.Context(), VerifyOptions{Deep: true})
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("got %+v, %v", report, err)
	}
	for _, key := range keys(t, k.store, format.PacksPrefix) {
		if err := faultblob.FlipBit(t.Context(), k.store, key, 8*200); err != nil {
			t.Fatal(err)
		}
	}
	reader := v.ReadOnly().ReadOnly()
	if report, err = reader.Verify(t.Context(), VerifyOptions{Deep: true}); err != nil || len(report.Problems) == 0 {
		t.Errorf("got %+v, %v", report, err)
	}
	if err := reader.PutRestoreRecord(t.Context(), RestoreID{}, recordHold, nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("got %v, want ErrReadOnly", err)
	}
	if err := reader.objects.Delete(t.Context(), format.VaultKey); !errors.Is(err, ErrReadOnly) {
		t.Errorf("got %v, want ErrReadOnly", err)
	}
}
