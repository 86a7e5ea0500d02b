package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMemoryFlag: with little memory a backup makes smaller packs, and backup and restore
// of the same records take less and lose nothing.
func TestMemoryFlag(t *testing.T) {
	w := newWorld(t)
	binary := buildProgram(t)
	w.fillLarge("large")
	w.fillLarge("larger")
	before := w.read("large")
	usual, vault := w.backup("large", "larger"), w.vault
	for _, memory := range []string{"16MiB", "1GiB"} {
		w.vault = filepath.Join(t.TempDir(), "vault")
		command(t, nil, "init", "--vault", w.vault).must(t, exitDone)
		saving := w.peak("backup", binary, "--memory", memory)
		var packs int
		if packs = w.files("packs"); memory == "16MiB" && packs < 10 || memory == "1GiB" && packs != 1 {
			t.Errorf("--memory %s made %d packs", memory, packs)
		}
		w.verify()
		restoring := w.peak("restore", binary, "--memory", memory, "--map", "/(.*)/=$1-"+memory, "--yes")
		sameContent(t, w.read("large-"+memory), before)
		t.Logf("--memory %s: %d packs, %d MiB to back up, %d MiB to restore", memory, packs, saving>>20, restoring>>20)
		if memory == "16MiB" && runtime.GOOS == "linux" && (saving > 110<<20 || restoring > 110<<20 || saving == 0) {
			t.Errorf("--memory %s took %d MiB to back up, %d MiB to restore", memory, saving>>20, restoring>>20)
		}
	}
	w.vault = vault
	if usual.Records != int64(2*len(before)) {
		t.Errorf("%d records were saved of %d", usual.Records, 2*len(before))
	}
}

// peak is the most memory that the program took, nearly: what it says of itself while it
// runs, as what the system says afterwards counts the process that it was forked from.
func (w *world) peak(name, binary string, args ...string) (bytes int64) {
	w.Helper()
	return w.peakOf(w.startProcess(binary, name, append([]string{"-t", "large,larger"}, args...)...))
}

func (w *world) peakOf(p *process) (bytes int64) {
	w.Helper()
	status := filepath.Join("/proc", strconv.Itoa(p.Process.Pid), "status")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; !p.hasEnded(); <-tick.C {
		text, err := os.ReadFile(status)
		if err != nil {
			continue // it has just ended, or this is no Linux
		}
		if _, line, ok := strings.Cut(string(text), "VmHWM:"); ok {
			var kib int64
			if _, err := fmt.Sscan(line, &kib); err != nil {
				w.Fatal(err)
			}
			bytes = max(bytes, kib<<10)
		}
	}
	(outcome{p.code, p.stdout.String(), p.stderr.String()}).must(w.T, exitDone)
	return bytes
}
