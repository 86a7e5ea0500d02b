//go:build long

package s3store_test

import (
	"fmt"
	"testing"

	"coldstream/blob/storetest"
)

func TestContractOfMinIO(t *testing.T) { keepsContract(t, storetest.MinIO(t)) }

func TestVersionsAndLocksOfMinIO(t *testing.T) { locksAndVersions(t, storetest.MinIO(t), true) }

// TestAListingOfManyPages has a hundred pages.
func TestAListingOfManyPages(t *testing.T) {
	s := storetest.Versitygw(t)
	store := open(t, s, nil)
	const objects = 100_000
	work := make(chan int)
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			var err error
			for i := range work {
				if err == nil {
					err = store.Create(t.Context(), fmt.Sprintf("many/%06d", i), nil)
				}
			}
			errs <- err
		}()
	}
	for i := range objects {
		work <- i
	}
	close(work)
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	n := 17
	for e, err := range store.List(t.Context(), "many/", "many/000016") {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("many/%06d", n); e.Key != want {
			t.Fatalf("listed %s, want %s", e.Key, want)
		}
		n++
	}
	if n != objects {
		t.Errorf("listed up to %d of %d", n, objects)
	}
}
