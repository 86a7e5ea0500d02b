package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"coldstream/backup"
	"coldstream/kafka/embedded"
	"coldstream/restore"
)

func TestDemoProvesWhatItShows(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var d struct {
		Backups []struct {
			Records       int64 `json:"records"`
			BytesRead     int64 `json:"bytes_read"`
			BytesStored   int64 `json:"bytes_stored"`
			ObjectsStored int64 `json:"objects_stored"`
		} `json:"backups"`
		Topics []demoTopicDocument `json:"topics"`
		Same   bool                `json:"same"`
	}
	command(t, nil, "demo", "-o", "json").must(t, exitDone).into(t, &d)
	offsets := map[string]string{demoOrders: "exact", demoCustomers: "translated", demoPayments: "translated"}
	reads := map[string]int64{demoOrders: demoOrdersRead, demoCustomers: demoChangesRead, demoPayments: demoPaidRead}
	for _, topic := range d.Topics {
		if !topic.Same || topic.Before.ContentSHA256 != topic.After.ContentSHA256 || topic.Before.ContentSHA256 == "" || topic.Offsets != offsets[topic.Topic] {
			t.Errorf("%+v", topic)
		}
		if topic.After.GroupRead != reads[topic.Topic] || topic.After.GroupRead+topic.After.GroupLag != topic.After.Records {
			t.Errorf("%+v: the group should have read %d", topic, reads[topic.Topic])
		}
		if (topic.Before.OffsetsSHA256 == topic.After.OffsetsSHA256) != (topic.Offsets == "exact") {
			t.Errorf("%s: offsets are %s: %+v", topic.Topic, topic.Offsets, topic)
		}
	}
	if len(d.Topics) != 3 || !d.Same {
		t.Errorf("%d topics, same %v", len(d.Topics), d.Same)
	}
	if got := d.Topics[0].Before.Records; got != demoFirstOrders+demoLaterOrders {
		t.Errorf("%d orders", got)
	}
	if got := d.Topics[2].Before.Records; got != demoCommitted*demoPerPayment {
		t.Errorf("%d payments", got)
	}
	first, second := d.Backups[0], d.Backups[1]
	if first.BytesStored*4 > first.BytesRead {
		t.Errorf("the first backup stored %d bytes of %d: it should be much smaller", first.BytesStored, first.BytesRead)
	}
	if second.Records != demoLaterOrders || second.BytesStored*5 > first.BytesStored {
		t.Errorf("backups %+v", d.Backups)
	}
	leavesNothing(t)
}

func leavesNothing(t *testing.T) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "coldstream-demo-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemoTellsAStory that fits a terminal, and whose commands can be typed as they are.
func TestDemoTellsAStory(t *testing.T) {
	out := command(t, nil, "demo").must(t, exitDone)
	for _, text := range []string{
		"Consumer group billing has read 25,000 orders; 15,000 to go.", "saved 2,000 records", "40,000 orders, 960 changes and 1,800 payments",
		"300 more in 60 aborted", "→ the same. Group ledger goes on where it stood, 800 payments before the end.",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.stdout), " "), text) {
			t.Errorf("stdout does not say %q:\n%s", text, out.stdout)
		}
	}
	for line := range strings.Lines(out.stdout) {
		if utf8.RuneCountInString(line) > demoWidth+1 && !strings.HasPrefix(line, "  $ ") {
			t.Errorf("too long for a terminal: %s", line)
		}
	}
	if out.stderr != "" {
		t.Errorf("stderr: %s", out.stderr)
	}
	next := typed(out.stdout[strings.Index(out.stdout, "\nNext:"):])
	at := embeddedOrders(t, embedded.Topic{Name: "orders", Partitions: 2})
	vars := []string{"COLDSTREAM_BOOTSTRAP_SERVER=" + at, "COLDSTREAM_VAULT=" + filepath.Join(t.TempDir(), "kafka-vault")}
	for _, args := range next {
		command(t, vars, args...).must(t, exitDone)
	}
	if len(next) != 4 {
		t.Errorf("commands to type: %q", next)
	}
}

// typed are the commands of a text as a shell would read them. These have no other quotes
// than single ones.
func typed(text string) (commands [][]string) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "$ coldstream ")
		if !ok {
			continue
		}
		var args []string
		for i, part := range strings.Split(rest, "'") {
			if i%2 == 1 {
				args = append(args, part)
			} else {
				args = append(args, strings.Fields(part)...)
			}
		}
		commands = append(commands, args)
	}
	return commands
}

// TestDemoWithoutAReader: what is piped into head leaves nothing behind either.
func TestDemoWithoutAReader(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	e := testEnv(nil)
	stderr := &lockedBuffer{}
	e.stderr = stderr
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	e.stdout = w
	go func() {
		_, _ = r.Read(make([]byte, 100))
		_ = r.Close()
	}()
	if code := run(t.Context(), []string{"demo", "--keep"}, e); code != exitFailed || stderr.String() != "" {
		t.Errorf("exit code %d, stderr: %s", code, stderr.String())
	}
	_ = w.Close()
	e.stdout = &failingWriter{left: 100, err: syscall.EPIPE}
	if code := run(t.Context(), []string{"demo"}, e); code != exitFailed || stderr.String() != "" {
		t.Errorf("exit code %d, stderr: %s", code, stderr.String())
	}
	e.stdout = &failingWriter{left: 100, err: syscall.ENOSPC}
	if code := run(t.Context(), []string{"demo"}, e); code != exitFailed || !strings.Contains(stderr.String(), "write result: no space left") {
		t.Errorf("exit code %d, stderr: %s", code, stderr.String())
	}
	leavesNothing(t)
}

type failingWriter struct {
	left int
	err  error
}

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, w.err
	}
	return len(b), nil
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
	for !strings.Contains(stdout.String(), "Delete it with") {
		select {
		case code := <-ended:
			t.Fatalf("ended with %d\n%s%s", code, stdout.String(), stderr.String())
		case <-time.After(10 * time.Millisecond): // looks again
		}
	}
	kept := stdout.String()[strings.Index(stdout.String(), "\nKept:"):]
	var vars []string
	for line := range strings.Lines(kept) {
		if variable, ok := strings.CutPrefix(strings.TrimSpace(line), "$ export "); ok {
			vars = append(vars, variable)
		}
	}
	commands := typed(kept)
	if len(vars) != 2 || len(commands) != 4 {
		t.Fatalf("variables %q, commands %q", vars, commands)
	}
	for _, args := range commands {
		command(t, vars, args...).must(t, exitDone)
	}
	vault := strings.TrimPrefix(vars[1], "COLDSTREAM_VAULT=")
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d after the interrupt, want %d", code, exitDone)
	}
	if _, err := os.Stat(filepath.Join(vault, "vault.json")); errors.Is(err, fs.ErrNotExist) {
		t.Error("the vault is gone")
	}
}

func TestDemoFailsWhereTheProofFails(t *testing.T) {
	cluster, err := embedded.Start(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	same := embedded.Content{Records: 3, SHA256: "a", WithOffsets: "b", Read: 1, Rest: "c"}
	for name, changed := range map[string]embedded.Content{
		"":             same,
		"records":      {Records: 2, SHA256: "a", WithOffsets: "b", Read: 1, Rest: "c"},
		"content":      {Records: 3, SHA256: "x", WithOffsets: "b", Read: 1, Rest: "c"},
		"offsets":      {Records: 3, SHA256: "a", WithOffsets: "x", Read: 1, Rest: "c"},
		"group":        {Records: 3, SHA256: "a", WithOffsets: "b", Read: 2, Rest: "c"},
		"what is next": {Records: 3, SHA256: "a", WithOffsets: "b", Read: 1, Rest: "x"},
	} {
		d := &demo{
			opts: &demoOptions{global: &globalOptions{output: "table"}}, env: testEnv(nil), cluster: cluster, restored: &restore.Result{},
			first: &backupOutcome{Result: &backup.Result{}}, second: &backupOutcome{Result: &backup.Result{}},
			before: map[string]embedded.Content{demoOrders: same}, after: map[string]embedded.Content{demoOrders: changed},
		}
		d.env.stdout = &lockedBuffer{}
		if err := d.prove(t.Context()); errors.Is(err, errDemo) != (name != "") {
			t.Errorf("%s is another: got %v", name, err)
		}
	}
}
