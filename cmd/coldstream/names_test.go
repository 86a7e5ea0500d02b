package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/embedded"
)

// hostile is a name that forges lines, moves the cursor, clears the screen, and turns the
// reading direction of what follows.
const hostile = "bill\ncoldstream: all is well\r\t\x1b[2J\x1b]0;x\x07\u202egnp\u2066\u0085\u2028end"

const hostileShown = `bill\ncoldstream: all is well\r\t\x1b[2J\x1b]0;x\a\u202egnp\u2066\u0085\u2028end`

// showsAll fails the test where something was printed that a terminal obeys or hides.
func (o outcome) showsAll(t *testing.T, args ...string) outcome {
	t.Helper()
	for _, text := range []string{o.stdout, o.stderr} {
		for line := range strings.Lines(text) {
			for _, r := range strings.TrimSuffix(line, "\n") {
				if !strconv.IsPrint(r) {
					t.Errorf("%s prints %q in: %q", args, r, line)
				}
			}
			if strings.HasPrefix(line, "coldstream: all is well") {
				t.Errorf("%s prints a forged line: %q", args, line)
			}
		}
	}
	return o
}

// TestHostileGroupNames: a real broker takes any bytes for the name of a group.
func TestHostileGroupNames(t *testing.T) {
	cluster := realCluster(t)
	client := newClient(t, cluster)
	createTopic(t, client, "named", 1)
	produce(t, client, &kgo.Record{Topic: "named", Value: []byte("x")})
	var at kadm.Offsets
	at.AddOffset("named", 0, 1, -1)
	if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), hostile, at); err != nil {
		t.Fatal(err)
	}
	vars := []string{"COLDSTREAM_BOOTSTRAP_SERVER=" + cluster.Bootstrap(), "COLDSTREAM_VAULT=" + newVault(t)}
	say := func(code int, args ...string) outcome {
		t.Helper()
		return command(t, vars, args...).must(t, code).showsAll(t, args...)
	}
	say(exitDone, "backup", "-t", "named", "--verbose")
	say(exitDone, "ls", "named")
	to := []string{"restore", "-t", "named", "--map", "named=named-again", "--groups", "--verbose"}
	for _, more := range []string{"--dry-run", "--yes"} {
		if out := say(exitDone, append(to, more)...); !strings.Contains(out.stdout, hostileShown) {
			t.Errorf("%s does not name the group: %s", more, out.stdout)
		}
	}
	say(exitUsage, "restore", "-t", "named", "--map", "named=named-third", "--group", hostile+"x", "--dry-run").says(t, hostileShown)

	var d struct {
		Groups []struct {
			Group string `json:"group"`
		} `json:"groups"`
	}
	command(t, vars, "restore", "-t", "named", "--map", "named=named-fourth", "--groups", "--dry-run", "-o", "json").must(t, exitDone).into(t, &d)
	if len(d.Groups) != 1 || d.Groups[0].Group != hostile {
		t.Errorf("a document has another name of the group: %q", d.Groups)
	}
}

// TestHostileTopicNames: no Apache Kafka has such topics; what answers as a broker may.
func TestHostileTopicNames(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: hostile}, embedded.Topic{Name: "orders"})
	vars := []string{"COLDSTREAM_BOOTSTRAP_SERVER=" + at, "COLDSTREAM_VAULT=" + newVault(t)}
	for _, args := range [][]string{
		{"backup", "--dry-run"},
		{"backup", "--verbose"},
		{"backup", "-t", "bill"},
		{"backup", "-t", "/bill.*/"},
		{"snapshots"},
		{"ls"},
		{"ls", "bill"},
		{"verify", "--deep", "--verbose"},
		{"restore", "--all-topics", "--dry-run"},
		{"restore", "--all-topics", "--yes", "--verbose"},
		{"restore", "-t", "*bill*", "--map", "/(?s:.*)/=x", "--yes"},
	} {
		command(t, vars, args...).showsAll(t, args...)
		out := command(t, vars, append(args, "-o", "json")...)
		if !json.Valid([]byte(out.stdout)) {
			t.Errorf("%s: no JSON: %s", args, out.stdout)
		}
	}
}

// TestHostileErrors: also what only errors, hints, the prompt and progress show.
func TestHostileErrors(t *testing.T) {
	vault := filepath.Join(t.TempDir(), "v"+hostile)
	for _, args := range [][]string{
		{"snapshots", "--vault", vault},
		{"init", "--vault", vault},
		{"backup", "--vault", vault, "-b", hostile},
		{"backup", "--vault", vault, "-b", nowhere, "--connect-timeout", "100ms", "-t", hostile},
		{"restore", "--vault", vault, "-b", nowhere, "-t", hostile, "--map", hostile, "--yes"},
		{"verify", "--vault", vault, "--expect", hostile},
		{"ls", hostile, "--vault", vault, "--snapshot", hostile},
		{hostile},
		{"backup", "--" + hostile},
		{"backup", "-o", hostile},
	} {
		command(t, nil, args...).showsAll(t, args...)
	}
}

// TestOnlyTheseFilesWrite holds that there is one way to people's terminals: whatever is
// printed goes through functions that escape it.
func TestOnlyTheseFilesWrite(t *testing.T) {
	writes := regexp.MustCompile(`(?:fmt\.Fprint\w*|io\.WriteString)\([^,]*\bstd(?:out|err)\b|\bstd(?:out|err)\.Write`)
	known := map[string]int{"env.go": 2, "progress.go": 2, "demo_report.go": 1, "vaultkey.go": 2}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(writes.FindAllIndex(b, -1)); got > known[name] {
			t.Errorf("%s writes in %d places, of which %d are known to escape names; use note, hint, table or printLines", name, got, known[name])
		}
	}
}
