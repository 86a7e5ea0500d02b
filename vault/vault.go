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
	"slices"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// maxCatalogObject bounds what is read of a catalog object, so that a hostile one
// cannot exhaust memory.
const maxCatalogObject = 1 << 30

// Vault is an opened vault. It is safe for use by several goroutines and keeps nothing
// but its identity: what it holds is read from the store each time.
type Vault struct {
	store  blob.Store
	info   format.VaultInfo
	sealer *format.Sealer
	// Observer, if it is set, is told of waits.
	Observer coldstream.Observer
}

// InitOptions say what is not read from the surroundings.
type InitOptions struct {
	Now func() time.Time
	// Exclusive makes a vault for storage that does not create on condition: one process
	// at a time may write to it.
	Exclusive bool
}

// Init makes an empty vault. A store that has one already fails with an error wrapping
// [fs.ErrExist], and nothing is changed.
func Init(ctx context.Context, store blob.Store, opts InitOptions) (*Vault, error) {
	v := &Vault{store: store, info: format.VaultInfo{CreatedMs: opts.Now().UnixMilli(), Exclusive: opts.Exclusive}, sealer: &format.Sealer{}}
	v.useExclusively()
	store = v.store
	if _, err := rand.Read(v.info.ID[:]); err != nil {
		return nil, fmt.Errorf("make vault ID: %w", err)
	}
	if err := store.Create(ctx, format.VaultKey, v.info.Append(nil)); err != nil {
		return nil, fmt.Errorf("create %s: %w", format.VaultKey, err)
	}
	if err := v.begin(ctx); err != nil {
		return nil, err
	}
	if err := v.proveConditions(ctx); err != nil {
		return nil, err
	}
	return v, v.Flush(ctx)
}

// Open finds a vault. Where there is none the error wraps [fs.ErrNotExist], but not where
// only vault.json is missing; a vault of another version or with encryption wraps
// [coldstream.ErrUnsupported].
func Open(ctx context.Context, store blob.Store) (*Vault, error) {
	body, err := blob.ReadAll(ctx, store, format.VaultKey, maxCatalogObject)
	if errors.Is(err, fs.ErrNotExist) {
		if err := findRemains(ctx, store); err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open vault: read %s: %w", format.VaultKey, err)
	}
	info, err := format.DecodeVaultInfo(body)
	if err != nil {
		return nil, fmt.Errorf("open vault: %s: %w", format.VaultKey, err)
	}
	if info.IsEncrypted() {
		return nil, fmt.Errorf("open vault: it is encrypted: %w", coldstream.ErrUnsupported)
	}
	v := &Vault{store: store, info: *info, sealer: &format.Sealer{}}
	v.useExclusively()
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

// proveInfo reads vault.json again before something is made of it that no other object
// has confirmed yet: it has no hash of its own, and one bad read must not last for ever.
func (v *Vault) proveInfo(ctx context.Context) error {
	body, err := blob.ReadAll(ctx, v.store, format.VaultKey, maxCatalogObject)
	if err != nil {
		return fmt.Errorf("read %s: %w", format.VaultKey, err)
	}
	if !slices.Equal(body, v.info.Append(nil)) {
		return &DamageError{Object: format.VaultKey, Kind: KindAltered, Cause: errors.New("two reads gave two contents")}
	}
	return nil
}

// Flush makes durable what was stored, where the storage gathers objects (see
// [blob.Flusher]); elsewhere it does nothing. Init, restores and Verify do so by
// themselves; after commits it is the caller's to do.
func (v *Vault) Flush(ctx context.Context) error {
	if err := blob.Flush(ctx, v.store); err != nil {
		return fmt.Errorf("store what was gathered: %w", err)
	}
	return nil
}

// Describe gives words for people to the objects that are made from now on, where the
// storage has names for them: a cluster, topics.
func (v *Vault) Describe(words ...string) {
	if d, ok := v.store.(interface{ Describe(words ...string) }); ok {
		d.Describe(words...)
	}
}

// Strays are objects of runs that were cut off, where the storage can tell. They do not
// count, and cost nothing but their room.
func (v *Vault) Strays() []string {
	if s, ok := v.storage().(interface{ Strays() []string }); ok {
		return s.Strays()
	}
	return nil
}

// IsPermanent says that the storage takes nothing away: the catalog cannot be turned, and
// nothing can be removed.
func (v *Vault) IsPermanent() bool {
	_, is := v.storage().(blob.Permanent)
	return is
}

// ID is the vault's identity, 32 hex digits.
func (v *Vault) ID() string { return v.info.ID.String() }

// begin makes epoch 0 with an empty base. Several may do so at once, and a crash leaves
// the rest to the next who opens.
func (v *Vault) begin(ctx context.Context) error {
	err := v.store.Create(ctx, format.BegunKey(0), nil)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("begin epoch 0: %w", err)
	}
	base := format.Base{TimeMs: v.info.CreatedMs, CreatedMs: v.info.CreatedMs}
	key := format.BaseKey(0)
	payload, err := base.Append(nil)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	body, err := v.seal(format.KindBase, key, payload)
	if err != nil {
		return err
	}
	if err := v.store.Create(ctx, key, body); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create base of epoch 0: %w", err)
	}
	return nil
}

// create stores an object that may be there already: a store that tries again after an
// answer was lost finds its own, and another may have stored the same. Only the very
// same bytes count, or under tables/ the same content. What is gone when it is looked at was deleted by a turn: it is stored
// again, and the look that follows finds the newer epoch.
func (v *Vault) create(ctx context.Context, key string, body []byte) (created bool, err error) {
	err = v.store.Create(ctx, key, body)
	if errors.Is(err, fs.ErrExist) {
		err = v.proveSame(ctx, key, body)
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		err = v.store.Create(ctx, key, body)
	}
	if err != nil {
		return false, fmt.Errorf("create %s: %w", key, err)
	}
	return true, nil
}

func (v *Vault) proveSame(ctx context.Context, key string, body []byte) error {
	there, err := blob.ReadAll(ctx, v.store, key, maxCatalogObject)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if !slices.Equal(there, body) && !v.isSameContent(key, there, body) {
		return &DamageError{Object: key, Kind: KindAltered, Cause: errors.New("it is there already, and is not what its name says")}
	}
	return nil
}

// isSameContent says that two objects under tables/, which are named by their payload, hold
// the same: another version of the program may compress it otherwise.
func (v *Vault) isSameContent(key string, there, body []byte) bool {
	if _, err := format.ParseTableKey(key); err != nil {
		return false
	}
	kind, err := format.KindOf(body)
	if err != nil {
		return false
	}
	as := format.Expect{Kind: kind, VaultID: v.info.ID, Key: key}
	theirs, errThere := format.Open(there, as)
	ours, errOurs := format.Open(body, as)
	return errThere == nil && errOurs == nil && slices.Equal(theirs, ours)
}

func (v *Vault) seal(kind format.Kind, key string, payload []byte) ([]byte, error) {
	body, err := v.sealer.Seal(format.Envelope{Kind: kind, VaultID: v.info.ID, Key: key}, payload)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", key, err)
	}
	return body, nil
}

// load reads a catalog object and proves that it is the one that was stored under key.
// Damage is a [*DamageError]; absence wraps [fs.ErrNotExist] and is the caller's to judge.
// A read may be bad once, and a commit left out for it would look like a gap: what does
// not prove is read again before it is called damaged.
func (v *Vault) load(ctx context.Context, kind format.Kind, key string) (payload []byte, digest format.Hash, err error) {
	payload, digest, err = v.loadOnce(ctx, kind, key)
	var damage *DamageError
	if errors.As(err, &damage) && damage.Kind != KindUnreadable { // that was asked for often enough
		return v.loadOnce(ctx, kind, key)
	}
	return payload, digest, err
}

func (v *Vault) loadOnce(ctx context.Context, kind format.Kind, key string) (payload []byte, digest format.Hash, err error) {
	body, err := blob.ReadAll(ctx, v.store, key, maxCatalogObject)
	if errors.Is(err, blob.ErrUnreadable) {
		err = &DamageError{Object: key, Kind: KindUnreadable, Cause: err}
	}
	if err != nil {
		return nil, digest, fmt.Errorf("read %s: %w", key, err)
	}
	payload, err = format.Open(body, format.Expect{Kind: kind, VaultID: v.info.ID, Key: key})
	if err != nil {
		if errors.Is(err, coldstream.ErrCorrupt) {
			err = &DamageError{Object: key, Kind: KindAltered, Cause: err}
		}
		return nil, digest, fmt.Errorf("open %s: %w", key, err)
	}
	return payload, format.Digest(body), nil
}
