package format

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// FrameCodec encodes and decodes frames. It is used by one goroutine at a time.
type FrameCodec struct {
	enc fastest
	dec *zstd.Decoder
	// What is used again for each frame: its content in one piece, its stored bytes, and
	// what these decode to.
	content, stored, decoded []byte
}

// NewFrameCodec makes a codec; its memory is taken when it is first used.
func NewFrameCodec() *FrameCodec { return &FrameCodec{} }

// Close frees what the codec holds.
func (c *FrameCodec) Close() {
	if c.enc != nil {
		c.enc.close()
	}
	if c.dec != nil {
		c.dec.Close()
	}
	*c = FrameCodec{}
}

// Encode compresses the concatenation of parts, which are not all empty, with zstd level
// 1, behind its description. The result is the caller's.
func (c *FrameCodec) Encode(d Descriptor, parts [][]byte) ([]byte, Frame, error) {
	if c.enc == nil {
		enc, err := newFastest()
		if err != nil {
			return nil, Frame{}, fmt.Errorf("make zstd encoder: %w", err)
		}
		c.enc = enc
	}
	content := c.join(parts)
	var err error
	if c.stored, err = c.enc.append(d.Append(c.stored[:0]), content); err != nil {
		return nil, Frame{}, fmt.Errorf("compress: %w", err)
	}
	stored := bytes.Clone(c.stored)
	c.shrink()
	return stored, frameOf(stored, int64(len(content))), nil
}

// join returns the concatenation of parts, for as long as the codec is not used again.
func (c *FrameCodec) join(parts [][]byte) []byte {
	if len(parts) == 1 {
		return parts[0]
	}
	c.content = c.content[:0]
	for _, part := range parts {
		c.content = append(c.content, part...)
	}
	return c.content
}

// shrink lets go of the room that one giant batch took.
func (c *FrameCodec) shrink() {
	for _, b := range []*[]byte{&c.content, &c.stored, &c.decoded} {
		if cap(*b) > 8<<20 {
			*b = nil
		}
	}
}

// ReadBack proves that what [FrameCodec.Encode] returned decodes to parts. The hash is not
// computed again: it was of the same memory.
func (c *FrameCodec) ReadBack(stored []byte, f Frame, parts [][]byte) error {
	decoded, _, err := c.decode(stored, f, c.decoded)
	if err != nil {
		return err
	}
	c.decoded = decoded
	defer c.shrink()
	return compare(decoded, parts)
}

// ReadBackRaw proves that what [FrameCodec.AppendRaw] returned decodes to parts, likewise.
func (c *FrameCodec) ReadBackRaw(stored []byte, f Frame, parts [][]byte) error {
	d, content, err := DecodeDescriptor(stored)
	if err == nil {
		err = d.checkLength(f)
	}
	if err != nil {
		return err
	}
	return compareRawZstd(content, f.DecodedLength, parts)
}

// compare finds out whether content is the concatenation of parts.
func compare(content []byte, parts [][]byte) error {
	for _, part := range parts {
		if !bytes.HasPrefix(content, part) {
			return corruptf("it decodes to something else")
		}
		content = content[len(part):]
	}
	if len(content) != 0 {
		return corruptf("%d bytes more than went in", len(content))
	}
	return nil
}

// AppendRaw stores parts as they are, in raw zstd blocks, behind dst: they are compressed
// already. The frame is of what it appended.
func (c *FrameCodec) AppendRaw(dst []byte, d Descriptor, parts [][]byte) ([]byte, Frame) {
	start, length := len(dst), 0
	for _, part := range parts {
		length += len(part)
	}
	dst = appendRawZstd(d.Append(dst), parts, length)
	return dst, frameOf(dst[start:], int64(length))
}

// RawFrameSize is how long a frame of so many bytes becomes that is stored as it is.
func RawFrameSize(d Descriptor, length int64) int {
	blocks := (length + maxBlock - 1) / maxBlock
	return len(d.Append(nil)) + zstdRawHead + int(length+blocks*zstdBlockHead)
}

func frameOf(stored []byte, decodedLength int64) Frame {
	f := Frame{StoredLength: int64(len(stored)), DecodedLength: decodedLength}
	sum := sha256.Sum256(stored)
	copy(f.Hash[:], sum[:])
	return f
}

// Decode checks stored bytes against what the catalog says of them and decodes them. The
// result is the caller's, and exactly DecodedLength long.
func (c *FrameCodec) Decode(stored []byte, f Frame) ([]byte, Descriptor, error) {
	if int64(len(stored)) != f.StoredLength || frameOf(stored, f.DecodedLength).Hash != f.Hash {
		return nil, Descriptor{}, corruptf("the frame does not match its hash")
	}
	return c.decode(stored, f, nil)
}

// decode does so without the hash, into room, if that is large enough.
func (c *FrameCodec) decode(stored []byte, f Frame, room []byte) ([]byte, Descriptor, error) {
	d, content, err := DecodeDescriptor(stored)
	if err != nil {
		return nil, d, err
	}
	if err := d.checkLength(f); err != nil {
		return nil, d, err
	}
	if c.dec == nil {
		dec, err := newZstdDecoder(maxFrame)
		if err != nil {
			return nil, d, fmt.Errorf("make zstd decoder: %w", err)
		}
		c.dec = dec
	}
	decoded, err := decodeZstd(c.dec, content, f.DecodedLength, room)
	return decoded, d, err
}

// checkLength compares what a description says of its frame with what the catalog does.
func (d *Descriptor) checkLength(f Frame) error {
	if last := d.Blocks[len(d.Blocks)-1]; last.Offset+last.Length != f.DecodedLength {
		return corruptf("a description of %d bytes of a frame of %d", last.Offset+last.Length, f.DecodedLength)
	}
	return nil
}
