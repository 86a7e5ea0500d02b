//go:build long

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coldstream/blob/storetest"
)

func TestVaultInMinIO(t *testing.T) {
	realCluster(t)
	b := inS3(t, storetest.MinIO(t))
	b.everywhere(t)
	t.Run("trouble", func(t *testing.T) { b.trouble(t) })
	t.Run("cost", func(t *testing.T) { b.cost(t) })
	t.Run("kill", func(t *testing.T) { b.kill(t, buildProgram(t)) })
	t.Run("a rotten object", func(t *testing.T) { b.rotten(t) })
}

func TestVaultInGCS(t *testing.T) {
	realCluster(t)
	g := storetest.FakeGCS(t)
	g.Setenv(t)
	bucket{vault: func(prefix string) string { return "gs://" + g.Bucket + "/" + prefix }}.everywhere(t)
}

func TestVaultInAzure(t *testing.T) {
	realCluster(t)
	a := storetest.Azurite(t)
	a.MakeContainer(t, "vaults")
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", a.ConnectionString)
	bucket{vault: func(prefix string) string { return "azblob://vaults/" + prefix }}.everywhere(t)
}

// everywhere is what needs nothing of the server but its protocol.
func (b bucket) everywhere(t *testing.T) {
	t.Run("fidelity", func(t *testing.T) { b.fidelity(t) })
	t.Run("two writers", func(t *testing.T) { b.twoWriters(t) })
	t.Run("turns", func(t *testing.T) { b.turns(t) })
}

// rotten alters an object in a way that MinIO notices: it answers 503 then, for ever.
func (b bucket) rotten(t *testing.T) {
	w, prefix := b.newWorldIn(t)
	w.fillLarge("rotten")
	w.backup("rotten")
	altered := 0
	err := filepath.WalkDir(filepath.Join(b.Dir, filepath.FromSlash(prefix), "packs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(d.Name(), "part.") {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		body[len(body)/2] ^= 1
		altered++
		return os.WriteFile(path, body, 0o644)
	})
	if err != nil || altered == 0 {
		t.Fatalf("altered %d parts: %v", altered, err)
	}
	o := w.run("verify", "--deep").must(t, exitDamage)
	if !strings.Contains(o.stdout, "unreadable") {
		t.Errorf("verify does not call it unreadable:\n%s", o.stdout)
	}
	w.backup("rotten") // fetches it again
	w.restoreAs("rotten", "rotten-copy", "--offsets", "exact")
	sameContent(t, w.read("rotten-copy"), w.read("rotten"))
}
