package fsstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// makeVaultFolder makes the vault's own folder and those above it, each synced into its
// parent: else a crash could take all of a vault away after its first objects were
// acknowledged.
func makeVaultFolder(dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeVaultFolder(parent); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirMode)
	}
	if errors.Is(err, fs.ErrExist) {
		// Whoever made it may have crashed before its sync. Where we may not open what
		// is above it, it was not made by us.
		if err = syncPath(parent); errors.Is(err, fs.ErrPermission) {
			err = nil
		}
		return err
	}
	if err != nil {
		return err
	}
	return syncPath(parent)
}

func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncNames(f, (*os.File).Sync), f.Close())
}

// makeFolder makes a folder and those above it, each synced into its parent, once. It
// says whether this store used the folder for the first time.
func (s *Store) makeFolder(dir string) (isNew bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir == "." || s.made[dir] {
		return false, nil
	}
	return true, s.makeFolderLocked(dir)
}

func (s *Store) makeFolderLocked(dir string) error {
	if dir == "." || s.made[dir] {
		return nil
	}
	parent := path.Dir(dir)
	if err := s.makeFolderLocked(parent); err != nil {
		return err
	}
	err := s.root.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		err = s.checkFolder(dir)
	}
	if err != nil {
		return err
	}
	// Synced also where it was there: whoever made it may have crashed before its sync.
	if err := s.syncFolder(parent); err != nil {
		return err
	}
	s.made[dir] = true
	return nil
}

// checkFolder refuses what List would not go into.
func (s *Store) checkFolder(dir string) error {
	info, err := s.root.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder (%v)", dir, info.Mode().Type())
	}
	return err
}

func (s *Store) forgetFolders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.made)
}

// syncFolder makes the names in a folder durable.
func (s *Store) syncFolder(dir string) error {
	f, err := s.root.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(syncNames(f, s.flush), f.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
