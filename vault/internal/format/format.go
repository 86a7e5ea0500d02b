// Package format is version 1 of the vault's format: every stored structure, bytes in
// and value out, without any I/O. Decoders accept one encoding of each value and nothing
// else: an unknown version, kind or flag is [coldstream.ErrUnsupported], whatever else is
// not as docs/format.md says is [coldstream.ErrCorrupt]. Lengths are checked before they
// allocate.
package format

import (
	"fmt"

	"coldstream"
)

// Version is the format version that this package reads and writes.
const Version = 1

// passesVersion is the version of commits and bases that hold passes. Those without any are
// written as before.
const passesVersion = 2

// reachedVersion is the version of commits that say which topics are whole with them.
const reachedVersion = 3

func corruptf(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, coldstream.ErrCorrupt)...)
}

func unsupportedf(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, coldstream.ErrUnsupported)...)
}
