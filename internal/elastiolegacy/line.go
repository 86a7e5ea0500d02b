package elastiolegacy

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"coldstream"
	"coldstream/recordbatch"
)

// maxLine is the longest line that is read: a record of 100 MB in base64, and more.
const maxLine = 256 << 20

// maxPartition is more than any cluster has: a snapshot lists all partitions up to the highest.
const maxPartition = 100_000

// line is one record of a recovery point.
type line struct {
	coldstream.TopicPartition
	recordbatch.Absolute
}

// parseLine reads a record, and nothing else.
func parseLine(text []byte) (*line, error) {
	var raw struct {
		Topic     *string `json:"topic"`
		Key       *string `json:"key"`
		Value     *string `json:"value"`
		Partition *int32  `json:"partition"`
		Timestamp *int64  `json:"timestamp"`
		Offset    *int64  `json:"offset"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&raw); err != nil {
		return nil, errors.New("it is not a JSON object of the fields of a record") // its text is a record's
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind its JSON object")
	}
	if raw.Topic == nil || raw.Key == nil || raw.Value == nil || raw.Partition == nil || raw.Timestamp == nil || raw.Offset == nil {
		return nil, errors.New("a field of the record is missing")
	}
	if err := coldstream.CheckTopicName(*raw.Topic); err != nil {
		return nil, err
	}
	if *raw.Partition < 0 || *raw.Partition >= maxPartition || *raw.Offset < 0 || *raw.Offset == math.MaxInt64 {
		return nil, fmt.Errorf("there is no partition %d with offset %d", *raw.Partition, *raw.Offset)
	}
	key, errKey := base64.StdEncoding.Strict().DecodeString(*raw.Key)
	value, errValue := base64.StdEncoding.Strict().DecodeString(*raw.Value)
	if errKey != nil || errValue != nil {
		return nil, errors.New("its key or value is not base64")
	}
	return &line{
		coldstream.TopicPartition{Topic: *raw.Topic, Partition: *raw.Partition},
		recordbatch.Absolute{Offset: *raw.Offset, TimestampMs: *raw.Timestamp, Key: key, Value: value},
	}, nil
}

// appendRecord writes a record as the spool keeps it; readRecord reads it.
func appendRecord(dst []byte, r *recordbatch.Absolute) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Offset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.TimestampMs))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Key)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Value)))
	return append(append(dst, r.Key...), r.Value...)
}

func readRecord(r io.Reader) (recordbatch.Absolute, error) {
	var head [24]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return recordbatch.Absolute{}, err // io.EOF between two records
	}
	keyBytes, valueBytes := binary.BigEndian.Uint32(head[16:]), binary.BigEndian.Uint32(head[20:])
	body := make([]byte, int64(keyBytes)+int64(valueBytes))
	if _, err := io.ReadFull(r, body); err != nil {
		return recordbatch.Absolute{}, fmt.Errorf("read the spool: %w", io.ErrUnexpectedEOF)
	}
	return recordbatch.Absolute{
		Offset:      int64(binary.BigEndian.Uint64(head[:])),
		TimestampMs: int64(binary.BigEndian.Uint64(head[8:])),
		Key:         body[:keyBytes:keyBytes],
		Value:       body[keyBytes:],
	}, nil
}

// isSame says that two records are one, met twice.
func isSame(a, b *recordbatch.Absolute) bool {
	return a.Offset == b.Offset && a.TimestampMs == b.TimestampMs && len(a.Headers) == 0 && len(b.Headers) == 0 &&
		(a.Key == nil) == (b.Key == nil) && (a.Value == nil) == (b.Value == nil) &&
		bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}
