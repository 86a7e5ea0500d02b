package pack

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"coldstream/vault/internal/format"
)

// Options say how parts are made.
type Options struct {
	// NoReadBack leaves out to decode again what was encoded, and to compare it.
	NoReadBack bool
	// PackBytes is what most packs stay below, without their headers and indexes. Memory for it
	// is taken once a pack has 1 MiB.
	PackBytes int
}

// Encoder makes data into parts and parts into packs. It is safe for use by several goroutines:
// one makes something at a time, on all cores.
type Encoder struct {
	opts Options

	making sync.Mutex           // of who puts bytes together; guards what follows
	codecs []*format.FrameCodec // one for each that encodes at once
	body   *packBody            // that parts are encoded into

	mu   sync.Mutex // guards what follows
	room []byte     // of a pack that is committed, which nobody needs any more
}

// NewEncoder makes an encoder.
func NewEncoder(opts Options) *Encoder { return &Encoder{opts: opts} }

// Part is data that was made ready to be stored: encoded, decoded again and compared. It
// keeps nothing of the pieces that it was made from, so that a pack can be of far more data
// than would fit into memory. It is good for one writer, until a commit with it has succeeded.
type Part struct {
	Blocks []*Block
	frames []*frame
	// The frames lie in body[at:end], one behind the other.
	body    *packBody
	at, end int
}

// StoredBytes is what the part takes in a pack.
func (p *Part) StoredBytes() int64 { return int64(p.end - p.at) }

// Rows is the number of the part's rows in the catalog.
func (p *Part) Rows() int { return len(p.Blocks) }

// Encode makes data, one entry per stream in the order of [coldstream.Stream.Compare],
// ready to be put into a pack. Nothing is stored.
func (e *Encoder) Encode(ctx context.Context, data []Data) (*Part, error) {
	var blocks []*Block
	for i := range data {
		built, err := buildBlocks(data[i])
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, built...)
	}
	return e.encodeBlocks(ctx, blocks)
}

// encodeBlocks makes a part of blocks, which keep nothing of their pieces then.
func (e *Encoder) encodeBlocks(ctx context.Context, blocks []*Block) (*Part, error) {
	p := &Part{Blocks: blocks, frames: planFrames(blocks)}
	e.making.Lock()
	defer e.making.Unlock()
	if err := e.encodeInto(ctx, e.openBody(), p); err != nil {
		return nil, err
	}
	for _, b := range p.Blocks {
		b.parts = nil
	}
	return p, nil
}

// Assemble makes the bytes of a pack: in the memory that its parts lie in if they are all of it,
// and else in a copy.
func (e *Encoder) Assemble(content *Contents, vaultID format.VaultID, id format.PackID) ([]byte, []format.Frame) {
	e.making.Lock()
	defer e.making.Unlock()
	return content.assemble(vaultID, id)
}

// encodeFrames encodes on all cores, and stops at the first error.
func (e *Encoder) encodeFrames(ctx context.Context, frames []*frame) error {
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
		if i == len(e.codecs) {
			e.codecs = append(e.codecs, format.NewFrameCodec())
		}
		codec := e.codecs[i]
		group.Go(func() error {
			for f := range next {
				if err := f.encode(codec, &e.opts); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// DecodeParts brings data back that was made ready.
func DecodeParts(parts []*Part) ([]Data, error) {
	codec := format.NewFrameCodec()
	defer codec.Close()
	var out []Data
	for _, p := range parts {
		contents := make([][]byte, len(p.frames))
		for i, f := range p.frames {
			var err error
			if contents[i], _, err = codec.Decode(f.stored, f.entry); err != nil {
				return nil, err
			}
		}
		for _, b := range p.Blocks {
			piece := Piece{FirstOffset: b.Row.FirstOffset, NextOffset: b.Row.NextOffset}
			if b.Row.Length > 0 {
				piece.Batches = contents[b.frame][b.Row.Offset : b.Row.Offset+b.Row.Length]
			}
			out = append(out, Data{Stream: b.Stream, Scan: b.Row.Scan, Pieces: []Piece{piece}})
		}
	}
	return out, nil
}

// ByStream makes one entry for each stream, in their order, of what was fetched in this one.
func ByStream(data []Data) []Data {
	slices.SortStableFunc(data, func(a, b Data) int {
		return cmp.Or(a.Stream.Compare(b.Stream), cmp.Compare(a.Scan, b.Scan))
	})
	var out []Data
	for _, d := range data {
		if n := len(out); n > 0 && out[n-1].Stream == d.Stream && out[n-1].Scan == d.Scan {
			out[n-1].Pieces = append(slices.Clip(out[n-1].Pieces), d.Pieces...)
			continue
		}
		out = append(out, d)
	}
	return out
}
