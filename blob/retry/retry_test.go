package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/blobtest"
	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
	"coldstream/blob/retry"
)

var errTrouble = fmt.Errorf("slow down: %w", blob.ErrTemporary)

// events keeps what was told.
type events struct {
	mu       sync.Mutex
	details  int
	warnings []string
}

func (e *events) Observe(event coldstream.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch event := event.(type) {
	case *coldstream.Detail:
		e.details++
	case *coldstream.Warning:
		e.warnings = append(e.warnings, event.Text)
	}
}

func keys(t *testing.T, s blob.Store) []string {
	t.Helper()
	var out []string
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Key)
	}
	return out
}

func TestContract(t *testing.T) {
	for _, check := range blobtest.Checks(blobtest.Shared) {
		t.Run(check.Name, func(t *testing.T) {
			inner := mem.New()
			if err := check.Run(t.Context(), func() (blob.Store, error) { return retry.New(inner, retry.Options{}), nil }); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTroubleIsPassedOver lets each operation in turn fail, or lose its answer.
func TestTroubleIsPassedOver(t *testing.T) {
	for _, do := range []faultblob.Action{faultblob.Fail, faultblob.LoseAnswer} {
		for at := 1; at <= 12; at++ {
			t.Run(fmt.Sprintf("action %d of operation %d", do, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var told events
					inner := faultblob.New(mem.New(), faultblob.Fault{At: at, Do: do, Err: errTrouble}, faultblob.Fault{At: at + 1, Do: faultblob.Fail, Err: errTrouble})
					s := retry.New(inner, retry.Options{Observer: &told})
					story(t, s)
					if told.details == 0 && at <= 9 {
						t.Error("the observer was not told")
					}
				})
			})
		}
	}
}

// story uses every method, and judges what it gets.
func story(t *testing.T, s blob.Store) {
	t.Helper()
	ctx := t.Context()
	for _, key := range []string{"a/1", "a/2", "a/3", "b"} {
		if err := s.Create(ctx, key, []byte("body of "+key)); err != nil {
			t.Errorf("create %s: %v", key, err)
		}
	}
	if diff := cmp.Diff([]string{"a/1", "a/2", "a/3", "b"}, keys(t, s)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if got, err := s.Read(ctx, "a/2", 5, 2); err != nil || string(got) != "of" {
		t.Errorf("read: %q, %v", got, err)
	}
	if got, err := blob.ReadAll(ctx, s, "a/3", 100); err != nil || string(got) != "body of a/3" {
		t.Errorf("open: %q, %v", got, err)
	}
	if err := s.Delete(ctx, "b"); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := s.Read(ctx, "b", 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of what was deleted: %v", err)
	}
}

func TestALostAnswerIsResolvedByContent(t *testing.T) {
	for other, want := range map[string]error{"ours": nil, "theirs": fs.ErrExist, "": fs.ErrExist} {
		synctest.Test(t, func(t *testing.T) {
			inner := mem.New()
			if err := inner.Create(t.Context(), "key", []byte(other)); err != nil {
				t.Fatal(err)
			}
			// The first attempt has no answer; whose object is there is for its content to say.
			s := retry.New(faultblob.New(inner, faultblob.Fault{At: 1, Do: faultblob.Fail, Err: errTrouble}), retry.Options{})
			if err := s.Create(t.Context(), "key", []byte("ours")); !errors.Is(err, want) {
				t.Errorf("where there is %q: %v, want %v", other, err, want)
			}
		})
	}
}

func TestATakenKeyIsTakenAlsoWithTheSameContent(t *testing.T) {
	s := retry.New(mem.New(), retry.Options{})
	if err := s.Create(t.Context(), "key", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), "key", nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want fs.ErrExist: of two who begin an epoch one must lose", err)
	}
}

func TestPatienceEnds(t *testing.T) {
	for name, c := range map[string]struct {
		healthy  int // operations before the trouble
		min, max time.Duration
	}{
		"before the first answer": {0, 10 * time.Second, 16 * time.Second},
		"after it":                {1, 100 * time.Second, 121 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told events
				inner := faultblob.New(mem.New(), faultblob.Fault{At: c.healthy + 1, Do: faultblob.FailForGood, Err: errTrouble})
				s := retry.New(inner, retry.Options{Observer: &told})
				for range c.healthy {
					if err := s.Create(t.Context(), "healthy", nil); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				err := s.Create(t.Context(), "key", nil)
				if took := time.Since(began); !errors.Is(err, blob.ErrTemporary) || took < c.min || took > c.max {
					t.Errorf("%v after %v, want trouble after %v to %v", err, took, c.min, c.max)
				}
				if len(told.warnings) != 1 || !strings.Contains(told.warnings[0], "create key") {
					t.Errorf("warnings %q, want one that names the call", told.warnings)
				}
				if n := len(inner.Ops()); n > 60 {
					t.Errorf("%d attempts", n)
				}
			})
		})
	}
}

func TestOtherErrorsAreNotTriedAgain(t *testing.T) {
	errDenied := errors.New("denied")
	inner := faultblob.New(mem.New(), faultblob.Fault{At: 1, Do: faultblob.FailForGood, Err: errDenied})
	s := retry.New(inner, retry.Options{})
	_, errRead := s.Read(t.Context(), "a", 0, 1)
	_, _, errOpen := s.Open(t.Context(), "a")
	for what, err := range map[string]error{
		"create": s.Create(t.Context(), "a", nil), "read": errRead, "open": errOpen, "delete": s.Delete(t.Context(), "a"),
	} {
		if !errors.Is(err, errDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, err := range s.List(t.Context(), "", "") {
		if !errors.Is(err, errDenied) {
			t.Errorf("list: %v", err)
		}
	}
	if n := len(inner.Ops()); n != 5 {
		t.Errorf("%d attempts, want one each", n)
	}
}

// rotten is a store that does not give one object, as MinIO does with one that fails its
// checksums: it answers 503 for ever.
type rotten struct {
	blob.Store
	key string
}

func (r rotten) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if key == r.key {
		return nil, errTrouble
	}
	return r.Store.Read(ctx, key, offset, length)
}

func TestAnObjectThatIsListedAndNotGivenIsUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		for _, key := range []string{"good", "rotten", "rotten-2"} {
			if err := inner.Create(t.Context(), key, []byte(key)); err != nil {
				t.Fatal(err)
			}
		}
		s := retry.New(rotten{inner, "rotten"}, retry.Options{})
		began := time.Now()
		_, err := s.Read(t.Context(), "rotten", 0, 1)
		if !errors.Is(err, blob.ErrUnreadable) || errors.Is(err, blob.ErrTemporary) {
			t.Errorf("%v, want blob.ErrUnreadable, which is not tried again", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, key := range []string{"good", "rotten-2"} {
			if _, err := s.Read(t.Context(), key, 0, 1); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAnInterruptEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := retry.New(faultblob.New(mem.New(), faultblob.Fault{At: 1, Do: faultblob.FailForGood, Err: errTrouble}), retry.Options{})
		if err := s.Create(ctx, "key", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's error", err)
		}
	})
}
