package vault

import (
	"errors"
	"fmt"
	"sync"

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
	room       []byte // that stored has to itself, and can be used again once it lies in a pack
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

// pack is an immutable object in the making: the frames of parts, in their order.
type pack struct {
	frames []*frame
	rooms  *frameRooms
}

// frameRooms is memory of raw frames of packs before: fresh memory costs more than what
// is done with it. All are of one size.
type frameRooms struct {
	mu   sync.Mutex
	free [][]byte
}

// roomBytes is enough for a frame of [frameTarget] and what is around it.
const roomBytes = frameTarget + 4<<10

// take returns room for a frame of so many bytes; nil where another size is better.
func (r *frameRooms) take(decoded int64) []byte {
	if decoded > frameTarget || decoded < frameTarget/2 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.free)
	if n == 0 {
		return make([]byte, 0, roomBytes)
	}
	room := r.free[n-1]
	r.free = r.free[:n-1]
	return room
}

func (r *frameRooms) put(room []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cap(room) == roomBytes && len(r.free) < maxRooms {
		r.free = append(r.free, room[:0])
	}
}

// maxRooms is what a pack of 32 MiB has, and half a buffer more.
const maxRooms = 48

// assemble makes the pack's bytes, in room if that is large enough. The frames' bytes are
// part of them from then on.
func (p *pack) assemble(vaultID format.VaultID, id format.PackID, room []byte) ([]byte, []format.Frame) {
	size := 0
	entries := make([]format.Frame, len(p.frames))
	for i, f := range p.frames {
		size += len(f.stored)
		entries[i] = f.entry
	}
	header := format.AppendPackHeader(nil, vaultID, id)
	index := format.AppendPackIndex(nil, entries)
	size += len(header) + len(index)
	if cap(room) < size {
		room = make([]byte, 0, size)
	}
	body := append(room[:0], header...)
	for _, f := range p.frames {
		at := len(body)
		body = append(body, f.stored...)
		f.stored = body[at:len(body):len(body)]
		p.rooms.put(f.room)
		f.room = nil
	}
	return append(body, index...), entries
}

var errReadBack = errors.New("a frame that was just encoded does not decode to what went in: this machine's memory or processor cannot be trusted")

// encode makes the frame's bytes, and lets go of the pieces that it was made from.
func (f *frame) encode(codec *format.FrameCodec, w *Writer) (err error) {
	var parts [][]byte
	for _, b := range f.blocks {
		parts = append(parts, b.parts...)
	}
	descriptor := f.descriptor()
	if f.compressed {
		f.stored, f.entry = codec.EncodeRawInto(w.rooms.take(f.decoded), descriptor, parts)
		f.room = f.stored
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
		return fmt.Errorf("%w: %w", errReadBack, err)
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
