package format

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"coldstream"
)

const baseMagic = "CSBS"

// Head is how far the vault had got with a stream when the epoch began. It is kept also
// when all data of the stream is gone.
type Head struct {
	Stream     int
	Scan       uint32
	NextOffset int64
	// Reach is the furthest that any history of the scan went. It is beyond NextOffset
	// where the log lost its end.
	Reach     int64
	Floor     int64       // end of what was released; -1 if nothing was
	SizeBytes int64       // decoded bytes of all rows of the scan, released ones left out
	Epochs    []HeadEpoch // ascending; all that were ever seen, those of forks included
}

// HeadEpoch is what a head knows of a leader epoch.
type HeadEpoch struct {
	EpochStart
	After int32 // the epoch that stood directly before it in one reading; -1 if none was seen
}

// TableRef names the row table of a topic.
type TableRef struct {
	Topic     string
	Table     TableID
	SizeBytes int64
}

// Base is the whole catalog at an epoch's start.
type Base struct {
	Epoch        uint32
	TimeMs       int64
	CreatedMs    int64       // the vault's, so that vault.json is held against something
	PreviousHash Hash        // the digest of the base before; zero in epoch 0
	Commits      []CommitRef // the commits it took; sorted, no two equal
	Incarnations []coldstream.Incarnation
	Streams      []StreamRef
	Heads        []Head     // sorted by stream, no two equal
	Snapshots    []Snapshot // sorted by time and ID; views refer to Streams
	Tables       []TableRef // sorted by topic, no two equal
	// Removed says that it takes away what the base before, with its commits, held.
	Removed      bool
	SignatureKey [keyIDSize]byte // names the keeper's key; zero without a signature
	Signature    []byte          // over all before it
}

// Append writes the payload of a base object. What would be refused by [DecodeBase] is
// refused here.
func (b *Base) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(append(dst, baseMagic...), Version)
	dst = binary.AppendUvarint(dst, uint64(b.Epoch))
	dst = appendVarint(dst, b.TimeMs)
	dst = appendVarint(dst, b.CreatedMs)
	dst = append(dst, b.PreviousHash[:]...)
	dst = appendCommitRefs(dst, b.Commits)
	dst = appendStreams(dst, b.Incarnations, b.Streams)
	dst = binary.AppendUvarint(dst, uint64(len(b.Heads)))
	for _, h := range b.Heads {
		dst = binary.AppendUvarint(dst, uint64(h.Stream))
		dst = binary.AppendUvarint(dst, uint64(h.Scan))
		dst = binary.AppendUvarint(dst, uint64(h.NextOffset))
		dst = binary.AppendUvarint(dst, uint64(h.Reach))
		dst = appendVarint(dst, h.Floor)
		dst = binary.AppendUvarint(dst, uint64(h.SizeBytes))
		dst = binary.AppendUvarint(dst, uint64(len(h.Epochs)))
		for _, e := range h.Epochs {
			dst = binary.AppendUvarint(dst, uint64(e.Epoch))
			dst = binary.AppendUvarint(dst, uint64(e.FirstOffset))
			dst = appendVarint(dst, int64(e.After))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Snapshots)))
	for i := range b.Snapshots {
		dst = b.Snapshots[i].append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Tables)))
	for _, t := range b.Tables {
		dst = binary.AppendUvarint(appendString(dst, t.Topic), uint64(t.Table.Epoch))
		dst = append(dst, t.Table.Hash[:]...)
		dst = binary.AppendUvarint(dst, uint64(t.SizeBytes))
	}
	dst = appendBool(dst, b.Removed)
	dst = append(dst, b.SignatureKey[:]...)
	dst = appendString(dst, string(b.Signature))
	if _, err := DecodeBase(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

// DecodeBase reads the payload of a base object.
func DecodeBase(payload []byte) (*Base, error) {
	r := &reader{b: payload}
	r.magic(baseMagic)
	b := &Base{Epoch: r.uint32(), TimeMs: r.varint(), CreatedMs: r.varint()}
	r.into(b.PreviousHash[:])
	b.Commits = readCommitRefs(r)
	b.Incarnations, b.Streams = readStreams(r)
	b.Heads = readList(r, 7, func(r *reader) Head { return readHead(r, len(b.Streams)) })
	b.Snapshots = readList(r, 13, func(r *reader) Snapshot { return readSnapshot(r, len(b.Streams)) })
	b.Tables = readList(r, 35, func(r *reader) TableRef {
		t := TableRef{Topic: r.string(), Table: TableID{Epoch: r.uint32()}}
		r.into(t.Table.Hash[:])
		t.SizeBytes = r.offset()
		return t
	})
	b.Removed = r.bool()
	r.into(b.SignatureKey[:])
	if signature := r.take(r.count(1)); len(signature) > 0 {
		b.Signature = bytes.Clone(signature)
	}
	b.check(r)
	if err := r.end(); err != nil {
		return nil, err
	}
	return b, nil
}

// check proves that the parts of a base fit together.
func (b *Base) check(r *reader) {
	ordered(r, "heads", b.Heads, func(a, b Head) int { return cmp.Compare(a.Stream, b.Stream) })
	ordered(r, "snapshots", b.Snapshots, compareSnapshots)
	ordered(r, "tables", b.Tables, func(a, b TableRef) int { return cmp.Compare(a.Topic, b.Topic) })
	if b.Epoch == 0 && (b.TimeMs != b.CreatedMs || len(b.Commits) > 0 || b.PreviousHash != Hash{} || b.Removed) {
		r.fail("base of epoch 0 with something before it, or of another time than the vault")
	}
	for _, ref := range b.Commits {
		if ref.ID.Epoch != b.Epoch-1 {
			r.fail("base of epoch %d that took %s", b.Epoch, ref.ID.Key())
		}
	}
	for i := range b.Snapshots {
		b.Snapshots[i].check(r, b.Epoch)
	}
	for _, t := range b.Tables {
		if t.Table.Epoch > b.Epoch || t.SizeBytes > maxPayload {
			r.fail("base of epoch %d with the table of %q of epoch %d, %d bytes", b.Epoch, t.Topic, t.Table.Epoch, t.SizeBytes)
		}
	}
	if (len(b.Signature) > 0) != (b.SignatureKey != [keyIDSize]byte{}) {
		r.fail("a signature and the key that made it go together")
	}
}

func readHead(r *reader, streams int) Head {
	h := Head{Stream: r.index(streams), Scan: r.uint32(), NextOffset: r.offset(), Reach: r.offset(), Floor: r.varint(), SizeBytes: r.offset()}
	h.Epochs = readList(r, 3, func(r *reader) HeadEpoch {
		return HeadEpoch{EpochStart{r.partition(), r.offset()}, r.int32()}
	})
	if h.Reach < h.NextOffset {
		r.fail("a head at %d that reached %d", h.NextOffset, h.Reach)
	}
	if h.Floor < -1 || h.Floor == 0 || h.Floor > h.NextOffset {
		r.fail("floor %d of a head at %d", h.Floor, h.NextOffset)
	}
	ordered(r, "leader epochs", h.Epochs, func(a, b HeadEpoch) int { return cmp.Compare(a.Epoch, b.Epoch) })
	for _, e := range h.Epochs {
		if e.After < -1 || e.After >= e.Epoch {
			r.fail("leader epoch %d after %d", e.Epoch, e.After)
		}
	}
	return h
}
