//go:build long

package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestElastioBackupThatIsKilled kills backups as they begin each of their recovery points: what they
// left does not count, and the next one saves all.
func TestElastioBackupThatIsKilled(t *testing.T) {
	w, binary := newElastioWorld(t), buildProgram(t)
	vault := []string{"--vault", "elastio:main"}
	w.run(exitDone, append(vault, "init")...)
	w.fillLarge("killed")
	killed := 0
	for n := 1; n <= 2; n++ {
		w.produce(someRecords(newRandom(t), "killed", 0, 30)...)
		w.plan() // counts from now
		cmd := exec.Command(binary, append(vault, "backup", "-t", "killed", "--interval", "1ms")...)
		cmd.Env = append(os.Environ(), w.env...)
		p := w.start(cmd)
		for tick := time.NewTicker(time.Millisecond); !p.hasEnded(); <-tick.C {
			calls, err := w.program.Calls("backup")
			if err != nil {
				t.Fatal(err)
			}
			if calls >= n {
				killed++
				break
			}
		}
		_ = p.Process.Kill() // it may have ended
		<-p.ended
	}
	if killed == 0 {
		t.Error("no backup was killed")
	}
	w.run(exitDone, append(vault, "backup", "-t", "killed")...)
	w.run(exitDone, append(vault, "verify", "--deep", "--spool", t.TempDir())...)
	w.run(exitDone, append(vault, "restore", "-t", "killed", "--map", "killed=killed-copy", "--yes", "--spool", t.TempDir())...)
	sameContent(t, w.read("killed-copy"), w.read("killed"))
}
