package vault

import (
	"bytes"
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/vault/internal/format"
)

// frame is what will be one zstd frame: blocks of one topic.
type frame struct {
	number     int // in its pack
	blocks     []*block
	decoded    int64
	compressed bool // the producers compressed it already: stored as raw zstd blocks
	stored     []byte
	entry      format.Frame
}

// pack is an immutable object of blocks in the making, sorted by topic and partition.
type pack struct {
	frames []*frame
}

// planPack lays out blocks, which are sorted by stream, in frames of about
// [frameTarget]. Blocks of one topic share frames, so that quiet partitions compress
// together; those that are compressed already have frames of their own. The blocks of a
// stream stay in their order through all frames: so a pack, decompressed, is read as a log.
func planPack(blocks []*block) *pack {
	p := &pack{}
	var open [2]*frame
	var stream coldstream.Stream
	last := 0 // frame of the stream's block before
	for _, b := range blocks {
		if b.row.Length == 0 {
			continue
		}
		if b.stream.Incarnation != stream.Incarnation {
			open = [2]*frame{}
		}
		if b.stream != stream {
			stream, last = b.stream, 0
		}
		kind := 0
		if b.isCompressed() {
			kind = 1
		}
		f := open[kind]
		if f == nil || f.decoded+b.row.Length > frameTarget || f.number < last {
			f = &frame{number: len(p.frames), compressed: kind == 1}
			p.frames = append(p.frames, f)
			open[kind] = f
		}
		last = f.number
		b.row.Frame, b.row.Offset = last, f.decoded
		f.blocks = append(f.blocks, b)
		f.decoded += b.row.Length
	}
	return p
}

// encode makes the pack's bytes: frames on all cores, each decoded again and compared
// with what went in.
func (p *pack) encode(ctx context.Context, vaultID format.VaultID, id format.PackID) ([]byte, []format.Frame, error) {
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan *frame)
	group.Go(func() error {
		defer close(next)
		for _, f := range p.frames {
			select {
			case next <- f:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range min(runtime.GOMAXPROCS(0), len(p.frames)) {
		group.Go(func() error {
			codec := format.NewFrameCodec()
			defer codec.Close()
			for f := range next {
				if err := f.encode(codec); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	return p.assemble(vaultID, id)
}

func (p *pack) assemble(vaultID format.VaultID, id format.PackID) ([]byte, []format.Frame, error) {
	size := 0
	entries := make([]format.Frame, len(p.frames))
	for i, f := range p.frames {
		size += len(f.stored)
		entries[i] = f.entry
	}
	header := format.AppendPackHeader(nil, vaultID, id)
	index := format.AppendPackIndex(nil, entries)
	body := make([]byte, 0, size+len(header)+len(index))
	body = append(body, header...)
	for _, f := range p.frames {
		body = append(body, f.stored...)
		f.stored = nil
	}
	return append(body, index...), entries, nil
}

var errReadBack = errors.New("a frame that was just encoded does not decode to what went in: this machine's memory or processor cannot be trusted")

func (f *frame) encode(codec *format.FrameCodec) error {
	var parts [][]byte
	for _, b := range f.blocks {
		parts = append(parts, b.parts...)
	}
	descriptor := f.descriptor()
	if f.compressed {
		f.stored, f.entry = codec.EncodeRaw(descriptor, parts)
	} else {
		var err error
		if f.stored, f.entry, err = codec.Encode(descriptor, parts); err != nil {
			return err
		}
	}
	decoded, _, err := codec.Decode(f.stored, f.entry)
	if err != nil {
		return errors.Join(errReadBack, err)
	}
	for _, part := range parts {
		if !bytes.HasPrefix(decoded, part) {
			return errReadBack
		}
		decoded = decoded[len(part):]
	}
	if len(decoded) != 0 {
		return errReadBack
	}
	return nil
}

func (f *frame) descriptor() format.Descriptor {
	d := format.Descriptor{Incarnation: f.blocks[0].stream.Incarnation}
	for _, b := range f.blocks {
		d.Blocks = append(d.Blocks, format.DescribedBlock{
			Partition: b.stream.Partition, Scan: b.row.Scan,
			FirstOffset: b.row.FirstOffset, NextOffset: b.row.NextOffset,
			Offset: b.row.Offset, Length: b.row.Length,
		})
	}
	return d
}
