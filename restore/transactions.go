package restore

import (
	"sort"

	"coldstream/recordbatch"
	"coldstream/vault"
)

// fate is what became of a batch's transaction.
type fate int

const (
	committed fate = iota
	aborted
	undecided
)

// transactions knows how each transaction of a stream ended, from the markers that the
// vault's rows keep: no data is read ahead for it.
type transactions struct {
	markers map[int64][]vault.Marker // by producer ID, ascending by offset
}

func newTransactions(runs []vault.Run) *transactions {
	t := &transactions{markers: map[int64][]vault.Marker{}}
	for i := range runs {
		for _, m := range runs[i].Markers {
			t.markers[m.ProducerID] = append(t.markers[m.ProducerID], m)
		}
	}
	return t
}

// of looks for the first marker of the batch's producer behind it.
func (t *transactions) of(b recordbatch.Batch) fate {
	if !b.IsTransactional() {
		return committed
	}
	return t.after(b.ProducerID(), b.BaseOffset())
}

// after is what became of the transaction that a producer had open at an offset.
func (t *transactions) after(producerID, offset int64) fate {
	markers := t.markers[producerID]
	i := sort.Search(len(markers), func(i int) bool { return markers[i].Offset > offset })
	switch {
	case i == len(markers):
		return undecided
	case markers[i].Commit:
		return committed
	}
	return aborted
}
