//go:build long

package vault

import (
	"fmt"
	"testing"
	"time"

	"coldstream/blob/mem"
)

// TestOpeningIsMeasured says how long it takes to open a vault of many commits for writing,
// with 30 ms added to each request: the time that docs/benchmarks.md tells of.
func TestOpeningIsMeasured(t *testing.T) {
	for _, c := range []struct {
		commits int
		turned  bool
	}{{1_000, false}, {10_000, false}, {10_000, true}} {
		t.Run(fmt.Sprintf("%d commits, turned %v", c.commits, c.turned), func(t *testing.T) {
			inner := mem.New()
			k := newKit(t, inner)
			k.chain(stream("orders", 0), c.commits)
			if c.turned {
				k.turn()
			}
			for range 3 {
				store := newFar(inner, 30*time.Millisecond)
				began := time.Now()
				v, err := reopened(t, store)
				if err != nil {
					t.Fatal(err)
				}
				w, err := v.NewWriter(t.Context(), WriterOptions{Now: time.Now})
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(began)
				if head, ok := w.Head(stream("orders", 0)); !ok || head.NextOffset != int64(10*c.commits) {
					t.Errorf("head %+v", head)
				}
				t.Logf("%v; %v", took, store.counts)
			}
		})
	}
}
