package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"syscall"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

// errTurned says that the epoch that was read is not the newest any more: open again.
var errTurned = errors.New("the catalog turned to a newer epoch")

// epochsFound is what a look at epochs/ saw.
type epochsFound struct {
	newest      uint32 // 0 if there is nothing
	begun, base bool   // of the newest
	stray       []*DamageError
}

// isStill says that nothing turned between two looks. A base that appeared is a change
// too: what was read without it is not what it says.
func (f *epochsFound) isStill(before *epochsFound) bool {
	return f.newest == before.newest && f.base == before.base
}

// look lists epochs/ from an epoch on. The newest epoch is the highest with any object:
// a base is made only of what has begun.
func (v *Vault) look(ctx context.Context, from uint32) (*epochsFound, error) {
	after := ""
	if from > 0 {
		after = fmt.Sprintf("%s%010d", format.EpochsPrefix, from)
	}
	return findEpochs(v.objects.List(ctx, format.EpochsPrefix, after), from)
}

func findEpochs(entries iter.Seq2[blob.Entry, error], from uint32) (*epochsFound, error) {
	found := &epochsFound{newest: from}
	begun := map[uint32]bool{}
	for entry, err := range entries {
		if err != nil {
			return nil, fmt.Errorf("list epochs: %w", err)
		}
		epoch, isBegun, err := format.ParseEpochKey(entry.Key)
		if err != nil {
			found.stray = append(found.stray, &DamageError{Object: entry.Key, Kind: KindUnexpected, Cause: err})
			continue
		}
		if epoch > found.newest {
			found.newest, found.begun, found.base = epoch, false, false
		}
		if !isBegun {
			found.base = found.base || epoch == found.newest
			continue
		}
		begun[epoch] = true
		found.begun = found.begun || epoch == found.newest
		if entry.SizeBytes > 0 {
			found.stray = append(found.stray, &DamageError{Object: entry.Key, Kind: KindAltered,
				Cause: fmt.Errorf("it should be empty, and has %d bytes", entry.SizeBytes)})
		}
	}
	for epoch := from; epoch < found.newest; epoch++ {
		if !begun[epoch] {
			found.stray = append(found.stray, &DamageError{Object: format.BegunKey(epoch), Kind: KindMissing, Cause: fs.ErrNotExist})
		}
	}
	return found, nil
}

// openCatalog is rule "open": the newest begun epoch, its base, its commits, and then the
// look whether that epoch is still the newest. What turned meanwhile is opened again.
func (v *Vault) openCatalog(ctx context.Context, opts catalogOptions) (*Catalog, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := v.firstLook(ctx, &opts)
		if err != nil {
			return nil, err
		}
		c, err := v.openFound(ctx, found, opts)
		if errors.Is(err, errTurned) {
			continue
		}
		if err == nil {
			err = c.findLostEpochs(ctx, v)
		}
		if err != nil {
			return nil, err
		}
		now, err := v.lookAgain(ctx, found)
		if err != nil {
			return nil, err
		}
		if now.isStill(found) {
			return c, c.readAccepted(ctx, v)
		}
	}
}

// findLostEpochs finds commits of epochs that never began: a commit is made only in one
// that has, so what says so was lost, with the base of that epoch and all since. If one
// began meanwhile, the look that follows sees it.
func (c *Catalog) findLostEpochs(ctx context.Context, v *Vault) error {
	after, last := strings.TrimSuffix(format.CommitsPrefix(c.found.newest+1), "/"), c.found.newest
	for entry, err := range v.listed(ctx, c.opts.survey, format.AllCommits, after) {
		if err != nil {
			return fmt.Errorf("list commits: %w", err)
		}
		id, err := format.ParseCommitKey(entry.Key)
		if err != nil || id.Epoch <= last {
			continue // of what is no commit nothing is known
		}
		last, c.lostEpochs = id.Epoch, true
		c.report(format.BegunKey(last), KindMissing, fmt.Errorf("%s is of this epoch: %w", entry.Key, fs.ErrNotExist))
	}
	return nil
}

// openFound reads the newest epoch. A base that is missing is made first, removing
// nothing; where damage or a lack of rights stands in the way, readers get what the epoch before
// still says.
func (v *Vault) openFound(ctx context.Context, found *epochsFound, opts catalogOptions) (*Catalog, error) {
	if found.newest == 0 || found.base {
		return v.readEpoch(ctx, found, found.newest, opts)
	}
	used, err := v.hasCommits(ctx, found.newest)
	if err != nil {
		return nil, err
	}
	if used {
		// It was there: commits name it. Another one would not be the one that they name.
		return v.readEpoch(ctx, found, found.newest, opts)
	}
	if v.info.Exclusive {
		appeared, err := v.awaitBase(ctx, found)
		if appeared || err != nil {
			return nil, cmp.Or(err, errTurned)
		}
		if opts.reader {
			return v.readEpoch(ctx, found, found.newest-1, opts)
		}
	}
	_, err = v.makeBase(ctx, baseOrder{epoch: found.newest})
	var damage *DamageError
	switch {
	case err == nil || errors.Is(err, fs.ErrExist): // ours, or somebody else's
		return nil, errTurned
	case opts.reader && (errors.As(err, &damage) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)):
		return v.readEpoch(ctx, found, found.newest-1, opts)
	}
	return nil, err
}

// readEpoch reads one epoch's base and commits. Without a look afterwards nothing of it
// may be relied on.
func (v *Vault) readEpoch(ctx context.Context, found *epochsFound, epoch uint32, opts catalogOptions) (*Catalog, error) {
	c := &Catalog{
		vault:       v,
		found:       *found,
		epoch:       epoch,
		heads:       map[coldstream.Stream]*headState{},
		sections:    map[format.Hash]format.TableID{},
		snapshotIDs: map[SnapshotID]bool{},
		packs:       map[format.PackID]int64{},
		digests:     map[format.Hash]bool{},
		commits:     map[format.CommitID]*commitState{},
		damage:      slices.Clone(found.stray),
		opts:        opts,
	}
	if opts.reader {
		c.shelf = &shelf{vault: v, found: *found, objects: v.objects}
	}
	if err := c.readBase(ctx, v); err != nil {
		return nil, err
	}
	if err := c.readChapters(ctx, v); err != nil {
		return nil, err
	}
	if err := c.readCommits(ctx, v); err != nil {
		return nil, err
	}
	c.placeSnapshots()
	c.sortDamage()
	return c, nil
}

// readBase takes in the base of the catalog's epoch.
func (c *Catalog) readBase(ctx context.Context, v *Vault) error {
	if c.epoch == 0 {
		if err := c.finishInit(ctx, v); err != nil {
			return err
		}
	}
	if !c.found.begun && c.found.newest == c.epoch {
		c.report(format.BegunKey(c.epoch), KindMissing, fs.ErrNotExist)
	}
	base, digest, err := v.loadBase(ctx, c.epoch)
	var damage *DamageError
	switch {
	case errors.As(err, &damage):
		c.damage = append(c.damage, damage)
		c.lostBase = true
		return c.checkPrevious(ctx, v, nil)
	case err != nil:
		return err
	case base.CreatedMs != v.info.CreatedMs:
		c.report(format.VaultKey, KindAltered, errors.New("its time of creation is not that of the base"))
	}
	c.baseHash, c.hasBase = digest, true
	c.takeBase(base)
	return c.checkPrevious(ctx, v, base)
}

// finishInit makes what a crashed init left out. With commits there is nothing to make:
// another base is not the one that they name. It is empty, so its loss costs nothing else.
func (c *Catalog) finishInit(ctx context.Context, v *Vault) error {
	if c.found.newest > 0 || c.found.begun && c.found.base {
		return nil
	}
	used, err := v.hasCommits(ctx, 0)
	if err != nil || used {
		return err
	}
	if err := v.objects.ProveInfo(ctx); err != nil {
		return err
	}
	if err := v.begin(ctx); err != nil {
		return err
	}
	c.found.begun = true
	return nil
}

// loadBase reads a base. One that is missing or not as it should be is a [*DamageError];
// whether it is damage or only retired is for the look to say.
func (v *Vault) loadBase(ctx context.Context, epoch uint32) (*format.Base, format.Hash, error) {
	key := format.BaseKey(epoch)
	payload, digest, err := v.objects.Load(ctx, format.KindBase, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, digest, &DamageError{Object: key, Kind: KindMissing, Cause: err}
	}
	if err != nil {
		return nil, digest, err
	}
	base, err := format.DecodeBase(payload)
	switch {
	case errors.Is(err, coldstream.ErrUnsupported):
		return nil, digest, fmt.Errorf("decode %s: %w", key, err)
	case err != nil:
		return nil, digest, &DamageError{Object: key, Kind: KindAltered, Cause: err}
	case base.Epoch != epoch:
		return nil, digest, &DamageError{Object: key, Kind: KindAltered, Cause: fmt.Errorf("it is the base of epoch %d", base.Epoch)}
	}
	if err := v.checkSignature(key, base); err != nil {
		return nil, digest, err
	}
	return base, digest, nil
}

// takeBase begins the fold with what the base holds.
func (c *Catalog) takeBase(base *format.Base) {
	c.tables, c.chapters, c.baseMs = base.Tables, base.Chapters, base.TimeMs
	streams := &format.Facts{Incarnations: base.Incarnations, Streams: base.Streams}
	for i := range base.Heads {
		h := &base.Heads[i]
		c.heads[streams.StreamAt(h.Stream)] = headOf(h)
	}
	for i := range base.Passes {
		p := &base.Passes[i]
		if h := c.heads[streams.StreamAt(p.Stream)]; h != nil {
			h.pass = passOf(p)
		}
	}
	for _, id := range base.Sections {
		c.sections[id.Hash] = id
	}
}

// checkPrevious proves the chain, if that is asked for: the base before is the one that
// this one names, if this one can be read.
func (c *Catalog) checkPrevious(ctx context.Context, v *Vault, base *format.Base) error {
	if c.epoch == 0 || !c.opts.chain {
		return nil
	}
	_, digest, err := v.loadBase(ctx, c.epoch-1)
	var damage *DamageError
	switch {
	case errors.As(err, &damage):
		c.damage = append(c.damage, damage)
		return nil
	case err != nil:
		return err
	case base != nil && digest != base.PreviousHash:
		c.report(format.BaseKey(c.epoch-1), KindAltered, errors.New("the base after it names it with another content"))
	}
	return nil
}

// loadTable reads a row table of a topic.
func (v *Vault) loadTable(ctx context.Context, ref *format.TableRef) (*format.Facts, error) {
	key := ref.Table.Key()
	damaged := func(kind string, cause error) error {
		d := &DamageError{Object: key, Kind: kind, Cause: fmt.Errorf("rows of topic %q: %w", ref.Topic, cause)}
		d.Stream.Topic = ref.Topic
		return d
	}
	payload, err := v.objects.Content(ctx, format.KindTable, ref.Table, ref.SizeBytes)
	var damage *DamageError
	switch {
	case errors.As(err, &damage):
		return nil, damaged(damage.Kind, damage.Cause)
	case err != nil:
		return nil, err
	}
	table, err := format.DecodeTable(payload)
	if errors.Is(err, coldstream.ErrCorrupt) {
		return nil, damaged(KindAltered, err)
	}
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", key, err)
	}
	return &table.Facts, nil
}

func (v *Vault) hasCommits(ctx context.Context, epoch uint32) (bool, error) {
	for _, err := range v.objects.List(ctx, format.CommitsPrefix(epoch), "") {
		if err != nil {
			return false, fmt.Errorf("list commits: %w", err)
		}
		return true, nil
	}
	return false, nil
}

func headOf(h *format.Head) *headState {
	out := &headState{scan: h.Scan, nextOffset: h.NextOffset, reach: h.Reach, floor: h.Floor, bytes: h.SizeBytes}
	for _, e := range h.Epochs {
		out.epochs = append(out.epochs, lineage.Start{EpochStart: e.EpochStart, After: e.After})
	}
	return out
}

// stored is the head of a base.
func (h *headState) stored(stream int) format.Head {
	out := format.Head{Stream: stream, Scan: h.scan, NextOffset: h.nextOffset, Reach: h.reach, Floor: h.floor, SizeBytes: h.bytes}
	for _, e := range h.epochs {
		out.Epochs = append(out.Epochs, format.HeadEpoch{EpochStart: e.EpochStart, After: e.After})
	}
	return out
}
