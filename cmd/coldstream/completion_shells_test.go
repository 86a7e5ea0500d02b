//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"coldstream/kafka/embedded"
)

const bashCompletion = "/usr/share/bash-completion/bash_completion"

// shellUnderTest is a shell as its user has it: how it starts, and what its startup file says
// so that it completes with the script of ours.
type shellUnderTest struct {
	name, needs string
	args        []string
	startup     string
}

func shellsUnderTest() []shellUnderTest {
	return []shellUnderTest{
		{"bash", bashCompletion, []string{"--norc", "--noprofile", "-i"}, ". " + bashCompletion + "; . %s"},
		{"zsh", "", []string{"-f", "-i"}, "autoload -U compinit; compinit -u -D; . %s"},
		{"fish", "", []string{"--no-config", "--interactive"}, "source %s"},
	}
}

// TestCompletionInShells presses the Tab key in real shells on a real terminal. In place of
// the program there is one that says how it was called, and passes on what completion asks.
func TestCompletionInShells(t *testing.T) {
	binary := buildProgram(t)
	at := embeddedOrders(t, embedded.Topic{Name: "orders-eu"}, embedded.Topic{Name: "payments.v2"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	for _, shell := range shellsUnderTest() {
		t.Run(shell.name, func(t *testing.T) {
			path, err := exec.LookPath(shell.name)
			if err != nil {
				t.Skipf("no %s here: install it to un-skip (Debian: apt-get install %s)", shell.name, shell.name)
			}
			if _, err := os.Stat(shell.needs); shell.needs != "" && err != nil {
				t.Skipf("no %s here: install it to un-skip (Debian: apt-get install bash-completion)", shell.needs)
			}
			dir := t.TempDir()
			wrapper := fmt.Sprintf("#!/bin/sh\ncase $1 in __complete*) exec %s \"$@\";; esac\necho \"RAN[$*]\"\n", binary)
			if err := os.WriteFile(filepath.Join(dir, "coldstream"), []byte(wrapper), 0o755); err != nil {
				t.Fatal(err)
			}
			script := filepath.Join(dir, "script")
			if err := os.WriteFile(script, []byte(command(t, nil, "completion", shell.name).must(t, exitDone).stdout), 0o644); err != nil {
				t.Fatal(err)
			}
			s := startShell(t, dir, path, shell.args, "COLDSTREAM_BOOTSTRAP_SERVER="+at, "COLDSTREAM_VAULT="+vault)
			s.send(fmt.Sprintf(shell.startup, script) + "; echo REA''DY\n")
			s.await("READY")
			for _, c := range []struct{ typed, ran string }{
				{"coldstream rest\t --off\ttr\t", "restore --offsets translate"},
				{"coldstream backup -t ord\t", "backup -t orders-eu"},
				{"coldstream backup -t orders-eu,pay\t", "backup -t orders-eu,payments.v2"},
				{"coldstream ls paym\t", "ls payments.v2"},
				{"coldstream ls scr\t", "ls scr"}, // no files: a file named script is here
				{"coldstream verify --de\t", "verify --deep"},
			} {
				s.send(c.typed + "\n")
				s.await("RAN[" + c.ran)
				s.await("]")
			}
		})
	}
}

// typedShell is a shell at whose terminal a test sits.
type typedShell struct {
	*testing.T
	terminal *os.File
	seen     strings.Builder
}

// startShell starts a shell in dir, on a terminal of its own.
func startShell(t *testing.T, dir, path string, args []string, vars ...string) *typedShell {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	wide := &unix.Winsize{Row: 40, Col: 200}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, wide); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	// A shell that hangs is killed, which ends the reading from its terminal.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "TERM=dumb", "PATH=" + dir + ":" + os.Getenv("PATH")}, vars...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return &typedShell{T: t, terminal: master}
}

func (s *typedShell) send(text string) {
	s.Helper()
	if _, err := s.terminal.WriteString(text); err != nil {
		s.Fatal(err)
	}
}

// await reads what the shell prints until a text is in it, and forgets that.
func (s *typedShell) await(text string) {
	s.Helper()
	room := make([]byte, 4096)
	for {
		if _, after, ok := strings.Cut(s.seen.String(), text); ok {
			s.seen.Reset()
			s.seen.WriteString(after)
			return
		}
		n, err := s.terminal.Read(room)
		if err != nil {
			s.Fatalf("wait for %q: %v; on the terminal: %q", text, err, s.seen.String())
		}
		s.seen.Write(room[:n])
	}
}
