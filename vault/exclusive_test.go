package vault

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// replacing is storage that takes the condition of a Create and does not keep it.
type replacing struct{ blob.Store }

func (replacing) Metered() {}

func (r replacing) Create(ctx context.Context, key string, body []byte) error {
	return errors.Join(r.Delete(ctx, key), r.Store.Create(ctx, key, body))
}

// Unconditional looks first.
func (r replacing) Unconditional() blob.Store { return metered(r) }

func TestInitFindsThatStorageReplaces(t *testing.T) {
	inner := mem.New()
	if _, err := Init(t.Context(), replacing{inner}, InitOptions{Now: time.Now}); !errors.Is(err, ErrReplaces) {
		t.Errorf("%v, want ErrReplaces", err)
	}
	if left := keys(t, inner, ""); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	v, err := Init(t.Context(), replacing{inner}, InitOptions{Now: time.Now, Exclusive: true})
	if err != nil || !v.IsExclusive() {
		t.Fatalf("exclusive: %v", err)
	}
	if v, err = reopened(t, replacing{inner}); err != nil || !v.IsExclusive() {
		t.Fatalf("opened again: %v", err)
	}
	if _, err := Init(t.Context(), replacing{inner}, InitOptions{Now: time.Now, Exclusive: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second init: %v, want fs.ErrExist", err)
	}
}

// warnings are the texts that an observer was told.
type warnings []string

func (w *warnings) Observe(event coldstream.Event) {
	if event, ok := event.(*coldstream.Warning); ok {
		*w = append(*w, event.Text)
	}
}

func TestAnExclusiveVaultWaitsForABase(t *testing.T) {
	for name, appears := range map[string]bool{"that never comes": false, "that comes late": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := mem.New()
				v, err := Init(t.Context(), replacing{inner}, InitOptions{Now: time.Now, Exclusive: true})
				if err != nil {
					t.Fatal(err)
				}
				other := *v
				var told warnings
				v.Observer = &told
				if err := inner.Create(t.Context(), format.BegunKey(1), nil); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if appears {
					time.AfterFunc(30*time.Second, func() {
						if _, err := other.makeBase(context.Background(), baseOrder{epoch: 1}); err != nil {
							t.Error(err)
						}
					})
				}
				if _, err := v.NewWriter(t.Context(), WriterOptions{Now: time.Now}); err != nil {
					t.Fatal(err)
				}
				took := time.Since(began)
				if appears && took >= exclusiveWait || !appears && took < exclusiveWait {
					t.Errorf("it waited %v", took)
				}
				if len(told) == 0 {
					t.Error("nobody was told")
				}
			})
		})
	}
}
