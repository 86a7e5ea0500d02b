package vault

import (
	"cmp"
	"context"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"coldstream/vault/internal/format"
)

// readBack says whether what was encoded is decoded again, and compared.
type readBack int

const (
	readBackDone readBack = iota
	readBackLeftOut
)

// Part is data that was made ready to be stored: encoded, decoded again and compared. It
// keeps nothing of the pieces that it was made from, so that a pack can be of far more data
// than would fit into memory. It is good for one writer, until a commit with it has succeeded.
type Part struct {
	blocks []*block
	frames []*frame
	// The frames lie in body[at:end], one behind the other.
	body    *packBody
	at, end int
}

// StoredBytes is what the part takes in a pack.
func (p *Part) StoredBytes() int64 { return int64(p.end - p.at) }

// Rows is the number of the part's rows in the catalog.
func (p *Part) Rows() int { return len(p.blocks) }

// Encode makes data, one entry per stream in the order of [coldstream.Stream.Compare],
// ready for [Changes].Parts, on all cores. Nothing is stored.
func (w *Writer) Encode(ctx context.Context, data []StreamData) (*Part, error) {
	p := &Part{}
	for i := range data {
		blocks, err := buildBlocks(data[i])
		if err != nil {
			return nil, err
		}
		p.blocks = append(p.blocks, blocks...)
	}
	p.frames = planFrames(p.blocks)
	w.making.Lock()
	defer w.making.Unlock()
	if err := w.encodeInto(ctx, w.openBody(), p); err != nil {
		return nil, err
	}
	for _, b := range p.blocks {
		b.parts = nil
	}
	return p, nil
}

// encodeFrames encodes on all cores, and stops at the first error.
func (w *Writer) encodeFrames(ctx context.Context, frames []*frame) error {
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan *frame)
	group.Go(func() error {
		defer close(next)
		for _, f := range frames {
			select {
			case next <- f:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for i := range min(runtime.GOMAXPROCS(0), len(frames)) {
		if i == len(w.codecs) {
			w.codecs = append(w.codecs, format.NewFrameCodec())
		}
		codec := w.codecs[i]
		group.Go(func() error {
			for f := range next {
				if err := f.encode(codec, w); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// encodeAll returns the parts of changes, and one of their data behind them.
func (w *Writer) encodeAll(ctx context.Context, changes *Changes) ([]*Part, error) {
	if len(changes.Data) == 0 {
		return changes.Parts, nil
	}
	last, err := w.Encode(ctx, changes.Data)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(changes.Parts), last), nil
}

// hasReleased says that some of a part lies below a floor.
func (c *Catalog) hasReleased(p *Part) bool {
	return slices.ContainsFunc(p.blocks, func(b *block) bool {
		return b.row.FirstOffset < c.floorOf(b.stream, b.row.Scan)
	})
}

// decodeParts brings data back that was made ready.
func decodeParts(parts []*Part) ([]StreamData, error) {
	codec := format.NewFrameCodec()
	defer codec.Close()
	var out []StreamData
	for _, p := range parts {
		contents := make([][]byte, len(p.frames))
		for i, f := range p.frames {
			var err error
			if contents[i], _, err = codec.Decode(f.stored, f.entry); err != nil {
				return nil, err
			}
		}
		for _, b := range p.blocks {
			piece := Piece{FirstOffset: b.row.FirstOffset, NextOffset: b.row.NextOffset}
			if b.row.Length > 0 {
				piece.Batches = contents[b.frame][b.row.Offset : b.row.Offset+b.row.Length]
			}
			out = append(out, StreamData{Stream: b.stream, Scan: b.row.Scan, Pieces: []Piece{piece}})
		}
	}
	return out, nil
}

// joinData makes one entry for each stream, in their order, of what was fetched in this one.
func joinData(data []StreamData) []StreamData {
	slices.SortStableFunc(data, func(a, b StreamData) int {
		return cmp.Or(a.Stream.Compare(b.Stream), cmp.Compare(a.Scan, b.Scan))
	})
	var out []StreamData
	for _, d := range data {
		if n := len(out); n > 0 && out[n-1].Stream == d.Stream && out[n-1].Scan == d.Scan {
			out[n-1].Pieces = append(slices.Clip(out[n-1].Pieces), d.Pieces...)
			continue
		}
		out = append(out, d)
	}
	return out
}
