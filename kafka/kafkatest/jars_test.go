package kafkatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"coldstream/internal/testproc"

	"github.com/google/go-cmp/cmp"
)

// mvnScript stands for Maven: it notes that it was called and makes one jar, slowly.
const mvnScript = `#!/bin/sh
echo called >>"$MVN_CALLS"
if [ -e "$MVN_CALLS.broken" ]; then echo "no route to the repository"; exit 1; fi
for arg; do
	case $arg in -DoutputDirectory=*) out=${arg#*=};; esac
done
mkdir -p "$out" && sleep 0.2 && echo jar >"$out/a.jar"
`

// fakeMaven puts it first in the PATH, over an empty cache, and returns the file of calls.
func fakeMaven(t *testing.T) (calls string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "mvn"), []byte(mvnScript), 0o755); err != nil {
		t.Fatal(err)
	}
	calls = filepath.Join(bin, "calls")
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("MVN_CALLS", calls)
	t.Setenv("COLDSTREAM_TEST_CACHE", t.TempDir())
	return calls
}

func countCalls(t *testing.T, calls string) int {
	t.Helper()
	b, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "called")
}

func TestJarsAreFetchedOnceByWhoeverComesFirst(t *testing.T) {
	calls := fakeMaven(t)
	dirs := make([]string, 5)
	var group sync.WaitGroup
	for i := range dirs {
		group.Go(func() {
			var err error
			if dirs[i], err = jars(t.Context(), DefaultVersion); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dirs[i], "a.jar")); err != nil {
				t.Errorf("the folder is not complete: %v", err)
			}
		})
	}
	group.Wait()
	for _, dir := range dirs {
		if dir != dirs[0] {
			t.Errorf("got folders %q", dirs)
		}
	}
	if got := countCalls(t, calls); got != 1 {
		t.Errorf("Maven was called %d times, want 1", got)
	}
}

func TestJarsAreFetchedAgainAfterAFailure(t *testing.T) {
	calls := fakeMaven(t)
	broken := calls + ".broken"
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := jars(t.Context(), DefaultVersion); err == nil || !strings.Contains(err.Error(), "no route to the repository") {
		t.Fatalf("got %v, want what Maven said", err)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	// And what a killed run left is swept.
	cache := os.Getenv("COLDSTREAM_TEST_CACHE")
	dir, err := jars(t.Context(), DefaultVersion)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".fetching-killed"); err != nil {
		t.Fatal(err)
	}
	if _, err := jars(t.Context(), DefaultVersion); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if diff := cmp.Diff([]string{filepath.Base(dir), filepath.Base(dir) + ".lock"}, got); diff != "" {
		t.Errorf("the cache (-want +got):\n%s", diff)
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Fatal(need("java"))
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	t.Setenv("COLDSTREAM_TEST_CACHE", t.TempDir())
	for _, program := range []string{"java", "mvn"} {
		_, err := StartShared(Config{})
		if err == nil || !strings.Contains(err.Error(), "install") || !strings.Contains(err.Error(), `"`+program+`"`) {
			t.Errorf("without %s: got %v, want a word on what to install", program, err)
		}
		if err := os.Symlink(java, filepath.Join(bin, program)); err != nil { // found, and never run
			t.Fatal(err)
		}
	}
}

func TestCacheIsOutsideTheTreeAlsoWithoutAHome(t *testing.T) {
	t.Setenv("COLDSTREAM_TEST_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	got, err := testproc.CacheDir()
	if want := filepath.Join(os.TempDir(), "coldstream-test"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
