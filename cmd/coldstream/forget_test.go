package main

import (
	"fmt"
	"strings"
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
	testTags(t, w)
	testStats(t, w)
}

// What stats counts is what is there.
func testStats(t *testing.T, w *world) {
	w.create("other", 2)
	w.produce(someRecords(newRandom(t), "other", 0, 100)...)
	w.produce(someRecords(newRandom(t), "other", 1, 100)...)
	w.backup("aging", "other")
	w.backup("aging", "other")
	command(t, nil, "stats", "--vault", w.vault, "--days", "-1").must(t, exitUsage)
	var d statsDocument
	command(t, nil, "stats", "--vault", w.vault, "-o", "json").must(t, exitDone).into(t, &d)
	objects, bytes := w.vaultSize()
	if d.ObjectCount != objects || d.Bytes != bytes || len(d.Topics) != 2 || d.Topics[1].Topic != "other" || d.Topics[1].PartitionCount != 2 || d.Topics[1].Records != 200 {
		t.Errorf("%d objects, %d bytes: %+v", objects, bytes, d)
	}
	stored := d.Topics[0].BytesStored + d.Topics[1].BytesStored
	if stored <= 0 || stored > d.PackBytes || d.PackBytes > stored+int64(d.PackCount)*1000 {
		t.Errorf("topics take %d bytes of packs with %d", stored, d.PackBytes)
	}
	if len(d.Days) == 0 || d.Days[0].BytesStored > stored || d.SavedByOffset < d.Topics[1].BatchBytes || d.SavedByCompression != max(0, d.BatchBytes-d.PackBytes) {
		t.Errorf("%+v", d)
	}
	if out := command(t, nil, "stats", "--vault", w.vault).must(t, exitDone).stdout; !strings.Contains(out, "not stored again") || !strings.Contains(out, d.Days[0].Day) {
		t.Error(out)
	}
}

// What is tagged is found wherever a snapshot is chosen; what is pinned stays until it is unpinned.
func testTags(t *testing.T, w *world) {
	vaultArgs := []string{"--vault", w.vault, "-o", "json"}
	var made backupDocument
	command(t, nil, append(vaultArgs, "backup", "-b", w.bootstrap, "-t", "aging", "--tag", "release=4.2", "--tag", "by=hand", "--pin")...).must(t, exitDone).into(t, &made)
	w.backup("aging")
	list := func(filter ...string) (ids []string) {
		t.Helper()
		var d snapshotsDocument
		command(t, nil, append(append(vaultArgs, "snapshots"), filter...)...).must(t, exitDone).into(t, &d)
		for _, s := range d.Snapshots {
			ids = append(ids, s.ID)
			if s.Pinned != (s.ID == made.Snapshot) || s.Pinned && s.Tags["release"] != "4.2" {
				t.Errorf("%+v", s)
			}
		}
		return ids
	}
	if got := list("--tag", "release=4.2", "--tag", "by"); len(got) != 1 || got[0] != made.Snapshot {
		t.Errorf("by tags: %v of %v", got, list())
	}
	command(t, nil, "snapshots", "--vault", w.vault, "--tag", "=x").must(t, exitUsage)
	if out := command(t, nil, "snapshots", "--vault", w.vault).must(t, exitDone).stdout; !strings.Contains(out, "by=hand, release=4.2, pinned") {
		t.Errorf("%s", out)
	}
	for _, args := range [][]string{
		{"ls"}, {"cat", "aging", "-c", "1", "-f", "%o"}, {"groups"}, {"copy", "--from", w.vault, "--to", t.TempDir()},
		{"restore", "-b", w.bootstrap, "-t", "aging", "--map", "aging=aging-tagged", "--dry-run"},
		{"diff", "-b", w.bootstrap, "-t", "aging"},
	} {
		if args[0] == "copy" {
			command(t, nil, "init", "--vault", args[4]).must(t, exitDone)
			command(t, nil, append(args, "--tag", "release=4.2")...).must(t, exitDone)
			var d snapshotsDocument
			if command(t, nil, "snapshots", "--vault", args[4], "-o", "json").must(t, exitDone).into(t, &d); len(d.Snapshots) != 1 || !d.Snapshots[0].Pinned {
				t.Errorf("copied %+v", d)
			}
			continue
		}
		args = append(args, "--vault", w.vault)
		command(t, nil, append(args, "--tag", "release=9")...).must(t, exitUsage).says(t, "release=9")
		command(t, nil, append(args, "--tag", "release=4.2")...).must(t, exitDone)
	}
	forget := append(vaultArgs, "forget")
	var d forgetDocument
	command(t, nil, append(forget, "--keep-last", "1")...).must(t, exitDone).into(t, &d)
	if len(d.Kept) != 2 || d.Kept[0].ID != made.Snapshot || d.Kept[0].Reasons[0] != "pinned" {
		t.Errorf("beside a pin: %+v", d)
	}
	command(t, nil, append(forget, made.Snapshot)...).must(t, exitUsage).says(t, "pinned")
	command(t, nil, append(vaultArgs, "tag", made.Snapshot)...).must(t, exitUsage)
	command(t, nil, append(vaultArgs, "tag", made.Snapshot, "--pin", "--unpin")...).must(t, exitUsage)
	command(t, nil, append(vaultArgs, "tag", "ffffffff", "--unpin")...).must(t, exitUsage)
	var tagged tagDocument
	command(t, nil, append(vaultArgs, "tag", made.Snapshot, "--unpin", "--remove", "by", "--add", "temporary=yes")...).must(t, exitDone).into(t, &tagged)
	if s := tagged.Snapshots[0]; s.Pinned || len(s.Tags) != 2 || s.Tags["temporary"] != "yes" {
		t.Errorf("%+v", tagged)
	}
	w.backup("aging")
	command(t, nil, append(forget, "--keep-last", "1", "--tag", "other")...).must(t, exitUsage)
	command(t, nil, append(forget, "--keep-within", "1h", "--tag", "temporary")...).must(t, exitDone).into(t, &d)
	if len(d.Forgotten) != 0 {
		t.Errorf("by tag: %+v", d)
	}
	command(t, nil, append(forget, "--keep-last", "1")...).must(t, exitDone).into(t, &d)
	if len(d.Kept) != 1 || len(d.Forgotten) != 2 {
		t.Errorf("unpinned: %+v", d)
	}
	w.verify()
}

func TestParseDays(t *testing.T) {
	for text, want := range map[string]string{"36h": "36h0m0s", "30d": "720h0m0s", "2w": "336h0m0s", "90m": "1h30m0s", "1.5d": "36h0m0s", "": "", "-1d": "", "d": "", "1y": "", "1e9w": ""} {
		got, err := parseDays(text)
		if text := got.String(); err != nil && want != "" || err == nil && text != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
