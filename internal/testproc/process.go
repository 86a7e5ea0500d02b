package testproc

import (
	"errors"
	"io"
	"os/exec"
	"runtime"
	"syscall"
)

func lockThread() func() {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// Tied makes a command run in a process group of its own, so that an interrupt at the
// terminal is for the tests only, and, where the system can do that, die with the thread
// that started it.
func Tied(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// Launch starts a command from a thread that lives as long as the command, because the
// system takes the end of that thread for the end of the parent. The channel is closed
// when the process is gone.
func Launch(cmd *exec.Cmd) (exit <-chan struct{}, err error) {
	started, gone := make(chan error), make(chan struct{})
	go func() {
		defer lockThread()()
		defer close(gone)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	return gone, <-started
}

// The watchdog outlives us by a moment. When its input closes, which happens however we
// end, it kills the processes that are still there, and removes the folder: several times,
// since a process that is being killed may make one more file.
const watchdogScript = `
trap '' INT TERM HUP
read -r _
for f in "$1"/*/pid; do
	[ -e "$f" ] || continue
	pid=$(cat "$f")
	kill -9 "$pid" 2>/dev/null
	i=0
	while kill -0 "$pid" 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
done
i=0
while rm -rf "$1"; [ -e "$1" ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
`

// StartWatchdog starts the watchdog of a folder whose subfolders have the process IDs of
// what runs there in files named pid. Close lets the watchdog do its work, and returns
// when that is done.
func StartWatchdog(dir string) (io.Closer, error) {
	cmd := exec.Command("sh", "-c", watchdogScript, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return closer(func() error { return errors.Join(in.Close(), cmd.Wait()) }), nil
}

type closer func() error

func (c closer) Close() error { return c() }
