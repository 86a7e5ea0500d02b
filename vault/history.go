package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
	"coldstream/vault/internal/pack"
)

// History is the catalog's rows of some views, and reads their batches. It is safe for
// use by several goroutines.
type History struct {
	vault   *Vault
	opts    HistoryOptions
	found   epochsFound // when it was opened
	streams []*StreamHistory
	frames  *pack.Reader
}

// StreamHistory is what the vault holds of one view.
type StreamHistory struct {
	View View
	// Runs ascend and do not overlap. What of the view they leave out is in Gaps, or was
	// lost with commits (Lost).
	Runs []Run
	Gaps []coldstream.Gap
	// Lost are ranges of the view that nothing readable explains.
	Lost []*DamageError
	// Fewer are ranges that show fewer records than when the snapshot was taken, because a
	// pack was lost and the log had been compacted further when it was fetched again. It is
	// empty where [HistoryOptions].SnapshotTime is not given.
	Fewer []*DamageError

	history *History
}

// HistoryOptions bound what reading may take.
type HistoryOptions struct {
	// CacheBytes bounds the decoded frames that are kept for others to use; 64 MiB by
	// default. A frame that is being read counts only once it is kept; at most 32 are read
	// at a time.
	CacheBytes int64
	// SnapshotTime is when the views' snapshot was taken.
	SnapshotTime time.Time
}

// OpenHistory reads the rows of the views' streams. Views are of one snapshot.
func (v *Vault) OpenHistory(ctx context.Context, views []View, opts HistoryOptions) (*History, error) {
	c, err := v.openCatalog(ctx, catalogOptions{reader: true})
	if err != nil {
		return nil, err
	}
	return c.OpenHistory(ctx, views, opts)
}

// OpenHistory is [Vault.OpenHistory] by what the catalog says, or a newer one where it turned
// meanwhile.
func (c *Catalog) OpenHistory(ctx context.Context, views []View, opts HistoryOptions) (*History, error) {
	collect := newRowCollector(c.vault, views)
	err := c.eachFacts(ctx, collect.wants, collect.visit)
	if errors.Is(err, errTurned) {
		c, err = c.vault.withFacts(ctx, catalogOptions{reader: true}, func(c *Catalog) error {
			collect = newRowCollector(c.vault, views)
			return c.eachFacts(ctx, collect.wants, collect.visit)
		})
	}
	if err != nil {
		return nil, err
	}
	h := newHistory(c, opts)
	return h, h.cover(ctx, c, collect)
}

func newHistory(c *Catalog, opts HistoryOptions) *History {
	if opts.CacheBytes <= 0 {
		opts.CacheBytes = 64 << 20
	}
	return &History{vault: c.vault, opts: opts, frames: pack.NewReader(c.vault.objects, opts.CacheBytes), found: c.found}
}

// cover finds out where the views have their batches from.
func (h *History) cover(ctx context.Context, c *Catalog, collected *rowCollector) error {
	marked, err := h.vault.listMarks(ctx, nil)
	if err != nil {
		return err
	}
	for _, view := range collected.views {
		s := &StreamHistory{View: view, history: h}
		set := collected.wanted[scanOf{view.Stream, view.Scan}]
		set.Doubt(marked.has)
		covered := set.Cover(view)
		lost := lostRanges(view.Stream, c.damage, covered.Lost)
		if err := c.checkReleased(view, lost); err != nil {
			return err
		}
		s.Runs, s.Gaps, s.Lost = covered.Runs, covered.Gaps, lost
		if !h.opts.SnapshotTime.IsZero() {
			s.Fewer = joinByObject(fewer(&covered, view, h.opts.SnapshotTime, marked.of))
		}
		h.streams = append(h.streams, s)
	}
	h.want()
	return nil
}

// checkReleased says if a view shows what was released. Below the floor of the newest scan
// that is certain; of an older scan, whose floor nobody keeps, rows that lack were released
// if nothing of the catalog is damaged, for nothing else takes rows away.
func (c *Catalog) checkReleased(view View, lost []*DamageError) error {
	head := c.heads[view.Stream]
	switch {
	case head == nil:
		return nil
	case head.scan == view.Scan && view.LogStartOffset < head.floor:
		return fmt.Errorf("%s offsets below %d were released: %w", view.Stream.TopicPartition(), head.floor, coldstream.ErrForgotten)
	case head.scan > view.Scan && len(lost) > 0 && len(c.damage) == 0:
		return fmt.Errorf("%s offsets from %d of scan %d were released: %w", view.Stream.TopicPartition(), lost[0].FirstOffset, view.Scan, coldstream.ErrForgotten)
	}
	return nil
}

// Widen lets more decoded frames be kept and read ahead, now that it is known what others
// leave. Nothing may have been read yet. Storage that is near is not read ahead, and the bound stays.
func (h *History) Widen(cacheBytes int64) {
	if h.vault.objects.IsFar() {
		h.frames.Widen(cacheBytes)
	}
}

// Streams are in the order of the views asked for.
func (h *History) Streams() []*StreamHistory { return h.streams }

type scanOf struct {
	stream coldstream.Stream
	scan   uint32
}

// rowCollector keeps the rows of wanted streams as facts pass by.
type rowCollector struct {
	vaultID format.VaultID
	views   []View
	wanted  map[scanOf]*lineage.Set
	topics  map[string]bool
	// whole are streams of which all scans are wanted.
	whole map[coldstream.Stream]bool
}

func newRowCollector(v *Vault, views []View) *rowCollector {
	c := &rowCollector{v.info.ID, views, map[scanOf]*lineage.Set{}, map[string]bool{}, map[coldstream.Stream]bool{}}
	for _, view := range views {
		c.wanted[scanOf{view.Stream, view.Scan}] = &lineage.Set{}
		c.topics[view.Stream.Topic] = true
	}
	return c
}

func (c *rowCollector) wants(topic string) bool { return c.topics[topic] }

// addStream wants all scans of a stream.
func (c *rowCollector) addStream(s coldstream.Stream) {
	c.whole[s], c.topics[s.Topic] = true, true
}

// set is where the rows of a scan go; nil if they are not wanted.
func (c *rowCollector) set(of scanOf) *lineage.Set {
	set := c.wanted[of]
	if set == nil && c.whole[of.stream] {
		set = &lineage.Set{}
		c.wanted[of] = set
	}
	return set
}

// packRefs are the packs that facts describe, made as rows ask for them.
type packRefs struct {
	facts   *format.Facts
	vaultID format.VaultID
	made    []*format.PlacedPack
}

func newPackRefs(facts *format.Facts, vaultID format.VaultID) *packRefs {
	return &packRefs{facts, vaultID, make([]*format.PlacedPack, len(facts.Packs))}
}

// of is a row's pack; nil for an empty row.
func (p *packRefs) of(r *format.Row) *format.PlacedPack {
	if r.Length == 0 {
		return nil
	}
	if p.made[r.Pack] == nil {
		p.made[r.Pack] = p.facts.Packs[r.Pack].Place(p.vaultID)
	}
	return p.made[r.Pack]
}

func (c *rowCollector) visit(_ string, facts *format.Facts) error {
	// Packs are taken as this commit describes them: only that fits its rows.
	packs := newPackRefs(facts, c.vaultID)
	for i := range facts.Rows {
		r := &facts.Rows[i]
		set := c.set(scanOf{facts.StreamAt(r.Stream), r.Scan})
		if set == nil {
			continue
		}
		set.Rows = append(set.Rows, lineage.Row{Row: *r, InPack: packs.of(r)})
	}
	for _, g := range facts.Gaps {
		if set := c.set(scanOf{facts.StreamAt(g.Stream), g.Scan}); set != nil {
			set.Gaps = append(set.Gaps, g)
		}
	}
	for _, s := range facts.Scans {
		if set := c.set(scanOf{facts.StreamAt(s.Stream), s.Number}); set != nil {
			set.Starts = append(set.Starts, s.FirstOffset)
		}
	}
	return nil
}
