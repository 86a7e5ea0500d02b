package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"coldstream/internal/terminal"
)

// env is what a command sees of the process it runs in. Tests make their own.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	program        string                 // how to call this program again
	host           string                 // its name, as far as it is known
	readSecret     func() ([]byte, error) // from the terminal, without showing it
	stdinTerminal  bool
	stdoutTerminal bool
	stderrTerminal bool
	closers        []io.Closer // of what commands opened, the newest last
	inputs         *inputs     // files that settings were read from; nil where nobody asks
}

// keep closes something at the end of the command, if it can be closed.
func (e *env) keep(opened any) {
	if c, ok := opened.(io.Closer); ok {
		e.closers = append(e.closers, c)
	}
}

// readFile reads a file that a setting is in.
func (e *env) readFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		e.inputs.note(path, nil)
		return nil, err
	}
	e.inputs.note(path, b)
	return b, nil
}

// close closes what the command opened. What mattered was flushed before.
func (e *env) close() {
	for _, c := range slices.Backward(e.closers) {
		_ = c.Close() // temporary files may stay behind
	}
	e.closers = nil
}

// writerName tells others who look into the vault which process writes to it.
func (e *env) writerName(command string) string {
	if e.host == "" {
		return command
	}
	return command + "@" + e.host
}

// note prints a line for people to stderr. What it is made of may come from clusters.
func (e *env) note(format string, args ...any) {
	for i, arg := range args {
		if err, ok := arg.(error); ok {
			args[i] = terminal.Text(err)
		}
	}
	fmt.Fprintf(e.stderr, "coldstream: %s\n", terminal.Visible(fmt.Sprintf(format, args...)))
}

// ask prints a question and waits for a yes.
func (e *env) ask(format string, args ...any) (bool, error) {
	fmt.Fprintf(e.stderr, "coldstream: %s [y/N] ", terminal.Visible(fmt.Sprintf(format, args...)))
	answer, err := bufio.NewReader(e.stdin).ReadString('\n')
	if err != nil && answer == "" {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// hint prints what to do next, on a line of its own.
func (e *env) hint(text string) {
	if text != "" {
		e.note("hint: %s", text)
	}
}
