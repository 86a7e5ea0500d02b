package recordbatch

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
	"slices"
)

const (
	lz4Magic       = 0x184d2204
	lz4ContentSize = 0x08 // flag: eight bytes follow in the descriptor
	lz4Dictionary  = 0x01 // flag: four bytes follow in the descriptor
)

// mendLZ4Header reads an LZ4 frame with the right checksum in its descriptor. In messages
// of magic 0 Kafka's producers wrote a wrong one, and its readers do not look at it
// (https://issues.apache.org/jira/browse/KAFKA-3160).
func mendLZ4Header(frame []byte) io.Reader {
	if len(frame) < 6 || binary.LittleEndian.Uint32(frame) != lz4Magic {
		return bytes.NewReader(frame)
	}
	at := 6
	if frame[4]&lz4ContentSize != 0 {
		at += 8
	}
	if frame[4]&lz4Dictionary != 0 {
		at += 4
	}
	if len(frame) <= at {
		return bytes.NewReader(frame)
	}
	header := slices.Clone(frame[:at+1])
	header[at] = byte(xxh32(header[4:at]) >> 8)
	return io.MultiReader(bytes.NewReader(header), bytes.NewReader(frame[at+1:]))
}

// xxh32 is the XXH32 hash with seed 0 of less than 16 bytes, which a frame descriptor
// always is.
func xxh32(b []byte) uint32 {
	const p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
	h := uint32(p5 + len(b))
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*p3, 17) * p4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
