package lineage

import (
	"cmp"
	"math"
	"slices"

	"coldstream/vault/internal/format"
)

// NoEpoch is the leader epoch of what says none.
const NoEpoch = -1

// Start is where a leader epoch begins: at the lowest batch of it that was seen.
type Start struct {
	format.EpochStart
	// After is the epoch that stood directly before it in one reading of the log; -1 if
	// none was seen.
	After int32
}

// Starts are all leader epochs of a stream that were ever seen, those of forks
// included, ascending.
type Starts []Start

// Last is the newest epoch.
func (s Starts) Last() int32 {
	if len(s) == 0 {
		return NoEpoch
	}
	return s[len(s)-1].Epoch
}

// Note takes in that an epoch began at an offset in one reading of the log.
func (s *Starts) Note(start Start) {
	i, found := slices.BinarySearchFunc(*s, start.Epoch, func(e Start, epoch int32) int {
		return cmp.Compare(e.Epoch, epoch)
	})
	if !found {
		*s = slices.Insert(*s, i, start)
		return
	}
	e := &(*s)[i]
	e.FirstOffset, e.After = min(e.FirstOffset, start.FirstOffset), max(e.After, start.After)
}

// Lineage returns the epochs that led to the newest one, ascending: what the log's own
// leader epoch cache holds. An epoch that began at or behind the begin of a newer one was
// truncated away as a whole; so was one that another reading of the log did not find
// between its neighbors.
func (s Starts) Lineage() []format.EpochStart {
	var out []format.EpochStart
	bound, newest := int64(math.MaxInt64), int32(math.MaxInt32)
	for _, e := range slices.Backward(s) {
		if e.FirstOffset >= bound || e.Epoch > newest {
			continue
		}
		out = append(out, e.EpochStart)
		bound, newest = e.FirstOffset, int32(math.MaxInt32)
		if e.After != NoEpoch {
			newest = e.After
		}
	}
	slices.Reverse(out)
	return out
}

// Lineage is the leader epochs that led to a view.
type Lineage []format.EpochStart

// Of is the leader epochs, of those that rows say, that led to a view.
func Of(rows []Row, view View) Lineage {
	var starts Starts
	for i := range rows {
		after := int32(NoEpoch)
		for _, e := range rows[i].Epochs {
			if view.LastEpoch < 0 || e.Epoch <= view.LastEpoch {
				starts.Note(Start{e, after})
			}
			after = e.Epoch
		}
	}
	return starts.Lineage()
}

// end says where an epoch ends: where the next newer one begins. It is false for one that
// is not of the lineage.
func (l Lineage) end(epoch int32) (int64, bool) {
	i, found := slices.BinarySearchFunc(l, epoch, func(e format.EpochStart, epoch int32) int {
		return cmp.Compare(e.Epoch, epoch)
	})
	switch {
	case !found:
		return 0, false
	case i+1 < len(l):
		return l[i+1].FirstOffset, true
	}
	return math.MaxInt64, true
}
