package vault

import (
	"testing"

	"coldstream/blob/mem"
)

// A new snapshot does not share what is damaged with older ones: what is missing is stored
// again, what is altered cannot be replaced under its name, and both are reported.
func TestSharedSectionsAreProven(t *testing.T) {
	for _, how := range []string{KindMissing, KindAltered} {
		t.Run(how, func(t *testing.T) {
			k := newKit(t, mem.New())
			s := stream("orders", 0)
			k.chain(s, 1)
			for _, key := range keys(t, k.store, "tables/") {
				if how == KindMissing {
					if err := k.store.Delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
					continue
				}
				content := body(t, k.store, key)
				content[len(content)-1] ^= 1
				replace(t, k.store, key, content)
			}
			w := k.writer()
			if len(w.Damage()) > 0 {
				t.Fatalf("damage before: %v", w.Damage())
			}
			changes := Changes{Snapshot: snapshotOf(View{Stream: s, NextOffset: 10, LastEpoch: 1})}
			if _, err := w.Commit(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
			if len(w.Damage()) == 0 {
				t.Error("no damage is reported")
			}
			snapshots := k.catalog().Snapshots()
			m, err := k.vault.Metadata(t.Context(), &snapshots[len(snapshots)-1])
			if err != nil || (len(m.Damaged) > 0) != (how == KindAltered) {
				t.Errorf("metadata of the new snapshot: %+v, %v", m, err)
			}
		})
	}
}
