package pack

import (
	"fmt"

	"coldstream"
	"coldstream/vault/internal/format"
)

// frame is what will be one zstd frame: blocks of one topic.
type frame struct {
	number     int // in its pack
	blocks     []*Block
	decoded    int64
	compressed bool   // the producers compressed it already: stored as raw zstd blocks
	stored     []byte // lies in the body of its part
	entry      format.Frame
}

// planFrames lays out blocks, which are sorted by stream, in frames of about
// [frameTarget], which are numbered from 0. Blocks of one topic share frames, so that quiet partitions compress
// together; those that are compressed already have frames of their own. The blocks of a
// stream stay in their order through all frames: so a pack, decompressed, is read as a log.
func planFrames(blocks []*Block) []*frame {
	var frames []*frame
	var open [2]*frame
	var stream coldstream.Stream
	last := 0 // frame of the stream's block before
	for _, b := range blocks {
		if b.Row.Length == 0 {
			continue
		}
		if b.Stream.Incarnation != stream.Incarnation {
			open = [2]*frame{}
		}
		if b.Stream != stream {
			stream, last = b.Stream, 0
		}
		kind := 0
		if b.isCompressed() {
			kind = 1
		}
		f := open[kind]
		if f == nil || f.decoded+b.Row.Length > frameTarget || len(f.blocks) == frameBlocks || f.number < last {
			f = &frame{number: len(frames), compressed: kind == 1}
			frames = append(frames, f)
			open[kind] = f
		}
		last = f.number
		b.frame, b.Row.Offset = last, f.decoded
		f.blocks = append(f.blocks, b)
		f.decoded += b.Row.Length
	}
	return frames
}

// ErrReadBack is [format.ErrReadBack] of a frame.
var ErrReadBack = format.ErrReadBack

// encode makes the frame's bytes, in place where stored has room for them.
func (f *frame) encode(codec *format.FrameCodec, opts *Options) (err error) {
	var parts [][]byte
	for _, b := range f.blocks {
		parts = append(parts, b.parts...)
	}
	descriptor := f.descriptor()
	if f.compressed {
		f.stored, f.entry = codec.AppendRaw(f.stored, descriptor, parts)
	} else if f.stored, f.entry, err = codec.Encode(descriptor, parts); err != nil {
		return err
	}
	switch {
	case opts.NoReadBack:
	case f.compressed:
		err = codec.ReadBackRaw(f.stored, f.entry, parts)
	default:
		err = codec.ReadBack(f.stored, f.entry, parts)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrReadBack, err) //nolint:errorlint // nothing stored is corrupt
	}
	return nil
}

func (f *frame) descriptor() format.Descriptor {
	d := format.Descriptor{Incarnation: f.blocks[0].Stream.Incarnation}
	for _, b := range f.blocks {
		d.Blocks = append(d.Blocks, format.DescribedBlock{
			Partition: b.Stream.Partition, Scan: b.Row.Scan,
			FirstOffset: b.Row.FirstOffset, NextOffset: b.Row.NextOffset,
			Offset: b.Row.Offset, Length: b.Row.Length,
		})
	}
	return d
}
