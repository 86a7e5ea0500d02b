package fsstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"coldstream/blob"
)

var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what these tests leave to chance")

const (
	raceRounds    = 25
	raceProcesses = 8
)

// play is what this binary does as another process: one of the roles below.
func play(name string) int {
	dir, args := os.Getenv("FSSTORE_TEST_DIR"), strings.Fields(os.Getenv("FSSTORE_TEST_ARGS"))
	role, ok := map[string]func(dir string, args []string) error{
		"race": playRace, "create": playCreate, "endless": playEndless,
		"full": playFull, "read-only": playReadOnly,
	}[name]
	err := errors.New("no such role")
	if ok {
		err = role(dir, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		return 1
	}
	return 0
}

// process is this binary in a role; with is what it is run by, if anything.
func process(t *testing.T, role, dir, args string, with ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(with, self)
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "FSSTORE_TEST_ROLE="+role, "FSSTORE_TEST_DIR="+dir, "FSSTORE_TEST_ARGS="+args)
	cmd.Stderr = os.Stderr
	return cmd
}

// playRace creates the same keys as others, all with a body of its own.
func playRace(dir string, args []string) error {
	if _, err := io.ReadAll(os.Stdin); err != nil { // until all are let go
		return err
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	for round := range raceRounds {
		switch err := s.Create(context.Background(), raceKey(round), bodyOf(args[0])); {
		case err == nil:
			if _, err := fmt.Fprintln(os.Stdout, round); err != nil {
				return err
			}
		case !errors.Is(err, fs.ErrExist):
			return err
		}
	}
	return s.Close()
}

func raceKey(round int) string { return fmt.Sprintf("race/%d/object", round) }

// race lets processes create the same keys at once: of each key one wins, and the object
// is the winner's, whole.
func race(t *testing.T, with ...string) {
	t.Helper()
	s, dir := newStore(t)
	gate, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var processes [raceProcesses]*exec.Cmd
	var outputs [raceProcesses]bytes.Buffer
	for i := range processes {
		processes[i] = process(t, "race", dir, fmt.Sprint("process-", i), with...)
		processes[i].Stdin, processes[i].Stdout = gate, &outputs[i]
		if err := processes[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(gate.Close(), open.Close()); err != nil {
		t.Fatal(err)
	}
	winners := map[string][]string{}
	for i, p := range processes {
		if err := p.Wait(); err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
		for _, round := range strings.Fields(outputs[i].String()) {
			winners[round] = append(winners[round], fmt.Sprint("process-", i))
		}
	}
	won := map[string]int{}
	for round := range raceRounds {
		names := winners[fmt.Sprint(round)]
		if len(names) != 1 {
			t.Errorf("round %d was won by %q", round, names)
			continue
		}
		won[names[0]]++
		got, err := blob.ReadAll(t.Context(), s, raceKey(round), 1<<30)
		if err != nil || !bytes.Equal(got, bodyOf(names[0])) {
			t.Errorf("round %d: %d bytes that are not those of %s, or %v", round, len(got), names[0], err)
		}
	}
	for _, name := range filesIn(t, dir) {
		if strings.HasPrefix(name, tempDir) {
			t.Errorf("left behind: %s", name)
		}
	}
	t.Logf("won: %v", won)
}

func TestProcessesRace(t *testing.T) { race(t) }

// playEndless creates objects and tells of each, until it is killed.
func playEndless(dir string, args []string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		key := fmt.Sprintf("killed/%s/%d", args[0], i)
		if err := s.Create(context.Background(), key, bodyOf(key)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(os.Stdout, key); err != nil {
			return err
		}
	}
}

// Whenever a process is killed, what it told of is there, and what is there is whole.
func TestKilled(t *testing.T) {
	s, dir := newStore(t)
	random := rand.New(rand.NewPCG(*seed, 0))
	for round := range 40 {
		p := process(t, "endless", dir, fmt.Sprint(round))
		out, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		lines, created := bufio.NewScanner(out), []string{}
		for range random.IntN(6) {
			if !lines.Scan() {
				t.Fatalf("seed %d, round %d: it ended after %q", *seed, round, created)
			}
			created = append(created, lines.Text())
		}
		for range random.IntN(1000) { // somewhere into the next one
			runtime.Gosched()
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			created = append(created, lines.Text())
		}
		if err := p.Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		wantNothingTorn(t, s, fmt.Sprintf("killed/%d/", round), created)
		if t.Failed() {
			t.Fatalf("seed %d, round %d", *seed, round)
		}
	}
	t.Logf("seed %d: killed in the making of %d objects", *seed, len(filesIn(t, dir))-len(mustKeys(t, s)))
}

func mustKeys(t *testing.T, s *Store) []string {
	t.Helper()
	keys, err := keysOf(t.Context(), s, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// wantNothingTorn says what is listed and not whole, and what was created and is not there.
func wantNothingTorn(t *testing.T, s *Store, prefix string, created []string) {
	t.Helper()
	for e, err := range s.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.SizeBytes != int64(len(bodyOf(e.Key))) {
			t.Errorf("%s is listed with %d bytes of %d", e.Key, e.SizeBytes, len(bodyOf(e.Key)))
		}
		wantWhole(t, s, e.Key)
	}
	for _, key := range created {
		wantWhole(t, s, key)
	}
}

// playCreate makes a vault's folder and the objects named.
func playCreate(dir string, keys []string) error {
	runtime.LockOSThread() // strace counts the calls of each thread by itself
	s, err := Create(dir)
	if err != nil {
		return err
	}
	s.limits = limits{} // strace counts the calls of each thread, so all must be of one
	for _, key := range keys {
		if err := s.Create(context.Background(), key, bodyOf(key)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(os.Stdout, key); err != nil {
			return err
		}
	}
	return s.Close()
}
