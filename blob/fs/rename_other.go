//go:build !linux

package fsstore

// renameNoReplace is not to be had on this system.
func (s *Store) renameNoReplace(string, string) (done bool, err error) { return false, nil }
