//go:build !unix

package fsstore

import "os"

// syncNames does nothing: this system cannot sync a folder.
func syncNames(*os.File, func(*os.File) error) error { return nil }
