package restore

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/kafka/kafkatest"
)

// txLog is a random log of interleaved producers and what became of each batch, said by
// whom wrote it and not by reading it again.
type txLog struct {
	log   sourceLog
	fates []fate // of each batch that holds data
}

func randomTxLog(rnd *rand.Rand) txLog {
	const producers = 4
	var out txLog
	open := map[int64][]int{} // batches of the producer's transaction
	at := rnd.Int64N(3)
	out.log.start = at
	for range 5 + rnd.IntN(40) {
		b := batch{firstOffset: at, producer: 1000 + rnd.Int64N(producers), count: int32(1 + rnd.IntN(3))}
		switch {
		case rnd.IntN(4) == 0:
			b.producer = 0 // not transactional, and between the others
		case rnd.IntN(3) == 0: // also without data before it, which is legal
			b.kind, b.count = commitMarker, 1
			decided := committed
			if rnd.IntN(2) == 0 {
				b.kind, decided = abortMarker, aborted
			}
			for _, i := range open[b.producer] {
				out.fates[i] = decided
			}
			delete(open, b.producer)
		default:
			b.kind = transactional
			if rnd.IntN(6) == 0 { // the cleaner was here
				b.deltas = []int32{0, 2}
			}
			if rnd.IntN(4) == 0 {
				b.valueBytes = 200_000 // so that markers come to stand in other blocks
			}
			open[b.producer] = append(open[b.producer], len(out.fates))
		}
		out.fates = append(out.fates, committed)
		if b.kind == transactional {
			out.fates[len(out.fates)-1] = undecided
		}
		if rnd.IntN(3) == 0 {
			out.log.cuts = append(out.log.cuts, len(out.log.batches))
		}
		out.log.batches = append(out.log.batches, b)
		at = b.nextOffset()
	}
	out.log.next = at
	return out
}

// want are the records that come back, and how many do not.
func (x *txLog) want() (records []kafkatest.Record, droppedAborted, droppedUndecided int64) {
	for i, b := range x.log.batches {
		n := int64(len(b.records()))
		switch {
		case b.control():
		case x.fates[i] == aborted:
			droppedAborted += n
		case x.fates[i] == undecided:
			droppedUndecided += n
		default:
			records = append(records, b.records()...)
		}
	}
	return records, droppedAborted, droppedUndecided
}

// Committed records come back plain, aborted ones and those of transactions that were
// open do not, whatever producers did between each other.
func TestTransactionsAgainstTheModel(t *testing.T) {
	rnd := random(t)
	w := newWorld(t)
	var topics []sourceTopic
	logs := make([]txLog, 12)
	for i := range logs {
		logs[i] = randomTxLog(rnd)
		topics = append(topics, topicOf(fmt.Sprintf("tx-%02d", i), []sourceLog{logs[i].log}))
	}
	w.backUp(t, topics)
	r := w.restore(t, Request{})
	for i := range logs {
		name := topics[i].Name
		records, droppedAborted, droppedUndecided := logs[i].want()
		got := r.Partitions[i]
		if got.Records != int64(len(records)) || got.DroppedAborted != droppedAborted || got.DroppedUndecided != droppedUndecided {
			t.Errorf("%s: %d records, %d aborted, %d undecided, want %d, %d, %d", name, got.Records, got.DroppedAborted, got.DroppedUndecided,
				len(records), droppedAborted, droppedUndecided)
		}
		from := int64(0)
		if got.Offsets == "exact" {
			from = logs[i].log.start
		}
		sameRecords(t, moved(records, from), w.read(t, name))
		if t.Failed() {
			for j, b := range logs[i].log.batches {
				t.Logf("%s: [%d, %d) producer %d kind %d fate %d", name, b.firstOffset, b.nextOffset(), b.producer, b.kind, logs[i].fates[j])
			}
			return
		}
	}
}

// A view that ends between the data and its marker knows nothing of the marker.
func TestTransactionThatEndsBehindTheView(t *testing.T) {
	w := newWorld(t)
	log := logOf(
		batch{firstOffset: 0, count: 2},
		batch{firstOffset: 2, count: 3, producer: 7, kind: transactional},
		batch{firstOffset: 5, count: 1, producer: 8, kind: transactional},
		batch{firstOffset: 6, producer: 8, kind: commitMarker},
		batch{firstOffset: 7, producer: 7, kind: commitMarker},
	)
	log.next = 7
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{log})}, groupOf("g", "orders", 3), groupOf("h", "orders", 6))
	r := w.restore(t, Request{Groups: true})
	if p := r.Partitions[0]; p.Records != 3 || p.DroppedUndecided != 3 || p.DroppedAborted != 0 {
		t.Errorf("got %+v, want 3 records and 3 undecided", p)
	}
	want := []string{"g 2", "h 3"} // to the next record that is there, and to the end
	var got []string
	for _, g := range r.Groups {
		got = append(got, fmt.Sprint(g.Group, " ", g.Offsets[0].TargetOffset))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups: -want +got:\n%s", diff)
	}
}
