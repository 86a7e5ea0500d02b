package format

import (
	"crypto/sha256"
	"encoding/binary"

	"coldstream"
)

// The magic numbers of the skippable zstd frames in a pack: every zstd decoder passes
// over them.
const (
	skippableHeader      = 0x184D2A5C
	skippableDescription = 0x184D2A5D
	skippableIndex       = 0x184D2A5E

	skippableHead = 8 // magic and length, little-endian as zstd has them

	packMagic        = "CSPK"
	descriptionMagic = "CSPD"
	indexMagic       = "CSPX"
)

// appendSkippable writes a skippable frame whose content fill appends.
func appendSkippable(dst []byte, magic uint32, fill func([]byte) []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	dst = append(dst, 0, 0, 0, 0)
	start := len(dst)
	dst = fill(dst)
	binary.LittleEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	return dst
}

// cutSkippable takes the content of a skippable frame off b.
func cutSkippable(b []byte, magic uint32) (content, rest []byte, err error) {
	if len(b) < skippableHead || binary.LittleEndian.Uint32(b) != magic {
		return nil, nil, corruptf("no skippable frame %#x", magic)
	}
	n := uint64(binary.LittleEndian.Uint32(b[4:]))
	if n > uint64(len(b)-skippableHead) {
		return nil, nil, corruptf("skippable frame of %d bytes where %d are left", n, len(b)-skippableHead)
	}
	return b[skippableHead : skippableHead+n], b[skippableHead+n:], nil
}

// AppendPackHeader writes what a pack begins with.
func AppendPackHeader(dst []byte, vaultID VaultID, id PackID) []byte {
	return appendSkippable(dst, skippableHeader, func(dst []byte) []byte {
		dst = append(append(dst, packMagic...), Version, sealingNone)
		dst = append(dst, vaultID[:]...)
		return appendString(dst, id.Key())
	})
}

// DecodePackHeader reads what a pack begins with; rest is what follows.
func DecodePackHeader(pack []byte) (vaultID VaultID, id PackID, rest []byte, err error) {
	content, rest, err := cutSkippable(pack, skippableHeader)
	if err != nil {
		return vaultID, id, nil, err
	}
	r := &reader{b: content}
	r.magic(packMagic)
	if sealing := r.byte(); sealing != sealingNone {
		r.refuse("pack sealed with method %d", sealing)
	}
	r.into(vaultID[:])
	key := r.string()
	if err := r.end(); err != nil {
		return vaultID, id, nil, err
	}
	if id, err = ParsePackKey(key); err != nil {
		return vaultID, id, nil, err
	}
	return vaultID, id, rest, nil
}

// PackHeaderSize is the length of a pack's header in bytes.
func PackHeaderSize(vaultID VaultID, id PackID) int { return len(AppendPackHeader(nil, vaultID, id)) }

// AppendPackIndex writes what a pack ends with.
func AppendPackIndex(dst []byte, frames []Frame) []byte {
	return appendSkippable(dst, skippableIndex, func(dst []byte) []byte {
		start := len(dst)
		dst = append(append(dst, indexMagic...), Version)
		dst = binary.AppendUvarint(dst, uint64(len(frames)))
		for i := range frames {
			dst = frames[i].append(dst)
		}
		sum := sha256.Sum256(dst[start:])
		dst = append(dst, sum[:]...)
		// Its own length, so that it is found from the end of the pack.
		return binary.LittleEndian.AppendUint32(dst, uint32(len(dst)-start+4))
	})
}

// PackIndexEnd is how many bytes at the end of a pack say how long its index is.
const PackIndexEnd = 4

// PackIndexSize is the length of the index of a pack that ends with these bytes, with its
// frame's head, as far as they say.
func PackIndexSize(end []byte) int64 {
	return int64(binary.LittleEndian.Uint32(end[len(end)-PackIndexEnd:])) + skippableHead
}

// DecodePackIndex reads the index off the end of a pack.
func DecodePackIndex(pack []byte) ([]Frame, error) {
	if len(pack) < skippableHead+4 {
		return nil, corruptf("%d bytes are no pack", len(pack))
	}
	length := uint64(binary.LittleEndian.Uint32(pack[len(pack)-4:]))
	if length+skippableHead > uint64(len(pack)) || length < sha256.Size+4 {
		return nil, corruptf("index of %d bytes in a pack of %d", length, len(pack))
	}
	content, rest, err := cutSkippable(pack[uint64(len(pack))-length-skippableHead:], skippableIndex)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, corruptf("%d bytes behind the index", len(rest))
	}
	body := content[:len(content)-sha256.Size-4]
	if sum := sha256.Sum256(body); string(sum[:]) != string(content[len(body):len(content)-4]) {
		return nil, corruptf("the index does not match its own hash")
	}
	r := &reader{b: body}
	r.magic(indexMagic)
	frames := readList(r, 18, readFrame)
	if len(frames) == 0 {
		r.fail("pack without frames")
	}
	return frames, r.end()
}

// Descriptor says which blocks are in the frame that follows. They are of one topic.
type Descriptor struct {
	Incarnation coldstream.Incarnation
	Blocks      []DescribedBlock
}

// DescribedBlock is one block of a frame; its fields are those of its row. Blocks lie one
// behind the other, from the frame's first byte to its last.
type DescribedBlock struct {
	Partition               int32
	Scan                    uint32
	FirstOffset, NextOffset int64
	Offset, Length          int64
}

// Describes says whether the frame holds the block of a row.
func (d *Descriptor) Describes(s coldstream.Stream, w *Row) bool {
	if d.Incarnation != s.Incarnation {
		return false
	}
	want := DescribedBlock{s.Partition, w.Scan, w.FirstOffset, w.NextOffset, w.Offset, w.Length}
	for _, b := range d.Blocks {
		if b == want {
			return true
		}
	}
	return false
}

// Append writes the skippable frame in front of a frame.
func (d *Descriptor) Append(dst []byte) []byte {
	return appendSkippable(dst, skippableDescription, func(dst []byte) []byte {
		dst = append(append(dst, descriptionMagic...), Version)
		dst = appendIncarnation(dst, d.Incarnation)
		dst = binary.AppendUvarint(dst, uint64(len(d.Blocks)))
		for _, b := range d.Blocks {
			dst = appendRange(dst, rangeOf{int(b.Partition), b.Scan, b.FirstOffset, b.NextOffset})
			dst = binary.AppendUvarint(dst, uint64(b.Offset))
			dst = binary.AppendUvarint(dst, uint64(b.Length))
		}
		return dst
	})
}

// DecodeDescriptor reads the description off the front of a frame; rest is the zstd frame.
func DecodeDescriptor(stored []byte) (d Descriptor, rest []byte, err error) {
	content, rest, err := cutSkippable(stored, skippableDescription)
	if err != nil {
		return d, nil, err
	}
	r := &reader{b: content}
	r.magic(descriptionMagic)
	d.Incarnation = readIncarnation(r)
	end := int64(0) // of the blocks before
	d.Blocks = readList(r, 6, func(r *reader) DescribedBlock {
		b := DescribedBlock{Partition: r.partition(), Scan: r.uint32(), FirstOffset: r.offset()}
		length := r.offset()
		b.NextOffset = b.FirstOffset + length
		if length == 0 || b.NextOffset < 0 {
			r.fail("block of %d offsets from %d", length, b.FirstOffset)
		}
		b.Offset, b.Length = r.offset(), r.offset()
		if b.Offset != end || b.Length == 0 || b.Length > maxFrame-end {
			r.fail("block of bytes [%d, +%d) behind one that ends at %d", b.Offset, b.Length, end)
		}
		end += b.Length
		return b
	})
	if len(d.Blocks) == 0 {
		r.fail("description without blocks")
	}
	return d, rest, r.end()
}
