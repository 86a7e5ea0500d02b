package vault

import (
	"slices"

	"coldstream/vault/internal/format"
)

// headState is a stream's head as a fold builds it up. Folding is the same in every
// order of commits that lets each join.
type headState struct {
	scan       uint32
	nextOffset int64
	floor      int64 // end of what was released; -1 if nothing was
	// epochs is the stream's leader epoch cache: which epoch begins where, ascending.
	epochs []format.EpochStart
	bytes  int64 // decoded bytes of all rows of the scan
}

func (h *headState) lastEpoch() int32 {
	if len(h.epochs) == 0 {
		return -1
	}
	return h.epochs[len(h.epochs)-1].Epoch
}

func (h *headState) clone() *headState {
	c := *h
	c.epochs = slices.Clone(h.epochs)
	return &c
}

// extent is a row or a gap, as far as heads are concerned.
type extent struct {
	firstOffset, nextOffset int64
	epochs                  []format.EpochStart
	bytes                   int64
}

// extend takes an extent in. It is false, and the head is unchanged, if there is a hole
// between the head and the extent.
func (h *headState) extend(e extent) bool {
	if e.firstOffset > h.nextOffset {
		return false
	}
	for _, start := range e.epochs {
		h.noteEpoch(start)
	}
	last := h.lastEpoch()
	if len(e.epochs) > 0 {
		last = e.epochs[len(e.epochs)-1].Epoch
	}
	// What an older epoch wrote behind the begin of a newer one is a fork, and not how
	// far the stream has come.
	if last == h.lastEpoch() {
		h.nextOffset = max(h.nextOffset, e.nextOffset)
	}
	h.bytes += e.bytes
	return true
}

// noteEpoch learns where a leader epoch begins: at the lowest batch of it that was seen.
// An older epoch ends there; where the vault held more of it, the log was truncated, and
// the head goes back.
func (h *headState) noteEpoch(start format.EpochStart) {
	i, found := slices.BinarySearchFunc(h.epochs, start.Epoch, func(e format.EpochStart, epoch int32) int {
		return int(e.Epoch) - int(epoch)
	})
	switch {
	case found && start.FirstOffset >= h.epochs[i].FirstOffset:
		return
	case found:
		h.epochs[i].FirstOffset = start.FirstOffset
	case i < len(h.epochs) && h.epochs[i].FirstOffset <= start.FirstOffset:
		return // all of it is behind the begin of a newer epoch
	default:
		if i == len(h.epochs) {
			h.nextOffset = min(h.nextOffset, start.FirstOffset)
		}
		h.epochs = slices.Insert(h.epochs, i, start)
	}
	// Older epochs that would begin at or behind this one are forked away as a whole.
	keep := i
	for keep > 0 && h.epochs[keep-1].FirstOffset >= start.FirstOffset {
		keep--
	}
	h.epochs = slices.Delete(h.epochs, keep, i)
}
