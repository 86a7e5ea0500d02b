package vault

import (
	"errors"
	"fmt"

	"coldstream"
	"coldstream/vault/internal/format"
)

// frame is what will be one zstd frame: blocks of one topic.
type frame struct {
	number     int // in its pack
	blocks     []*block
	decoded    int64
	compressed bool   // the producers compressed it already: stored as raw zstd blocks
	stored     []byte // lies in the body of its part
	entry      format.Frame
}

// planFrames lays out blocks, which are sorted by stream, in frames of about
// [frameTarget], which are numbered from 0. Blocks of one topic share frames, so that quiet partitions compress
// together; those that are compressed already have frames of their own. The blocks of a
// stream stay in their order through all frames: so a pack, decompressed, is read as a log.
func planFrames(blocks []*block) []*frame {
	var frames []*frame
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
			f = &frame{number: len(frames), compressed: kind == 1}
			frames = append(frames, f)
			open[kind] = f
		}
		last = f.number
		b.frame, b.row.Offset = last, f.decoded
		f.blocks = append(f.blocks, b)
		f.decoded += b.row.Length
	}
	return frames
}

// pack is an immutable object in the making: parts, in their order.
type pack struct {
	parts  []*Part
	frames []*frame // of all parts
}

// add puts a part's frames behind those that the pack has.
func (p *pack) add(part *Part) {
	for _, b := range part.blocks {
		if b.row.Length > 0 {
			b.row.Frame = len(p.frames) + b.frame
		}
	}
	p.parts = append(p.parts, part)
	p.frames = append(p.frames, part.frames...)
}

// assemble makes the pack's bytes: in the body that the parts lie in if they are all of
// it, and else in a copy. A body becomes one pack only: the store may still be reading it
// after it has failed.
func (p *pack) assemble(vaultID format.VaultID, id format.PackID) ([]byte, []format.Frame) {
	entries, size := make([]format.Frame, len(p.frames)), 0
	for i, f := range p.frames {
		entries[i] = f.entry
		size += len(f.stored)
	}
	header, index := format.AppendPackHeader(nil, vaultID, id), format.AppendPackIndex(nil, entries)
	body := p.wholeBody(len(header))
	if body == nil {
		for _, part := range p.parts {
			part.body.used = true
		}
		body = &packBody{bytes: make([]byte, len(header), len(header)+size+len(index))}
		body.appendFrames(p.frames)
	}
	body.used = true
	copy(body.bytes, header)
	copy(body.extend(len(index)), index)
	return body.bytes, entries
}

// wholeBody returns the body that holds room for the header, the parts, and nothing else.
func (p *pack) wholeBody(header int) *packBody {
	body, at := p.parts[0].body, header
	for _, part := range p.parts {
		if part.body != body || part.at != at {
			return nil
		}
		at = part.end
	}
	if body.used || at != len(body.bytes) {
		return nil
	}
	return body
}

// ErrReadBack means that a frame that was just encoded does not decode to what went in. Nothing
// of it was stored: it is a failure of this host, and no damage of the vault.
var ErrReadBack = errors.New("a frame that was just encoded does not decode to what went in: this host's memory or processor cannot be trusted")

// encode makes the frame's bytes, in place where stored has room for them.
func (f *frame) encode(codec *format.FrameCodec, w *Writer) (err error) {
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
	case w.check == readBackLeftOut:
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
