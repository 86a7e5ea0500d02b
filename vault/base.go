package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// baseOrder says which base to make, and how.
type baseOrder struct {
	epoch uint32
	// removal decides what the base takes away; nil takes nothing away.
	removal *removal
	turn    TurnOptions // for what comes after the base
	// rehearsal makes everything and stores nothing.
	rehearsal bool
}

// madeBase is a base, and what the one before it names.
type madeBase struct {
	base     *format.Base
	tables   []format.TableRef
	chapters []format.ChapterRef
	freed    Freed
	turn     TurnOptions
}

// baseMaker makes base n of base n-1 and its commits.
type baseMaker struct {
	vault   *Vault
	order   baseOrder
	catalog *Catalog // of epoch n-1
	changed tablesByTopic
	damage  []*DamageError
	timeMs  int64                  // of the newest commit
	needed  map[format.PackID]bool // that rows name; only where rows may be dropped
	out     madeBase
}

// makeBase is the only way to a base. It answers fs.ErrExist if another is there already,
// perhaps its own: then nothing may be concluded, and nothing deleted. Damage in what the
// base would be made of is an error: a base must not make it permanent. errTurned says
// that the epoch is not the newest any more.
func (v *Vault) makeBase(ctx context.Context, order baseOrder) (*madeBase, error) {
	m := &baseMaker{vault: v, order: order}
	err := m.gather(ctx)
	if err == nil {
		err = m.build(ctx)
	}
	var damage *DamageError
	if errors.As(err, &damage) || errors.Is(err, fs.ErrNotExist) {
		// What is missing may only be retired.
		now, lookErr := v.look(ctx, order.epoch)
		if lookErr != nil {
			return nil, lookErr
		}
		if now.newest > order.epoch || now.base {
			return nil, errTurned
		}
		return nil, fmt.Errorf("epoch %d cannot be made of what is damaged: %w", order.epoch, err)
	}
	if err != nil {
		return &m.out, err
	}
	return &m.out, m.store(ctx)
}

// gather folds the epoch before, and keeps the facts of its commits by topic.
func (m *baseMaker) gather(ctx context.Context) error {
	m.changed = tablesByTopic{}
	opts := catalogOptions{
		reader: true,
		taken: func(commit *format.Commit) {
			if err := m.changed.add(&commit.Facts); err != nil {
				m.damage = append(m.damage, &DamageError{Object: commit.ID.Key(), Kind: KindAltered, Cause: err})
			}
			m.timeMs = max(m.timeMs, commit.TimeMs)
		},
	}
	c, err := m.vault.readEpoch(ctx, &epochsFound{newest: m.order.epoch}, m.order.epoch-1, opts)
	if err != nil {
		return err
	}
	m.catalog = c
	for _, d := range slices.Concat(c.damage, m.damage) {
		if d.Kind != KindUnexpected { // of what nobody of us made nothing is lost
			err = errors.Join(err, d)
		}
	}
	return err
}

// build makes the base, and stores the tables and chapters that it needs.
func (m *baseMaker) build(ctx context.Context) error {
	c := m.catalog
	base := &format.Base{
		Epoch: m.order.epoch, TimeMs: max(c.baseMs, m.timeMs), CreatedMs: m.vault.info.CreatedMs, PreviousHash: c.baseHash,
	}
	m.out = madeBase{base: base, tables: c.tables, chapters: c.chapters, turn: m.order.turn}
	chapters, err := m.openChapters(ctx)
	if err != nil {
		return err
	}
	if m.order.removal != nil {
		if base.Removed, err = m.order.removal.apply(ctx, m.vault, c, chapters); err != nil {
			return err
		}
	}
	if err := m.buildTables(ctx); err != nil {
		return err
	}
	if err := m.buildChapters(ctx, chapters); err != nil {
		return err
	}
	m.buildSections(chapters)
	m.buildHeads()
	return nil
}

// buildSections lists the sections of the newest snapshot of each cluster: those that
// writers may name again. Where nothing is known of snapshots, none is new and none was
// removed.
func (m *baseMaker) buildSections(chapters []*chapterInMaking) {
	newest := map[string]*Snapshot{}
	for _, of := range chapters {
		for i := range of.snapshots {
			newest[of.snapshots[i].ClusterID] = &of.snapshots[i] // they are in the order of the fold
		}
	}
	var ids []format.TableID
	for _, s := range newest {
		for _, ref := range s.sections {
			if ref.Missing == "" {
				ids = append(ids, ref.Table)
			}
		}
	}
	if len(newest) == 0 && m.order.removal == nil {
		for _, id := range m.catalog.sections {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, format.TableID.Compare)
	m.out.base.Sections = slices.Compact(ids)
}

// buildHeads lists the streams with their heads.
func (m *baseMaker) buildHeads() {
	base, heads := m.out.base, m.catalog.heads
	streams := slices.Collect(maps.Keys(heads))
	base.Incarnations, base.Streams = listStreams(streams)
	for i, s := range streams { // sorted now
		base.Heads = append(base.Heads, heads[s].stored(i))
		if heads[s].hasPassToKeep() {
			base.Passes = append(base.Passes, heads[s].storedPass(i))
		}
	}
}

// store is rule "cond": of all who make this base one succeeds.
func (m *baseMaker) store(ctx context.Context) error {
	o, err := m.encode()
	if err != nil || m.order.rehearsal {
		return err
	}
	return m.vault.objects.Create(ctx, o)
}

func (m *baseMaker) encode() (*object.Sealed, error) {
	key := format.BaseKey(m.order.epoch)
	if err := m.vault.sign(m.out.base); err != nil {
		return nil, fmt.Errorf("sign %s: %w", key, err)
	}
	payload, err := m.out.base.Append(nil)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", key, err)
	}
	return m.vault.objects.Seal(format.KindBase, key, payload)
}
