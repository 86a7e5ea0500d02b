package restore

import (
	"testing"

	"coldstream/recordbatch"
)

func TestFirstSegmentEndsWhereABrokerBeginsTheNext(t *testing.T) {
	const hour = 3_600_000
	batchAt := func(ms int64) recordbatch.Batch {
		b, err := recordbatch.Filler(1, ms, recordbatch.Producer{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	size := int64(len(batchAt(0)))
	tests := []struct {
		name      string
		rollBytes int64
		times     []int64
		newest    int64
		ended     bool
	}{
		{"times close together", 1 << 30, []int64{5 * hour, 6 * hour, 4 * hour}, 6 * hour, false},
		{"exactly as far apart as may be", 1 << 30, []int64{hour, 25 * hour}, 25 * hour, false},
		{"far apart", 1 << 30, []int64{hour, 2 * hour, 25*hour + 1, 3 * hour}, 2 * hour, true},
		{"back in time", 1 << 30, []int64{90 * hour, hour, 100 * hour}, 100 * hour, false},
		{"full", 2 * size, []int64{hour, 3 * hour, 2 * hour, 9 * hour}, 3 * hour, true},
		{"without times", 1 << 30, []int64{-1, -1, 90 * hour}, 90 * hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := firstSegment{rollMs: 24 * hour, rollBytes: tt.rollBytes}
			for _, ms := range tt.times {
				s.add(batchAt(ms))
			}
			if s.newestMs != tt.newest || s.ended != tt.ended {
				t.Errorf("newest %d, ended %v, want %d, %v", s.newestMs, s.ended, tt.newest, tt.ended)
			}
		})
	}
}
