package format

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"
)

const (
	zstdMagic = 0xFD2FB528
	// maxBlock is the most that one zstd block decodes to.
	maxBlock = 128 << 10
	// minDecoderMemory is more than any window of our encoders.
	minDecoderMemory = 16 << 20

	zstdBlockHead  = 3
	zstdBlockRLE   = 1
	zstdChecksum   = 4
	zstdRawWindow  = (17 - 10) << 3 // 128 KiB
	zstdRawLengths = 0b11 << 6      // an 8-byte content size
)

// newZstdEncoder makes an encoder of frames that are one segment: only those always say
// their content size.
func newZstdEncoder(level zstd.EncoderLevel) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
}

// newZstdDecoder makes a decoder of frames of at most limit bytes.
func newZstdDecoder(limit int64) (*zstd.Decoder, error) {
	// A frame's window may be larger than what it holds, so that small ones need room too.
	limit = max(limit, minDecoderMemory)
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)),
		zstd.WithDecoderMaxWindow(uint64(limit)))
}

// checkZstd proves, before anything is allocated, that b is one zstd frame from its first
// byte to its last, that it says that it holds length bytes, and that it has the blocks
// that so many bytes need.
func checkZstd(b []byte, length int64) error {
	var head zstd.Header
	if err := head.Decode(b); err != nil {
		return corruptf("zstd frame: %v", err)
	}
	if head.Skippable || !head.HasFCS || head.FrameContentSize != uint64(length) {
		return corruptf("the zstd frame does not say that it holds %d bytes", length)
	}
	r := &reader{b: b[head.HeaderSize:]}
	blocks, last := int64(0), false
	for !last && r.err == nil {
		var h [4]byte
		r.into(h[:zstdBlockHead])
		bits := binary.LittleEndian.Uint32(h[:])
		last = bits&1 == 1
		size := int(bits >> 3)
		if bits>>1&3 == zstdBlockRLE {
			size = 1 // one byte stands for many
		}
		r.take(size)
		blocks++
	}
	if head.HasCheckSum {
		r.take(zstdChecksum)
	}
	if length > blocks*maxBlock {
		r.fail("zstd frame of %d blocks for %d bytes", blocks, length)
	}
	return r.end()
}

// decodeZstd decodes one zstd frame of exactly length bytes, which the decoder has room
// for.
func decodeZstd(dec *zstd.Decoder, b []byte, length int64) ([]byte, error) {
	if err := checkZstd(b, length); err != nil {
		return nil, err
	}
	decoded, err := dec.DecodeAll(b, make([]byte, 0, length))
	if err != nil {
		return nil, corruptf("decompress: %v", err)
	}
	if int64(len(decoded)) != length {
		return nil, corruptf("the zstd frame holds %d bytes where %d are said", len(decoded), length)
	}
	return decoded, nil
}

// appendRawZstd writes a zstd frame (RFC 8878) of raw blocks: an 8-byte content size, a
// window of 128 KiB so that any decoder takes it whatever its size, no checksum.
func appendRawZstd(dst []byte, parts [][]byte, length int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, zstdMagic)
	dst = append(dst, zstdRawLengths, zstdRawWindow)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(length))
	left, room := length, 0
	for _, part := range parts {
		for len(part) > 0 {
			if room == 0 {
				room = min(left, maxBlock)
				left -= room
				head := uint32(room) << 3
				if left == 0 {
					head |= 1 // the last block
				}
				dst = append(dst, byte(head), byte(head>>8), byte(head>>16))
			}
			n := min(room, len(part))
			dst = append(dst, part[:n]...)
			part, room = part[n:], room-n
		}
	}
	return dst
}
