package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"coldstream/vault/internal/format"
)

// RestoreID names a restore: 16 hex digits in its text form.
type RestoreID [8]byte

// String writes 16 lower-case hex digits.
func (id RestoreID) String() string { return hex.EncodeToString(id[:]) }

// PutRestoreRecord stores the n-th record of a restore: a document of the restore's own.
// One that is there already wraps fs.ErrExist. The result is the last one: it makes all
// of them durable where the storage gathers objects.
func (v *Vault) PutRestoreRecord(ctx context.Context, id RestoreID, n uint32, document []byte) error {
	key := format.RestoreKey(format.RestoreID(id), n)
	o, err := v.objects.Seal(format.KindRestore, key, document)
	if err != nil {
		return err
	}
	if err := v.objects.Create(ctx, o); err != nil {
		return err
	}
	if n == recordResult {
		return v.Flush(ctx)
	}
	return nil
}

// EndRestore ends what a restore holds, although it has no result: whoever ran it is gone.
// One that was never begun wraps fs.ErrNotExist.
func (v *Vault) EndRestore(ctx context.Context, id RestoreID) error {
	if _, err := v.RestoreRecord(ctx, id, recordHold); err != nil {
		return fmt.Errorf("restore %s: %w", id, err)
	}
	err := v.PutRestoreRecord(ctx, id, recordResult, []byte(`{"error":"ended by forget"}`))
	if errors.Is(err, fs.ErrExist) {
		return nil // it has a result
	}
	return err
}

// ParseRestoreID reads what [RestoreID.String] writes.
func ParseRestoreID(text string) (id RestoreID, err error) {
	b, err := hex.DecodeString(text)
	if copy(id[:], b); err != nil || len(b) != len(id) || id.String() != text {
		return RestoreID{}, fmt.Errorf("%q is no ID of a restore: 16 hex digits", text)
	}
	return id, nil
}

// Restore is one that the vault has records of.
type Restore struct {
	ID RestoreID
	// Begun says that record 0 is there, Ended that the result is.
	Begun, Ended bool
	// IsTest says that it is no restore, but a test that one works: see [Vault.BeginRestoreTest].
	IsTest bool
	// LastRecord is the highest number that one of its records has.
	LastRecord uint32
}

// Restores lists the restores that the vault has records of, by their IDs.
func (v *Vault) Restores(ctx context.Context) ([]Restore, error) {
	var out []Restore
	for entry, err := range v.objects.List(ctx, format.RestoresPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list restores: %w", err)
		}
		id, n, err := format.ParseRestoreKey(entry.Key)
		if err != nil {
			continue
		}
		if len(out) == 0 || out[len(out)-1].ID != RestoreID(id) {
			out = append(out, Restore{ID: RestoreID(id)})
		}
		last := &out[len(out)-1]
		last.Begun = last.Begun || n == recordHold
		last.Ended = last.Ended || n == recordResult
		last.IsTest = last.IsTest || n == recordTest
		last.LastRecord = max(last.LastRecord, n)
	}
	return out, nil
}

// RestoreRecord reads the n-th record of a restore; one that is not there wraps
// fs.ErrNotExist.
func (v *Vault) RestoreRecord(ctx context.Context, id RestoreID, n uint32) ([]byte, error) {
	payload, _, err := v.objects.Load(ctx, format.KindRestore, format.RestoreKey(format.RestoreID(id), n))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("restore %s: %w", id, err)
	}
	return payload, err
}

// recordTest is the number of the record that makes a test of a restore. It says nothing more: a
// listing is enough to tell tests from restores.
const recordTest = math.MaxUint32

// BeginRestoreTest holds a snapshot as [Vault.Hold] does, for a test that it can be restored. The
// vault keeps tests among the restores; but nothing was brought back by them.
func (v *Vault) BeginRestoreTest(ctx context.Context, id RestoreID, s *Snapshot, document []byte) error {
	// First, so that what holds the snapshot is never taken for a restore that was cut off.
	if err := v.PutRestoreRecord(ctx, id, recordTest, []byte(`{}`)); err != nil {
		return err
	}
	return v.Hold(ctx, id, s, document)
}

// EndRestoreTest stores what came out of a test, and ends its hold.
func (v *Vault) EndRestoreTest(ctx context.Context, id RestoreID, document []byte) error {
	return v.PutRestoreRecord(ctx, id, recordResult, document)
}

// RestoreTests reads what came out of the tests that the vault has records of, by their IDs. With
// an error come those that could be read.
func (v *Vault) RestoreTests(ctx context.Context) ([][]byte, error) {
	restores, err := v.Restores(ctx)
	if err != nil {
		return nil, err
	}
	restores = slices.DeleteFunc(restores, func(r Restore) bool { return !r.IsTest || !r.Ended })
	documents, errs := make([][]byte, len(restores)), make([]error, len(restores))
	var group errgroup.Group
	group.SetLimit(testsAtOnce)
	for i := range restores {
		group.Go(func() error {
			documents[i], errs[i] = v.RestoreRecord(ctx, restores[i].ID, recordResult)
			return nil
		})
	}
	_ = group.Wait() // errors are in errs
	return slices.DeleteFunc(documents, func(d []byte) bool { return d == nil }), errors.Join(errs...)
}

// testsAtOnce is how many records are read at a time: storage may be far away.
const testsAtOnce = 16
