package vault

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/vault/internal/format"
)

func starts(pairs ...int64) []format.EpochStart {
	var out []format.EpochStart
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, format.EpochStart{Epoch: int32(pairs[i]), FirstOffset: pairs[i+1]})
	}
	return out
}

func row(first, next int64, epochs ...int64) extent {
	return extent{firstOffset: first, nextOffset: next, epochs: starts(epochs...)}
}

// TestHeadExtends folds extents one by one; what does not join is left out.
func TestHeadExtends(t *testing.T) {
	for name, c := range map[string]struct {
		extents []extent
		joins   string // per extent: y or n
		next    int64
		reach   int64
		lineage []format.EpochStart
	}{
		"rows join":                    {[]extent{row(0, 10, 1, 0), row(10, 20, 1, 10)}, "yy", 20, 20, starts(1, 0)},
		"a hole":                       {[]extent{row(0, 10, 1, 0), row(11, 20, 1, 11)}, "yn", 10, 10, starts(1, 0)},
		"a newer epoch behind a hole":  {[]extent{row(0, 10, 1, 0), row(11, 20, 2, 11)}, "yn", 10, 10, starts(1, 0)},
		"the same twice":               {[]extent{row(0, 10, 1, 0), row(0, 10, 1, 0)}, "yy", 10, 10, starts(1, 0)},
		"an overlap":                   {[]extent{row(0, 10, 1, 0), row(5, 15, 1, 5)}, "yy", 15, 15, starts(1, 0)},
		"a gap, and what follows":      {[]extent{row(0, 10, 1, 0), row(10, 30), row(30, 40, 1, 30)}, "yyy", 40, 40, starts(1, 0)},
		"a gap past the head":          {[]extent{row(0, 10, 1, 0), row(12, 30)}, "yn", 10, 10, starts(1, 0)},
		"a first batch from below":     {[]extent{row(0, 10, 1, 0), row(10, 15), row(15, 20, 1, 13)}, "yyy", 20, 20, starts(1, 0)},
		"legacy batches say no epoch":  {[]extent{row(0, 10), row(10, 20), row(20, 30, 5, 20)}, "yyy", 30, 30, starts(5, 20)},
		"an epoch inside a row":        {[]extent{row(0, 10, 1, 0, 2, 6)}, "y", 10, 10, starts(1, 0, 2, 6)},
		"truncation":                   {[]extent{row(0, 10, 1, 0), row(5, 8, 2, 5)}, "yy", 8, 10, starts(1, 0, 2, 5)},
		"truncation to the begin":      {[]extent{row(0, 10, 1, 0), row(0, 8, 2, 0)}, "yy", 8, 10, starts(2, 0)},
		"twice":                        {[]extent{row(0, 10, 1, 0), row(5, 8, 2, 5), row(3, 4, 3, 3)}, "yyy", 4, 10, starts(1, 0, 3, 3)},
		"a fork goes on":               {[]extent{row(0, 10, 1, 0), row(5, 8, 2, 5), row(10, 20, 1, 10)}, "yyy", 8, 20, starts(1, 0, 2, 5)},
		"a fork with a hole":           {[]extent{row(0, 10, 1, 0), row(5, 8, 2, 5), row(11, 20, 1, 11)}, "yyn", 8, 10, starts(1, 0, 2, 5)},
		"a gap on a fork":              {[]extent{row(0, 10, 1, 0), row(5, 8, 2, 5), row(10, 20), row(20, 30, 1, 20)}, "yyyy", 8, 30, starts(1, 0, 2, 5)},
		"behind the fork, not joining": {[]extent{row(0, 10, 1, 0), row(5, 8, 2, 5), row(9, 20, 2, 9)}, "yyn", 8, 10, starts(1, 0, 2, 5)},
		// Two unclean elections: the log of epoch 2 is lost, that of epoch 1 comes back.
		"an epoch that was never": {[]extent{row(0, 10, 1, 0), row(5, 8, 2, 5), row(5, 20, 1, 5, 3, 12)}, "yyy", 20, 20, starts(1, 0, 3, 12)},
	} {
		t.Run(name, func(t *testing.T) {
			h := beginScan(nil, format.Scan{})
			joins := ""
			for _, e := range c.extents {
				before := h.clone()
				if h.extend(e) {
					joins += "y"
					continue
				}
				joins += "n"
				if diff := cmp.Diff(before, h, wholeHeads); diff != "" {
					t.Errorf("what does not join changed the head: %s", diff)
				}
			}
			if joins != c.joins || h.nextOffset != c.next || h.reach != c.reach {
				t.Errorf("joins %s, next %d, reach %d; want %s, %d, %d", joins, h.nextOffset, h.reach, c.joins, c.next, c.reach)
			}
			if diff := cmp.Diff(c.lineage, h.epochs.Lineage()); diff != "" {
				t.Errorf("lineage: %s", diff)
			}
		})
	}
}

// TestHeadInEveryOrder folds the same extents in every order, trying again what did not
// join: the head must not hang on the order.
func TestHeadInEveryOrder(t *testing.T) {
	for name, extents := range map[string][]extent{
		"rows":              {row(0, 10, 1, 0), row(10, 20, 1, 10), row(5, 15, 1, 5), row(20, 25, 2, 20)},
		"truncation":        {row(0, 10, 1, 0), row(10, 20, 1, 10), row(5, 8, 2, 5), row(8, 9, 2, 8)},
		"two truncations":   {row(0, 10, 1, 0), row(10, 20, 1, 10), row(5, 30, 2, 5), row(8, 10, 3, 8), row(10, 11, 3, 10)},
		"a lost epoch":      {row(0, 10, 1, 0), row(5, 8, 2, 5), row(5, 20, 1, 5, 3, 12), row(20, 30, 3, 20)},
		"a gap":             {row(0, 10, 1, 0), row(10, 20), row(20, 30, 1, 20)},
		"a gap then a fork": {row(0, 10, 1, 0), row(10, 20), row(20, 30, 1, 20), row(25, 27, 2, 25)},
	} {
		t.Run(name, func(t *testing.T) {
			var want *headState
			permute(extents, func(order []extent) {
				h := beginScan(nil, format.Scan{})
				waiting := slices.Clone(order)
				for len(waiting) > 0 {
					was := len(waiting)
					waiting = slices.DeleteFunc(waiting, h.extend)
					if len(waiting) == was {
						t.Fatalf("%v never join in the order %v", waiting, order)
					}
				}
				if want == nil {
					want = h
				}
				if diff := cmp.Diff(want, h, wholeHeads); diff != "" {
					t.Fatalf("order %v: %s", order, diff)
				}
			})
		})
	}
}

// permute calls f with every order of list (Heap's algorithm).
func permute[T any](list []T, f func([]T)) {
	list = slices.Clone(list)
	var rec func(n int)
	rec = func(n int) {
		if n <= 1 {
			f(list)
			return
		}
		for i := range n {
			rec(n - 1)
			if j := n - 1; n%2 == 0 {
				list[i], list[j] = list[j], list[i]
			} else {
				list[0], list[j] = list[j], list[0]
			}
		}
	}
	rec(len(list))
}

func TestBeginScan(t *testing.T) {
	h := beginScan(nil, format.Scan{FirstOffset: 5})
	if h.nextOffset != 5 || h.scan != 0 || h.floor != -1 {
		t.Fatalf("first scan: %+v", h)
	}
	h.extend(row(5, 10, 1, 5))
	// Another writer met the stream at once, when its log start was further.
	if h = beginScan(h, format.Scan{FirstOffset: 12}); h.nextOffset != 12 {
		t.Errorf("second begin of a scan: next offset %d, want 12", h.nextOffset)
	}
	if h = beginScan(h, format.Scan{FirstOffset: 3}); h.nextOffset != 12 {
		t.Errorf("third begin of a scan, lower: next offset %d, want 12", h.nextOffset)
	}
	h = beginScan(h, format.Scan{Number: 2, FirstOffset: 1})
	if h.scan != 2 || h.nextOffset != 1 || len(h.epochs) != 0 {
		t.Errorf("a new scan: %+v", h)
	}
	if h = beginScan(h, format.Scan{Number: 1, FirstOffset: 50}); h.scan != 2 || h.nextOffset != 1 {
		t.Errorf("a scan that is over moved the head: %+v", h)
	}
}

func TestCovers(t *testing.T) {
	h := beginScan(nil, format.Scan{Number: 1})
	for _, e := range []extent{row(0, 10, 1, 0), row(5, 8, 2, 5)} {
		h.extend(e)
	}
	h.floor = 2
	for name, c := range map[string]struct {
		h    *headState
		view format.View
		want bool
	}{
		"unknown stream":       {nil, format.View{}, false},
		"whole":                {h, format.View{Scan: 1, LogStartOffset: 2, NextOffset: 8, LastEpoch: 2}, true},
		"past the head":        {h, format.View{Scan: 1, LogStartOffset: 2, NextOffset: 9, LastEpoch: 2}, false},
		"of the fork":          {h, format.View{Scan: 1, LogStartOffset: 2, NextOffset: 10, LastEpoch: 1}, true},
		"past the fork":        {h, format.View{Scan: 1, LogStartOffset: 2, NextOffset: 11, LastEpoch: 1}, false},
		"below the floor":      {h, format.View{Scan: 1, LogStartOffset: 1, NextOffset: 8, LastEpoch: 2}, false},
		"a scan that is over":  {h, format.View{Scan: 0, LogStartOffset: 2, NextOffset: 99, LastEpoch: 2}, true},
		"a scan never started": {h, format.View{Scan: 2, LogStartOffset: 2, NextOffset: 3, LastEpoch: 2}, false},
	} {
		if got := c.h.covers(c.view); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
