package kafkatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// sleeper stands for a broker: a process with a pid file.
type sleeper struct{ done chan struct{} }

func startSleeper(t *testing.T, dir string) *sleeper {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &sleeper{done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-s.done })
	if err := os.MkdirAll(filepath.Join(dir, "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "1", "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sleeper) running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// runSelf runs one test of this binary in a process of its own.
func runSelf(t *testing.T, test, variable string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), variable)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("the process did not die:\n%s", out)
	}
}
