package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTroubleshootingKnowsTheMessages: a message that nobody prints any more misleads. What
// comes from elsewhere, as from the operating system, is listed here.
func TestTroubleshootingKnowsTheMessages(t *testing.T) {
	foreign := []string{"no space left on device"}
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata" || e.Name() == "bin") {
			return skipUnless(err)
		}
		if e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(name)
		source.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	tried := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) < 3 {
			continue
		}
		for _, message := range quoted.FindAllStringSubmatch(cells[0], -1) {
			for _, part := range strings.Split(message[1], "…") {
				part = strings.Trim(part, " ,:")
				if part == "" || strings.Contains(strings.Join(foreign, "\n"), part) {
					continue
				}
				tried++
				if !strings.Contains(source.String(), part) {
					t.Errorf("no message says %q (of %q)", part, message[1])
				}
			}
		}
	}
	if tried < 50 {
		t.Errorf("found %d parts of messages in the page", tried)
	}
}

// skipUnless leaves a folder out, unless there is an error to tell.
func skipUnless(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}
