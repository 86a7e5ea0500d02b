package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"coldstream/blob"
)

func archiveChecks() []Check {
	return []Check{
		alone(Archive, "what is created is opened", createOpen),
		alone(Archive, "Create does not keep body", createCopies),
		alone(Archive, "what is absent is fs.ErrNotExist", openAbsent),
		alone(Archive, "keys that CheckKey refuses are refused", refusedKeys),
		alone(Archive, "keys that CheckKey accepts are kept", acceptedKeys),
		alone(Archive, "a done context ends every method", doneContext),
		alone(Archive, "List is by prefix, after and bytes", listModel),
		alone(Archive, "List of what no key begins with is empty", listNothing),
		alone(Archive, "List ends when its caller has enough", listStops),
		alone(Archive, "List is whole when it is long", listLong),
	}
}

func createOpen(ctx context.Context, s blob.Store) error {
	for i, size := range []int{0, 1, 4095, 4096, 1<<20 + 1, 3 << 20} {
		key, body := fmt.Sprintf("sizes/%d", size), noise(uint64(i), size)
		if err := create(ctx, s, key, body); err != nil {
			return err
		}
		for range 2 {
			if err := wantBody(ctx, s, key, body); err != nil {
				return err
			}
		}
	}
	if err := create(ctx, s, "nil", nil); err != nil {
		return err
	}
	return wantBody(ctx, s, "nil", nil)
}

func createCopies(ctx context.Context, s blob.Store) error {
	body := noise(1, 1000)
	if err := create(ctx, s, "a", body); err != nil {
		return err
	}
	want := slices.Clone(body)
	clear(body)
	return wantBody(ctx, s, "a", want)
}

func openAbsent(ctx context.Context, s blob.Store) error {
	for _, there := range []string{"", "a/b/c", "d"} { // on an empty storage first
		if there != "" {
			if err := create(ctx, s, there, []byte(there)); err != nil {
				return err
			}
		}
		for _, key := range []string{"x", "x/y/z", "a", "a/b", "a/b/d", "a/b/c2", "a/b/c/d", "d/e", "d0"} {
			_, _, err := s.Open(ctx, key)
			if err := wantError(fmt.Sprintf("Open(%q)", key), err, fs.ErrNotExist); err != nil {
				return err
			}
		}
	}
	return nil
}

func refusedKeys(ctx context.Context, s blob.Store) error {
	if err := create(ctx, s, "a/b", nil); err != nil {
		return err
	}
	for _, key := range []string{
		"", "/", ".", "..", "../a", "a/", "/a/b", "a//b", "a/../a/b", "./a/b", ".tmp/a", "a/.b", "a.",
		"A", "a b", "a\\b", "c:a", "a\x00", "a\n", "ä", "\xff", "a*", strings.Repeat("a", 129), strings.Repeat("a/", 256) + "a",
	} {
		_, _, errOpen := s.Open(ctx, key)
		err := errors.Join(
			wantRefused(fmt.Sprintf("Create(%q)", key), s.Create(ctx, key, nil)),
			wantRefused(fmt.Sprintf("Open(%q)", key), errOpen),
		)
		if err != nil {
			return err
		}
	}
	return wantList(ctx, s, [2]string{}, []blob.Entry{{Key: "a/b"}})
}

func acceptedKeys(ctx context.Context, s blob.Store) error {
	long := strings.Repeat("x", 128)
	keys := []string{
		"-", "-a/-", "0/0.0", "_/_", "a..b/c", "abcdefghijklmnopqrstuvwxyz0123456789-_.x",
		"lock", strings.Join([]string{long, long, long, long[:125]}, "/"),
		strings.Repeat("y/", 255) + "yy",
	}
	slices.Sort(keys)
	var want []blob.Entry
	for _, key := range keys {
		if err := create(ctx, s, key, []byte(key)); err != nil {
			return err
		}
		want = append(want, blob.Entry{Key: key, SizeBytes: int64(len(key))})
	}
	for _, key := range keys {
		if err := wantBody(ctx, s, key, []byte(key)); err != nil {
			return err
		}
	}
	return wantList(ctx, s, [2]string{}, want)
}

func doneContext(ctx context.Context, s blob.Store) error {
	if err := create(ctx, s, "a", nil); err != nil {
		return err
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, _, errOpen := s.Open(done, "a")
	entries, errList := list(done, s, "", "")
	_, errListNothing := list(done, s, "x", "")
	err := errors.Join(
		wantError("Create with a done context", s.Create(done, "b", nil), context.Canceled),
		wantError("Open with a done context", errOpen, context.Canceled),
		wantError("List with a done context", errList, context.Canceled),
		wantError("List of nothing with a done context", errListNothing, context.Canceled),
	)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("a listing with a done context has %v", entries)
	}
	if err != nil {
		return err
	}
	return wantList(ctx, s, [2]string{}, []blob.Entry{{Key: "a"}})
}

// listKeys are hard to sort: '-' and '.' stand before '/', '0' and letters behind it, so
// that the order of keys is not the order in which folders are walked.
func listKeys() []string {
	return []string{
		"0", "a-b", "a-b-", "a-/x", "a.b", "a.b-/c", "a/-", "a/0/x", "a/b", "a/b-c/d", "a/b-c/d-",
		"a/b.c", "a/b0/c", "a/c/d/e", "a/c/d-e", "a/c-/d", "a0", "a_/z", "aa/b", "b",
	}
}

func listModel(ctx context.Context, s blob.Store) error {
	keys := listKeys()
	points := []string{"", "/", "a//", "z"}
	for i, key := range keys {
		// Not in the order of a listing.
		if err := create(ctx, s, keys[(i*7)%len(keys)], make([]byte, (i*7)%len(keys))); err != nil {
			return err
		}
		for n := range key {
			points = append(points, key[:n+1])
		}
	}
	slices.Sort(points)
	points = slices.Compact(points)
	for _, prefix := range points {
		for _, after := range points {
			var want []blob.Entry
			for i, key := range keys {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, blob.Entry{Key: key, SizeBytes: int64(i)})
				}
			}
			slices.SortFunc(want, func(a, b blob.Entry) int { return strings.Compare(a.Key, b.Key) })
			if err := wantList(ctx, s, [2]string{prefix, after}, want); err != nil {
				return err
			}
		}
	}
	return nil
}

func listNothing(ctx context.Context, s blob.Store) error {
	if err := wantList(ctx, s, [2]string{}, nil); err != nil {
		return fmt.Errorf("of an empty storage: %w", err)
	}
	if err := create(ctx, s, "a/b", nil); err != nil {
		return err
	}
	for _, prefix := range []string{
		"x", "a/b/", "a/b/c", "a/c", "a//", "/", "/a", "//", "..", "../", ".", "./", "./a", "a/./", "a/../", "a/../a/b",
		".tmp/", "A", "a/B", "a\\", "\x00", "a/\xff", "ä/", strings.Repeat("a", 1000), strings.Repeat("a", 1000) + "/", strings.Repeat("a/", 1000),
	} {
		if err := wantList(ctx, s, [2]string{prefix}, nil); err != nil {
			return err
		}
	}
	for _, after := range []string{"a/b", "a/b/", "a/c", "a0", "\xff"} {
		if err := wantList(ctx, s, [2]string{"", after}, nil); err != nil {
			return err
		}
	}
	return nil
}

func listStops(ctx context.Context, s blob.Store) error {
	keys := listKeys()
	for _, key := range keys {
		if err := create(ctx, s, key, nil); err != nil {
			return err
		}
	}
	slices.Sort(keys)
	for enough := 1; enough <= len(keys); enough++ {
		var got []string
		for entry, err := range s.List(ctx, "", "") { // panics if it goes on after the break
			if err != nil {
				return err
			}
			if got = append(got, entry.Key); len(got) == enough {
				break
			}
		}
		if !slices.Equal(got, keys[:enough]) {
			return fmt.Errorf("the first %d of a listing are %q", enough, got)
		}
	}
	return nil
}

// listLong is longer than the pages of 1,000 in which the clouds answer.
func listLong(ctx context.Context, s blob.Store) error {
	const objects, workers = 1050, 14
	var want []blob.Entry
	for i := range objects {
		want = append(want, blob.Entry{Key: fmt.Sprintf("long/%02d/%04d", i/500, i), SizeBytes: int64(i % 3)})
	}
	err := atOnce(workers, func(worker int) error {
		for i := worker; i < objects; i += workers {
			if err := create(ctx, s, want[i].Key, make([]byte, want[i].SizeBytes)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(
		wantList(ctx, s, [2]string{"long/", ""}, want),
		wantList(ctx, s, [2]string{"", want[41].Key}, want[42:]),
	)
}
