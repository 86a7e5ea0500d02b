package workload

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"sync/atomic"

	"coldstream/bench/wire"
	"coldstream/recordbatch"
)

// maxDecoded bounds what one batch of ours may decompress to.
const maxDecoded = 64 << 20

// Digest is what a topic holds, in a form that can be compared.
type Digest struct {
	Records int64 `json:"records"`
	// RawBytes are keys and values, StoredBytes the batches as the broker has them.
	RawBytes    int64 `json:"raw_bytes"`
	StoredBytes int64 `json:"stored_bytes"`
	// Log is over partition, offset, timestamp, key, value and headers of each record.
	Log string `json:"log"`
	// Values is over all values in any order and in any partition.
	Values string `json:"values"`
}

// Same says in one word how far two topics are the same.
func (d Digest) Same(other Digest) string {
	switch {
	case d.Log == other.Log:
		return "same"
	case d.Values == other.Values && d.Records == other.Records:
		return "values"
	case d.Records == other.Records:
		return "count"
	}
	return "differ"
}

// ReadDigest reads a topic, and makes its digest.
func ReadDigest(ctx context.Context, addr, name string) (Digest, error) {
	topic, err := wire.Lookup(ctx, addr, name)
	if err != nil {
		return Digest{}, err
	}
	d := &digester{parts: make([]*partitionDigest, topic.Partitions)}
	for i := range d.parts {
		d.parts[i] = &partitionDigest{log: sha256.New(), decoder: recordbatch.NewDecoder()}
	}
	if err := wire.ReadAll(ctx, addr, topic, d.take); err != nil {
		return Digest{}, err
	}
	out := Digest{Records: d.records.Load(), RawBytes: d.raw.Load(), StoredBytes: d.stored.Load()}
	log := sha256.New()
	for _, p := range d.parts {
		log.Write(p.log.Sum(nil))
	}
	out.Log = hex.EncodeToString(log.Sum(nil))
	out.Values = fmt.Sprintf("%016x", uint64(d.values.Load()))
	return out, nil
}

type digester struct {
	parts                        []*partitionDigest
	records, raw, stored, values atomic.Int64
}

// partitionDigest belongs to the connection that reads the partition.
type partitionDigest struct {
	log     hash.Hash
	decoder *recordbatch.Decoder
	line    []byte
}

func (d *digester) take(partition int32, batches []byte) error {
	p := d.parts[partition]
	d.stored.Add(int64(len(batches)))
	for len(batches) > 0 {
		b, rest, err := recordbatch.Next(batches)
		if err != nil {
			return err
		}
		records, err := p.decoder.Absolute(b, maxDecoded)
		if err != nil {
			return err
		}
		for i := range records {
			d.record(p, &records[i])
		}
		batches = rest
	}
	return nil
}

func (d *digester) record(p *partitionDigest, r *recordbatch.Absolute) {
	value := sha256.Sum256(r.Value)
	line := binary.BigEndian.AppendUint64(p.line[:0], uint64(r.Offset))
	line = binary.BigEndian.AppendUint64(line, uint64(r.TimestampMs))
	line = append(line, value[:]...)
	line = appendBytes(line, r.Key)
	for _, h := range r.Headers {
		line = appendBytes(appendBytes(line, h.Key), h.Value)
	}
	p.log.Write(line)
	p.line = line
	d.records.Add(1)
	d.raw.Add(int64(len(r.Key) + len(r.Value)))
	d.values.Add(int64(binary.BigEndian.Uint64(value[:])))
}

// appendBytes keeps null and empty apart.
func appendBytes(dst, b []byte) []byte {
	n := int64(len(b))
	if b == nil {
		n = -1
	}
	return append(binary.BigEndian.AppendUint64(dst, uint64(n)), b...)
}
