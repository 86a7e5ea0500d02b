// Package recordbatch is what a Kafka record batch is, without decoding its records:
// splitting, checking, patching its header for producing, and for the slow path decoding
// and encoding records. Facts are of Kafka's DefaultRecordBatch and AbstractLegacyRecordBatch.
package recordbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"coldstream"
)

// HeaderSize is the length of a magic 2 batch header in bytes.
const HeaderSize = 61

const (
	logOverhead    = 12 // base offset and length, in front of every batch
	magicAt        = 16
	crcFrom        = 21 // a magic 2 checksum covers all from here
	legacyCRCFrom  = 16 // a magic 0 or 1 checksum covers all from here
	minLegacySize  = 26 // magic 0 with null key and value
	maxLegacyMagic = 1
	currentMagic   = 2
	legacyTimeAt   = 18
	legacyAttrAt   = 17
	noTimestamp    = -1
	noProducer     = -1
)

// Codec is a compression type, by its number in a batch's attributes.
type Codec uint8

// The codecs that Kafka has.
const (
	CodecNone Codec = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
)

// String is Kafka's name of the codec, as in compression.type.
func (c Codec) String() string {
	names := [...]string{"none", "gzip", "snappy", "lz4", "zstd"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// The bits of a batch's attributes.
const (
	codecMask         = 0x07
	bitLogAppendTime  = 0x08
	bitTransactional  = 0x10
	bitControl        = 0x20
	bitDeleteHorizon  = 0x40
	controlAbort      = 0
	controlCommit     = 1
	controlKeyBytes   = 4
	controlValueBytes = 6
)

// ErrPartial means that a buffer ends in the middle of a batch, as an answer to a fetch
// may.
var ErrPartial = errors.New("partial record batch")

// Batch is one whole batch: it aliases the buffer it was cut from. Accessors may be
// called only on what [Next] returned.
type Batch []byte

func corruptf(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, coldstream.ErrCorrupt)...)
}

// Next cuts the first batch off buf. If buf ends before the batch does the error wraps
// [ErrPartial]; a length or magic that cannot be wraps [coldstream.ErrCorrupt].
func Next(buf []byte) (batch Batch, rest []byte, err error) {
	if len(buf) <= magicAt {
		return nil, buf, fmt.Errorf("%d bytes: %w", len(buf), ErrPartial)
	}
	length := int64(int32(binary.BigEndian.Uint32(buf[8:])))
	size, magic := length+logOverhead, buf[magicAt]
	least := int64(HeaderSize)
	if magic <= maxLegacyMagic {
		least = minLegacySize + 8*int64(magic)
	} else if magic != currentMagic {
		return nil, buf, corruptf("record batch of magic %d", magic)
	}
	if size < least {
		return nil, buf, corruptf("record batch of %d bytes", size)
	}
	if size > int64(len(buf)) {
		return nil, buf, fmt.Errorf("%d of %d bytes: %w", len(buf), size, ErrPartial)
	}
	return Batch(buf[:size:size]), buf[size:], nil
}

func (b Batch) int64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
func (b Batch) int32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }

// Magic is the version of the batch: 2, or 0 or 1 for a legacy message.
func (b Batch) Magic() uint8 { return b[magicAt] }

func (b Batch) legacy() bool { return b[magicAt] <= maxLegacyMagic }

// BaseOffset is the offset of the first record. Of a compressed legacy message, whose
// header has the offset of the last, it is that one.
func (b Batch) BaseOffset() int64 { return b.int64(0) }

// LastOffset is the offset of the last record, as it was when the batch was appended:
// compaction may have removed that record since.
func (b Batch) LastOffset() int64 {
	if b.legacy() {
		return b.int64(0)
	}
	return b.int64(0) + int64(b.int32(23))
}

// NextOffset is the offset after the last.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// LastOffsetDelta is the distance from the first to the last offset.
func (b Batch) LastOffsetDelta() int32 {
	if b.legacy() {
		return 0
	}
	return b.int32(23)
}

// LeaderEpoch is that of the leader that appended the batch; -1 in legacy messages.
func (b Batch) LeaderEpoch() int32 {
	if b.legacy() {
		return -1
	}
	return b.int32(12)
}

func (b Batch) attributes() uint16 {
	if b.legacy() {
		return uint16(b[legacyAttrAt])
	}
	return binary.BigEndian.Uint16(b[21:])
}

// Codec is the compression of the records.
func (b Batch) Codec() Codec { return Codec(b.attributes() & codecMask) }

// HasLogAppendTime says that all records have the timestamp [Batch.MaxTimestampMs],
// whatever stands in them.
func (b Batch) HasLogAppendTime() bool {
	return b.attributes()&bitLogAppendTime != 0 && b.Magic() > 0
}

// IsTransactional says that the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return !b.legacy() && b.attributes()&bitTransactional != 0 }

// IsControl says that the batch holds no data, but a marker.
func (b Batch) IsControl() bool { return !b.legacy() && b.attributes()&bitControl != 0 }

// HasDeleteHorizon says that the cleaner put a delete horizon in place of the base
// timestamp (KIP-534).
func (b Batch) HasDeleteHorizon() bool { return !b.legacy() && b.attributes()&bitDeleteHorizon != 0 }

// BaseTimestampMs is what timestamp deltas count from; -1 if there is none.
func (b Batch) BaseTimestampMs() int64 {
	switch {
	case b.Magic() == 0:
		return noTimestamp
	case b.legacy():
		return b.int64(legacyTimeAt)
	}
	return b.int64(27)
}

// MaxTimestampMs is the largest timestamp of the records; -1 if there is none.
func (b Batch) MaxTimestampMs() int64 {
	if b.legacy() {
		return b.BaseTimestampMs()
	}
	return b.int64(35)
}

// ProducerID is -1 where the producer was not idempotent.
func (b Batch) ProducerID() int64 {
	if b.legacy() {
		return noProducer
	}
	return b.int64(43)
}

// ProducerEpoch is -1 where the producer was not idempotent.
func (b Batch) ProducerEpoch() int16 {
	if b.legacy() {
		return noProducer
	}
	return int16(binary.BigEndian.Uint16(b[51:]))
}

// BaseSequence is -1 where the producer was not idempotent.
func (b Batch) BaseSequence() int32 {
	if b.legacy() {
		return noProducer
	}
	return b.int32(53)
}

// RecordCount is the number of records. A compressed legacy message does not say how
// many it holds; it counts as 1.
func (b Batch) RecordCount() int32 {
	if b.legacy() {
		return 1
	}
	return b.int32(57)
}

// payload is the records as stored; of magic 2 only.
func (b Batch) payload() []byte { return b[HeaderSize:] }

// Check proves that the batch is what its producer and its broker made: its checksum,
// and a header whose numbers fit together. Errors wrap [coldstream.ErrCorrupt].
func (b Batch) Check() error {
	if b.legacy() {
		if crc32.ChecksumIEEE(b[legacyCRCFrom:]) != binary.BigEndian.Uint32(b[12:]) {
			return corruptf("message at offset %d: bad checksum", b.BaseOffset())
		}
		if b.BaseOffset() < 0 || b.BaseOffset() == math.MaxInt64 {
			return corruptf("message at offset %d", b.BaseOffset())
		}
		return nil
	}
	if b.checksum() != binary.BigEndian.Uint32(b[17:]) {
		return corruptf("batch at offset %d: bad checksum", b.BaseOffset())
	}
	return b.checkCounts()
}

// checkCounts proves that a magic 2 header's offsets and count fit together, so that
// arithmetic with them neither overflows nor goes below zero.
func (b Batch) checkCounts() error {
	base, delta, count := b.BaseOffset(), b.LastOffsetDelta(), b.RecordCount()
	if base < 0 || delta < 0 || base > math.MaxInt64-int64(delta)-1 || count < 0 || int64(count) > int64(delta)+1 {
		return corruptf("batch at offset %d of %d records up to offset +%d", base, count, delta)
	}
	return nil
}

func (b Batch) checksum() uint32 {
	return crc32.Checksum(b[crcFrom:], castagnoli)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant table

// ControlMarker is what a control batch says.
type ControlMarker struct {
	Offset           int64
	ProducerID       int64
	ProducerEpoch    int16
	Commit           bool
	CoordinatorEpoch int32
}

// ControlMarker reads the transaction marker of a control batch, which is its first
// record. It is false for a batch that compaction emptied, and for kinds of control
// records other than commit and abort. As Kafka does, it reads versions of the marker that
// are newer than those it knows.
func (b Batch) ControlMarker() (ControlMarker, bool, error) {
	m := ControlMarker{Offset: b.BaseOffset(), ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch()}
	if !b.IsControl() || b.RecordCount() == 0 {
		return m, false, nil
	}
	record, err := b.controlRecord()
	if err != nil {
		return m, false, fmt.Errorf("control batch at offset %d: %w", b.BaseOffset(), err)
	}
	key, value := record.Key, record.Value
	if len(key) < controlKeyBytes {
		return m, false, corruptf("control batch at offset %d with a key of %d bytes", b.BaseOffset(), len(key))
	}
	version, kind := int16(binary.BigEndian.Uint16(key)), binary.BigEndian.Uint16(key[2:])
	if version < 0 {
		return m, false, corruptf("control batch at offset %d of version %d", b.BaseOffset(), version)
	}
	if kind != controlAbort && kind != controlCommit {
		return m, false, nil
	}
	m.Commit = kind == controlCommit
	m.Offset += int64(record.OffsetDelta)
	if len(value) >= controlValueBytes {
		m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(value[2:]))
	}
	return m, true, nil
}

// controlRecord decodes the first record, without allocating if it is not compressed:
// topics of small transactions have as many control batches as others.
func (b Batch) controlRecord() (Record, error) {
	if err := b.checkCounts(); err != nil {
		return Record{}, err
	}
	payload := b.payload()
	if b.Codec() != CodecNone {
		var err error
		if payload, err = NewDecoder().decompress(b.Codec(), payload, maxControlBytes); err != nil {
			return Record{}, err
		}
	}
	r := recordReader{b: payload, room: maxControlBytes}
	record := r.record()
	if r.err == nil && (record.OffsetDelta < 0 || record.OffsetDelta > b.LastOffsetDelta()) {
		r.err = corruptf("record at %+d", record.OffsetDelta)
	}
	return record, r.err
}

const maxControlBytes = 64 << 10
