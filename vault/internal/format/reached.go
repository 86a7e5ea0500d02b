package format

import (
	"cmp"
	"encoding/binary"
)

// Reached says that a commit, with all that it was built on, holds some topics up to the
// ends that their logs had at a time.
type Reached struct {
	AsOfMs int64
	// Back says where the topics are listed: 0 in this commit, else in the one of the same
	// writer and epoch whose number is lower by Back.
	Back uint32
	// Name and Topics are there only if Back is 0. Name tells people who the writer is.
	// Topics are indexes of the facts' incarnations, sorted, no two equal.
	Name   string
	Topics []int
	// LeftOut are of those that Back lists the ones that did not reach their ends: indexes of
	// its Topics, sorted, no two equal. They are there only if Back is not 0.
	LeftOut []uint32
}

func (c *Commit) appendReached(dst []byte) []byte {
	at := c.Reached
	dst = appendVarint(dst, at.AsOfMs)
	dst = binary.AppendUvarint(dst, uint64(at.Back))
	if at.Back > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(at.LeftOut)))
		for _, i := range at.LeftOut {
			dst = binary.AppendUvarint(dst, uint64(i))
		}
		return dst
	}
	dst = appendString(dst, at.Name)
	dst = binary.AppendUvarint(dst, uint64(len(at.Topics)))
	for _, i := range at.Topics {
		dst = binary.AppendUvarint(dst, uint64(i))
	}
	return dst
}

func (c *Commit) readReached(r *reader) {
	at := &Reached{AsOfMs: r.varint(), Back: r.uint32()}
	switch {
	case at.Back > c.ID.Seq:
		r.fail("commit %s with topics of the one %d before it", c.ID.Key(), at.Back)
	case at.Back > 0:
		at.LeftOut = readList(r, 1, (*reader).uint32)
		ordered(r, "topics left out", at.LeftOut, cmp.Compare[uint32])
	default:
		at.Name = r.string()
		at.Topics = readList(r, 1, func(r *reader) int { return r.index(len(c.Facts.Incarnations)) })
		ordered(r, "topics", at.Topics, cmp.Compare[int])
	}
	c.Reached = at
}
