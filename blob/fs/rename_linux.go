package fsstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"
)

// renameNoReplace is for file systems without links: a rename that fails if the name is
// taken. It is not done (false) where the system cannot do that either.
func (s *Store) renameNoReplace(from, to string) (done bool, err error) {
	fromDir, err := s.root.Open(path.Dir(from))
	if err != nil {
		return true, err
	}
	defer fromDir.Close() //nolint:errcheck // only read
	toDir, err := s.root.Open(path.Dir(to))
	if err != nil {
		return true, err
	}
	defer toDir.Close() //nolint:errcheck // only read
	err = unix.Renameat2(int(fromDir.Fd()), path.Base(from), int(toDir.Fd()), path.Base(to), unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.EEXIST):
		return true, fmt.Errorf("%s: %w", to, fs.ErrExist)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOTSUP):
		return false, nil
	}
	return true, err
}
