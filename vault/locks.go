package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// Lock says how objects are locked as they are created, where the storage can do that: nobody deletes
// or replaces them before the lock ends. Its zero value locks nothing.
type Lock struct {
	// Compliance locks cannot be ended by anybody; others can, with a right of its own.
	Compliance bool
	For        time.Duration // whole seconds
}

// ErrNoLocks is wrapped by errors that say that a storage locks no objects.
var ErrNoLocks = blob.ErrNoLocks

func (l Lock) stored() format.Lock {
	switch {
	case l.For == 0:
		return format.Lock{}
	case l.Compliance:
		return format.Lock{Mode: format.LockCompliance, Seconds: int64(l.For / time.Second)}
	}
	return format.Lock{Mode: format.LockGovernance, Seconds: int64(l.For / time.Second)}
}

// Check refuses what is no lock.
func (l Lock) Check() error {
	if l.For%time.Second != 0 {
		return fmt.Errorf("locks of %v: they last whole seconds", l.For)
	}
	return l.stored().Check()
}

// Lock is how the vault was made.
func (v *Vault) Lock() Lock {
	return Lock{Compliance: v.info.Lock.Mode == format.LockCompliance, For: time.Duration(v.info.Lock.Seconds) * time.Second}
}

// HasLocks says that the storage locks what is created. Where the vault has a lock and its storage has
// none, the vault was copied there object by object.
func (v *Vault) HasLocks() bool { return v.objects.HasLocks() }

// Setting is one setting of the bucket that a vault is in, and whether it fits.
type Setting = blob.Setting

// Settings says how the bucket that the vault is in is set; nothing elsewhere.
func (v *Vault) Settings(ctx context.Context) []Setting { return v.objects.Settings(ctx) }

// takeBackInfo deletes a vault.json that a storage has stored although it refused to lock it, as one
// server does.
func (v *Vault) takeBackInfo(ctx context.Context) error {
	if v.objects.ProveInfo(ctx) == nil { // it is there, and this vault's
		return v.objects.Delete(ctx, format.VaultKey)
	}
	return nil
}

// LockReport is what a turn found out about locks.
type LockReport struct {
	// Extended counts objects whose locks were made to last their whole time again.
	Extended int
	// Objects that nothing needs and that are locked still, or that the caller may not delete, and their
	// bytes. A later turn deletes them.
	Left      int
	LeftBytes int64
}

// guard keeps what the vault needs locked, if the turn is to do that. Who may not look at versions
// leaves all of it, and what is garbage, to the next keeper.
func (g *garbage) guard(ctx context.Context, v *Vault) (err error) {
	if !v.objects.HasLocks() {
		return nil
	}
	g.locks, err = v.objects.Locks(ctx, format.BaseKey(g.n))
	switch {
	case errors.Is(err, fs.ErrPermission) && !g.opts.KeepLocks:
		return errNotKeeper
	case err != nil:
		return err
	case !g.opts.KeepLocks:
		return nil
	}
	for _, prefix := range lockedPrefixes() {
		extended, err := g.locks.Keep(ctx, prefix, func(key string) bool { return g.isNeeded(prefix, key) })
		if g.opts.Locks != nil {
			g.opts.Locks.Extended += extended
		}
		if err != nil {
			return fmt.Errorf("keep %s locked: %w", prefix, err)
		}
	}
	return nil
}

// errNotKeeper says that there is nothing more to do for who may not look at versions.
var errNotKeeper = errors.New("versions of objects may not be listed")

func lockedPrefixes() []string {
	return []string{
		format.VaultKey, format.KeysPrefix, format.LabelsPrefix, format.EpochsPrefix, format.AllCommits, format.PacksPrefix,
		format.TablesPrefix, format.AcceptedPrefix, format.TagsPrefix,
	}
}

// isNeeded says what a reader cannot do without. What the vault does not know is not among it: who may
// write could else have any number of objects kept.
func (g *garbage) isNeeded(prefix, key string) bool {
	switch prefix {
	case format.VaultKey:
		return key == format.VaultKey
	case format.PacksPrefix, format.TablesPrefix:
		return g.named[key]
	case format.EpochsPrefix:
		epoch, _, err := format.ParseEpochKey(key)
		return err == nil && epoch+1 >= g.n && epoch <= g.n
	case format.AllCommits:
		id, err := format.ParseCommitKey(key)
		return err == nil && id.Epoch+1 >= g.n && id.Epoch <= g.n
	case format.TagsPrefix:
		id, err := format.ParseTagsKey(key)
		return err == nil && g.snapshots[id.Snapshot]
	}
	return true
}

// sweepLocked deletes what is garbage and no longer locked.
func (g *garbage) sweepLocked(ctx context.Context, prefix string) error {
	left, err := g.locks.Sweep(ctx, prefix, func(key string) bool { return g.isGarbage(prefix, key) })
	if errors.Is(err, fs.ErrPermission) {
		return nil // who may not delete leaves it to the next keeper
	}
	if err != nil {
		return fmt.Errorf("delete what nothing needs under %s: %w", prefix, err)
	}
	if report := g.opts.Locks; report != nil {
		report.Left += len(left)
		for _, entry := range left {
			report.LeftBytes += entry.SizeBytes
		}
	}
	return nil
}
