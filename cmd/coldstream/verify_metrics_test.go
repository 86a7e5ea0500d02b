package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a verify found is in its file for the node exporter, and what it found later takes its place.
func TestVerifyWritesMetrics(t *testing.T) {
	w := newFakeWorld(t)
	w.create("measured", 1)
	w.values("measured", "a")
	w.backup("measured")
	file := filepath.Join(t.TempDir(), "coldstream.prom")
	shows := func(line string) {
		t.Helper()
		b, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(b), line) || !strings.Contains(string(b), `coldstream_last_verify_timestamp_seconds{deep="true"} 1.`) {
			t.Errorf("%v: no %q in\n%s", err, line, b)
		}
	}
	w.run("verify", "--deep", "--metrics-file", file).must(t, exitDone)
	shows(`coldstream_verify_problems{deep="true"} 0`)
	if err := os.Remove(w.packFiles()[0]); err != nil {
		t.Fatal(err)
	}
	w.run("verify", "--deep", "--metrics-file", file).must(t, exitDamage)
	shows(`coldstream_verify_problems{deep="true"} 1`)
	w.run("verify", "--metrics-file", filepath.Join(t.TempDir(), "no", "such.prom")).must(t, exitFailed).says(t, "write metrics to")
}
