package format

import (
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// FrameCodec encodes and decodes frames. It is used by one goroutine at a time.
type FrameCodec struct {
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	scratch []byte
}

// NewFrameCodec makes a codec; its memory is taken when it is first used.
func NewFrameCodec() *FrameCodec { return &FrameCodec{} }

// Close frees what the codec holds.
func (c *FrameCodec) Close() {
	if c.enc != nil {
		_ = c.enc.Close() // without a stream there is nothing to flush
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
		enc, err := newZstdEncoder(zstd.SpeedFastest)
		if err != nil {
			return nil, Frame{}, fmt.Errorf("make zstd encoder: %w", err)
		}
		c.enc = enc
	}
	c.scratch = c.scratch[:0]
	for _, part := range parts {
		c.scratch = append(c.scratch, part...)
	}
	stored := d.Append(make([]byte, 0, len(c.scratch)/3+512))
	stored = c.enc.EncodeAll(c.scratch, stored)
	frame := frameOf(stored, int64(len(c.scratch)))
	c.shrink()
	return stored, frame, nil
}

// shrink lets go of the room that one giant batch took.
func (c *FrameCodec) shrink() {
	if cap(c.scratch) > 8<<20 {
		c.scratch = nil
	}
}

// EncodeRaw stores parts as they are, in raw zstd blocks: they are compressed already.
func (c *FrameCodec) EncodeRaw(d Descriptor, parts [][]byte) ([]byte, Frame) {
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	stored := d.Append(make([]byte, 0, length+length/maxBlock*3+512))
	stored = appendRawZstd(stored, parts, length)
	return stored, frameOf(stored, int64(length))
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
	d, content, err := DecodeDescriptor(stored)
	if err != nil {
		return nil, d, err
	}
	if last := d.Blocks[len(d.Blocks)-1]; last.Offset+last.Length != f.DecodedLength {
		return nil, d, corruptf("a description of %d bytes of a frame of %d", last.Offset+last.Length, f.DecodedLength)
	}
	if c.dec == nil {
		dec, err := newZstdDecoder(maxFrame)
		if err != nil {
			return nil, d, fmt.Errorf("make zstd decoder: %w", err)
		}
		c.dec = dec
	}
	decoded, err := decodeZstd(c.dec, content, f.DecodedLength)
	return decoded, d, err
}
