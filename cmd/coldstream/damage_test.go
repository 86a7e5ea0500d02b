package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coldstream/kafka/embedded"
)

// flip alters one bit of every file that matches a pattern below the vault.
func flip(t *testing.T, vault, pattern string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(vault, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("nothing matches %s: %v", pattern, err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALostCatalogIsDamageAndNoEmptyVault(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	flip(t, vault, "commits/*/*/*")
	command(t, nil, "snapshots", "--vault", vault).must(t, exitDamage).says(t, "commits/", "altered")
	command(t, nil, "ls", "--vault", vault).must(t, exitDamage).says(t, "holds no snapshot", "altered")
	command(t, nil, "restore", "-b", at, "--vault", vault, "-t", "orders", "--map", "orders=again", "--yes").must(t, exitDamage).says(t, "altered")
	var d verifyDocument
	command(t, nil, "verify", "--vault", vault, "-o", "json").must(t, exitDamage).into(t, &d)
	if len(d.Problems) != 1 || d.Problems[0].Kind != "altered" {
		t.Errorf("problems %+v", d.Problems)
	}
	// What the lost commit told is fetched again.
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDamage).says(t, "fetched again")
	command(t, nil, "restore", "-b", at, "--vault", vault, "-t", "orders", "--map", "orders=again", "--yes").must(t, exitDamage).says(t, "altered")
}

func TestADamagedPackCostsItsPartitionOnly(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"}, embedded.Topic{Name: "other"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault, "-t", "orders").must(t, exitDone)
	flip(t, vault, "packs/*/*/*")
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	command(t, nil, "verify", "--vault", vault).must(t, exitDone)
	var d verifyDocument
	command(t, nil, "verify", "--deep", "--vault", vault, "-o", "json").must(t, exitDamage).into(t, &d)
	if len(d.Problems) != 1 || d.Problems[0].Topic != "orders" || d.Problems[0].FirstOffset != 0 || d.Problems[0].NextOffset != 100 {
		t.Errorf("problems %+v", d.Problems)
	}
	var r struct {
		Partitions []struct {
			Topic   string
			Records int64
			Error   string
		}
	}
	command(t, nil, "restore", "-b", at, "--vault", vault, "--all-topics", "--map", "/(.*)/=$1-again", "--yes", "-o", "json").must(t, exitDamage).into(t, &r)
	for _, p := range r.Partitions {
		if p.Topic == "orders" && (p.Records != 0 || p.Error == "") || p.Topic == "other" && (p.Records != 100 || p.Error != "") {
			t.Errorf("partition %+v", p)
		}
	}
	// Who finds damage marks it: the next backup fetches it again.
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--dry-run"}, "would fetch again 100 offsets of 1 partition whose copies in the vault are damaged\n"},
		{nil, "fetched again 100 offsets of 1 partition whose copies in the vault were damaged\n"},
	} {
		out := command(t, nil, append([]string{"backup", "-b", at, "--vault", vault, "-t", "orders"}, c.args...)...).must(t, exitDone)
		if !strings.HasPrefix(out.stdout, c.says) {
			t.Errorf("stdout does not begin with %q:\n%s", c.says, out.stdout)
		}
	}
	command(t, nil, "verify", "--deep", "--vault", vault).must(t, exitDone)
}

func TestADamagedSectionCostsNoRecords(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	sections, err := filepath.Glob(filepath.Join(vault, "tables/*/*"))
	if err != nil || len(sections) == 0 {
		t.Fatalf("no sections: %v", err)
	}
	lost := sections[0]
	content, err := os.ReadFile(lost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "verify", "--vault", vault).must(t, exitDamage)
	// The next backup stores it again, and says why.
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDamage).says(t, filepath.Base(lost))
	again, err := os.ReadFile(lost)
	if err != nil || len(again) != len(content) {
		t.Errorf("it was not stored again: %v", err)
	}
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	command(t, nil, "verify", "--deep", "--vault", vault).must(t, exitDone)
}

func TestARestoreThatWasCutOffIsNotTakenForATopic(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders", Configs: map[string]string{"retention.ms": "-1"}},
		embedded.Topic{Name: "half", Configs: map[string]string{
			"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete", "compression.type": "producer", "message.timestamp.type": "CreateTime",
		}})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault, "-t", "orders").must(t, exitDone)
	for _, flags := range [][]string{{"--yes"}, {"--yes", "--append"}, {"--dry-run"}} {
		args := append([]string{"restore", "-b", at, "--vault", vault, "-t", "orders", "--map", "orders=half"}, flags...)
		command(t, nil, args...).must(t, exitFailed).says(t, "topic half has the configs of a restore that has not ended, and this vault knows of none",
			"if no restore into it is going on, put its own configs back with kafka-configs.sh, or restore into another topic with --map")
	}
}

func TestExpectedHashes(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	var hashes [2]string
	for i := range hashes {
		var n backupNumbers
		command(t, nil, "backup", "-b", at, "--vault", vault, "-o", "json").must(t, exitDone).into(t, &n)
		hashes[i] = n.VaultHash
	}
	for _, hash := range hashes {
		command(t, nil, "verify", "--vault", vault, "--expect", hash).must(t, exitDone)
	}
	commits, err := filepath.Glob(filepath.Join(vault, "commits/*/*/*"))
	if err != nil || len(commits) != 2 {
		t.Fatalf("commits %v, %v", commits, err)
	}
	if err := os.Remove(commits[1]); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "verify", "--deep", "--vault", vault).must(t, exitDone) // nothing in the vault tells
	command(t, nil, "verify", "--vault", vault, "--expect", hashes[1]).must(t, exitDamage)
	command(t, nil, "verify", "--vault", vault, "--expect", hashes[0]).must(t, exitDone)
	command(t, nil, "verify", "--vault", vault, "--expect", hashes[0][1:]).must(t, exitUsage).says(t, "--expect", "64 hex digits")
}

// A vault without its vault.json is not taken for none: to make another in its place would
// be the end of it.
func TestAVaultThatLacksVaultJSON(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	name := filepath.Join(vault, "vault.json")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for how, spoil := range map[string]func() error{
		"missing": func() error { return os.Remove(name) }, "vault.json": func() error { return os.WriteFile(name, content[:5], 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"verify"}, {"snapshots"}, {"backup", "-b", at}, {"restore", "-b", at, "--all-topics", "--yes"}} {
			command(t, nil, append(args, "--vault", vault)...).must(t, exitDamage).says(t, how, "from a copy of the vault")
		}
		command(t, nil, "init", "--vault", vault).must(t, exitFailed)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "verify", "--deep", "--vault", vault).must(t, exitDone)
}

// The newest snapshot may be of a backup of a part: what it lacks and others hold is said.
func TestRestoreSaysWhatTheNewestSnapshotLacks(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"}, embedded.Topic{Name: "other"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	restore := []string{"restore", "-b", at, "--vault", vault, "--dry-run", "--map", "/(.*)/=$1-again"}
	const lacks = "does not hold all topics: other are in snapshot"
	silent := func(args ...string) {
		t.Helper()
		if o := command(t, nil, append(restore, args...)...).must(t, exitDone); strings.Contains(o.stderr, "does not hold all") {
			t.Errorf("%v: %s", args, o.stderr)
		}
	}
	silent("--all-topics")
	command(t, nil, "backup", "-b", at, "--vault", vault, "-t", "orders").must(t, exitDone)
	command(t, nil, append(restore, "--all-topics")...).must(t, exitDone).says(t, lacks, "--snapshot")
	command(t, nil, append(restore, "-t", "o*")...).must(t, exitDone).says(t, lacks)
	silent("-t", "orders")
	silent("--all-topics", "--exclude", "other")
}
