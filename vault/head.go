package vault

import (
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

// headState is a stream's head as a fold builds it up. Folding is the same in every
// order of commits that lets each join.
type headState struct {
	scan       uint32
	nextOffset int64
	// reach is the furthest that any history of the scan went. It is beyond nextOffset
	// where the log lost its end: what is between is of a fork.
	reach  int64
	floor  int64 // end of what was released; -1 if nothing was
	epochs lineage.Starts
	bytes  int64 // decoded bytes of all rows of the scan

	startedMs int64 // when the scan began; 0 where only a base knows of it
	holes     holes // behind the pass
	pass      passState
}

func (h *headState) clone() *headState {
	c := *h
	c.epochs = slices.Clone(h.epochs)
	return &c
}

// namedHeads are the heads of the streams that some facts name. Most commits of a writer
// name the same, and to look a stream up by its name costs more than the rest of a view.
type namedHeads struct {
	incarnations []coldstream.Incarnation
	streams      []format.StreamRef
	heads        []*headState // nil where it was not asked for, or there is none
}

// headAt is the head of a stream of facts; nil if there is none.
func (c *Catalog) headAt(facts *format.Facts, stream int) *headState {
	n := &c.named
	if len(n.streams) != len(facts.Streams) || &n.streams[0] != &facts.Streams[0] {
		if !slices.Equal(n.streams, facts.Streams) || !slices.Equal(n.incarnations, facts.Incarnations) {
			n.heads = make([]*headState, len(facts.Streams))
		}
		n.incarnations, n.streams = facts.Incarnations, facts.Streams
	}
	if n.heads[stream] == nil {
		n.heads[stream] = c.heads[facts.StreamAt(stream)]
	}
	return n.heads[stream]
}

// setHead changes the head of a stream of facts.
func (c *Catalog) setHead(facts *format.Facts, stream int, h *headState) {
	if known := c.headAt(facts, stream); known != nil {
		*known = *h
		return
	}
	c.heads[facts.StreamAt(stream)] = h
}

// extent is a row or a gap, as far as heads are concerned.
type extent struct {
	firstOffset, nextOffset int64
	epochs                  []format.EpochStart
	bytes                   int64
	holey                   bool // it lacks offsets
	commitMs                int64
}

// extend takes an extent in. It is false, and the head is unchanged, if there is a hole
// between what the head knows and the extent.
//
// What begins in an older leader epoch than the head's last one, or says none (a gap),
// may be of a fork that another commit has ended: it joins where any history was.
func (h *headState) extend(e extent) bool {
	forked := len(e.epochs) == 0 || e.epochs[0].Epoch < h.epochs.Last()
	if e.firstOffset > h.nextOffset && (!forked || e.firstOffset > h.reach) {
		return false
	}
	h.add(e)
	return true
}

// add takes in an extent that joins some history of the stream. That of a commit whose
// parents were all taken in does: its writer has seen so, and a hole only means that the
// head went back since.
func (h *headState) add(e extent) {
	was, joins := h.epochs.Last(), e.firstOffset <= h.nextOffset
	last := was
	for i, start := range e.epochs {
		after := int32(lineage.NoEpoch)
		if i > 0 {
			after = e.epochs[i-1].Epoch
		}
		h.epochs.Note(lineage.Start{EpochStart: start, After: after})
		last = start.Epoch
	}
	if last > was {
		// A newer epoch: where the vault held more than what was before it, the log was
		// truncated, and the head goes back.
		for _, start := range e.epochs {
			if start.Epoch > was {
				h.nextOffset = min(h.nextOffset, start.FirstOffset)
				break
			}
		}
	}
	// What an older epoch wrote behind the begin of a newer one is a fork, and not how far
	// the stream has come.
	if last > was || last == was && joins {
		h.nextOffset = max(h.nextOffset, e.nextOffset)
	}
	h.reach = max(h.reach, e.nextOffset)
	h.bytes += e.bytes
	if e.holey {
		h.holes.add(e)
		h.forgetHoles()
	}
}
