package vault

import (
	"context"
	"fmt"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
)

// History is the catalog's rows of some views, and reads their batches. It is safe for
// use by several goroutines.
type History struct {
	vault   *Vault
	opts    HistoryOptions
	found   epochsFound // when it was opened
	streams []*StreamHistory
	frames  *frameCache
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

// packRef is a pack as a commit describes it; starts[i] is where frame i begins in it.
type packRef struct {
	format.Pack
	starts []int64
	// wanted are the frames that the history will read and did not begin to; nil where
	// frames are not read together. The frame cache guards it.
	wanted []bool
}

// rowRef says where the bytes of a row are.
type rowRef struct {
	pack *packRef // nil for an empty row
	row  *format.Row
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
	if opts.CacheBytes <= 0 {
		opts.CacheBytes = 64 << 20
	}
	h := &History{vault: v, opts: opts, frames: newFrameCache(opts.CacheBytes)}
	collect := &rowCollector{history: h, views: views}
	c, err := v.openCatalog(ctx, catalogOptions{reader: true, visit: collect.visit, topics: collect.wants, restart: collect.restart})
	if err != nil {
		return nil, err
	}
	h.found = c.found
	marked, err := v.listMarks(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, view := range views {
		s := &StreamHistory{View: view, history: h}
		set := collect.wanted[scanOf{view.Stream, view.Scan}]
		set.doubt(marked.has)
		covered := set.cover(view, c.damage)
		if err := c.checkReleased(view, covered.lost); err != nil {
			return nil, err
		}
		s.Runs, s.Gaps, s.Lost = covered.runs, covered.gaps, covered.lost
		if !opts.SnapshotTime.IsZero() {
			s.Fewer = joinByObject(covered.fewer(view, opts.SnapshotTime, marked.of))
		}
		h.streams = append(h.streams, s)
	}
	h.want()
	return h, nil
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

// Streams are in the order of the views asked for.
func (h *History) Streams() []*StreamHistory { return h.streams }

type scanOf struct {
	stream coldstream.Stream
	scan   uint32
}

// rowSet is all rows and gaps of one scan of a stream, in no order.
type rowSet struct {
	rows   []storedRow
	gaps   []format.Gap
	starts []int64 // where readings of the stream began
}

type storedRow struct {
	format.Row
	pack     *packRef // nil for an empty row
	doubtful bool     // its frame may be damaged
}

// rowCollector keeps the rows of wanted streams as commits pass by.
type rowCollector struct {
	history *History
	views   []View
	wanted  map[scanOf]*rowSet
	topics  map[string]bool
}

func (c *rowCollector) restart() {
	c.wanted, c.topics = map[scanOf]*rowSet{}, map[string]bool{}
	for _, view := range c.views {
		c.wanted[scanOf{view.Stream, view.Scan}] = &rowSet{}
		c.topics[view.Stream.Topic] = true
	}
}

func (c *rowCollector) wants(topic string) bool { return c.topics[topic] }

// packRefs are the packs that facts describe, made as rows ask for them.
type packRefs struct {
	facts   *format.Facts
	vaultID format.VaultID
	made    []*packRef
}

func newPackRefs(facts *format.Facts, vaultID format.VaultID) *packRefs {
	return &packRefs{facts, vaultID, make([]*packRef, len(facts.Packs))}
}

// of is a row's pack; nil for an empty row.
func (p *packRefs) of(r *format.Row) *packRef {
	if r.Length == 0 {
		return nil
	}
	if p.made[r.Pack] == nil {
		p.made[r.Pack] = newPackRef(p.facts.Packs[r.Pack], p.vaultID)
	}
	return p.made[r.Pack]
}

func (c *rowCollector) visit(_ string, facts *format.Facts) error {
	// Packs are taken as this commit describes them: only that fits its rows.
	packs := newPackRefs(facts, c.history.vault.info.ID)
	for i := range facts.Rows {
		r := &facts.Rows[i]
		set := c.wanted[scanOf{facts.StreamAt(r.Stream), r.Scan}]
		if set == nil {
			continue
		}
		set.rows = append(set.rows, storedRow{Row: *r, pack: packs.of(r)})
	}
	for _, g := range facts.Gaps {
		if set := c.wanted[scanOf{facts.StreamAt(g.Stream), g.Scan}]; set != nil {
			set.gaps = append(set.gaps, g)
		}
	}
	for _, s := range facts.Scans {
		if set := c.wanted[scanOf{facts.StreamAt(s.Stream), s.Number}]; set != nil {
			set.starts = append(set.starts, s.FirstOffset)
		}
	}
	return nil
}

func newPackRef(pack format.Pack, vaultID format.VaultID) *packRef {
	ref := &packRef{Pack: pack, starts: make([]int64, len(pack.Frames))}
	at := int64(format.PackHeaderSize(vaultID, pack.ID))
	for i, start := range frameStarts(&pack) {
		ref.starts[i] = at + start
	}
	return ref
}
