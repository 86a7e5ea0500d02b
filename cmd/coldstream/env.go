package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// env is what a command sees of the process it runs in. Tests make their own.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	stdinTerminal  bool
	stderrTerminal bool
}

// note prints a line for people to stderr.
func (e *env) note(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		fmt.Fprintf(e.stderr, "coldstream: %s\n", strings.TrimRight(line, "\n"))
	}
}

// hint prints what to do next, on a line of its own.
func (e *env) hint(text string) {
	if text != "" {
		fmt.Fprintf(e.stderr, "coldstream: hint: %s\n", text)
	}
}
