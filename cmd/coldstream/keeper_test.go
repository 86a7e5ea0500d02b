package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeeper: of a vault with a keeper's key nothing is taken away without it, and all else goes without.
func TestKeeper(t *testing.T) {
	w := newWorld(t)
	w.vault = filepath.Join(t.TempDir(), "kept")
	key := filepath.Join(t.TempDir(), "keeper.key")
	w.run("init", "--keeper", "--encrypt").must(t, exitUsage)
	var made initDocument
	w.run("init", "--keeper", "--key-file", key).must(t, exitDone).into(t, &made)
	if !made.Keeper || made.Encrypted || made.KeyFile != key {
		t.Errorf("made %+v", made)
	}
	w.fill("kept", 1, 100)
	w.backup("kept")
	w.produce(someRecords(newRandom(t), "kept", 0, 20)...)
	w.backup("kept")
	w.verify()
	w.restoreAs("kept", "kept-copy", "--offsets", "exact")
	sameContent(t, w.read("kept-copy"), w.read("kept"))
	w.run("forget", "--keep-last", "1").must(t, exitKey).says(t, "--key-file")
	same(t, "snapshots", len(w.snapshots()), 2)
	w.run("forget", "--keep-last", "1", "--key-file", key).must(t, exitDone)
	w.run("prune", "--key-file", key).must(t, exitDone)
	same(t, "snapshots", len(w.snapshots()), 1)
	w.verify()

	other := filepath.Join(t.TempDir(), "other")
	var theirs initDocument
	command(t, nil, "init", "-o", "json", "--keeper", "--vault", other, "--key-file", filepath.Join(t.TempDir(), "other.key")).must(t, exitDone).into(t, &theirs)
	command(t, nil, "snapshots", "--vault", other, "--key-file", key).must(t, exitKey)
	text, err := os.ReadFile(filepath.Join(other, "vault.json"))
	if err != nil {
		t.Fatal(err)
	}
	// The thief's own keeper's key in the place of the vault's.
	swapped := strings.Replace(string(text), theirs.VaultID, made.VaultID, 1)
	if err := os.WriteFile(filepath.Join(w.vault, "vault.json"), []byte(swapped), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run("snapshots", "--key-file", key).must(t, exitKey).says(t, "other public keys")
}
