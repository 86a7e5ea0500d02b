package format

import (
	"crypto/sha256"
	"encoding/binary"
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

// Encode compresses the concatenation of parts, with zstd level 1, behind its
// description. The result is the caller's.
func (c *FrameCodec) Encode(d Descriptor, parts [][]byte) ([]byte, Frame, error) {
	if c.enc == nil {
		// A single segment always says its content size; otherwise small frames leave it out.
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
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

const (
	zstdMagic = 0xFD2FB528
	maxBlock  = 128 << 10
)

// appendRawZstd writes a zstd frame (RFC 8878) of raw blocks: an 8-byte content size, a
// window of 128 KiB so that any decoder takes it whatever its size, no checksum.
func appendRawZstd(dst []byte, parts [][]byte, length int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, zstdMagic)
	dst = append(dst, 0b11<<6, (17-10)<<3)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(length))
	left, room, at := length, 0, 0
	for _, part := range parts {
		for len(part) > 0 {
			if room == 0 {
				room = min(left, maxBlock)
				left -= room
				at = len(dst)
				dst = append(dst, 0, 0, 0)
				head := uint32(room) << 3
				if left == 0 {
					head |= 1 // the last block
				}
				dst[at], dst[at+1], dst[at+2] = byte(head), byte(head>>8), byte(head>>16)
			}
			n := min(room, len(part))
			dst = append(dst, part[:n]...)
			part, room = part[n:], room-n
		}
	}
	return dst
}

// Decode checks stored bytes against what the catalog says of them and decodes them. The
// result is the caller's, and exactly DecodedLength long.
func (c *FrameCodec) Decode(stored []byte, f Frame) ([]byte, Descriptor, error) {
	if int64(len(stored)) != f.StoredLength || frameOf(stored, f.DecodedLength) != f {
		return nil, Descriptor{}, corruptf("the frame does not match its hash")
	}
	d, content, err := DecodeDescriptor(stored)
	if err != nil {
		return nil, d, err
	}
	if c.dec == nil {
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrame), zstd.WithDecoderMaxWindow(maxFrame))
		if err != nil {
			return nil, d, fmt.Errorf("make zstd decoder: %w", err)
		}
		c.dec = dec
	}
	var head zstd.Header
	if err := head.Decode(content); err != nil || !head.HasFCS || int64(head.FrameContentSize) != f.DecodedLength {
		return nil, d, corruptf("the frame does not say that it holds %d bytes", f.DecodedLength)
	}
	decoded, err := c.dec.DecodeAll(content, make([]byte, 0, f.DecodedLength))
	if err != nil {
		return nil, d, corruptf("decompress frame: %v", err)
	}
	if int64(len(decoded)) != f.DecodedLength {
		return nil, d, corruptf("the frame holds %d bytes where %d are said", len(decoded), f.DecodedLength)
	}
	return decoded, d, nil
}
