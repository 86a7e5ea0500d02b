package elastio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coldstream/blob"
	"coldstream/blob/blobtest"
	"coldstream/blob/elastio"
	"coldstream/blob/elastio/elastiotest"
)

var built struct {
	dir  string
	once sync.Once
	from *elastiotest.Program
	err  error
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "coldstream-elastio-test-")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func newProgram(t *testing.T) *elastiotest.Program {
	t.Helper()
	built.once.Do(func() { built.from, built.err = elastiotest.Build(t.Context(), built.dir) })
	if built.err != nil {
		t.Fatal(built.err)
	}
	p, err := built.from.Another(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t *testing.T, p *elastiotest.Program, cache string) *elastio.Store {
	t.Helper()
	s, err := elastio.Open(t.Context(), elastio.Options{Vault: "main", Program: p.Path, CacheDir: cache, SpoolDir: t.TempDir(), Stall: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func noise(seed uint64, size int) []byte {
	out := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func create(t *testing.T, s blob.Store, key string, body []byte) {
	t.Helper()
	if err := s.Create(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, s *elastio.Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, s blob.Store, key string, body []byte) {
	t.Helper()
	got, err := blob.ReadAll(t.Context(), s, key, 1<<30)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("%s: got %d bytes, %v, want %d", key, len(got), err, len(body))
	}
}

func keys(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	var out []string
	for e, err := range s.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Key)
	}
	return out
}

func TestContract(t *testing.T) {
	for _, check := range blobtest.Checks(blobtest.Archive) {
		t.Run(check.Name, func(t *testing.T) {
			s := open(t, newProgram(t), "")
			if err := check.Run(t.Context(), func() (blob.Store, error) { return s, nil }); err != nil {
				t.Error(err)
			}
		})
	}
}

// A run is two recovery points, whatever it stores, and the next process reads all of it.
func TestRunIsTwoRecoveryPoints(t *testing.T) {
	p := newProgram(t)
	s := open(t, p, "")
	s.Describe("cluster 1", "orders", "päyments")
	packs := map[string][]byte{}
	for i := range 5 {
		key := fmt.Sprintf("packs/0/%d", i)
		packs[key] = noise(uint64(i), 1<<20+i)
		create(t, s, key, packs[key])
		create(t, s, fmt.Sprintf("commits/0/%d", i), noise(uint64(10+i), 500))
	}
	if err := s.Create(t.Context(), "packs/0/3", nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a pack that is there was created again: %v", err)
	}
	flush(t, s)
	flush(t, s) // nothing new: no recovery point
	points, err := p.Points()
	if err != nil || len(points) != 2 {
		t.Fatalf("%d recovery points, %v", len(points), err)
	}
	if got := points[0].Stream; got != "cluster-1-orders-p-yments-records" {
		t.Errorf("stream name %q", got)
	}
	next := open(t, p, "")
	if got := keys(t, next, "packs/"); len(got) != 5 {
		t.Errorf("packs listed: %v", got)
	}
	for key, body := range packs {
		want(t, next, key, body)
		got, err := next.Read(t.Context(), key, 100, 1000)
		if err != nil || !bytes.Equal(got, body[100:1100]) {
			t.Errorf("range of %s: %v", key, err)
		}
	}
	want(t, next, "commits/0/4", noise(14, 500))
	if got := next.Strays(); len(got) > 0 {
		t.Errorf("strays: %v", got)
	}
}

// What is read on to in a spool that holds two packs is right, in any order.
func TestSmallSpool(t *testing.T) {
	p := newProgram(t)
	s := open(t, p, "")
	for i := range 6 {
		create(t, s, fmt.Sprintf("packs/0/%d", i), noise(uint64(i), 1<<20))
	}
	flush(t, s)
	spool := t.TempDir()
	small, err := elastio.Open(t.Context(), elastio.Options{Vault: "main", Program: p.Path, SpoolDir: spool, SpoolBytes: 5 << 19})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close() //nolint:errcheck // a test
	for _, i := range []int{0, 1, 5, 2, 2, 3, 0, 4} {
		want(t, small, fmt.Sprintf("packs/0/%d", i), noise(uint64(i), 1<<20))
		files, err := filepath.Glob(filepath.Join(spool, "*", "*"))
		if err != nil || len(files) > 2 {
			t.Fatalf("%d packs in a spool for two: %v", len(files), err)
		}
	}
}

// A run that is cut off does not count, is named, and harms nobody.
func TestCutOff(t *testing.T) {
	for _, do := range []string{elastiotest.Fail, elastiotest.FailHalf, elastiotest.Hang, elastiotest.LoseAnswer} {
		t.Run(do, func(t *testing.T) {
			p := newProgram(t)
			s := open(t, p, "")
			create(t, s, "vault.json", []byte("{}"))
			flush(t, s)
			if err := p.Plan(elastiotest.Fault{Op: "backup", At: 1, Do: do}); err != nil {
				t.Fatal(err)
			}
			err := s.Create(t.Context(), "packs/0/0", noise(1, 3<<20))
			if err == nil {
				err = s.Flush(t.Context())
			}
			if err == nil {
				t.Fatal("the failure was not noticed")
			}
			if again := s.Create(t.Context(), "commits/0/0", nil); again == nil {
				t.Error("a store that lost a recovery point goes on as if it had not")
			}
			next := open(t, p, "")
			if got := keys(t, next, ""); len(got) != 1 || got[0] != "vault.json" {
				t.Errorf("objects: %v", got)
			}
			if got := next.Strays(); (do == elastiotest.LoseAnswer) != (len(got) == 1) {
				t.Errorf("strays: %v", got)
			}
			create(t, next, "packs/0/0", noise(1, 3<<20))
			create(t, next, "commits/0/0", nil)
			flush(t, next)
			want(t, open(t, p, ""), "packs/0/0", noise(1, 3<<20))
		})
	}
}

// A catalog whose answer is lost, or that fails, is stored once more.
func TestCatalogIsTriedAgain(t *testing.T) {
	for _, do := range []string{elastiotest.Fail, elastiotest.FailHalf, elastiotest.LoseAnswer, elastiotest.Pending, elastiotest.Noise} {
		t.Run(do, func(t *testing.T) {
			p := newProgram(t)
			if err := p.Plan(elastiotest.Fault{Op: "backup", At: 1, Do: do}); err != nil {
				t.Fatal(err)
			}
			s := open(t, p, "")
			create(t, s, "vault.json", noise(1, 2000))
			flush(t, s)
			want(t, open(t, p, ""), "vault.json", noise(1, 2000))
		})
	}
}

// What the program gives wrongly is an error or read again, never an absence.
func TestReadsThatFail(t *testing.T) {
	for _, do := range []string{elastiotest.Fail, elastiotest.FailHalf, elastiotest.Hang, elastiotest.Cut, elastiotest.Noise} {
		t.Run(do, func(t *testing.T) {
			p := newProgram(t)
			s := open(t, p, "")
			create(t, s, "packs/0/0", noise(1, 2<<20))
			create(t, s, "vault.json", noise(2, 2000))
			flush(t, s)
			if err := p.Plan(elastiotest.Fault{Op: "restore", At: 1, Do: do}, elastiotest.Fault{Op: "restore", At: 3, Do: do}); err != nil {
				t.Fatal(err)
			}
			next := open(t, p, "") // its first try fails
			want(t, next, "vault.json", noise(2, 2000))
			_, err := blob.ReadAll(t.Context(), next, "packs/0/0", 1<<30)
			if do == elastiotest.Noise {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a pack that was not read whole: %v", err)
			}
			want(t, next, "packs/0/0", noise(1, 2<<20))
		})
	}
	t.Run("every list", func(t *testing.T) {
		p := newProgram(t)
		if err := p.Plan(elastiotest.Fault{Op: "list", Do: elastiotest.Fail}); err != nil {
			t.Fatal(err)
		}
		if _, err := elastio.Open(t.Context(), elastio.Options{Vault: "main", Program: p.Path}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a list that failed: %v", err)
		}
	})
}

// A listing that lacks what is there costs nothing of it.
func TestLateLists(t *testing.T) {
	p := newProgram(t)
	first := open(t, p, "")
	create(t, first, "vault.json", nil)
	flush(t, first)
	if err := p.Plan(elastiotest.Fault{Op: "backup", At: 1, Do: elastiotest.Late}, elastiotest.Fault{Op: "backup", At: 2, Do: elastiotest.Late}); err != nil {
		t.Fatal(err)
	}
	create(t, first, "packs/0/0", noise(1, 1000))
	create(t, first, "commits/0/0", noise(2, 1000))
	flush(t, first)
	create(t, first, "packs/0/1", noise(3, 1000)) // these two are listed, those before are not
	create(t, first, "commits/0/1", noise(4, 1000))
	flush(t, first)
	next := open(t, p, "")
	if got := keys(t, next, ""); len(got) != 5 {
		t.Errorf("objects: %v", got)
	}
	want(t, next, "packs/0/0", noise(1, 1000))
}

// A recovery point of packs that is gone is missing objects.
func TestGone(t *testing.T) {
	p := newProgram(t)
	s := open(t, p, "")
	create(t, s, "packs/0/0", noise(1, 1000))
	flush(t, s)
	points, err := p.Points()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{points[0].File, strings.TrimSuffix(points[0].File, ".data") + ".json"} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	next := open(t, p, "")
	if got := keys(t, next, ""); len(got) > 0 {
		t.Errorf("objects: %v", got)
	}
	if _, err := blob.ReadAll(t.Context(), next, "packs/0/0", 1<<20); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pack whose recovery point is gone: %v", err)
	}
}

// After 100 runs an open reads few recovery points, and hardly any with the cache.
func TestManyRuns(t *testing.T) {
	p := newProgram(t)
	cache := t.TempDir()
	for i := range 101 {
		s := open(t, p, cache)
		create(t, s, fmt.Sprintf("commits/0/%d", i), noise(uint64(i), 100))
		if i%10 == 0 {
			create(t, s, fmt.Sprintf("packs/0/%d", i), noise(uint64(i), 100))
		}
		flush(t, s)
	}
	reads := func(cache string, atMost int) {
		t.Helper()
		if err := p.Plan(elastiotest.Fault{Op: "list", Do: elastiotest.OldForm}); err != nil {
			t.Fatal(err)
		}
		s := open(t, p, cache)
		if got := keys(t, s, ""); len(got) != 112 {
			t.Errorf("%d objects", len(got))
		}
		if got, err := p.Calls("restore"); err != nil || got > atMost {
			t.Errorf("%d reads, %v, at most %d are expected", got, err, atMost)
		}
		want(t, s, "commits/0/37", noise(37, 100))
		want(t, s, "packs/0/50", noise(50, 100))
	}
	reads("", 7)
	reads(cache, 0)
	for _, file := range mustGlob(t, filepath.Join(cache, "*.tar")) { // what is altered in the cache is read again
		body, err := os.ReadFile(file)
		if err == nil {
			body[len(body)/2] ^= 1
			err = os.WriteFile(file, body, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	reads(cache, 7)
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	return files
}

// Two runs at once both count.
func TestTwoAtOnce(t *testing.T) {
	p := newProgram(t)
	a, b := open(t, p, ""), open(t, p, "")
	create(t, a, "commits/0/a", []byte("a"))
	create(t, b, "commits/0/b", []byte("b"))
	flush(t, a)
	flush(t, b)
	next := open(t, p, "")
	create(t, next, "commits/0/c", []byte("c"))
	flush(t, next)
	if got := keys(t, open(t, p, ""), "commits/"); len(got) != 3 {
		t.Errorf("objects: %v", got)
	}
}
