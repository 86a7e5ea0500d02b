package format

import (
	"bytes"
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
	zstdBlockType  = 0b110 // 0 is raw
	zstdBlockRLE   = 1
	zstdChecksum   = 4
	zstdRawWindow  = (17 - 10) << 3 // 128 KiB
	zstdRawLengths = 0b11 << 6      // an 8-byte content size
	zstdRawHead    = 4 + 1 + 1 + 8  // magic, these two, and the content size
)

// newZstdEncoder makes an encoder of frames that are one segment: only those always say
// their content size.
func newZstdEncoder(level zstd.EncoderLevel) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
}

// fastest makes zstd frames at level 1. With the build tag libzstd, and a C compiler,
// it is libzstd, which takes half of the processor time; the frames are as good.
type fastest interface {
	append(dst, src []byte) ([]byte, error)
	close()
}

type pureFastest struct{ *zstd.Encoder }

func newPureFastest() (fastest, error) {
	enc, err := newZstdEncoder(zstd.SpeedFastest)
	return pureFastest{enc}, err
}

func (p pureFastest) append(dst, src []byte) ([]byte, error) { return p.EncodeAll(src, dst), nil }

func (p pureFastest) close() { _ = p.Close() } // without a stream there is nothing to flush

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
// for: into room, if that is large enough.
func decodeZstd(dec *zstd.Decoder, b []byte, length int64, room []byte) ([]byte, error) {
	if err := checkZstd(b, length); err != nil {
		return nil, err
	}
	if int64(cap(room)) < length {
		room = make([]byte, 0, length)
	}
	decoded, err := dec.DecodeAll(b, room[:0])
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

// compareRawZstd finds out whether a zstd frame of raw blocks holds the concatenation of
// parts.
func compareRawZstd(b []byte, length int64, parts [][]byte) error {
	if err := checkZstd(b, length); err != nil {
		return err
	}
	var head zstd.Header
	if err := head.Decode(b); err != nil {
		return corruptf("zstd frame: %v", err)
	}
	var room []byte // of the block, what is not compared yet
	b = b[head.HeaderSize:]
	for _, part := range parts {
		for len(part) > 0 {
			if len(room) == 0 {
				if len(b) < zstdBlockHead || b[0]&zstdBlockType != 0 {
					return corruptf("not a raw block")
				}
				size := int(uint32(b[0])|uint32(b[1])<<8|uint32(b[2])<<16) >> 3
				room, b = b[zstdBlockHead:zstdBlockHead+size], b[zstdBlockHead+size:]
			}
			n := min(len(room), len(part))
			if !bytes.Equal(room[:n], part[:n]) {
				return corruptf("it decodes to something else")
			}
			room, part = room[n:], part[n:]
		}
	}
	if len(room)+len(b) > 0 {
		return corruptf("%d bytes more than went in", len(room)+len(b))
	}
	return nil
}
