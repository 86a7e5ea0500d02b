//go:build unix

package fsstore

import (
	"errors"
	"os"
	"syscall"
)

// syncNames makes the names in a folder durable. Some network and user-space file systems
// have no such call, and say so in one of these ways: then the link was all there is.
func syncNames(dir *os.File, flush func(*os.File) error) error {
	err := flush(dir)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTTY) {
		return nil
	}
	return err
}
