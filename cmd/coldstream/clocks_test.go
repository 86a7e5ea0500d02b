package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	fsstore "coldstream/blob/fs"
	"coldstream/kafka/embedded"
	vaultpkg "coldstream/vault"
)

// commandAt runs a command on a host whose clock is off.
func commandAt(t *testing.T, off time.Duration, args ...string) outcome {
	t.Helper()
	var stdout, stderr lockedBuffer
	e := testEnv(nil)
	e.stdout, e.stderr, e.now = &stdout, &stderr, func() time.Time { return time.Now().Add(off) }
	code := run(t.Context(), args, e)
	return outcome{code, stdout.String(), stderr.String()}
}

// TestABackupByAClockYearsAhead is not the newest for ever, also where the catalog turned
// since, and all who meet its time warn of it.
func TestABackupByAClockYearsAhead(t *testing.T) {
	for _, turned := range []bool{false, true} {
		at := embeddedOrders(t, embedded.Topic{Name: "orders"})
		vault := newVault(t)
		backup := []string{"backup", "-b", at, "--vault", vault, "-o", "json"}
		var ids []string
		for i, off := range []time.Duration{0, 5 * 365 * 24 * time.Hour, 0, 0} {
			var d struct {
				backupNumbers
				TimeDoubts []string `json:"time_doubts"`
			}
			o := commandAt(t, off, backup...).must(t, exitDone)
			o.into(t, &d)
			ids = append(ids, d.Snapshot)
			want := []string{}
			if i == 2 {
				want = []string{vaultpkg.TimeBeforeParent}
				o.says(t, "is before that of the snapshot that it was built on", "does not depend on the times")
			}
			if diff := cmp.Diff(want, d.TimeDoubts); diff != "" {
				t.Errorf("backup %d (-want +got)\n%s", i, diff)
			}
			if turned {
				turnVault(t, vault)
			}
		}
		var list struct {
			Snapshots []struct {
				ID         string
				TimeDoubts []string `json:"time_doubts"`
			}
		}
		command(t, nil, "snapshots", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &list)
		want := [][]string{{}, {vaultpkg.TimeAhead}, {vaultpkg.TimeBeforeParent}, {}}
		for i, s := range list.Snapshots {
			if s.ID != ids[i] || cmp.Diff(want[i], s.TimeDoubts) != "" {
				t.Errorf("turned %v: snapshot %d is %s %v, want %s %v", turned, i, s.ID, s.TimeDoubts, ids[i], want[i])
			}
		}
		o := command(t, nil, "snapshots", "--vault", vault).must(t, exitDone)
		if !containsAll(o.stdout, "(ahead of this host)", "(before its parent)") {
			t.Errorf("not marked:\n%s", o.stdout)
		}

		var ls struct{ Snapshot string }
		command(t, nil, "ls", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &ls)
		var plan struct{ Snapshot string }
		restore := []string{"restore", "-b", at, "--vault", vault, "-t", "orders", "--map", "orders=again", "--dry-run", "-o", "json"}
		command(t, nil, restore...).must(t, exitDone).into(t, &plan)
		if ls.Snapshot != ids[3] || plan.Snapshot != ids[3] {
			t.Errorf("turned %v: ls takes %s, restore %s, want the newest, %s", turned, ls.Snapshot, plan.Snapshot, ids[3])
		}
		command(t, nil, append(restore, "--snapshot", ids[1])...).must(t, exitDone).says(t, "warning: the time of snapshot "+ids[1], "ahead of this host's clock")
		command(t, nil, "ls", "--vault", vault, "--snapshot", ids[2]).must(t, exitDone).says(t, "warning: the time of snapshot "+ids[2], "before that of")
	}
}

func turnVault(t *testing.T, path string) {
	t.Helper()
	store, err := fsstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	v, err := vaultpkg.Open(t.Context(), store)
	if err == nil {
		err = v.Turn(t.Context(), vaultpkg.TurnOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}
