package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"

	"coldstream/blob"
)

func sharedChecks() []Check {
	return []Check{
		together("Create never replaces", createTaken),
		together("of many creators one wins", createRace),
		together("what is created is at once read and listed", createdIsThere),
		together("an object is seen whole or not at all", wholeOrNothing),
		together("List has all that was there before it", listWhileChanging),
	}
}

func createTaken(ctx context.Context, clients []blob.Store) error {
	for i, body := range [][]byte{nil, []byte("first"), noise(1, 1<<20)} {
		key := fmt.Sprintf("taken/%d", i)
		if err := create(ctx, clients[0], key, body); err != nil {
			return err
		}
		for _, s := range clients[:2] { // who made it, and another
			for _, other := range [][]byte{nil, body, []byte("other"), noise(2, 1<<20)} {
				if err := wantError(fmt.Sprintf("Create(%q) once more", key), s.Create(ctx, key, other), fs.ErrExist); err != nil {
					return err
				}
				if err := wantBody(ctx, s, key, body); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func createRace(ctx context.Context, clients []blob.Store) error {
	for round := range 20 {
		key := fmt.Sprintf("race/%d/object", round)
		var winners, winner atomic.Int64
		err := atOnce(len(clients), func(i int) error {
			switch err := clients[i].Create(ctx, key, noise(uint64(i), 1000+i)); {
			case err == nil:
				winners.Add(1)
				winner.Store(int64(i))
				return nil
			default:
				return wantError(fmt.Sprintf("Create(%q) at once with others", key), err, fs.ErrExist)
			}
		})
		if err != nil {
			return err
		}
		if n := winners.Load(); n != 1 {
			return fmt.Errorf("%d of %d creators of %q succeeded", n, len(clients), key)
		}
		won := int(winner.Load())
		if err := wantBody(ctx, clients[0], key, noise(uint64(won), 1000+won)); err != nil {
			return err
		}
	}
	return nil
}

// createdIsThere lets each client look with another one's eyes.
func createdIsThere(ctx context.Context, clients []blob.Store) error {
	return atOnce(len(clients), func(i int) error {
		other := clients[(i+1)%len(clients)]
		for round := range 10 {
			key, body := fmt.Sprintf("there/%d/%d", round, i), noise(uint64(i), 100+i)
			if err := create(ctx, clients[i], key, body); err != nil {
				return err
			}
			if err := errors.Join(wantRange(ctx, other, place{key, 0}, body), wantBody(ctx, other, key, body)); err != nil {
				return err
			}
			entries, err := list(ctx, other, "", "")
			if err != nil {
				return err
			}
			if !slices.Contains(entries, blob.Entry{Key: key, SizeBytes: int64(len(body))}) {
				return fmt.Errorf("%q is not in a listing after its Create", key)
			}
			if err := wantError("Create of what another client made", other.Create(ctx, key, nil), fs.ErrExist); err != nil {
				return err
			}
		}
		return nil
	})
}

func wholeOrNothing(ctx context.Context, clients []blob.Store) error {
	for round := range 5 {
		key, body := fmt.Sprintf("whole/%d", round), noise(uint64(round), 300_000)
		var created atomic.Bool
		err := atOnce(len(clients), func(i int) error {
			if i == 0 {
				defer created.Store(true)
				return create(ctx, clients[0], key, body)
			}
			for last := false; !last; {
				last = created.Load() // so that every reader looks once more when it is there
				if err := lookAt(ctx, clients[i], key, body); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := wantBody(ctx, clients[1], key, body); err != nil {
			return err
		}
	}
	return nil
}

func lookAt(ctx context.Context, s blob.Store, key string, body []byte) error {
	if err := wantBody(ctx, s, key, body); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("while it is created: %w", err)
	}
	entries, err := list(ctx, s, key, "")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.SizeBytes != int64(len(body)) {
			return fmt.Errorf("while it is created, %q is listed with %d bytes of %d", key, entry.SizeBytes, len(body))
		}
		if err := wantBody(ctx, s, key, body); err != nil {
			return fmt.Errorf("listed: %w", err)
		}
	}
	return nil
}

// listWhileChanging adds and removes objects on both sides of where the listing is.
func listWhileChanging(ctx context.Context, clients []blob.Store) error {
	var before []string
	for i := range 60 {
		key := fmt.Sprintf("list/%02d/stays", i)
		if err := errors.Join(create(ctx, clients[0], key, nil), create(ctx, clients[0], fmt.Sprintf("list/%02d/goes", i), nil)); err != nil {
			return err
		}
		before = append(before, key)
	}
	var seen []string
	for entry, err := range clients[0].List(ctx, "list/", "") {
		if err != nil {
			return err
		}
		i := len(seen)
		if seen = append(seen, entry.Key); i >= 60 {
			continue // else what is added ahead would never end
		}
		err := errors.Join(
			create(ctx, clients[1], fmt.Sprintf("list/%02d/new-%d", i*37%60, i), nil),
			create(ctx, clients[1], fmt.Sprintf("list/%02d-new/%d", i*17%60, i), nil),
			clients[1].Delete(ctx, fmt.Sprintf("list/%02d/goes", i*13%60)),
		)
		if err != nil {
			return err
		}
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] <= seen[i-1] {
			return fmt.Errorf("listed %q after %q", seen[i], seen[i-1])
		}
	}
	for _, key := range before {
		if !slices.Contains(seen, key) {
			return fmt.Errorf("%q was there before List and is not in it", key)
		}
	}
	return nil
}
