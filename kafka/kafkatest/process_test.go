package kafkatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"coldstream/internal/testproc"
)

// childVariable makes this test binary start a cluster and die.
const childVariable = "COLDSTREAM_KAFKATEST_CHILD"

// left is what a child that died had.
type left struct {
	Dir string
	PID int
}

// dieAsToldBy starts a cluster, says what it has, and dies without cleaning up.
func dieAsToldBy(how string) {
	c, err := StartShared(Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(left{c.dir, c.PID(1)}); err != nil {
		os.Exit(1)
	}
	switch how {
	case "panic":
		go panic("as told")
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	select {}
}

// gone is true when a process is no more, or only an entry that nobody has asked for.
func gone(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestNothingIsLeftBehindBy(t *testing.T) {
	for _, how := range []string{"panic", "kill"} {
		t.Run(how, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), childVariable+"="+how)
			var stderr strings.Builder
			child.Stderr = &stderr
			out, err := child.Output()
			var exit *exec.ExitError
			var had left
			if bad := json.Unmarshal(out, &had); bad != nil || !errors.As(err, &exit) {
				t.Fatalf("the child did not start a cluster and die: %v %v\n%s", err, bad, stderr.String())
			}
			await(t, "its java process is gone", func() bool { return gone(had.PID) })
			await(t, "its folder is gone", func() bool {
				_, err := os.Stat(had.Dir)
				return errors.Is(err, fs.ErrNotExist)
			})
		})
	}
}

// Where the kernel does not tie processes together the watchdog is alone.
func TestWatchdogKillsAndRemoves(t *testing.T) {
	dir, err := os.MkdirTemp("", "coldstream-watchdog-")
	if err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("sleep", "600")
	exit, err := testproc.Launch(sleeper)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); <-exit })
	n := node{dir: filepath.Join(dir, "1")}
	if err := os.MkdirAll(n.logDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.pidFile(), fmt.Append(nil, sleeper.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	watchdog, err := testproc.StartWatchdog(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := watchdog.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder: got %v, want it gone", err)
	}
	await(t, "the process is gone", func() bool { return gone(sleeper.Process.Pid) })
}
