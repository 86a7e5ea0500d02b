package backup

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/vault"
)

// TestGapFromOffset0: a head at offset 0 is a head. What is lost from there on was never
// saved, and is no beginning of a stream.
func TestGapFromOffset0(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.holds(t, w.run(t, Options{}).Snapshot, "orders-0 [0, 0) 0 records")
	w.produce(t, "orders", 0, 5)
	w.deleteRecords(t, "orders", 3)
	r := w.run(t, Options{})
	if diff := cmp.Diff([]coldstream.Gap{gap("orders", 0, 3, coldstream.GapLogStartAdvanced)}, r.Gaps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	w.holds(t, r.Snapshot, "orders-0 [3, 5) 2 records")
}

// TestPutBack: what a failed commit had taken goes in front of what came meanwhile, and
// nothing of it is forgotten.
func TestPutBack(t *testing.T) {
	var s coldstream.Stream
	s.Topic = "orders"
	tp := s.TopicPartition()
	c := newCollector(&run{plan: &plan{partitions: []*partition{{stream: s}}}})
	gather := func(first int64) {
		c.waiting.add(tp, vault.Piece{FirstOffset: first, NextOffset: first + 1, Batches: []byte{1}})
		c.waiting.gaps = append(c.waiting.gaps, vault.StreamGap{Stream: s, FirstOffset: first + 1, NextOffset: first + 2})
		c.waiting.scans = append(c.waiting.scans, vault.ScanStart{Stream: s, FirstOffset: first})
	}
	gather(0)
	gather(2)
	taken := c.takeWaiting()
	gather(4)
	c.putBack(taken)
	all := c.takeWaiting()
	var got [3][]int64
	for _, p := range c.data(&all)[0].Pieces {
		got[0] = append(got[0], p.FirstOffset)
	}
	for _, g := range all.gaps {
		got[1] = append(got[1], g.FirstOffset)
	}
	for _, b := range all.scans {
		got[2] = append(got[2], b.FirstOffset)
	}
	if diff := cmp.Diff([3][]int64{{0, 2, 4}, {1, 3, 5}, {0, 2, 4}}, got); diff != "" {
		t.Errorf("pieces, gaps, scans (-want +got)\n%s", diff)
	}
}

// longerSource says of the logs that they were longer than they are.
type longerSource struct{ coldstream.Source }

func (s *longerSource) LogOffsets(ctx context.Context, tps []coldstream.TopicPartition) (map[coldstream.TopicPartition]coldstream.LogOffsets, error) {
	ends, err := s.Source.LogOffsets(ctx, tps)
	for tp, end := range ends {
		end.HighWatermark += 2
		ends[tp] = end
	}
	return ends, err
}

// A log that lost its end before that was read does not end in silence.
func TestLogThatEndsEarlierThanItDid(t *testing.T) {
	w := newWorld(t)
	w.create(t, "t", 1)
	w.produce(t, "t", 0, 3)
	r, err := Run(t.Context(), &longerSource{w.source}, w.vault, Options{Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	if want := []coldstream.Gap{gap("t", 3, 5, coldstream.GapTruncated)}; !slices.Equal(r.Gaps, want) {
		t.Errorf("gaps %v, want %v", r.Gaps, want)
	}
	w.holds(t, r.Snapshot, "t-0 [0, 5) 3 records, gap [3, 5) truncated")
	w.produce(t, "t", 0, 4)
	if again := w.run(t, Options{}); again.Records == 0 {
		t.Errorf("nothing was saved of what came since: %+v", again)
	}
}
