// Package vault turns batches into objects and objects into batches again: it is the
// only code that knows the vault's layout, its order of writes, and what of it counts
// as saved. docs/format.md describes the format.
package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// Vault is an opened vault. It is safe for use by several goroutines and keeps nothing
// but its identity: what it holds is read from the store each time.
type Vault struct {
	objects *object.Store
	info    format.VaultInfo
	held    *keyring.Held // of the identities of an encrypted vault; else nil
	signer  *keyring.Held // of a vault with a keeper's key, with or without that key; else nil
	// sections are remembered ones; nil remembers none.
	sections *sectionMemory
	// Observer, if it is set, is told of waits.
	Observer coldstream.Observer
}

// InitOptions say what is not read from the surroundings.
type InitOptions struct {
	Now func() time.Time
	// Exclusive makes a vault for storage that does not create on condition: one process
	// at a time may write to it.
	Exclusive bool
	// Encryption makes an encrypted vault, or one with a keeper's key alone.
	Encryption *Encryption
	// Lock locks every object that is created. Storage that cannot do that is [ErrNoLocks].
	Lock Lock
}

// Init makes an empty vault. A store that has one already fails with an error wrapping
// [fs.ErrExist], and nothing is changed.
func Init(ctx context.Context, store blob.Store, opts InitOptions) (*Vault, error) {
	info := format.VaultInfo{CreatedMs: opts.Now().UnixMilli(), Exclusive: opts.Exclusive, Lock: opts.Lock.stored()}
	if err := opts.Lock.Check(); err != nil {
		return nil, err
	}
	if _, err := rand.Read(info.ID[:]); err != nil {
		return nil, fmt.Errorf("make vault ID: %w", err)
	}
	v := &Vault{objects: object.New(store, &info), info: info}
	if opts.Lock.For != 0 && !v.HasLocks() {
		return nil, ErrNoLocks
	}
	if opts.Encryption != nil {
		if err := v.encrypt(ctx, opts.Encryption); err != nil {
			return nil, err
		}
	}
	if err := v.objects.CreatePlain(ctx, format.VaultKey, v.info.Append(nil)); err != nil {
		if errors.Is(err, ErrNoLocks) {
			err = errors.Join(err, v.takeBackInfo(ctx))
		}
		return nil, errors.Join(err, v.takeBack(ctx, opts.Encryption))
	}
	if err := v.begin(ctx); err != nil {
		return nil, err
	}
	if err := v.proveConditions(ctx); err != nil {
		if errors.Is(err, object.ErrReplaces) {
			err = errors.Join(err, v.takeBack(ctx, opts.Encryption))
		}
		return nil, err
	}
	return v, v.Flush(ctx)
}

// Open finds a vault. Where there is none the error wraps [fs.ErrNotExist], but not where
// only vault.json is missing; a vault of another version wraps [coldstream.ErrUnsupported].
// An encrypted one needs a key; without it, or with a wrong one, the error is a
// [*keyring.WrongKeyError].
func Open(ctx context.Context, store blob.Store, with ...KeySource) (*Vault, error) {
	info, err := object.LoadInfo(ctx, store)
	if errors.Is(err, fs.ErrNotExist) {
		if err := findRemains(ctx, store); err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	v := &Vault{objects: object.New(store, info), info: *info}
	if info.IsEncrypted() || info.HasKeeper() {
		if err := v.unlock(ctx, with); err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
	}
	return v, nil
}

// findRemains is an error if there are objects of a vault.
func findRemains(ctx context.Context, store blob.Store) error {
	for _, prefix := range []string{format.EpochsPrefix, format.AllCommits, format.PacksPrefix} {
		for entry, err := range store.List(ctx, prefix, "") {
			if err != nil {
				return fmt.Errorf("list %s: %w", prefix, err)
			}
			return &DamageError{Object: format.VaultKey, Kind: KindMissing, Cause: fmt.Errorf(
				"it is all that lacks of a vault that has %s; make no new one in its place", entry.Key)}
		}
	}
	return nil
}

// Flush makes durable what was stored, where the storage gathers objects (see
// [blob.Flusher]); elsewhere it does nothing. Init, restores and Verify do so by
// themselves; after commits it is the caller's to do.
func (v *Vault) Flush(ctx context.Context) error { return v.objects.Flush(ctx) }

// Describe gives words for people to the objects that are made from now on, where the
// storage has names for them: a cluster, topics.
func (v *Vault) Describe(words ...string) { v.objects.Describe(words...) }

// Strays are objects of runs that were cut off, where the storage can tell. They do not
// count, and cost nothing but their room.
func (v *Vault) Strays() []string { return v.objects.Strays() }

// IsPermanent says that the storage takes nothing away: the catalog cannot be turned, and
// nothing can be removed.
func (v *Vault) IsPermanent() bool { return v.objects.IsPermanent() }

// ErrReadOnly is wrapped by errors of what would write to a vault of [Vault.ReadOnly].
var ErrReadOnly = object.ErrReadOnly

// ReadOnly is the same vault for somebody who must not write to it: whatever is done with it
// creates and deletes nothing. Damage that a reader finds is not marked there.
func (v *Vault) ReadOnly() *Vault { return v.with(v.objects.ReadOnly()) }

// ahead is the vault with some objects read before they are asked for; see
// [object.Store.Ahead].
func (v *Vault) ahead(ctx context.Context, objects []blob.Entry) (fast *Vault, stop func()) {
	store, stop := v.objects.Ahead(ctx, objects)
	return v.with(store), stop
}

// sectionsAhead is the same for sections, each of which is asked for once.
func (v *Vault) sectionsAhead(ctx context.Context, sections []section) (fast *Vault, stop func()) {
	var objects []blob.Entry
	seen := map[string]bool{}
	for _, ref := range sections {
		if key := ref.Table.Key(); ref.Missing == "" && !seen[key] {
			seen[key] = true
			objects = append(objects, blob.Entry{Key: key, SizeBytes: ref.SizeBytes})
		}
	}
	return v.ahead(ctx, objects)
}

// farAtOnce is how many requests that do not wait for each other are made at once where storage
// is far away. Where it is near they would gain nothing, and are made in their order.
const farAtOnce = 16

// each calls do for 0 to n-1 until one fails.
func (v *Vault) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	if !v.objects.IsFar() {
		for i := range n {
			if err := do(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	return object.EachAtOnce(ctx, n, farAtOnce, do)
}

// with is the same vault with other objects.
func (v *Vault) with(objects *object.Store) *Vault {
	other := *v
	other.objects = objects
	return &other
}

// Examination is what a vault's storage turned out to be able to do.
type Examination = object.Examination

// Examine tries what the vault's storage can do, without changing anything.
func (v *Vault) Examine(ctx context.Context) Examination { return v.objects.Examine(ctx) }

// ID is the vault's identity, 32 hex digits.
func (v *Vault) ID() string { return v.info.ID.String() }

// begin makes epoch 0 with an empty base. Several may do so at once, and a crash leaves
// the rest to the next who opens.
func (v *Vault) begin(ctx context.Context) error {
	err := v.objects.CreatePlain(ctx, format.BegunKey(0), nil)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("begin epoch 0: %w", err)
	}
	base := format.Base{TimeMs: v.info.CreatedMs, CreatedMs: v.info.CreatedMs}
	key := format.BaseKey(0)
	payload, err := base.Append(nil)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	o, err := v.objects.Seal(format.KindBase, key, payload)
	if err != nil {
		return err
	}
	if err := v.objects.Create(ctx, o); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("begin epoch 0: %w", err)
	}
	return nil
}
