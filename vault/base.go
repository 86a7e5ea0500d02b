package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
)

// baseOrder says which base to make, and how.
type baseOrder struct {
	epoch uint32
	// removal decides what the base takes away; nil takes nothing away.
	removal *removal
	// whole reads also tables that do not change, and gathers which packs the base names.
	whole bool
	// rehearsal makes everything and stores nothing.
	rehearsal bool
}

// madeBase is a base and what else its maker knows.
type madeBase struct {
	base     *format.Base
	previous []format.TableRef
	packs    map[format.PackID]bool // that rows name; only of a whole order
}

// baseMaker makes base n of base n-1 and its commits.
type baseMaker struct {
	vault   *Vault
	order   baseOrder
	catalog *Catalog // of epoch n-1
	changed tablesByTopic
	damage  []*DamageError
	timeMs  int64 // of the newest commit
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
	if err != nil || order.rehearsal {
		return &m.out, err
	}
	return &m.out, m.store(ctx)
}

// gather folds the epoch before, and keeps the facts of its commits by topic.
func (m *baseMaker) gather(ctx context.Context) error {
	opts := catalogOptions{
		reader:  true,
		restart: func() { m.changed, m.damage = tablesByTopic{}, nil },
		visit: func(object string, facts *format.Facts) error {
			if err := m.changed.add(facts); err != nil {
				m.damage = append(m.damage, &DamageError{Object: object, Kind: KindAltered, Cause: err})
			}
			return nil
		},
		taken: func(commit *format.Commit) { m.timeMs = max(m.timeMs, commit.TimeMs) },
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

// build makes the base, and stores the tables that it needs.
func (m *baseMaker) build(ctx context.Context) error {
	c := m.catalog
	forgot, err := m.order.removal.apply(ctx, m)
	if err != nil {
		return err
	}
	base := &format.Base{
		Epoch: m.order.epoch, TimeMs: max(c.baseMs, m.timeMs), CreatedMs: m.vault.info.CreatedMs,
		PreviousHash: c.baseHash, Removed: forgot,
	}
	for id, s := range c.commits {
		if s.joined {
			base.Commits = append(base.Commits, format.CommitRef{ID: id, Hash: s.digest})
		}
	}
	slices.SortFunc(base.Commits, func(a, b format.CommitRef) int { return a.ID.Compare(b.ID) })
	m.out = madeBase{base: base, previous: c.tables, packs: map[format.PackID]bool{}}
	if err := m.buildTables(ctx); err != nil {
		return err
	}
	m.buildHeads(base)
	return nil
}

// buildTables writes a table for each topic that changed; others keep theirs.
func (m *baseMaker) buildTables(ctx context.Context) error {
	before := map[string]*format.TableRef{}
	for i := range m.catalog.tables {
		before[m.catalog.tables[i].Topic] = &m.catalog.tables[i]
	}
	topics := slices.Collect(maps.Keys(m.changed))
	for topic := range before {
		if m.changed[topic] == nil {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	for _, topic := range topics {
		ref, err := m.buildTable(ctx, topic, before[topic])
		if err != nil {
			return err
		}
		if ref != nil {
			m.out.base.Tables = append(m.out.base.Tables, *ref)
		}
	}
	return nil
}

// buildTable gives a topic's table: the one before where nothing changed, else a new one
// of it and the commits' facts; nil if nothing is left.
func (m *baseMaker) buildTable(ctx context.Context, topic string, before *format.TableRef) (*format.TableRef, error) {
	made := m.changed[topic]
	if made == nil && !m.order.whole {
		return before, nil
	}
	tables := tablesByTopic{topic: cmp.Or(made, newTableMaker())}
	if before != nil {
		facts, err := m.vault.loadTable(ctx, before)
		if err != nil {
			return nil, err
		}
		if err := tables.add(facts); err != nil {
			return nil, &DamageError{Object: before.Table.Key(), Kind: KindAltered, Cause: err}
		}
	}
	maker := tables[topic]
	delete(m.changed, topic) // it may be large, and is not needed again
	dropped := m.order.removal.drop(m.catalog, maker)
	m.out.base.Removed = m.out.base.Removed || dropped
	for id := range maker.packs {
		m.out.packs[id] = true
	}
	if made == nil && !dropped {
		return before, nil
	}
	payload, err := maker.build().Append(nil)
	if err != nil {
		return nil, fmt.Errorf("encode the rows of topic %q: %w", topic, err)
	}
	ref := &format.TableRef{Topic: topic, Table: format.TableID{Epoch: m.order.epoch, Hash: format.HashOf(payload)}, SizeBytes: int64(len(payload))}
	if before != nil && before.Table.Hash == ref.Table.Hash {
		return before, nil
	}
	body, err := m.vault.seal(format.KindTable, ref.Table.Key(), payload)
	if err != nil || m.order.rehearsal {
		return ref, err
	}
	_, err = m.vault.create(ctx, ref.Table.Key(), body)
	return ref, err
}

// buildHeads lists the streams with their heads, and the snapshots.
func (m *baseMaker) buildHeads(base *format.Base) {
	c := m.catalog
	streams := slices.Collect(maps.Keys(c.heads))
	for i := range c.snapshots {
		for _, view := range c.snapshots[i].Views {
			if c.heads[view.Stream] == nil {
				streams = append(streams, view.Stream)
			}
		}
	}
	slices.SortFunc(streams, coldstream.Stream.Compare)
	streams = slices.Compact(streams)
	base.Incarnations, base.Streams = listStreams(streams)
	index := make(map[coldstream.Stream]int, len(streams))
	for i, s := range streams {
		index[s] = i
		if h := c.heads[s]; h != nil {
			base.Heads = append(base.Heads, h.stored(i))
		}
	}
	for i := range c.snapshots {
		s := &c.snapshots[i]
		out := format.Snapshot{ID: format.SnapshotID(s.ID), TimeMs: s.Time.UnixMilli(), ClusterID: s.ClusterID, SizeBytes: s.SizeBytes, Sections: s.sections}
		for _, v := range s.Views {
			out.Views = append(out.Views, format.View{
				Stream: index[v.Stream], Scan: v.Scan, LogStartOffset: v.LogStartOffset, NextOffset: v.NextOffset, LastEpoch: v.LastEpoch,
			})
		}
		base.Snapshots = append(base.Snapshots, out)
	}
}

// store is rule "cond": of all who make this base one succeeds.
func (m *baseMaker) store(ctx context.Context) error {
	key := format.BaseKey(m.order.epoch)
	body, err := m.encode(key)
	if err != nil {
		return err
	}
	err = m.vault.store.Create(ctx, key, body)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create %s: %w", key, err)
	}
	return err
}

func (m *baseMaker) encode(key string) ([]byte, error) {
	payload, err := m.out.base.Append(nil)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", key, err)
	}
	return m.vault.seal(format.KindBase, key, payload)
}
