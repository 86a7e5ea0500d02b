package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"coldstream/blob"
)

func rangedChecks() []Check {
	return []Check{
		alone(Ranged, "Read returns exactly the range", readRanges),
		alone(Ranged, "Read past the end is io.ErrUnexpectedEOF", readPastEnd),
		alone(Ranged, "what Read returns is the caller's", readCopies),
		alone(Ranged, "Read of what is absent is fs.ErrNotExist", readAbsent),
		alone(Ranged, "Delete removes one object", deleteOne),
		alone(Ranged, "Delete of what is absent is no error", deleteAbsent),
		alone(Ranged, "a deleted key is free", deleteFrees),
		alone(Ranged, "Read and Delete refuse keys and done contexts", rangedRefuses),
	}
}

type place struct {
	key    string
	offset int64
}

func wantRange(ctx context.Context, s blob.Store, at place, want []byte) error {
	got, err := s.Read(ctx, at.key, at.offset, int64(len(want)))
	if err != nil {
		return fmt.Errorf("Read(%q, %d, %d): %w", at.key, at.offset, len(want), err)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("Read(%q, %d, %d) gives other bytes than were created: %d of them", at.key, at.offset, len(want), len(got))
	}
	return nil
}

func readRanges(ctx context.Context, s blob.Store) error {
	small, large := noise(1, 9), noise(2, 3<<20)
	if err := errors.Join(create(ctx, s, "small", small), create(ctx, s, "large", large), create(ctx, s, "empty", nil)); err != nil {
		return err
	}
	type part struct {
		key            string
		body           []byte
		offset, length int
	}
	parts := []part{
		{"empty", nil, 0, 0},
		{"large", large, 0, len(large)},
		{"large", large, 1<<20 - 1, 1<<20 + 2},
		{"large", large, len(large) - 1, 1},
		{"large", large, len(large), 0},
	}
	for offset := range len(small) + 1 {
		for length := range len(small) - offset + 1 {
			parts = append(parts, part{"small", small, offset, length})
		}
	}
	for _, p := range parts {
		if err := wantRange(ctx, s, place{p.key, int64(p.offset)}, p.body[p.offset:p.offset+p.length]); err != nil {
			return err
		}
	}
	return nil
}

func readPastEnd(ctx context.Context, s blob.Store) error {
	if err := errors.Join(create(ctx, s, "nine", noise(1, 9)), create(ctx, s, "empty", nil)); err != nil {
		return err
	}
	for _, p := range []struct {
		key            string
		offset, length int64
	}{
		{"nine", 0, 10},
		{"nine", 8, 2},
		{"nine", 9, 1},
		{"nine", 10, 0},
		{"nine", 10, 1},
		{"nine", 0, math.MaxInt64},
		{"nine", math.MaxInt64, 0},
		{"nine", math.MaxInt64, math.MaxInt64},
		{"empty", 0, 1},
		{"empty", 1, 0},
	} {
		_, err := s.Read(ctx, p.key, p.offset, p.length)
		if err := wantError(fmt.Sprintf("Read(%q, %d, %d)", p.key, p.offset, p.length), err, io.ErrUnexpectedEOF); err != nil {
			return err
		}
	}
	for _, p := range [][2]int64{{-1, 1}, {0, -1}, {math.MinInt64, math.MinInt64}} {
		_, err := s.Read(ctx, "nine", p[0], p[1])
		if err := wantRefused(fmt.Sprintf("Read(nine, %d, %d)", p[0], p[1]), err); err != nil {
			return err
		}
	}
	return nil
}

func readCopies(ctx context.Context, s blob.Store) error {
	body := noise(1, 1000)
	if err := create(ctx, s, "a", body); err != nil {
		return err
	}
	got, err := s.Read(ctx, "a", 0, 1000)
	if err != nil {
		return err
	}
	clear(got)
	return wantBody(ctx, s, "a", body)
}

func readAbsent(ctx context.Context, s blob.Store) error {
	if err := create(ctx, s, "a/b", []byte("body")); err != nil {
		return err
	}
	for _, key := range []string{"x", "x/y", "a", "a/c", "a/b/c"} {
		_, err := s.Read(ctx, key, 0, 0)
		if err := wantError(fmt.Sprintf("Read(%q)", key), err, fs.ErrNotExist); err != nil {
			return err
		}
	}
	return nil
}

// wantGone says that an object is still there.
func wantGone(ctx context.Context, s blob.Store, key string) error {
	_, _, errOpen := s.Open(ctx, key)
	_, errRead := s.Read(ctx, key, 0, 0)
	return errors.Join(
		wantError(fmt.Sprintf("Open(%q) after its Delete", key), errOpen, fs.ErrNotExist),
		wantError(fmt.Sprintf("Read(%q) after its Delete", key), errRead, fs.ErrNotExist),
	)
}

func deleteOne(ctx context.Context, s blob.Store) error {
	var there []blob.Entry
	for _, key := range []string{"a-b/c", "a/b", "a/b-", "a/b0/c", "b"} {
		if err := create(ctx, s, key, []byte(key)); err != nil {
			return err
		}
		there = append(there, blob.Entry{Key: key, SizeBytes: int64(len(key))})
	}
	for _, key := range []string{"a/b", "b", "a/b-", "a-b/c", "a/b0/c"} { // first one that others begin with
		i := slices.IndexFunc(there, func(e blob.Entry) bool { return e.Key == key })
		if err := s.Delete(ctx, key); err != nil {
			return fmt.Errorf("Delete(%q): %w", key, err)
		}
		there = slices.Delete(there, i, i+1)
		if err := errors.Join(wantGone(ctx, s, key), wantList(ctx, s, [2]string{}, slices.Concat(nil, there))); err != nil {
			return err
		}
		for _, left := range there {
			if err := wantBody(ctx, s, left.Key, []byte(left.Key)); err != nil {
				return err
			}
		}
	}
	return nil
}

func deleteAbsent(ctx context.Context, s blob.Store) error {
	for _, there := range []string{"", "a/b/c"} { // on an empty storage first
		if there != "" {
			if err := create(ctx, s, there, nil); err != nil {
				return err
			}
		}
		for _, key := range []string{"x", "x/y/z", "a", "a/b", "a/b/d", "a/b/c/d"} {
			if err := s.Delete(ctx, key); err != nil {
				return fmt.Errorf("Delete(%q): %w", key, err)
			}
		}
	}
	return wantList(ctx, s, [2]string{}, []blob.Entry{{Key: "a/b/c"}})
}

func deleteFrees(ctx context.Context, s blob.Store) error {
	for i := range 3 {
		body := noise(uint64(i), 10+i)
		if err := create(ctx, s, "a/b", body); err != nil {
			return err
		}
		if err := wantBody(ctx, s, "a/b", body); err != nil {
			return err
		}
		for range 2 {
			if err := s.Delete(ctx, "a/b"); err != nil {
				return err
			}
		}
	}
	return nil
}

func rangedRefuses(ctx context.Context, s blob.Store) error {
	if err := create(ctx, s, "a/b", []byte("body")); err != nil {
		return err
	}
	for _, key := range []string{"", ".", "..", "../a", "a/", "/a/b", "a//b", "a/../a/b", "./a/b", "A/b", "a/b\x00"} {
		_, errRead := s.Read(ctx, key, 0, 0)
		err := errors.Join(
			wantRefused(fmt.Sprintf("Read(%q)", key), errRead),
			wantRefused(fmt.Sprintf("Delete(%q)", key), s.Delete(ctx, key)),
		)
		if err != nil {
			return err
		}
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, errRead := s.Read(done, "a/b", 0, 4)
	err := errors.Join(
		wantError("Read with a done context", errRead, context.Canceled),
		wantError("Delete with a done context", s.Delete(done, "a/b"), context.Canceled),
	)
	if err != nil {
		return err
	}
	return wantBody(ctx, s, "a/b", []byte("body"))
}
