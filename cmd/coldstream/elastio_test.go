package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"coldstream/blob/elastio/elastiotest"
)

// elastioWorld is a world whose vault is in Elastio.
type elastioWorld struct {
	*world
	program *elastiotest.Program
	env     []string
}

func newElastioWorld(t *testing.T) *elastioWorld {
	t.Helper()
	w := newWorld(t)
	program, err := elastiotest.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"COLDSTREAM_ELASTIO=" + program.Path, "COLDSTREAM_BOOTSTRAP_SERVER=" + w.bootstrap, "XDG_CACHE_HOME=" + t.TempDir()}
	return &elastioWorld{w, program, env}
}

// run runs a command, and says how many recovery points it made.
func (w *elastioWorld) run(code int, args ...string) (outcome, int) {
	w.Helper()
	before := len(w.points())
	out := command(w.T, w.env, args...).must(w.T, code)
	return out, len(w.points()) - before
}

func (w *elastioWorld) points() []elastiotest.Point {
	w.Helper()
	points, err := w.program.Points()
	if err != nil {
		w.Fatal(err)
	}
	return points
}

func (w *elastioWorld) plan(faults ...elastiotest.Fault) {
	w.Helper()
	if err := w.program.Plan(faults...); err != nil {
		w.Fatal(err)
	}
}

// In Elastio a vault does what it does elsewhere, in few recovery points.
func TestElastioVault(t *testing.T) {
	w := newElastioWorld(t)
	vault := []string{"--vault", "elastio:main"}
	w.run(exitNoVault, append(vault, "backup", "-t", "orders")...)
	if _, made := w.run(exitDone, append(vault, "init")...); made != 1 {
		t.Errorf("init made %d recovery points", made)
	}
	w.run(exitFailed, append(vault, "init")...)

	w.fill("orders", 3, 500)
	var first, second backupReport
	out, made := w.run(exitDone, append(vault, "backup", "-t", "orders", "-o", "json")...)
	out.into(t, &first)
	if made != 2 || first.Records != 1500 {
		t.Errorf("a first backup of %d records made %d recovery points", first.Records, made)
	}
	for _, at := range w.points()[1:] {
		if !strings.Contains(at.Stream, "-orders") {
			t.Errorf("nobody recognizes the stream %q", at.Stream)
		}
	}
	out, made = w.run(exitDone, append(vault, "backup", "-t", "orders", "-o", "json")...)
	if out.into(t, &second); made != 1 || second.Records != 0 {
		t.Errorf("a backup without news stored %d records in %d recovery points", second.Records, made)
	}
	w.produce(someRecords(newRandom(t), "orders", 1, 20)...)
	w.run(exitDone, append(vault, "backup", "-t", "orders")...)

	for _, args := range [][]string{{"snapshots"}, {"ls"}, {"verify"}, {"verify", "--deep", "--spool", t.TempDir()}, {"restore", "-t", "orders", "--map", "orders=x", "--dry-run"}} {
		if _, made := w.run(exitDone, append(vault, args...)...); made != 0 {
			t.Errorf("%v made %d recovery points", args, made)
		}
	}
	if _, made = w.run(exitDone, append(vault, "restore", "-t", "orders", "--map", "orders=orders-copy", "--yes", "--spool", t.TempDir())...); made != 1 {
		t.Errorf("a restore made %d recovery points", made)
	}
	sameContent(t, w.read("orders-copy"), w.read("orders"))
	w.elastioState(vault)
	w.run(exitUsage, "verify", "--vault", w.vault, "--spool", t.TempDir())
	w.run(exitUsage, "verify", "--vault", "elastio:main?hots=a")
	w.run(exitUsage, "verify", "--vault", "elastio:")
}

// elastioState shows that with --state a restore makes no recovery point, and groups alone neither.
func (w *elastioWorld) elastioState(vault []string) {
	w.Helper()
	state := filepath.Join(w.TempDir(), "state")
	for _, args := range [][]string{
		{"restore", "-t", "orders", "--map", "orders=orders-by-state", "--yes", "--state", state},
		{"restore", "--groups-only", "--yes", "--state", state},
	} {
		if _, made := w.run(exitDone, append(vault, args...)...); made != 0 {
			w.Errorf("%v made %d recovery points", args, made)
		}
	}
	sameContent(w.T, w.read("orders-by-state"), w.read("orders"))
}

// A backup that is cut off does not count, and is named; the next one saves all.
func TestElastioBackupThatIsCutOff(t *testing.T) {
	w := newElastioWorld(t)
	vault := []string{"--vault", "elastio:main"}
	w.run(exitDone, append(vault, "init")...)
	w.fill("orders", 1, 100)
	w.plan(elastiotest.Fault{Op: "backup", At: 1, Do: elastiotest.LoseAnswer}) // the point is there, and who made it does not know
	out, _ := w.run(exitFailed, append(vault, "backup", "-t", "orders")...)
	out.says(t, "nothing of this backup is saved", "connection reset")
	if out, _ := w.run(exitDone, append(vault, "snapshots", "-o", "json")...); !strings.Contains(out.stdout, `"snapshots": []`) {
		t.Errorf("snapshots of a backup that failed: %s", out.stdout)
	}
	stray := w.points()[1].ID
	out, _ = w.run(exitDone, append(vault, "verify")...)
	out.says(t, stray, "cut off")
	w.plan()
	w.run(exitDone, append(vault, "backup", "-t", "orders")...)
	w.run(exitDone, append(vault, "restore", "-t", "orders", "--map", "orders=orders-copy", "--yes")...)
	sameContent(t, w.read("orders-copy"), w.read("orders"))
}

// A copy is a vault like any other: it holds the same snapshots, is continued by backups,
// and is copied back.
func TestCopyBetweenStorages(t *testing.T) {
	w := newElastioWorld(t)
	w.fill("orders", 3, 500)
	w.fill("other", 1, 10)
	first := w.backup("orders,other")
	w.produce(someRecords(newRandom(t), "orders", 1, 20)...)
	second := w.backup("orders,other")
	w.run(exitNoVault, "copy", "--from", w.vault, "--to", "elastio:main")
	w.run(exitDone, "init", "--vault", "elastio:main")
	w.run(exitUsage, "copy", "--from", w.vault, "--to", w.vault)
	w.run(exitUsage, "copy", "--from", w.vault, "--to", "elastio:main", "-t", "ordres")
	w.run(exitUsage, "copy", "--from", w.vault, "--to", "elastio:main", "--snapshot", "0000")
	if _, made := w.run(exitDone, "copy", "--from", w.vault, "--to", "elastio:main", "--dry-run"); made != 0 {
		t.Errorf("a dry run made %d recovery points", made)
	}
	if _, made := w.run(exitDone, "copy", "--from", w.vault, "--to", "elastio:main", "--snapshot", first.Snapshot); made != 2 {
		t.Errorf("a copy made %d recovery points", made)
	}
	var copied struct {
		Snapshots []string `json:"snapshots"`
		Records   int64    `json:"records"`
		Present   int      `json:"snapshots_present"`
	}
	out, _ := w.run(exitDone, "copy", "--from", w.vault, "--to", "elastio:main", "-o", "json")
	out.into(t, &copied)
	same(t, "snapshots copied", copied.Snapshots, []string{second.Snapshot})
	same(t, "records copied", copied.Records, int64(20))
	if _, made := w.run(exitDone, "copy", "--from", w.vault, "--to", "elastio:main"); made != 0 {
		t.Errorf("a copy without news made %d recovery points", made)
	}

	back := newVault(t)
	w.run(exitDone, "copy", "--from", "elastio:main", "--to", back)
	w.run(exitDone, "verify", "--deep", "--vault", back)
	var went backupReport
	out, _ = w.run(exitDone, "backup", "-t", "orders,other", "--vault", back, "-o", "json")
	if out.into(t, &went); went.Records != 0 {
		t.Errorf("a backup into the copy stored %d records again", went.Records)
	}
	w.run(exitDone, "restore", "-t", "orders", "--vault", back, "--snapshot", second.Snapshot, "--map", "orders=orders-copy", "--yes")
	sameContent(t, w.read("orders-copy"), w.read("orders"))
}

// Recovery points of the Python original come back as a topic.
func TestImportOfElastioLegacy(t *testing.T) {
	w := newElastioWorld(t)
	point := func(first, last int, tags ...string) string {
		var lines strings.Builder
		for o := first; o <= last; o++ {
			fmt.Fprintf(&lines, `{"topic": "orders", "key": "%s", "value": "%s", "partition": 1, "timestamp": %d, "offset": %d}`+"\n",
				base64.StdEncoding.EncodeToString(fmt.Append(nil, o)), base64.StdEncoding.EncodeToString(fmt.Append(nil, "v", o)), 1700000000000+o, o)
		}
		args := []string{"stream", "backup", "--stream-name", "orders", "--hostname-override", "h", "--vault", "v"}
		for _, tag := range tags {
			args = append(args, "--tag", tag)
		}
		cmd := exec.CommandContext(t.Context(), w.program.Path, args...)
		cmd.Stdin = strings.NewReader(lines.String())
		answer, err := cmd.Output()
		var job struct {
			Data struct {
				ID string `json:"rp_id"`
			} `json:"data"`
		}
		if err := json.Unmarshal(answer, &job); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return job.Data.ID
	}
	point(1, 99, "topic_name=orders", "partition_count=2")
	point(90, 199, "topic_name=orders")
	untagged := point(205, 209)
	w.run(exitUsage, "import", "elastio-legacy", "--vault", w.vault)
	w.run(exitUsage, "import", "elastio-legacy", "--vault", w.vault, "--rp", "$(reboot)")
	w.run(exitUsage, "import", "elastio-legacy", "--vault", w.vault, "--all-of", "nothing")
	w.run(exitFailed, "import", "elastio-legacy", "--vault", w.vault, "--rp", "rp-0")
	w.run(exitIncomplete, "import", "elastio-legacy", "--vault", w.vault, "--all-of", "orders", "--rp", untagged, "--dry-run")
	var imported importDocument
	for _, want := range []int64{199 + 5, 0} {
		code := exitIncomplete // offsets [200, 205) are in no point
		if want == 0 {
			code = exitDone
		}
		out, _ := w.run(code, "import", "elastio-legacy", "--vault", w.vault, "--all-of", "orders", "--rp", untagged, "-o", "json")
		imported = importDocument{}
		if out.into(t, &imported); imported.Records != want || imported.RecordsRead != 99+110+5 {
			t.Errorf("imported %d of %d records, want %d", imported.Records, imported.RecordsRead, want)
		}
	}
	w.run(exitDone, "ls", "orders", "--vault", w.vault)
	w.run(exitDone, "restore", "-t", "orders", "--vault", w.vault, "--yes")
	records := w.read("orders")
	if len(records) != 204 || records[0].Partition != 1 || string(records[0].Value) != "v1" || string(records[203].Value) != "v209" || records[0].TimestampMs != 1700000000001 {
		t.Errorf("%d records came back: %+v", len(records), records[:min(1, len(records))])
	}
}
