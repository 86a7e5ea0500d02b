package kafkatest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// ContentHash is a SHA-256, in hex, over records in the order in which they are given (for
// a whole topic that of ReadAll): partition, offset, timestamp and its type, key, value
// and headers, null and empty told apart. The topic's name is not part of it, so that a
// topic can be compared with what was restored of it under another name; what else shall
// not count, say offsets, the caller sets to zero first.
func ContentHash(records []Record) string {
	h := sha256.New()
	number := func(v int64) { _, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(v))) } // never fails
	field := func(b []byte) {
		if b == nil {
			number(-1)
			return
		}
		number(int64(len(b)))
		_, _ = h.Write(b)
	}
	for _, r := range records {
		number(int64(r.Partition))
		number(r.Offset)
		number(r.TimestampMs)
		number(int64(r.TimestampType))
		field(r.Key)
		field(r.Value)
		number(int64(len(r.Headers)))
		for _, header := range r.Headers {
			field([]byte(header.Key))
			field(header.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
