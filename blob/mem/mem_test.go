package mem_test

import (
	"testing"

	"coldstream/blob"
	"coldstream/blob/blobtest"
	"coldstream/blob/mem"
)

func TestContract(t *testing.T) {
	for _, check := range blobtest.Checks(blobtest.Shared) {
		t.Run(check.Name, func(t *testing.T) {
			store := mem.New()
			if err := check.Run(t.Context(), func() (blob.Store, error) { return store, nil }); err != nil {
				t.Error(err)
			}
		})
	}
}

// The zero value is documented to be ready, for reading too.
func TestZeroValue(t *testing.T) {
	var store mem.Store
	for entry, err := range store.List(t.Context(), "", "") {
		t.Errorf("the zero value lists %v, %v", entry, err)
	}
	if err := store.Delete(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := store.Create(t.Context(), "a", nil); err != nil {
		t.Error(err)
	}
}
