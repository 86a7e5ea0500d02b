package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
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

// memoryTarget is what the garbage collector tries to stay under: the buffers of a
// backup are bounded well below it, and the rest is garbage that can go earlier.
const memoryTarget = 220 << 20

// limitMemory sets the collector's target unless the user did.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryTarget)
	}
}
