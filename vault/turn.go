package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// How many commits, or how many bytes of them, make an epoch long enough to turn. Whoever
// opens the vault reads them all.
const (
	TurnAfter      = 1000
	TurnAfterBytes = 6 << 20
)

// TurnOptions say what a turn takes away; the zero value takes nothing away.
type TurnOptions struct {
	// Forget says which snapshots go. Those that a restore holds stay. It may be asked
	// more than once, and must then answer the same.
	Forget func(*Snapshot) bool
	// Release drops rows below all that kept snapshots show of their stream.
	Release bool
	// KeepLocks makes locks of what the vault needs last their whole time again, where they
	// would end within half of it. It is for vaults with a lock; see [Lock].
	KeepLocks bool
	// Locks, if it is set, is told what was found out about locks.
	Locks *LockReport

	moves *moves // new places of rows; nil moves nothing
}

func (o *TurnOptions) removal() *removal {
	if o.Forget == nil && !o.Release && o.moves == nil {
		return nil
	}
	return &removal{forget: o.Forget, release: o.Release, moves: o.moves}
}

// Turn begins a new epoch: its base takes in the base before and all commits since, so
// that who opens the vault reads one object in their place, and what is no longer named
// is deleted. Any process may turn at any time; of several one makes the base and the
// others find theirs unneeded. A vault with damage in its catalog is not turned: the
// error names it. On storage that takes nothing away it is refused with
// [coldstream.ErrUnsupported].
func (v *Vault) Turn(ctx context.Context, opts TurnOptions) error {
	_, err := v.turnMoved(ctx, opts)
	return err
}

// turnMoved is [Vault.Turn], and says which packs nothing needs any more.
func (v *Vault) turnMoved(ctx context.Context, opts TurnOptions) (freed Freed, err error) {
	if v.IsPermanent() {
		return freed, fmt.Errorf("turn the catalog: the storage takes nothing away: %w", coldstream.ErrUnsupported)
	}
	for {
		c, err := v.openCatalog(ctx, catalogOptions{reader: true})
		if err != nil {
			return freed, fmt.Errorf("turn the catalog: %w", err)
		}
		made, err := v.turnFrom(ctx, c.epoch, opts)
		switch {
		case errors.Is(err, errTurned) || errors.Is(err, fs.ErrExist):
			// Somebody else turned it, or the answer that we did was lost.
			if opts.removal() == nil {
				return freed, nil
			}
			continue
		case err != nil:
			return freed, fmt.Errorf("turn the catalog to epoch %d: %w", c.epoch+1, err)
		}
		return made.freed, v.collectGarbage(ctx, made)
	}
}

// Freed are packs that nothing needs any more. They are deleted two turns later: a restore
// or a writer that was slow may still know them.
type Freed struct {
	Packs int
	Bytes int64
}

// Usage is all that a vault takes in its storage.
type Usage struct{ Objects, Bytes int64 }

// Usage counts the vault's objects.
func (v *Vault) Usage(ctx context.Context) (Usage, error) {
	var out Usage
	for entry, err := range v.objects.StoredSizes(ctx) {
		if err != nil {
			return out, fmt.Errorf("list the vault: %w", err)
		}
		out.Objects++
		out.Bytes += entry.SizeBytes
	}
	return out, nil
}

// Foresee says what a turn would free, and changes nothing.
func (v *Vault) Foresee(ctx context.Context, opts TurnOptions) (Freed, error) {
	for {
		c, err := v.openCatalog(ctx, catalogOptions{reader: true})
		if err != nil {
			return Freed{}, err
		}
		made, err := v.makeBase(ctx, baseOrder{epoch: c.epoch + 1, removal: opts.removal(), rehearsal: true})
		switch {
		case errors.Is(err, errTurned):
			continue
		case err != nil:
			return Freed{}, fmt.Errorf("foresee a turn to epoch %d: %w", c.epoch+1, err)
		}
		return made.freed, nil
	}
}

// turnFrom makes the base of the epoch after. Everything is made once without storing it:
// an epoch that has begun and can have no base would be the vault's last.
func (v *Vault) turnFrom(ctx context.Context, epoch uint32, opts TurnOptions) (*madeBase, error) {
	order := baseOrder{epoch: epoch + 1, removal: opts.removal(), turn: opts, rehearsal: true}
	if _, err := v.makeBase(ctx, order); err != nil {
		return nil, err
	}
	if err := v.objects.CreatePlain(ctx, format.BegunKey(epoch+1), nil); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("begin epoch %d: %w", epoch+1, err)
	}
	order.rehearsal = false
	return v.makeBase(ctx, order)
}

// collectGarbage deletes what base n's maker knows to be of no use: commits and bases of
// epochs before n-1; packs, tables and sections of epochs up to n-2 that base n does not
// name (and of tables, the base before), and marks of such packs. Only who made base n may, and only while epoch
// n+2 has not begun: else that base may be one that was retired long ago and made again.
// What a crash leaves is found by the next turn.
func (v *Vault) collectGarbage(ctx context.Context, made *madeBase) error {
	n := made.base.Epoch
	found, err := v.look(ctx, n)
	if err != nil {
		return err
	}
	if found.newest >= n+2 {
		return nil
	}
	g := &garbage{n: n, named: map[string]bool{}, snapshots: map[format.SnapshotID]bool{}, opts: made.turn}
	if err := g.keep(ctx, v, made); err != nil {
		return err
	}
	switch err := g.guard(ctx, v); {
	case errors.Is(err, errNotKeeper):
		return nil
	case err != nil:
		return err
	}
	for _, prefix := range []string{format.AllCommits, format.EpochsPrefix, format.PacksPrefix, format.MarksPrefix, format.TablesPrefix, format.TagsPrefix} {
		if err := g.sweep(ctx, v, prefix); err != nil {
			return err
		}
	}
	return nil
}

// garbage is what the maker of base n may delete.
type garbage struct {
	n     uint32
	named map[string]bool
	opts  TurnOptions
	locks *object.Locks // nil where objects are not locked
	// snapshots are those of the base.
	snapshots map[format.SnapshotID]bool
}

// keep notes what the base names, and of tables what the one before it does.
func (g *garbage) keep(ctx context.Context, v *Vault, made *madeBase) error {
	for _, ref := range slices.Concat(made.base.Tables, made.tables) {
		g.named[ref.Table.Key()] = true
	}
	for _, ref := range slices.Concat(made.base.Chapters, made.chapters) {
		g.named[ref.Chapter.Key()] = true
		g.named[ref.Views.Key()] = true
	}
	for i := range made.base.Chapters {
		chapter, err := v.loadChapter(ctx, &made.base.Chapters[i])
		if err != nil {
			return fmt.Errorf("find out what is garbage: %w", err)
		}
		for _, p := range chapter.Packs {
			g.named[p.ID.Key()] = true
		}
		for i := range chapter.Snapshots {
			g.snapshots[chapter.Snapshots[i].ID] = true
			for _, ref := range chapter.Snapshots[i].Sections {
				if ref.Missing == "" {
					g.named[ref.Table.Key()] = true
				}
			}
		}
	}
	return nil
}

// sweep lists first and deletes then: not every store lists well what is changing.
func (g *garbage) sweep(ctx context.Context, v *Vault, prefix string) error {
	if g.locks != nil {
		return g.sweepLocked(ctx, prefix)
	}
	var doomed []string
	for entry, err := range v.objects.List(ctx, prefix, "") {
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		if g.isGarbage(prefix, entry.Key) {
			doomed = append(doomed, entry.Key)
		}
	}
	err := v.each(ctx, len(doomed), func(ctx context.Context, i int) error {
		if err := v.objects.Delete(ctx, doomed[i]); err != nil {
			return fmt.Errorf("delete %s: %w", doomed[i], err)
		}
		return nil
	})
	if errors.Is(err, fs.ErrPermission) {
		return nil // who may not delete leaves it to the next keeper
	}
	return err
}

// isGarbage never takes what it does not know, and never a `begun`.
func (g *garbage) isGarbage(prefix, key string) bool {
	switch prefix {
	case format.AllCommits:
		id, err := format.ParseCommitKey(key)
		return err == nil && id.Epoch+1 < g.n
	case format.EpochsPrefix:
		epoch, isBegun, err := format.ParseEpochKey(key)
		return err == nil && !isBegun && epoch+1 < g.n
	case format.PacksPrefix:
		id, err := format.ParsePackKey(key)
		return err == nil && id.Epoch+2 <= g.n && !g.named[key]
	case format.MarksPrefix:
		return isGarbageMark(key, g.n, func(id format.PackID) bool { return g.named[id.Key()] })
	case format.TablesPrefix:
		id, err := format.ParseTableKey(key)
		return err == nil && id.Epoch+2 <= g.n && !g.named[key]
	case format.TagsPrefix:
		id, err := format.ParseTagsKey(key)
		return err == nil && id.Epoch+2 <= g.n && !g.snapshots[id.Snapshot]
	}
	return false
}
