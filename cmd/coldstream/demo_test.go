package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coldstream/kafka/embedded"
)

type demoResult struct {
	Vault   string `json:"vault"`
	Backups []struct {
		Records       int64 `json:"records"`
		BytesRead     int64 `json:"bytes_read"`
		BytesStored   int64 `json:"bytes_stored"`
		ObjectsStored int64 `json:"objects_stored"`
	} `json:"backups"`
	Restore struct {
		Partitions []struct {
			Offsets string `json:"offsets"`
			Records int64  `json:"records"`
		} `json:"partitions"`
	} `json:"restore"`
	Before demoStateDocument `json:"before"`
	After  demoStateDocument `json:"after"`
	Same   bool              `json:"same"`
}

func TestDemoProvesWhatItShows(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var d demoResult
	command(t, nil, "demo", "-o", "json").must(t, exitDone).into(t, &d)
	if !d.Same || d.Before != d.After || d.Before.ContentSHA256 == "" {
		t.Errorf("before %+v, after %+v, same %v", d.Before, d.After, d.Same)
	}
	if want := int64(demoFirstOrders + demoLaterOrders); d.Before.Records != want || d.Before.GroupRead+d.Before.GroupLag != want {
		t.Errorf("%+v does not add up to %d", d.Before, want)
	}
	if d.Before.GroupRead != demoRead {
		t.Errorf("the group has read %d, want %d", d.Before.GroupRead, demoRead)
	}
	var restored int64
	for _, p := range d.Restore.Partitions {
		restored += p.Records
		if p.Offsets != "exact" {
			t.Errorf("a partition is %s", p.Offsets)
		}
	}
	if restored != d.Before.Records {
		t.Errorf("restored %d records, want %d", restored, d.Before.Records)
	}
	if len(d.Backups) != 2 || d.Backups[1].Records != demoLaterOrders || d.Backups[1].BytesStored*5 > d.Backups[0].BytesStored {
		t.Errorf("backups %+v", d.Backups)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "coldstream-demo-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemoTellsAStory(t *testing.T) {
	out := command(t, nil, "demo").must(t, exitDone)
	for _, text := range []string{"billing: has read 9,000 orders, 3,000 to go", "saved 300 records", "deleted: 12,300 orders gone", "the same, to the byte", "$ coldstream backup -b localhost:9092"} {
		if !strings.Contains(out.stdout, text) {
			t.Errorf("stdout does not say %q:\n%s", text, out.stdout)
		}
	}
	if out.stderr != "" {
		t.Errorf("stderr: %s", out.stderr)
	}
}

func TestDemoKeepLeavesClusterAndVault(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e := testEnv(nil)
	stdout, stderr := &lockedBuffer{}, &lockedBuffer{}
	e.stdout, e.stderr = stdout, stderr
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"demo", "--keep"}, e) }()
	for !strings.Contains(stdout.String(), "verify --vault") {
		select {
		case code := <-ended:
			t.Fatalf("ended with %d\n%s%s", code, stdout.String(), stderr.String())
		case <-time.After(10 * time.Millisecond): // looks again
		}
	}
	vault, _, _ := strings.Cut(stdout.String()[strings.LastIndex(stdout.String(), "ls --vault ")+len("ls --vault "):], "\n")
	bootstrap, _, _ := strings.Cut(stdout.String()[strings.LastIndex(stdout.String(), "backup -b ")+len("backup -b "):], " ")
	if strings.HasPrefix(bootstrap, "localhost") {
		t.Fatalf("no address of the cluster in:\n%s", stdout.String())
	}
	command(t, nil, "backup", "-b", bootstrap, "--vault", vault, "-t", demoOrders).must(t, exitDone)
	command(t, nil, "verify", "--vault", vault, "--deep").must(t, exitDone)
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d after the interrupt, want %d", code, exitDone)
	}
	if _, err := os.Stat(filepath.Join(vault, "vault.json")); errors.Is(err, fs.ErrNotExist) {
		t.Error("the vault is gone")
	}
}

func TestDemoFailsWhereTheProofFails(t *testing.T) {
	d := &demo{opts: &demoOptions{global: &globalOptions{output: "table"}}, env: testEnv(nil)}
	d.env.stdout = &lockedBuffer{}
	d.after.content = embedded.Content{Records: 1}
	cluster, err := embedded.Start(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	d.cluster = cluster
	if err := d.prove(); !errors.Is(err, errDemo) {
		t.Errorf("got %v, want %v", err, errDemo)
	}
}
