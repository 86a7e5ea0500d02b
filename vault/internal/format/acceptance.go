package format

import (
	"encoding/binary"
	"encoding/hex"

	"coldstream"
)

const acceptanceMagic = "CSAC"

// AcceptanceID names a loss that was accepted: a hash of what was lost.
type AcceptanceID [8]byte

// String writes 16 hex digits.
func (id AcceptanceID) String() string { return hex.EncodeToString(id[:]) }

// Acceptance says that somebody knows of damage, and of what it costs.
type Acceptance struct {
	TimeMs int64 // when it was accepted
	// Object is the key of the object that is damaged, Kind how.
	Object, Kind string
	// What it costs; all of it is empty where that are no offsets.
	Incarnation             coldstream.Incarnation
	Partition               int32
	FirstOffset, NextOffset int64
}

// ID says which loss it is, whenever it was accepted.
func (a *Acceptance) ID() AcceptanceID {
	sum := HashOf(a.appendLoss(nil))
	return AcceptanceID(sum[:len(AcceptanceID{})])
}

// Append writes the payload of an acceptance object. What would be refused by
// [DecodeAcceptance] is refused here.
func (a *Acceptance) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(append(dst, acceptanceMagic...), Version)
	dst = a.appendLoss(appendVarint(dst, a.TimeMs))
	if _, err := DecodeAcceptance(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

func (a *Acceptance) appendLoss(dst []byte) []byte {
	dst = appendString(appendString(dst, a.Object), a.Kind)
	dst = appendIncarnation(dst, a.Incarnation)
	dst = binary.AppendUvarint(dst, uint64(a.Partition))
	dst = binary.AppendUvarint(dst, uint64(a.FirstOffset))
	return binary.AppendUvarint(dst, uint64(a.NextOffset-a.FirstOffset))
}

// DecodeAcceptance reads the payload of an acceptance object.
func DecodeAcceptance(payload []byte) (*Acceptance, error) {
	r := &reader{b: payload}
	r.magic(acceptanceMagic)
	a := &Acceptance{TimeMs: r.varint(), Object: r.string(), Kind: r.string(), Incarnation: readIncarnation(r)}
	a.Partition, a.FirstOffset = r.partition(), r.offset()
	if a.NextOffset = a.FirstOffset + r.offset(); a.NextOffset < 0 {
		r.fail("offsets [%d, %d)", a.FirstOffset, a.NextOffset)
	}
	if a.Object == "" || a.Kind == "" {
		r.fail("acceptance of object %q that is %q", a.Object, a.Kind)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return a, nil
}
