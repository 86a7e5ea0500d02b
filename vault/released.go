package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/pack"
)

// ErrReleased means that a snapshot shows offsets that were dropped on purpose since it
// was taken. It must be taken again, from the heads' floors on.
var ErrReleased = errors.New("offsets of the snapshot were released")

// EpochCommits is how many commits of the epoch the writer knows: whoever opens the vault
// reads each of them, until somebody turns.
func (w *Writer) EpochCommits() int { return len(w.catalog.commits) }

// EpochBytes is the stored size of these commits.
func (w *Writer) EpochBytes() int64 { return w.catalog.commitBytes }

// reopen is what follows a commit that found a newer epoch: it counts only if a base took
// it. Otherwise all of it is to be stored again.
func (c *commitInMaking) reopen(ctx context.Context) (saved bool, err error) {
	catalog, err := c.vault.openWriting(ctx)
	if err != nil {
		return false, err
	}
	c.catalog = catalog
	c.mu.Lock()
	c.packEpoch = catalog.epoch
	c.mu.Unlock()
	return catalog.hasTaken(ctx, c.vault, format.CommitRef{ID: c.commit.ID, Hash: c.digest})
}

// openWriting opens the catalog as a writer needs it: without rows.
func (v *Vault) openWriting(ctx context.Context) (*Catalog, error) {
	catalog, err := v.openCatalog(ctx, catalogOptions{})
	if err != nil {
		return nil, err
	}
	if !catalog.hasBase || catalog.lostBase && catalog.epoch > 0 || catalog.lostEpochs {
		// Nothing can be built on a base that nobody knows any more.
		return nil, fmt.Errorf("open vault for writing: %w", errors.Join(asErrors(catalog.damage)...))
	}
	return catalog, nil
}

// checkFloors refuses a snapshot that shows what was released.
func (c *Catalog) checkFloors(commit *format.Commit) error {
	if commit.Snapshot == nil {
		return nil
	}
	for _, view := range commit.Snapshot.Views {
		stream := commit.Facts.StreamAt(view.Stream)
		if h := c.heads[stream]; h != nil && view.LogStartOffset < h.floor {
			return fmt.Errorf("view of %s from offset %d, with all below %d released: %w",
				stream.TopicPartition(), view.LogStartOffset, h.floor, ErrReleased)
		}
	}
	return nil
}

// withoutReleased leaves out what lies below floors: what was dropped does not come back.
// It returns the very same changes if there is nothing of that.
func (c *Catalog) withoutReleased(changes *Changes) (*Changes, error) {
	out, found := *changes, false
	parts := changes.Parts
	if changes.Pack != nil {
		parts = changes.Pack.content.Parts()
	}
	if slices.ContainsFunc(parts, c.hasReleased) {
		// They are taken apart, and what is left is made ready once more.
		data, err := pack.DecodeParts(parts)
		if err != nil {
			return nil, err
		}
		apart := *changes
		apart.Pack, apart.Parts, apart.Data = nil, nil, pack.ByStream(append(data, changes.Data...))
		return c.withoutReleased(&apart)
	}
	out.Data = make([]StreamData, 0, len(changes.Data))
	for _, d := range changes.Data {
		floor := c.floorOf(d.Stream, d.Scan)
		kept := StreamData{Stream: d.Stream, Scan: d.Scan}
		for _, p := range d.Pieces {
			if p.FirstOffset >= floor {
				kept.Pieces = append(kept.Pieces, p)
				continue
			}
			found = true
			if p.NextOffset <= floor {
				continue
			}
			p, err := p.From(floor)
			if err != nil {
				return nil, err
			}
			kept.Pieces = append(kept.Pieces, p)
		}
		if len(kept.Pieces) > 0 {
			out.Data = append(out.Data, kept)
		}
	}
	out.Gaps = slices.DeleteFunc(slices.Clone(changes.Gaps), func(g StreamGap) bool {
		return g.NextOffset <= c.floorOf(g.Stream, g.Scan)
	})
	if !found && len(out.Gaps) == len(changes.Gaps) {
		return changes, nil
	}
	return &out, nil
}

func (c *Catalog) floorOf(s coldstream.Stream, scan uint32) int64 {
	if h := c.heads[s]; h != nil && h.scan == scan {
		return h.floor
	}
	return -1
}

// hasReleased says that some of a part lies below a floor.
func (c *Catalog) hasReleased(p *Part) bool {
	return slices.ContainsFunc(p.Blocks, func(b *pack.Block) bool {
		return b.Row.FirstOffset < c.floorOf(b.Stream, b.Row.Scan)
	})
}
