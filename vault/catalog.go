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
// Its memory grows with streams, snapshots and commits, not with rows.
type Catalog struct {
	epoch     uint32
	baseHash  format.Hash
	hasBase   bool // baseHash is known: from the base, or from commits that outlived it
	heads     map[coldstream.Stream]*headState
	sections  map[format.Hash]format.TableID
	snapshots []Snapshot
	commits   map[format.CommitID]*commitState
	waiting   []*format.Commit // read, but they do not join
	damage    []*DamageError

	opts catalogOptions
}

// commitState is a commit that was read, or that another one names.
type commitState struct {
	digest format.Hash // zero if it cannot be read
	seen   bool
	read   bool
	joined bool
	named  bool // by a commit that was read
}

// catalogOptions say what a fold keeps.
type catalogOptions struct {
	// reader keeps snapshots, and takes also commits that do not join: with damage in a
	// stream's middle what is behind it can still be read. For writers what does not join
	// is not there, so that they fetch it again.
	reader bool
	// visit sees each commit that is taken, and may keep parts of it.
	visit func(*format.Commit) error
}

// OpenCatalog reads the catalog. What of it is damaged is listed by [Catalog.Damage].
func (v *Vault) OpenCatalog(ctx context.Context) (*Catalog, error) {
	return v.openCatalog(ctx, catalogOptions{reader: true})
}

// openCatalog is rule "open": the newest begun epoch, its base, its commits, and then
// the look whether that epoch is still the newest.
func (v *Vault) openCatalog(ctx context.Context, opts catalogOptions) (*Catalog, error) {
	found, err := v.look(ctx)
	if err != nil {
		return nil, err
	}
	c := &Catalog{
		heads:    map[coldstream.Stream]*headState{},
		sections: map[format.Hash]format.TableID{},
		commits:  map[format.CommitID]*commitState{},
		damage:   found.stray,
		opts:     opts,
	}
	if err := c.readBase(ctx, v, found); err != nil {
		return nil, err
	}
	if err := c.readCommits(ctx, v); err != nil {
		return nil, err
	}
	slices.SortFunc(c.snapshots, func(a, b Snapshot) int {
		return cmp.Or(a.Time.Compare(b.Time), slices.Compare(a.ID[:], b.ID[:]))
	})
	slices.SortStableFunc(c.damage, func(a, b *DamageError) int { return cmp.Compare(a.Object, b.Object) })
	if _, err := v.look(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// epochObjects is what lies under epochs/.
type epochObjects struct {
	begun, base bool // of epoch 0
	stray       []*DamageError
}

// look refuses a vault whose catalog has turned to an epoch that this version cannot
// read.
func (v *Vault) look(ctx context.Context) (epochObjects, error) {
	var found epochObjects
	newest := uint32(0)
	for entry, err := range v.store.List(ctx, format.EpochsPrefix, "") {
		if err != nil {
			return found, fmt.Errorf("list epochs: %w", err)
		}
		epoch, isBegun, err := format.ParseEpochKey(entry.Key)
		if err != nil {
			found.stray = append(found.stray, &DamageError{Object: entry.Key, Kind: KindUnexpected, Cause: err})
			continue
		}
		if isBegun {
			newest = max(newest, epoch)
			if entry.SizeBytes > 0 {
				found.stray = append(found.stray, &DamageError{Object: entry.Key, Kind: KindAltered,
					Cause: fmt.Errorf("it should be empty, and has %d bytes", entry.SizeBytes)})
			}
		}
		found.begun = found.begun || isBegun && epoch == 0
		found.base = found.base || !isBegun && epoch == 0
	}
	if newest > 0 {
		return found, fmt.Errorf("the vault's catalog is at epoch %d: %w", newest, coldstream.ErrUnsupported)
	}
	return found, nil
}

// readBase reads the base of epoch 0, which holds nothing: so a vault that has lost it
// loses nothing else, and only its hash is then taken from the commits.
func (c *Catalog) readBase(ctx context.Context, v *Vault, found epochObjects) error {
	key := format.BaseKey(c.epoch)
	if !found.begun || !found.base {
		used, err := v.hasCommits(ctx, c.epoch)
		if err != nil {
			return err
		}
		if !used {
			// A crashed init: what it left out is made now. With commits there is nothing to
			// make: another base is not the one that they name.
			if err := v.begin(ctx); err != nil {
				return err
			}
			found.begun, found.base = true, true
		}
	}
	if !found.begun {
		c.report(format.BegunKey(c.epoch), KindMissing, fs.ErrNotExist)
	}
	payload, digest, err := v.load(ctx, format.KindBase, key)
	var damage *DamageError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.report(key, KindMissing, err)
		return nil
	case errors.As(err, &damage):
		c.damage = append(c.damage, damage)
		return nil
	case err != nil:
		return err
	}
	base, err := format.DecodeBase(payload)
	switch {
	case errors.Is(err, coldstream.ErrUnsupported):
		return fmt.Errorf("decode %s: %w", key, err)
	case err != nil:
		c.report(key, KindAltered, err)
		return nil
	case base.Epoch != c.epoch || len(base.Tables)+len(base.Heads)+len(base.Snapshots)+len(base.Commits) > 0:
		return fmt.Errorf("%s holds what only later epochs hold: %w", key, coldstream.ErrUnsupported)
	case base.TimeMs != v.info.CreatedMs:
		c.report(format.VaultKey, KindAltered, errors.New("its time of creation is not that of the base"))
	}
	c.baseHash, c.hasBase = digest, true
	return nil
}

func (v *Vault) hasCommits(ctx context.Context, epoch uint32) (bool, error) {
	for _, err := range v.store.List(ctx, format.CommitsPrefix(epoch), "") {
		if err != nil {
			return false, fmt.Errorf("list commits: %w", err)
		}
		return true, nil
	}
	return false, nil
}

func (c *Catalog) report(object string, kind string, cause error) {
	c.damage = append(c.damage, &DamageError{Object: object, Kind: kind, Cause: cause})
}

// Snapshots returns the restore points, oldest first. The slice is the caller's, what it
// refers to is shared.
func (c *Catalog) Snapshots() []Snapshot { return slices.Clone(c.snapshots) }

// Damage lists the catalog's objects that are missing or altered, and the commits that
// do not join without them. What only these told is lost to the heads; snapshots of
// commits that do not join are among [Catalog.Snapshots], as far as they can be read.
func (c *Catalog) Damage() []*DamageError { return slices.Clone(c.damage) }

// head returns how far the vault has got with a stream.
func (c *Catalog) head(s coldstream.Stream) (Head, bool) {
	h, ok := c.heads[s]
	if !ok {
		return Head{}, false
	}
	head := Head{Scan: h.scan, NextOffset: h.nextOffset}
	for _, e := range h.epochs.lineage() {
		head.Epochs = append(head.Epochs, coldstream.EpochStart(e))
	}
	return head, true
}
