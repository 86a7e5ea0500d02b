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
	t.Run("locked", func(t *testing.T) { b.locked(t) })
	t.Run("locked jobs", func(t *testing.T) { b.lockedJobs(t) })
	t.Run("jobs", func(t *testing.T) { b.jobs(t) })
}

func TestVaultInGCS(t *testing.T) {
	realCluster(t)
	g := storetest.FakeGCS(t)
	g.Setenv(t)
	b := bucket{vault: func(prefix string) string { return "gs://" + g.Bucket + "/" + prefix }, server: g.Endpoint, dir: g.Dir}
	b.via = func(t *testing.T, endpoint, url string) string {
		t.Setenv("STORAGE_EMULATOR_HOST", endpoint)
		return url
	}
	b.everywhere(t)
	t.Run("damage at rest", func(t *testing.T) { b.damage(t) })
	b.whatever(t)
}

func TestVaultInAzure(t *testing.T) {
	realCluster(t)
	a := storetest.Azurite(t)
	a.MakeContainer(t, "vaults")
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", a.ConnectionString)
	server := strings.TrimSuffix(a.Endpoint, "/"+storetest.AzureAccount)
	b := bucket{vault: func(prefix string) string { return "azblob://vaults/" + prefix }, server: server}
	b.via = func(t *testing.T, endpoint, url string) string {
		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", strings.Replace(a.ConnectionString, server, endpoint, 1))
		return url
	}
	b.everywhere(t)
	t.Run("deleted packs", func(t *testing.T) { b.deleted(t) })
	b.whatever(t)
}

// whatever happens between us and the server.
func (b bucket) whatever(t *testing.T) {
	t.Run("trouble", func(t *testing.T) { b.trouble(t) })
	t.Run("kill", func(t *testing.T) { b.kill(t, buildProgram(t)) })
}

// deleted takes a vault's packs away.
func (b bucket) deleted(t *testing.T) {
	w, _ := b.newWorldIn(t)
	w.fill("deleted", 2, 300)
	w.backup("deleted")
	store := w.store()
	var packs []string
	for e, err := range store.List(t.Context(), "packs/", "") {
		if err != nil {
			t.Fatal(err)
		}
		packs = append(packs, e.Key)
	}
	for _, key := range packs {
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	w.run("verify").must(t, exitDamage)
	w.backup("deleted")
	w.verify()
	w.restoreAs("deleted", "deleted-copy", "--offsets", "exact")
	sameContent(t, w.read("deleted-copy"), w.read("deleted"))
}

// everywhere is what needs nothing of the server but its protocol.
func (b bucket) everywhere(t *testing.T) {
	t.Run("fidelity", func(t *testing.T) { b.fidelity(t) })
	t.Run("encrypted", func(t *testing.T) { b.encrypted(t) })
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
