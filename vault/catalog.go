package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
)

// section is a part of a snapshot's metadata: where it is, or why it is missing.
type section = format.SectionRef

// Catalog is what the vault holds, by streams and snapshots, as of when it was opened.
// Its memory grows with streams and snapshots, not with rows.
type Catalog struct {
	epoch     uint32
	baseHash  format.Hash
	heads     map[coldstream.Stream]*headState
	sections  map[format.Hash]format.TableID
	snapshots []Snapshot
	tips      map[format.CommitID]format.Hash // commits that no other commit names
	named     map[format.CommitID]format.Hash // commits that others name as seen
	damage    []*DamageError

	keepViews bool
	visit     func(*format.Facts) error
}

// catalogOptions say what a fold keeps.
type catalogOptions struct {
	// views keeps the views of snapshots: readers need them, writers do not.
	views bool
	// visit sees the facts of each commit that joins, and may keep parts of them.
	visit func(*format.Facts) error
}

// OpenCatalog reads the catalog. Damaged commits are left out and listed by
// [Catalog.Damage]; so is what does not join without them.
func (v *Vault) OpenCatalog(ctx context.Context) (*Catalog, error) {
	return v.openCatalog(ctx, catalogOptions{views: true})
}

// openCatalog is rule "open": the newest begun epoch, its base, its commits, and then
// the look whether that epoch is still the newest.
func (v *Vault) openCatalog(ctx context.Context, opts catalogOptions) (*Catalog, error) {
	if err := v.look(ctx); err != nil {
		return nil, err
	}
	c := &Catalog{
		heads:     map[coldstream.Stream]*headState{},
		sections:  map[format.Hash]format.TableID{},
		tips:      map[format.CommitID]format.Hash{},
		named:     map[format.CommitID]format.Hash{},
		keepViews: opts.views,
		visit:     opts.visit,
	}
	if err := c.readBase(ctx, v); err != nil {
		return nil, err
	}
	if err := c.readCommits(ctx, v); err != nil {
		return nil, err
	}
	slices.SortFunc(c.snapshots, func(a, b Snapshot) int {
		return cmp.Or(a.Time.Compare(b.Time), slices.Compare(a.ID[:], b.ID[:]))
	})
	return c, v.look(ctx)
}

// look refuses a vault whose catalog has turned to an epoch that this version cannot
// read, and makes what a crashed init left out.
func (v *Vault) look(ctx context.Context) error {
	newest, begun := uint32(0), false
	for entry, err := range v.store.List(ctx, format.EpochsPrefix, "") {
		if err != nil {
			return fmt.Errorf("list epochs: %w", err)
		}
		epoch, isBegun, err := format.ParseEpochKey(entry.Key)
		if err != nil {
			return fmt.Errorf("list epochs: %w", err)
		}
		if isBegun {
			newest, begun = max(newest, epoch), true
		}
	}
	if newest > 0 {
		return fmt.Errorf("the vault's catalog is at epoch %d: %w", newest, coldstream.ErrUnsupported)
	}
	if !begun {
		return v.begin(ctx)
	}
	return nil
}

func (c *Catalog) readBase(ctx context.Context, v *Vault) error {
	key := format.BaseKey(c.epoch)
	payload, digest, err := v.load(ctx, format.KindBase, key)
	if errors.Is(err, fs.ErrNotExist) {
		// A crashed init: the base is made now, removing nothing.
		if err := v.begin(ctx); err != nil {
			return err
		}
		payload, digest, err = v.load(ctx, format.KindBase, key)
	}
	if err != nil {
		return err
	}
	base, err := format.DecodeBase(payload)
	if err != nil {
		return &DamageError{Object: key, Kind: "altered", Cause: err}
	}
	if base.Epoch != c.epoch || len(base.Tables)+len(base.Heads)+len(base.Snapshots)+len(base.Commits) > 0 {
		return fmt.Errorf("%s holds what only later epochs hold: %w", key, coldstream.ErrUnsupported)
	}
	c.baseHash = digest
	return nil
}

// readCommits folds the epoch's commits. One that does not join yet is tried again when
// others have: writers are listed one by one, but may have built on each other.
func (c *Catalog) readCommits(ctx context.Context, v *Vault) error {
	var waiting []*format.Commit
	for entry, err := range v.store.List(ctx, format.CommitsPrefix(c.epoch), "") {
		if err != nil {
			return fmt.Errorf("list commits: %w", err)
		}
		commit, err := c.readCommit(ctx, v, entry.Key)
		var damage *DamageError
		switch {
		case errors.As(err, &damage):
			c.damage = append(c.damage, damage)
			continue
		case err != nil:
			return err
		}
		waiting = append(waiting, commit)
		if waiting, err = c.join(waiting); err != nil {
			return err
		}
	}
	for _, commit := range waiting {
		c.damage = append(c.damage, &DamageError{
			Object: commit.ID.Key(), Kind: "does_not_join",
			Cause: errors.New("it builds on offsets that no readable commit holds"),
		})
	}
	for id := range c.named {
		if !c.has(id) {
			c.damage = append(c.damage, &DamageError{
				Object: id.Key(), Kind: "missing", Cause: fmt.Errorf("a later commit names it: %w", fs.ErrNotExist),
			})
		}
	}
	slices.SortFunc(c.damage, func(a, b *DamageError) int { return cmp.Compare(a.Object, b.Object) })
	return nil
}
