package blobtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"coldstream/blob"
	"coldstream/blob/blobtest"
	"coldstream/blob/mem"
)

// run tells what a check found, a panic included.
func run(ctx context.Context, check blobtest.Check, s blob.Store) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return check.Run(ctx, func() (blob.Store, error) { return s, nil })
}

// Each promise has a store that breaks it alone, and the check of that promise notices.
func TestChecksNotice(t *testing.T) {
	seen := map[string]bool{}
	for _, defects := range []map[string]defect{archiveDefects(), archiveListDefects(), rangedDefects(), sharedDefects()} {
		for name, d := range defects {
			seen[d.check] = true
			t.Run(name, func(t *testing.T) {
				for _, check := range blobtest.Checks(blobtest.Shared) {
					if check.Name != d.check && check.Level >= d.level {
						continue // others may notice too
					}
					w := &wrong{Store: mem.New()}
					d.put(w)
					err := run(t.Context(), check, w)
					if noticed := err != nil; noticed != (check.Name == d.check) {
						t.Errorf("%q found: %v", check.Name, err)
					}
				}
			})
		}
	}
	for _, check := range blobtest.Checks(blobtest.Shared) {
		if !seen[check.Name] && check.Name != "List ends when its caller has enough" { // Go itself panics
			t.Errorf("no store breaks %q", check.Name)
		}
	}
}

// A storage of a lower level is not asked for more.
func TestLevels(t *testing.T) {
	unsupported := errors.New("not to be had here")
	for _, level := range []blobtest.Level{blobtest.Archive, blobtest.Ranged, blobtest.Shared} {
		for _, check := range blobtest.Checks(level) {
			if check.Level > level {
				t.Errorf("level %d has %q of level %d", level, check.Name, check.Level)
			}
			w := &wrong{Store: mem.New()}
			if level < blobtest.Shared { // replaces
				w.create = func(ctx context.Context, key string, body []byte) error {
					if blob.CheckKey(key) == nil && ctx.Err() == nil {
						_ = w.Store.Delete(ctx, key)
					}
					return w.Store.Create(ctx, key, body)
				}
			}
			if level < blobtest.Ranged {
				w.read = func(context.Context, string, int64, int64) ([]byte, error) { return nil, unsupported }
				w.remove = func(context.Context, string) error { return unsupported }
			}
			if err := run(t.Context(), check, w); err != nil {
				t.Errorf("level %d: %q: %v", level, check.Name, err)
			}
		}
	}
}

// What a client cannot be made for is the check's failure, not its success.
func TestNoClient(t *testing.T) {
	broken := errors.New("no client")
	for _, check := range blobtest.Checks(blobtest.Shared) {
		if err := check.Run(t.Context(), func() (blob.Store, error) { return nil, broken }); !errors.Is(err, broken) {
			t.Errorf("%q without a client: %v", check.Name, err)
		}
	}
}
