//go:build !unix

package fsstore

// syncDir does nothing: this system makes names durable together with the file.
func (s *Store) syncDir(string) error { return nil }
