//go:build !unix

package fsstore

import (
	"errors"
	"strings"
)

// onUnix is a list of folders that are synced: here none, only files.
func onUnix(synced []string) (out []string) {
	for _, name := range synced {
		if strings.Contains(name, tempDir+"/") {
			out = append(out, name)
		}
	}
	return out
}

func playFull(string, []string) error     { return errors.New("needs a unix") }
func playReadOnly(string, []string) error { return errors.New("needs a unix") }
