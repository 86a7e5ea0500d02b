package main

import (
	"fmt"
	"testing"

	fsstore "coldstream/blob/fs"
	"coldstream/vault"
)

// What no snapshot needs goes with prune, and nothing else: what is left is restored as it was.
func TestForgetAndPrune(t *testing.T) {
	w := newWorld(t)
	vaultArgs := []string{"--vault", w.vault, "-o", "json"}
	w.create("aging", 1)
	random := newRandom(t)
	var ids []string
	for i := range 4 {
		w.produce(someRecords(random, "aging", 0, 500)...)
		if i > 0 {
			w.deleteRecords("aging", int64(i)*500) // what the snapshot before showed is gone at the source
		}
		ids = append(ids, w.backup("aging").Snapshot)
	}
	want := w.read("aging")

	command(t, nil, "forget", "--vault", w.vault).must(t, exitUsage)
	command(t, nil, "forget", "--vault", w.vault, "--keep-last", "-1").must(t, exitUsage)
	command(t, nil, "forget", "--vault", w.vault, "--keep-within", "soon").must(t, exitUsage)
	command(t, nil, "forget", "--vault", w.vault, "--keep-last", "1", ids[0]).must(t, exitUsage)
	command(t, nil, "forget", "--vault", w.vault, "ffffffff").must(t, exitUsage)
	command(t, nil, "forget", "--vault", w.vault, "--keep-last", "1", "-t", "agign").must(t, exitUsage)
	files, _ := w.vaultSize()
	var d forgetDocument
	command(t, nil, append(vaultArgs, "forget", "--keep-last", "1", "--dry-run")...).must(t, exitDone).into(t, &d)
	if now, _ := w.vaultSize(); now != files || len(d.Forgotten) != 3 || d.PruneBytes == 0 {
		t.Errorf("a dry run forgot %+v, and left %d files of %d", d, now, files)
	}

	var p pruneDocument
	command(t, nil, append(vaultArgs, "prune")...).must(t, exitDone).into(t, &p)
	if p.PacksFreed != 0 {
		t.Errorf("prune freed %+v while snapshots need all", p)
	}
	store, err := fsstore.Open(w.vault)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := v.OpenCatalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := catalog.SnapshotNamed(ids[1])
	if err != nil {
		t.Fatal(err)
	}
	restoreID := vault.RestoreID{7}
	if err := v.Hold(t.Context(), restoreID, snapshot, fmt.Appendf(nil, `{"snapshot":%q}`, ids[1])); err != nil {
		t.Fatal(err)
	}
	forget := append(vaultArgs, "forget", "--keep-last", "1")
	command(t, nil, forget...).must(t, exitIncomplete).says(t, ids[1]).into(t, &d)
	if len(d.Held) != 1 || len(d.Forgotten) != 2 {
		t.Errorf("beside a restore: %+v", d)
	}
	command(t, nil, "forget", "--vault", w.vault, "--restore", "0000000000000000").must(t, exitUsage)
	command(t, nil, "forget", "--vault", w.vault, "--restore", restoreID.String()).must(t, exitDone)
	command(t, nil, forget...).must(t, exitDone).into(t, &d)
	if len(d.Held) != 0 || len(d.Forgotten) != 1 || len(d.Kept) != 1 || d.Kept[0].ID != ids[3] {
		t.Errorf("after the restore: %+v", d)
	}

	_, before := w.vaultSize()
	command(t, nil, append(vaultArgs, "prune", "--dry-run")...).must(t, exitDone).into(t, &p)
	if _, now := w.vaultSize(); now != before || p.PacksFreed != 3 {
		t.Errorf("a dry run: %+v, %d bytes of %d", p, now, before)
	}
	command(t, nil, append(vaultArgs, "prune")...).must(t, exitDone).into(t, &p)
	if _, after := w.vaultSize(); after != p.BytesLeft || p.BytesFreed != before-after || after > before/2 {
		t.Errorf("prune says %+v, the vault went from %d to %d bytes", p, before, after)
	}
	w.verify()
	w.restoreAs("aging", "aging-copy")
	sameContent(t, w.read("aging-copy"), want)
	if again := w.backup("aging"); again.Records != 0 || len(again.Gaps) != 0 {
		t.Errorf("a backup after it: %+v", again)
	}
}

func TestParseDays(t *testing.T) {
	for text, want := range map[string]string{"36h": "36h0m0s", "30d": "720h0m0s", "2w": "336h0m0s", "90m": "1h30m0s", "1.5d": "36h0m0s", "": "", "-1d": "", "d": "", "1y": "", "1e9w": ""} {
		got, err := parseDays(text)
		if text := got.String(); err != nil && want != "" || err == nil && text != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
