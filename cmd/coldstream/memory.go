package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

const (
	// leastMemory still moves the largest answers and batches that are usual.
	leastMemory = 16 << 20
	// besideBuffers is what the program needs besides: itself, the catalog's streams, and
	// garbage that is not collected yet.
	besideBuffers = 64 << 20
)

// memoryOptions bound the buffers of a command.
type memoryOptions struct{ bytes byteSize }

func newMemoryOptions(byDefault byteSize) memoryOptions { return memoryOptions{byDefault} }

func (o *memoryOptions) addFlag(cmd *cobra.Command) {
	cmd.Flags().Var(&o.bytes, "memory", "let all buffers together take this `SIZE`; the program needs some 80 MiB besides")
}

// budget is the bytes of all buffers. The garbage collector heeds it too.
func (o *memoryOptions) budget() (int64, error) {
	if o.bytes < leastMemory {
		return 0, usagef("", fmt.Errorf("--memory %s: it must be at least %s", &o.bytes, humanize.IBytes(leastMemory)))
	}
	limitMemory(int64(o.bytes))
	return int64(o.bytes), nil
}

// limitMemory sets what the garbage collector tries to stay under, unless the user did:
// garbage goes earlier then, rather than to be added to the buffers.
func limitMemory(buffers int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(buffers + besideBuffers)
	}
}

// byteSize is a flag: a number of bytes, with or without a unit.
type byteSize int64

// String is for pflag; it is read back as what it was.
func (s *byteSize) String() string {
	if n := uint64(*s); n%(1<<20) != 0 {
		return fmt.Sprint(n)
	}
	return strings.ReplaceAll(humanize.IBytes(uint64(*s)), " ", "")
}

// Set is for pflag.
func (s *byteSize) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<50 {
		return errors.New("it must be a size like 256MiB")
	}
	*s = byteSize(n)
	return nil
}

// Type is for pflag: what help writes behind the flag.
func (*byteSize) Type() string { return "size" }
