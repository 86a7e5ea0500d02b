package vault

import (
	"slices"
	"testing"

	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// TestExpect: each vault hash that was printed is found, however many turns ago that was
// and with all merged; what is not there any more is missed.
func TestExpect(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	var hashes []string
	for i := range int64(30) {
		c := Changes{Data: data(s, piece(t, i, i+1, 1))}
		if i == 0 {
			c.Scans = begin(s, 0)
		}
		hashes = append(hashes, k.commit(w, c).VaultHash)
		if i%4 == 3 {
			k.turn()
		}
	}
	for i, text := range hashes {
		if got := k.expect(text); len(got) > 0 {
			t.Errorf("hash %d: %v", i, got)
		}
	}
	last := keys(t, k.store, format.CommitsPrefix(k.catalog().epoch))
	k.delete(last[len(last)-1])
	if got := kinds(k.verify(VerifyOptions{Deep: true}).Problems); len(got) > 0 {
		t.Errorf("nothing names the newest commit, and yet: %v", got)
	}
	if got := k.expect(hashes[29]); !slices.Contains(got, "missing commits/") {
		t.Errorf("the newest commit is gone: %v", got)
	}
	if got := k.expect(hashes[28]); len(got) > 0 {
		t.Errorf("the one before is there: %v", got)
	}
	for _, bad := range []string{"", "ab", hashes[0] + "00", "x" + hashes[0][1:]} {
		if _, err := ParseVaultHash(bad); err == nil {
			t.Errorf("%q is taken for a hash", bad)
		}
	}
}

func (k *kit) expect(text string) []string {
	k.Helper()
	hash, err := ParseVaultHash(text)
	if err != nil {
		k.Fatal(err)
	}
	return kinds(k.verify(VerifyOptions{Expect: &hash}).Problems)
}
