package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coldstream/kafka/embedded"
)

// TestDamageOfATopicThatIsGone: damage that no backup can mend is warned of in one line by
// backups that do not need it, of this cluster and of others; once it is accepted all is
// well, and new damage stands out.
func TestDamageOfATopicThatIsGone(t *testing.T) {
	old := embeddedOrders(t, embedded.Topic{Name: "orders"})
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", old, "--vault", vault).must(t, exitDone)
	flip(t, vault, "packs/*/*/*")
	var before verifyDocument
	command(t, nil, "verify", "--deep", "--vault", vault, "-o", "json").must(t, exitDamage).into(t, &before)
	if len(before.Problems) != 1 || before.OK || before.SnapshotCount != 1 || before.PackCount != 1 || before.PartitionCount != 1 {
		t.Fatalf("verify says %+v", before)
	}
	p := before.Problems[0]
	if len(p.ID) != 16 || len(p.Snapshots) != 1 || p.TopicID == "" || p.Kind != "altered" || p.FirstOffset != 0 || p.NextOffset != 100 || len(before.Accepted) != 0 {
		t.Errorf("problem %+v", p)
	}

	// Another cluster, whose topic has the same name, does not build on it.
	o := command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	if n := strings.Count(o.stderr, "\n"); n != 1 || !strings.Contains(o.stderr, "costs older states only") {
		t.Errorf("backup says, in %d lines:\n%s", n, o.stderr)
	}

	command(t, nil, "repair", "--vault", vault).must(t, exitUsage).says(t, "--accept-loss")
	command(t, nil, "repair", "--accept-loss", "--vault", vault).must(t, exitUsage).says(t, p.ID, "no terminal")
	command(t, nil, "repair", "--accept-loss", "0011223344556677", "--yes", "--vault", vault).must(t, exitUsage).says(t, "no damage has the ID")
	var accepted repairDocument
	command(t, nil, "repair", "--accept-loss", p.ID, "--yes", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &accepted)
	if len(accepted.Accepted) != 1 || accepted.Accepted[0].ID != p.ID {
		t.Errorf("accepted %+v", accepted)
	}
	var after verifyDocument
	command(t, nil, "verify", "--deep", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &after)
	if !after.OK || len(after.Problems) != 0 || len(after.Accepted) != 1 || after.Accepted[0].ID != p.ID {
		t.Errorf("verify says %+v", after)
	}
	if o := command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone); o.stderr != "" {
		t.Errorf("backup says:\n%s", o.stderr)
	}
	o = command(t, nil, "verify", "--vault", vault).must(t, exitDone)
	if !strings.Contains(o.stdout, "accepted damage: 1 loss") {
		t.Errorf("verify says %s", o.stdout)
	}

	// New damage: without IDs all is listed, and accepted after a question.
	packs, err := filepath.Glob(filepath.Join(vault, "packs/*/*/*"))
	if err != nil || len(packs) != 2 {
		t.Fatalf("packs %v, error %v", packs, err)
	}
	flip(t, vault, "packs/*/*/*") // which mends the first
	command(t, nil, "verify", "--deep", "--vault", vault).must(t, exitDamage)
	e := testEnv(nil)
	var stdout, stderr lockedBuffer
	e.stdin, e.stdinTerminal, e.stdout, e.stderr, e.now = strings.NewReader("n\n"), true, &stdout, &stderr, time.Now
	if code := run(t.Context(), []string{"repair", "--accept-loss", "--vault", vault}, e); code != exitFailed {
		t.Errorf("exit code %d after a no:\n%s", code, stderr.String())
	}
	command(t, nil, "verify", "--vault", vault).must(t, exitDamage)
	e.stdin = strings.NewReader("y\n")
	if code := run(t.Context(), []string{"repair", "--accept-loss", "--vault", vault}, e); code != exitDone || !strings.Contains(stdout.String(), "accepted 1 loss") {
		t.Errorf("exit code %d after a yes:\n%s%s", code, stdout.String(), stderr.String())
	}
	command(t, nil, "verify", "--vault", vault).must(t, exitDone)
}
