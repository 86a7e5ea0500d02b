// Package planted proves that tests fail where the program is broken. Each fault is a small
// change of a file that a named test must catch. Faults are put in through the overlay of
// `go test`, which maps a file to a changed copy elsewhere: the tree itself stays as it is.
package planted

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// root is the module's folder, seen from this one.
const root = "../.."

var write = flag.Bool("write", false, "write the table of faults into docs/testing.md")

// fault is one planted bug.
type fault struct {
	name  string // of the subtest
	what  string // what goes wrong, in a few words
	file  string
	edits []edit
	tests string // the package of the test that must fail
	test  string
}

// edit replaces the only occurrence of old.
type edit struct{ old, new string }

func faults() []fault {
	return slices.Concat(backupFaults, vaultFaults, catalogFaults, formatFaults, encryptionFaults, storeFaults, batchFaults, restoreFaults, kafkaFaults, commandFaults, ruleFaults())
}

// apply returns a file's text with the fault in it.
func (f *fault) apply(text string) (string, error) {
	for _, e := range f.edits {
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%s: %d times in %s, must be once:\n%s", f.name, n, f.file, e.old)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return text, nil
}

func source(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// outcome is what a run of one test comes to.
type outcome string

const (
	passed  outcome = "not caught: the test passes"
	caught  outcome = "caught"
	unbuilt outcome = "it does not build"
	unran   outcome = "the test did not run to its end"
)

// judge reads the output of `go test -v -run '^test$'`. A test that neither passed nor
// failed by itself, such as one that was skipped, has shown nothing.
func judge(output, test string) outcome {
	has := func(pattern string) bool {
		return regexp.MustCompile(`(?m)^` + pattern).MatchString(output)
	}
	switch {
	case has(`FAIL\s.*\[(build|setup) failed\]$`):
		return unbuilt
	case has(`--- FAIL: ` + test + ` `):
		return caught
	case has(`--- PASS: ` + test + ` `):
		return passed
	}
	return unran
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		output string
		want   outcome
	}{
		{"=== RUN   TestX\n--- FAIL: TestX (0.00s)\nFAIL\nFAIL\tcoldstream/x\t0.1s\n", caught},
		{"=== RUN   TestX\n--- PASS: TestX (0.00s)\nPASS\nok\tcoldstream/x\t0.1s\n", passed},
		{"# coldstream/x\nx.go:1:1: undefined: y\nFAIL\tcoldstream/x [build failed]\nFAIL\n", unbuilt},
		{"FAIL\tcoldstream/x [setup failed]\n", unbuilt},
		{"--- SKIP: TestX (0.00s)\nPASS\n", unran},
		{"testing: warning: no tests to run\nPASS\n", unran},
		{"--- FAIL: TestXY (0.00s)\nFAIL\n", unran},
		{"panic: test timed out after 5m0s\nFAIL\tcoldstream/x\t300s\n", unran},
	} {
		if got := judge(c.output, "TestX"); got != c.want {
			t.Errorf("%q: %s, want %s", c.output, got, c.want)
		}
	}
}

// try runs one test, with the fault in its place unless there is none.
func try(t *testing.T, f *fault, overlay ...string) (outcome, string) {
	t.Helper()
	args := append([]string{"test", "-count=1", "-short", "-vet=off", "-timeout=5m", "-v", "-run", "^" + f.test + "$"}, overlay...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./"+f.tests)...)
	cmd.Dir = root
	out, _ := cmd.CombinedOutput() // what it exits with says less than what it prints
	return judge(string(out), f.test), string(out)
}

// plant makes a fault's overlay in a folder of its own.
func plant(t *testing.T, f *fault) string {
	t.Helper()
	text, err := f.apply(source(t, f.file))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, filepath.Base(f.file))
	original, err := filepath.Abs(filepath.Join(root, f.file))
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: []byte(text), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "-overlay=" + filepath.Join(dir, "overlay.json")
}

// sound runs a fault's test without the fault: a test that fails anyhow catches nothing.
// It does so once for each test.
func sound(t *testing.T, f *fault, known map[string]bool) {
	t.Helper()
	name := f.tests + " " + f.test
	if known[name] {
		return
	}
	if got, output := try(t, f); got != passed {
		t.Fatalf("%s without a fault: %s\n%s", name, got, output)
	}
	known[name] = true
}

func mustCatch(t *testing.T, f *fault, known map[string]bool) {
	t.Helper()
	sound(t, f, known)
	if got, output := try(t, f, plant(t, f)); got != caught {
		t.Errorf("%s in %s: %s\n%s", f.name, f.file, got, output)
	}
}

// TestFaultsFitTheTree finds snippets that the code has moved away from, and tests that
// are not there any more.
func TestFaultsFitTheTree(t *testing.T) {
	all := faults()
	if len(all) < 132 {
		t.Errorf("%d faults, and docs/reliability.md says that there are 132", len(all))
	}
	names := map[string]bool{}
	for _, f := range all {
		if names[f.name] {
			t.Errorf("two faults are named %q", f.name)
		}
		names[f.name] = true
		before := source(t, f.file)
		after, err := f.apply(before)
		switch {
		case err != nil:
			t.Error(err)
		case after == before || len(f.edits) == 0:
			t.Errorf("%s changes nothing", f.name)
		}
		if !hasTest(t, f.tests, f.test) {
			t.Errorf("%s: there is no %s in %s", f.name, f.test, f.tests)
		}
	}
}

func hasTest(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "\nfunc "+test+"(t *testing.T)")
	})
}

// The table stands between these lines of the page.
const (
	page       = "docs/testing.md"
	tableBegin = "<!-- faults: go test ./internal/planted -run TestPage -write -->\n"
	tableEnd   = "<!-- end of faults -->\n"
)

func tableOfFaults() string {
	var b strings.Builder
	b.WriteString("| planted in | fault | caught by |\n|---|---|---|\n")
	for _, f := range faults() {
		fmt.Fprintf(&b, "| `%s` | %s (`%s`) | `%s` in `%s` |\n", f.file, f.what, f.name, f.test, f.tests)
	}
	return b.String()
}

// TestPage holds the page to the table that is tried.
func TestPage(t *testing.T) {
	text := source(t, page)
	before, rest, begins := strings.Cut(text, tableBegin)
	got, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("%s has no table between %q and %q", page, tableBegin, tableEnd)
	}
	want := tableOfFaults()
	if *write {
		if err := os.WriteFile(filepath.Join(root, page), []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s has another table; write it anew with -write (-want +got)\n%s", page, diff)
	}
}

// TestRunner plants three faults whose tests are quick; `-tags long` plants all of them.
// A change that breaks nothing must not count as caught, nor one that does not build.
func TestRunner(t *testing.T) {
	if testing.Short() {
		t.Skip("builds other packages: run without -short")
	}
	known := map[string]bool{}
	for _, f := range faults() {
		if slices.Contains([]string{"checksum-kept", "trailing-byte", "file-not-synced"}, f.name) {
			t.Run(f.name, func(t *testing.T) { mustCatch(t, &f, known) })
		}
	}
	if len(known) != 3 {
		t.Errorf("%d of 3 faults were tried", len(known))
	}
	for _, c := range []struct {
		name, new string
		want      outcome
	}{
		{"harmless", "\tout.seal() // and nothing else", passed},
		{"unbuilt", "\tout.seal(1)", unbuilt},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fault{
				name: c.name, file: "recordbatch/produce.go", edits: []edit{{"\tout.seal()", c.new}},
				tests: "recordbatch", test: "TestAppendPatched",
			}
			if got, output := try(t, f, plant(t, f)); got != c.want {
				t.Errorf("%s, want %s\n%s", got, c.want, output)
			}
		})
	}
}
