package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// sweepCalls are the calls by which a vault in a folder is read and written, and what
// becomes of each. The program makes some of them for other ends too, which does no harm.
var sweepCalls = map[string][]string{
	"mkdirat": {"error=EIO", "error=ENOSPC", "signal=KILL"}, "openat": {"error=EIO", "error=ENOSPC", "signal=KILL"},
	"write": {"error=EIO", "error=ENOSPC", "signal=KILL"}, "fsync": {"error=EIO", "error=ENOSPC", "signal=KILL"},
	"linkat": {"error=EIO", "error=ENOSPC", "signal=KILL"}, "unlinkat": {"error=EIO", "signal=KILL"},
	"getdents64": {"error=EIO", "signal=KILL"}, "newfstatat": {"error=EIO", "signal=KILL"}, "fstat": {"error=EIO", "signal=KILL"},
	"read": {"error=EIO", "signal=KILL"}, "pread64": {"error=EIO", "signal=KILL"}, "close": {"error=EIO", "signal=KILL"},
}

// callCase is one command in which one system call goes wrong.
type callCase struct {
	step   int
	call   string
	effect string
	n      int // counted by strace for each thread of the program by itself
}

// callSweep is a cluster, and the vault as it is before each of some commands.
type callSweep struct {
	*world
	binary string
	before []string   // folders
	known  [][]string // the snapshots in each
	want   []kafkatest.Record
	copies int
}

var callSteps = []string{"init", "backup", "backup", "restore"}

// TestSweepOfSystemCalls runs the real program over a vault in a folder and lets each of
// its system calls fail for want of a disk, of space, or of a process. Whoever comes next
// finds a whole vault with all that was reported, and goes on.
func TestSweepOfSystemCalls(t *testing.T) {
	strace(t)
	s := newCallSweep(t)
	cases := s.cases()
	tried, failed := 0, 0
	for i := 0; i < len(cases); i += sweepStrideCall {
		c := cases[i]
		tried++
		if s.try(c) {
			failed++
		}
		if t.Failed() {
			t.Fatalf("%s with %s number %d: %s", callSteps[c.step], c.call, c.n, c.effect)
		}
	}
	t.Logf("%d of %d cases tried; %d commands went wrong", tried, len(cases), failed)
	if failed < tried/3 {
		t.Errorf("%d of %d commands went wrong: that is no test", failed, tried)
	}
}

// strace is the command line that traces, and changes, the system calls of what follows.
func strace(t *testing.T, options ...string) []string {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("needs strace: install it, and allow ptrace: %v %s", err, out)
	}
	return append([]string{"strace", "-f", "-qq", "-o", os.DevNull}, options...)
}

func newCallSweep(t *testing.T) *callSweep {
	t.Helper()
	s := &callSweep{world: newFakeWorld(t), binary: buildProgram(t)}
	s.create("a", 2)
	for p := range int32(2) {
		for i := range 3 {
			s.produce(&kgo.Record{Topic: "a", Partition: p, Value: fmt.Appendf(nil, "%d of %d", i, p)})
		}
	}
	s.before = []string{filepath.Join(t.TempDir(), "none")}
	s.known = [][]string{nil}
	s.keep()
	s.backup("a")
	s.keep()
	s.produce(&kgo.Record{Topic: "a", Value: []byte("more")})
	s.deleteRecords("a", 2)
	s.backup("a")
	s.keep()
	s.want = s.read("a")
	return s
}

// keep copies the vault as it is now, for the next command.
func (s *callSweep) keep() {
	s.Helper()
	folder := filepath.Join(s.TempDir(), "vault")
	s.copyFolder(s.vault, folder)
	s.before, s.known = append(s.before, folder), append(s.known, s.ids())
}

func (s *callSweep) copyFolder(from, to string) {
	s.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		s.Fatal(err)
	}
}

func (s *callSweep) ids() []string {
	s.Helper()
	out := []string{}
	for _, snapshot := range s.snapshots() {
		out = append(out, snapshot.ID)
	}
	return out
}

// fresh is a folder with the vault as it is before a step, and a name to restore topic
// "a" to.
func (s *callSweep) fresh(step int) (folder, target string) {
	s.Helper()
	s.copies++
	folder = filepath.Join(s.TempDir(), "vault")
	if step > 0 {
		s.copyFolder(s.before[step], folder)
	}
	return folder, fmt.Sprint("copy-", s.copies)
}

// runStep runs a step's command over a folder, under strace.
func (s *callSweep) runStep(step int, folder, target string, options ...string) (stdout []byte, err error) {
	s.Helper()
	args := append(strace(s.T, options...), s.binary, callSteps[step], "--vault", folder)
	switch callSteps[step] {
	case "backup":
		args = append(args, "-b", s.bootstrap, "-t", "a", "-o", "json")
	case "restore":
		args = append(args, "-b", s.bootstrap, "-t", "a", "--map", "a="+target, "--yes", "-o", "json")
	}
	cmd := exec.CommandContext(s.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // few threads, each with many calls
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	return out, err
}

var tracedCall = regexp.MustCompile(`(?m)^(\d+) +(\w+)\(`)

// cases counts the calls of each step, and lists all that can go wrong. The most calls of
// one thread are what one thread can be counted to.
func (s *callSweep) cases() (out []callCase) {
	s.Helper()
	for step := range callSteps {
		folder, target := s.fresh(step)
		trace := filepath.Join(s.TempDir(), "trace")
		if _, err := s.runStep(step, folder, target, "-o", trace); err != nil {
			s.Fatalf("%s: %v", callSteps[step], err)
		}
		text, err := os.ReadFile(trace)
		if err != nil {
			s.Fatal(err)
		}
		byThread, most, all := map[string]int{}, map[string]int{}, map[string]int{}
		for _, m := range tracedCall.FindAllStringSubmatch(string(text), -1) {
			all[m[2]]++
			byThread[m[1]+m[2]]++
			most[m[2]] = max(most[m[2]], byThread[m[1]+m[2]])
		}
		for _, call := range sortedKeys(sweepCalls) {
			for n := range most[call] {
				for _, effect := range sweepCalls[call] {
					out = append(out, callCase{step, call, effect, n + 1})
				}
			}
		}
		if callSteps[step] == "backup" && (all["fsync"] < 4 || all["linkat"] < 2) {
			s.Errorf("a backup made %d calls of fsync and %d of linkat: the trace is not understood", all["fsync"], all["linkat"])
		}
	}
	return out
}

func sortedKeys(m map[string][]string) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// try lets one call go wrong, and judges what is left. It is true if the command did not
// come through.
func (s *callSweep) try(c callCase) bool {
	s.Helper()
	folder, target := s.fresh(c.step)
	stdout, err := s.runStep(c.step, folder, target, "-e", fmt.Sprintf("inject=%s:%s:when=%d", c.call, c.effect, c.n))
	s.vault = folder
	known := s.known[c.step]
	switch callSteps[c.step] {
	case "init":
		if again := command(s.T, nil, "init", "--vault", folder); again.code != exitDone && err != nil && !bytes.Contains([]byte(again.stderr), []byte("already")) {
			s.Errorf("init again: %d %s", again.code, again.stderr)
		}
	case "backup":
		var report backupReport
		if json.Unmarshal(stdout, &report) == nil && report.Snapshot != "" {
			known = append(slices.Clone(known), report.Snapshot)
		} else if err == nil {
			s.Errorf("the backup came through and reported no snapshot: %q", stdout)
		}
	case "restore":
		if err == nil {
			sameContent(s.T, s.read(target), s.want)
		}
	}
	if o := s.run("verify", "--deep"); o.code != exitDone {
		s.Errorf("verify: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	ids := s.ids()
	for _, id := range known {
		if !slices.Contains(ids, id) {
			s.Errorf("snapshot %s was reported and is not there", id)
		}
	}
	s.goOn(target)
	return err != nil
}

// goOn makes the next backup and restores it whole, and proves that the vault is sound.
func (s *callSweep) goOn(target string) {
	s.Helper()
	s.backup("a")
	if s.exists(target) {
		s.delete(target)
	}
	s.restoreAs("a", target, "--offsets", "exact")
	sameContent(s.T, s.read(target), s.want)
	s.delete(target)
	s.verify()
	if err := os.RemoveAll(s.vault); err != nil {
		s.Fatal(err)
	}
}
