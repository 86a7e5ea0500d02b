package object

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// far is storage whose requests cost.
type far struct{ blob.Store }

func (far) Metered() {}

// TestAheadGivesWhatTheStorageHas asks in other orders than was said, twice, for what is
// missing, and for more than there is room for.
func TestAheadGivesWhatTheStorageHas(t *testing.T) {
	inner := mem.New()
	var objects []blob.Entry
	for i := range 40 {
		key, size := fmt.Sprintf("o/%02d", i), 1+(i%5)*aheadBytes/8
		if err := inner.Create(t.Context(), key, []byte(strings.Repeat(string(rune('a'+i%26)), size))); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, blob.Entry{Key: key, SizeBytes: int64(size)})
	}
	objects = append(objects, blob.Entry{Key: "missing", SizeBytes: 1})
	backwards := slices.Clone(objects)
	slices.Reverse(backwards)
	for name, order := range map[string][]blob.Entry{"in order": objects, "backwards": backwards, "some": {objects[3], objects[30], objects[3]}} {
		t.Run(name, func(t *testing.T) {
			s := New(far{inner}, &format.VaultInfo{})
			s, stop := s.Ahead(t.Context(), objects)
			for _, o := range order {
				got, err := blob.ReadAll(t.Context(), s.blobs, o.Key, 1<<30)
				want, wantErr := blob.ReadAll(t.Context(), inner, o.Key, 1<<30)
				if (err == nil) != (wantErr == nil) || !slices.Equal(got, want) {
					t.Fatalf("%s: %d bytes, %v; want %d, %v", o.Key, len(got), err, len(want), wantErr)
				}
			}
			stop()
		})
	}
}
