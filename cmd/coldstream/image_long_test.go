//go:build long && linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestTheProgramNeedsNothing runs the program as the image does: as nobody, in a root with
// nothing else in it that it cannot write to.
func TestTheProgramNeedsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs the right to chroot: run as root")
	}
	const nobody = 65532
	root := t.TempDir()
	build := exec.Command("go", "build", "-ldflags", "-X coldstream/internal/program.version=1.2.3-test", "-o", filepath.Join(root, "coldstream"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	data := filepath.Join(root, "vault")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args, says string
		code       int
	}{
		{"version", "coldstream 1.2.3-test", exitDone},
		{"--version", "1.2.3-test", exitDone},
		{"version -o json", `"version": "1.2.3-test"`, exitDone},
		{"init --vault /vault/a", "", exitDone},
		{"verify --deep --vault /vault/a", "", exitDone},
		{"init --vault /other", "permission denied", exitFailed},
		{"run --vault /vault/a -b 127.0.0.1:1 --connect-timeout 1s", "127.0.0.1:1", exitUnreachable},
	} {
		cmd := exec.Command("/coldstream", strings.Fields(test.args)...)
		cmd.Dir, cmd.Env = "/", []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, _ := cmd.CombinedOutput() // the code is looked at below
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != test.code || !strings.Contains(string(out), test.says) {
			t.Errorf("%s: %v, want code %d and %q:\n%s", test.args, cmd.ProcessState, test.code, test.says, out)
		}
	}
}
