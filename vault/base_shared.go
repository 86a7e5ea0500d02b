package vault

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"coldstream/vault/internal/format"
)

// What bases share with those before them, row tables and chapters, is merged as it
// grows: the newest ones, until each is more than twice as large as all behind it
// together. So there are few of them, and each byte is written again but a few times.
const (
	// smallPart is what is merged whatever it is merged with.
	smallPart = 64 << 10
	// largestPart bounds the payload of what is merged, and so the memory that it takes.
	largestPart = 8 << 20
)

// merges says whether a part is to be merged with all behind it.
func merges(partBytes, behindBytes int64) bool {
	return partBytes <= max(2*behindBytes, smallPart) && partBytes+behindBytes <= largestPart
}

// tablePart is a table of the base before, or one in the making.
type tablePart struct {
	format.TableRef
	maker   *tableMaker // nil if it stays as it is
	payload []byte
}

// buildTables makes a table for each topic that changed, of what is new and of tables
// that it is merged with, and others where rows are dropped. All else stays as it is.
func (m *baseMaker) buildTables(ctx context.Context) error {
	before := map[string][]tablePart{}
	for _, ref := range m.catalog.tables {
		before[ref.Topic] = append(before[ref.Topic], tablePart{TableRef: ref})
	}
	topics := slices.Collect(maps.Keys(before))
	for topic := range m.changed {
		if before[topic] == nil {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	m.needed = map[format.PackID]bool{}
	for _, topic := range topics {
		parts := before[topic]
		if err := m.dropRows(ctx, parts); err != nil {
			return err
		}
		parts, err := m.addRows(ctx, topic, parts)
		if err != nil {
			return err
		}
		delete(m.changed, topic) // it may be large, and is not needed again
		if err := m.storeTables(ctx, parts); err != nil {
			return err
		}
	}
	return nil
}

// dropRows goes through the tables of a topic if rows are to be released, and makes those
// anew that lose some.
func (m *baseMaker) dropRows(ctx context.Context, parts []tablePart) error {
	if !m.order.removal.dropsPacks() {
		return nil
	}
	for i := range parts {
		maker, err := m.loadRows(ctx, &parts[i])
		if err != nil {
			return err
		}
		changed, err := m.drop(maker)
		if err == nil && changed {
			err = parts[i].make(maker)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// drop releases rows, gives rows their new places, and notes which packs those that stay need.
func (m *baseMaker) drop(maker *tableMaker) (changed bool, err error) {
	changed = m.order.removal.drop(m.catalog, maker)
	if r := m.order.removal; r != nil && r.moves.standIn(m.order.epoch) {
		moved, err := r.moves.apply(maker)
		if err != nil {
			return false, err
		}
		changed = changed || moved
	}
	m.out.base.Removed = m.out.base.Removed || changed
	for id := range maker.packs {
		m.needed[id] = true
	}
	return changed, nil
}

// addMoved lists the packs that rows were moved into.
func (m *baseMaker) addMoved(chapters []*chapterInMaking) {
	if m.order.removal == nil || m.order.removal.moves == nil {
		return
	}
	fresh := chapters[len(chapters)-1]
	for id, size := range m.order.removal.moves.packs {
		// A base that was made, and whose answer was lost, has listed them.
		if m.needed[id] && !slices.ContainsFunc(chapters, func(c *chapterInMaking) bool { return c.packs[id] > 0 }) {
			fresh.packs[id] = size
		}
	}
}

// make gives the part what is to be stored of it.
func (p *tablePart) make(maker *tableMaker) error {
	payload, err := maker.build().Append(nil)
	if err != nil {
		return fmt.Errorf("encode the rows of topic %q: %w", p.Topic, err)
	}
	p.maker, p.payload, p.SizeBytes = maker, payload, int64(len(payload))
	return nil
}

// addRows makes a table of what is new of a topic, and of the last of its tables as far as
// they are to be merged.
func (m *baseMaker) addRows(ctx context.Context, topic string, parts []tablePart) ([]tablePart, error) {
	maker := m.changed[topic]
	if maker == nil {
		return parts, nil
	}
	if _, err := m.drop(maker); err != nil {
		return nil, err
	}
	fresh := tablePart{TableRef: format.TableRef{Topic: topic}}
	for {
		if err := fresh.make(maker); err != nil {
			return nil, err
		}
		last := len(parts) - 1
		if last < 0 || !merges(parts[last].SizeBytes, fresh.SizeBytes) {
			return append(parts, fresh), nil
		}
		earlier, err := m.loadRows(ctx, &parts[last])
		if err != nil {
			return nil, err
		}
		if err := maker.addEarlier(earlier); err != nil {
			return nil, &DamageError{Object: parts[last].Table.Key(), Kind: KindAltered, Cause: err}
		}
		parts = parts[:last]
	}
}

// storeTables stores what is new of a topic's tables, and lists them all.
func (m *baseMaker) storeTables(ctx context.Context, parts []tablePart) error {
	first := len(m.out.base.Tables)
	for i := range parts {
		p := &parts[i]
		if p.maker != nil {
			id, err := m.storeContent(ctx, format.KindTable, p.payload)
			if err != nil {
				return err
			}
			p.Table = id
		}
		m.out.base.Tables = append(m.out.base.Tables, p.TableRef)
	}
	own := m.out.base.Tables[first:]
	slices.SortFunc(own, func(a, b format.TableRef) int { return a.Table.Compare(b.Table) })
	m.out.base.Tables = m.out.base.Tables[:first+len(slices.Compact(own))] // what was released may leave two alike
	return nil
}

// loadRows gives what a part holds.
func (m *baseMaker) loadRows(ctx context.Context, p *tablePart) (*tableMaker, error) {
	if p.maker != nil {
		return p.maker, nil
	}
	facts, err := m.vault.loadTable(ctx, &p.TableRef)
	if err != nil {
		return nil, err
	}
	tables := tablesByTopic{p.Topic: newTableMaker()}
	if err := tables.add(facts); err != nil {
		return nil, &DamageError{Object: p.Table.Key(), Kind: KindAltered, Cause: err}
	}
	return tables[p.Topic], nil
}

// storeContent stores an object under its hash, unless it is a rehearsal.
func (m *baseMaker) storeContent(ctx context.Context, kind format.Kind, payload []byte) (format.TableID, error) {
	id := format.TableID{Epoch: m.order.epoch, Hash: m.vault.objects.NameOf(payload)}
	o, err := m.vault.objects.Seal(kind, id.Key(), payload)
	if err != nil || m.order.rehearsal {
		return id, err
	}
	_, err = m.vault.objects.Ensure(ctx, o)
	return id, err
}

// chapterInMaking is a chapter of the base before, or a new one.
type chapterInMaking struct {
	chapter
	ref            format.ChapterRef // zero if it is new
	changed        bool
	payload, views []byte // if it is new
}

// openChapters gives the new chapter, and before it the others if snapshots or packs of
// them may go.
func (m *baseMaker) openChapters(ctx context.Context) ([]*chapterInMaking, error) {
	var out []*chapterInMaking
	for i := range m.catalog.chapters {
		if m.order.removal == nil {
			break
		}
		of, err := m.catalog.openChapter(ctx, &m.catalog.chapters[i])
		if err != nil {
			return nil, err
		}
		out = append(out, &chapterInMaking{chapter: *of, ref: m.catalog.chapters[i]})
	}
	fresh := &chapterInMaking{changed: true, chapter: chapter{
		firstEpoch: m.order.epoch - 1, lastEpoch: m.order.epoch - 1, packs: m.catalog.packs, snapshots: m.catalog.snapshots,
	}}
	for id, s := range m.catalog.commits {
		if s.joined {
			fresh.commits = append(fresh.commits, format.CommitRef{ID: id, Hash: s.digest})
		}
	}
	return append(out, fresh), nil
}

// buildChapters lists the chapters of the base: those of the one before, as far as they
// stay as they are, and what is new, merged with those before it as they grow.
func (m *baseMaker) buildChapters(ctx context.Context, chapters []*chapterInMaking) error {
	fresh := chapters[len(chapters)-1]
	m.addMoved(chapters)
	before := slices.Clip(chapters[:len(chapters)-1])
	if m.order.removal == nil {
		for _, ref := range m.catalog.chapters {
			before = append(before, &chapterInMaking{ref: ref})
		}
	}
	for _, of := range chapters {
		if m.order.removal.dropsPacks() {
			packs := len(of.packs)
			maps.DeleteFunc(of.packs, func(id format.PackID, size int64) bool {
				if m.needed[id] {
					return false
				}
				m.out.freed.Packs++
				m.out.freed.Bytes += size
				return true
			})
			of.changed = of.changed || len(of.packs) < packs
		}
		if err := of.encodeChanged(ctx, m.vault); err != nil {
			return err
		}
		if of != fresh { // there may be many: they are made once more when they are stored
			of.payload, of.views = nil, nil
		}
	}
	for len(fresh.commits)+len(fresh.packs) > 0 && len(before) > 0 && merges(before[len(before)-1].sizeBytes(), fresh.sizeBytes()) {
		earlier := &before[len(before)-1].chapter
		if m.order.removal == nil {
			var err error
			if earlier, err = m.catalog.openChapter(ctx, &before[len(before)-1].ref); err != nil {
				return err
			}
		}
		fresh.addEarlier(earlier)
		if err := fresh.encodeChanged(ctx, m.vault); err != nil {
			return err
		}
		before = before[:len(before)-1]
	}
	for _, of := range append(slices.Clip(before), fresh) {
		if of.changed && len(of.commits)+len(of.packs) == 0 {
			continue // nothing of its epochs is worth a chapter
		}
		if err := m.storeChapter(ctx, of); err != nil {
			return err
		}
		m.out.base.Chapters = append(m.out.base.Chapters, of.ref)
	}
	return nil
}

func (c *chapterInMaking) sizeBytes() int64 { return c.ref.SizeBytes + c.ref.ViewsSizeBytes }

func (c *chapterInMaking) encodeChanged(ctx context.Context, v *Vault) (err error) {
	if !c.changed {
		return nil
	}
	c.ref = format.ChapterRef{FirstEpoch: c.firstEpoch, LastEpoch: c.lastEpoch}
	c.payload, c.views, err = c.encode(ctx, v)
	c.ref.SizeBytes, c.ref.ViewsSizeBytes = int64(len(c.payload)), int64(len(c.views))
	return err
}

func (m *baseMaker) storeChapter(ctx context.Context, c *chapterInMaking) (err error) {
	if !c.changed {
		return nil
	}
	if c.payload == nil {
		if err := c.encodeChanged(ctx, m.vault); err != nil {
			return err
		}
		defer func() { c.payload, c.views = nil, nil }()
	}
	if c.ref.Chapter, err = m.storeContent(ctx, format.KindChapter, c.payload); err != nil || len(c.views) == 0 {
		return err
	}
	c.ref.Views, err = m.storeContent(ctx, format.KindViews, c.views)
	return err
}
