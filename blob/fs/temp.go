package fsstore

import (
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"time"
)

const (
	// tempDir holds files in the making. It is no valid key, so it is never listed.
	tempDir = ".tmp"
	// tempLifetime is far longer than any object takes to write. One that does take
	// longer is not lost: its writer finds the file gone, and writes it once more.
	tempLifetime = 24 * time.Hour
)

var tempName = regexp.MustCompile(`^[0-9a-f]{24}$`)

type tempFile struct {
	name    string
	modTime time.Time // the file system's clock, which all processes share
}

// writeTemp writes and syncs a new file; on failure nothing is left.
func (s *Store) writeTemp(body []byte, alive func()) (tempFile, error) {
	var random [12]byte
	if _, err := rand.Read(random[:]); err != nil {
		return tempFile{}, err
	}
	name := path.Join(tempDir, hex.EncodeToString(random[:]))
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return tempFile{}, err
	}
	var info fs.FileInfo
	if err = writeAll(f, body, alive); err == nil {
		err = s.flush(f)
	}
	if err == nil {
		info, err = f.Stat()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = s.root.Remove(name) // the first error is the one to tell
		return tempFile{}, err
	}
	return tempFile{name, info.ModTime()}, nil
}

// writeBytes are handed to the system at once. Linux backs larger writes by larger pieces
// of memory, which it rather finds where it was never used: on a virtual machine those
// come from the host first, and that costs three times the rest.
const writeBytes = 1 << 20

func writeAll(f *os.File, body []byte, alive func()) error {
	for chunk := range slices.Chunk(body, writeBytes) {
		alive()
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes the temporary files of processes that were killed long ago. It runs when
// a folder is used for the first time: at the start of a process, and every now and then
// in one that runs for months. What it cannot remove costs space and nothing else.
func (s *Store) sweep(now time.Time) {
	entries, err := s.readFolder(tempDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !tempName.MatchString(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > tempLifetime {
			_ = s.root.Remove(path.Join(tempDir, e.Name()))
		}
	}
}
