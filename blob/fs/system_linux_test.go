package fsstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// strace returns the command line that traces, and changes, the system calls of what
// follows it.
func strace(t *testing.T, options ...string) []string {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("needs strace: install it, and allow ptrace: %v %s", err, out)
	}
	return append([]string{"strace", "-f", "-qq", "-o", os.DevNull}, options...)
}

var (
	pathOfDescriptor = regexp.MustCompile(`\b\w+<([^>]*)>(?:, "([^"]*)")?`)
	straceLine       = regexp.MustCompile(`^\d+ +(mkdir|mkdirat|openat|write|fsync|linkat|unlinkat)\((.*)`)
)

// calls reads from a trace what was done to the files below a folder: "linkat .tmp/temp a/b".
func calls(t *testing.T, trace, below string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		m := straceLine.FindStringSubmatch(lines.Text())
		if m == nil || m[1] == "openat" && !strings.Contains(m[2], "O_CREAT") {
			continue
		}
		call := m[1]
		args, _, _ := strings.Cut(m[2], ") = ") // -y names the answer of openat too
		for _, arg := range pathOfDescriptor.FindAllStringSubmatch(args, -1) {
			name := arg[1]
			if m[1] != "write" && arg[2] != "" {
				name = filepath.Join(name, arg[2])
				if filepath.IsAbs(arg[2]) {
					name = arg[2]
				}
			}
			if rel, err := filepath.Rel(below, name); err == nil && !strings.HasPrefix(rel, "..") {
				call += " " + randomName.ReplaceAllString(rel, "temp")
			}
		}
		if call != m[1] && (len(out) == 0 || call != out[len(out)-1] || m[1] != "write") {
			out = append(out, call)
		}
	}
	return out
}

// What the system is asked for: nothing between this and the disk but the system.
func TestSystemCalls(t *testing.T) {
	below, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	with := strace(t, "-y", "-s", "200", "-e", "trace=mkdir,mkdirat,openat,write,fsync,linkat,unlinkat", "-o", trace)
	if err := process(t, "create", filepath.Join(below, "new", "vault"), "a/b/c a/b/d", with...).Run(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"mkdirat new/vault", "mkdirat new", "fsync .", "mkdirat new/vault", "fsync new",
		"mkdirat new/vault/a", "fsync new/vault",
		"mkdirat new/vault/a/b", "fsync new/vault/a",
		"mkdirat new/vault/.tmp", "fsync new/vault",
		"openat new/vault/.tmp/temp", "write new/vault/.tmp/temp", "fsync new/vault/.tmp/temp",
		"linkat new/vault/.tmp/temp new/vault/a/b/c", "unlinkat new/vault/.tmp/temp", "fsync new/vault/a/b",
		"openat new/vault/.tmp/temp", "write new/vault/.tmp/temp", "fsync new/vault/.tmp/temp",
		"linkat new/vault/.tmp/temp new/vault/a/b/d", "unlinkat new/vault/.tmp/temp", "fsync new/vault/a/b",
	}
	if diff := cmp.Diff(want, calls(t, trace, below)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Killed at each system call in turn: what was told of is there, what is there is whole,
// and who comes next can go on.
func TestKilledAtEachCall(t *testing.T) {
	keys := []string{"a/b", "a/c", "d/e"}
	strace(t)
	kills, left := 0, 0
	for _, call := range []string{"mkdirat", "write", "fsync", "linkat", "unlinkat"} {
		for n := 1; ; n++ {
			dir := filepath.Join(t.TempDir(), "vault")
			p := process(t, "create", dir, strings.Join(keys, " "),
				strace(t, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n))...)
			var out bytes.Buffer
			p.Stdout = &out
			err := p.Run()
			created := strings.Fields(out.String())
			if err == nil {
				if len(created) != len(keys) {
					t.Fatalf("it ended after %q", created)
				}
				break
			}
			kills++
			s, err := Create(dir)
			if err != nil {
				t.Fatal(err)
			}
			wantNothingTorn(t, s, "", created)
			for _, name := range filesIn(t, dir) {
				if strings.HasPrefix(name, tempDir+"/") {
					left++
				}
			}
			for _, key := range keys {
				if err := s.Create(t.Context(), key, bodyOf(key)); err != nil && !errors.Is(err, fs.ErrExist) {
					t.Errorf("after it: %v", err)
				}
				wantWhole(t, s, key)
			}
			wantKeys(t, s, keys...)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Fatalf("killed at %s %d", call, n)
			}
		}
	}
	// 4 folders, 3 bodies and 3 lines, 10 syncs, 3 links and as many removals.
	if kills < 26 || left == 0 {
		t.Errorf("killed %d times, which left %d temporary files: that is no test", kills, left)
	}
}

// Where there are no links a rename must do, which does not replace either.
func TestWithoutLinks(t *testing.T) {
	race(t, strace(t, "-e", "inject=linkat:error=EPERM")...)
}

// Where there is neither, nothing is created, and it is said what is missing.
func TestWithoutLinksAndRename(t *testing.T) {
	_, dir := newStore(t)
	p := process(t, "create", dir, "a/b", strace(t, "-e", "inject=linkat:error=EPERM", "-e", "inject=renameat2:error=EINVAL")...)
	var stderr bytes.Buffer
	p.Stderr = &stderr
	if err := p.Run(); err == nil || !strings.Contains(stderr.String(), "must have hard links") {
		t.Errorf("%v: %s", err, &stderr)
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Errorf("it leaves %q", left)
	}
}

func TestRenameNoReplace(t *testing.T) {
	s, dir := newStore(t)
	mustCreate(t, s, "a/taken")
	for _, key := range []string{"a/free", "free", "a/taken"} {
		temp, err := s.writeTemp(bodyOf(key), func() {})
		if err != nil {
			t.Fatal(err)
		}
		done, err := s.renameNoReplace(temp.name, key)
		if !done {
			t.Fatalf("%s: the file system of %s has no such rename: set TMPDIR to one that has", key, dir)
		}
		if (key == "a/taken") != errors.Is(err, fs.ErrExist) || key != "a/taken" && err != nil {
			t.Errorf("%s: %v", key, err)
		}
		wantWhole(t, s, key)
	}
	if _, err := s.renameNoReplace(tempDir+"/absent", "a/new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is absent: %v", err)
	}
}
