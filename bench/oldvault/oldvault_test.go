package oldvault

import (
	"testing"

	fsstore "coldstream/blob/fs"
	"coldstream/vault"
)

// TestMake: what is made is a vault without damage, as far as its catalog tells.
func TestMake(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			dir := t.TempDir()
			kind.Partitions, kind.Active = 2*perTopic, min(kind.Active, 2*perTopic)
			if err := Make(t.Context(), dir, kind, 0.002); err != nil {
				t.Fatal(err)
			}
			store, err := fsstore.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			v, err := vault.Open(t.Context(), store)
			if err != nil {
				t.Fatal(err)
			}
			report, err := v.Verify(t.Context(), vault.VerifyOptions{})
			if err != nil || len(report.Problems) > 0 || report.Snapshots == 0 || report.Packs == 0 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}
