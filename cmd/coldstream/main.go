// Command coldstream backs up Apache Kafka to cold storage and brings it back.
package main

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/term"

	"coldstream/backup"
	"coldstream/internal/terminal"
)

func main() {
	limitMemory(backup.DefaultMemory)
	// Whoever reads our stdout may stop. Then writes fail, and what is temporary is removed.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, exitAtNextSignal)
	os.Exit(run(ctx, os.Args[1:], processEnv()))
}

// exitAtNextSignal ends the program at once when there is a second signal.
func exitAtNextSignal() {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	<-again
	os.Exit(exitInterrupted)
}

func processEnv() *env {
	host, err := os.Hostname()
	if err != nil {
		host = "" // it only tells people who wrote what
	}
	return &env{
		host:           host,
		stdin:          os.Stdin,
		stdout:         os.Stdout,
		stderr:         os.Stderr,
		getenv:         os.Getenv,
		now:            time.Now,
		inputs:         &inputs{},
		program:        programName(),
		readSecret:     func() ([]byte, error) { return term.ReadPassword(int(os.Stdin.Fd())) },
		stdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		stdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		stderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
}

// builtByGoRun is where go run keeps a program: in its cache, or in a temporary folder.
var builtByGoRun = regexp.MustCompile(`[/\\](?:[0-9a-f]{64}-d|go-build\d+[/\\]b\d+[/\\]exe)[/\\][^/\\]+$`)

// programName is how people call this program again, for commands that are printed to be
// typed.
func programName() string {
	const name = "coldstream"
	self, err := os.Executable()
	if err != nil {
		return name
	}
	if builtByGoRun.MatchString(self) {
		return "go run ./cmd/coldstream"
	}
	found, err := exec.LookPath(name)
	if err == nil {
		if found, err = filepath.Abs(found); err == nil && isSameFile(found, self) {
			return name
		}
	}
	return terminal.Quote(os.Args[0])
}

func isSameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
