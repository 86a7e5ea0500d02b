//go:build unix

package alarm

import (
	"os/exec"
	"syscall"
)

func shell(line string) (name string, args []string) { return "/bin/sh", []string{"-c", line} }

// ownGroup lets the end of a command be the end of all that it started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
