package lineage

import (
	"math"
	"math/rand/v2"
	"testing"

	"coldstream"
	"coldstream/vault/internal/format"
)

// TestCommittedBy: rows are committed at the time in their name: '1' at 1, and so on.
func TestCommittedBy(t *testing.T) {
	at := func(ms int64, s stretch) Row {
		r := rowNamed('x', s)
		r.CommitMs = ms
		return r
	}
	empty := func(ms int64, s stretch) Row {
		r := rowNamed(0, s)
		r.CommitMs = ms
		return r
	}
	two := []Row{at(1, row(0, 10, 1, 0)), at(3, row(10, 20, 1, 10)), at(5, row(20, 30, 1, 20))}
	truncated := []Row{at(1, row(0, 10, 1, 0)), at(3, row(6, 8, 2, 6)), at(5, row(8, 20, 2, 8))}
	for name, c := range map[string]struct {
		rows []Row
		gaps []format.Gap
		view View
		ms   int64
		want View
	}{
		"nothing since":                  {two, nil, View{NextOffset: 10, LastEpoch: 1}, 2, View{NextOffset: 10, LastEpoch: 1}},
		"a row since":                    {two, nil, View{NextOffset: 10, LastEpoch: 1}, 3, View{NextOffset: 20, LastEpoch: 1}},
		"all":                            {two, nil, View{NextOffset: 10, LastEpoch: 1}, 9, View{NextOffset: 30, LastEpoch: 1}},
		"what the view shows stays":      {two, nil, View{NextOffset: 20, LastEpoch: 1}, 0, View{NextOffset: 20, LastEpoch: 1}},
		"built on what is later":         {[]Row{at(9, row(10, 20, 1, 10)), at(4, row(20, 30, 1, 20))}, nil, View{NextOffset: 10, LastEpoch: 1}, 5, View{NextOffset: 30, LastEpoch: 1}},
		"healed since":                   {append([]Row{at(7, row(0, 10, 1, 0))}, two...), nil, View{NextOffset: 10, LastEpoch: 1}, 7, View{NextOffset: 30, LastEpoch: 1}},
		"before the log lost its end":    {truncated, nil, View{NextOffset: 10, LastEpoch: 1}, 2, View{NextOffset: 10, LastEpoch: 1}},
		"when the log had lost its end":  {truncated, nil, View{NextOffset: 10, LastEpoch: 1}, 4, View{NextOffset: 8, LastEpoch: 2}},
		"after the log had lost its end": {truncated, nil, View{NextOffset: 10, LastEpoch: 1}, 5, View{NextOffset: 20, LastEpoch: 2}},
		"a gap":                          {two[:1], []format.Gap{{FirstOffset: 10, NextOffset: 15, TimeMs: 2}}, View{NextOffset: 10, LastEpoch: 1}, 2, View{NextOffset: 15, LastEpoch: 1}},
		"a gap that was found later":     {two[:1], []format.Gap{{FirstOffset: 10, NextOffset: 15, TimeMs: 2}}, View{NextOffset: 10, LastEpoch: 1}, 1, View{NextOffset: 10, LastEpoch: 1}},
		"an empty row":                   {[]Row{two[0], empty(2, row(10, 15))}, nil, View{NextOffset: 10, LastEpoch: 1}, 2, View{NextOffset: 15, LastEpoch: 1}},
		"an empty row, truncated":        {[]Row{two[0], empty(2, row(10, 15)), at(3, row(6, 8, 2, 6))}, nil, View{NextOffset: 10, LastEpoch: 1}, 3, View{NextOffset: 8, LastEpoch: 2}},
		"an empty row of the newer one":  {[]Row{two[0], at(3, row(6, 8, 2, 6)), empty(4, row(8, 12))}, nil, View{NextOffset: 10, LastEpoch: 1}, 4, View{NextOffset: 12, LastEpoch: 2}},
		"legacy batches":                 {[]Row{at(1, row(0, 10)), at(2, row(10, 20))}, nil, View{NextOffset: 10, LastEpoch: -1}, 2, View{NextOffset: 20, LastEpoch: -1}},
		"a stream without a view":        {two, nil, View{LastEpoch: -1}, 3, View{NextOffset: 20, LastEpoch: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			set := &Set{Rows: c.rows, Gaps: c.gaps}
			if got := set.CommittedBy(c.view, c.ms); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestCommittedByIsWhatTheHeadWas: a writer that keeps where the log ended after each of its commits
// gives the same answer, whatever became of the log: it grew, lost its end, lost its start.
func TestCommittedByIsWhatTheHeadWas(t *testing.T) {
	type head struct {
		next  int64
		epoch int32
	}
	truncations := 0
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 2))
		set := &Set{}
		var heads []head // after the commit at each time
		now := head{epoch: 1}
		for ms := range int64(2 + r.IntN(12)) {
			first := now.next
			if r.IntN(5) == 0 && now.next > 0 {
				first, now.epoch, truncations = r.Int64N(now.next+1), now.epoch+1+r.Int32N(2), truncations+1
			} else if r.IntN(6) == 0 {
				now.epoch++
			}
			now.next = first + 1 + r.Int64N(4)
			stored := Row{Row: format.Row{FirstOffset: first, NextOffset: now.next, BaseOffset: first, Length: 1, CommitMs: ms}}
			stored.Epochs = []format.EpochStart{{Epoch: now.epoch, FirstOffset: first}}
			set.Rows = append(set.Rows, stored)
			if r.IntN(8) == 0 {
				gap := format.Gap{FirstOffset: now.next, NextOffset: now.next + 1 + r.Int64N(3), TimeMs: ms, Cause: coldstream.GapLogStartAdvanced}
				set.Gaps = append(set.Gaps, gap)
				now.next = gap.NextOffset
			}
			heads = append(heads, now)
		}
		from := r.IntN(len(heads))
		view := View{NextOffset: heads[from].next, LastEpoch: heads[from].epoch}
		r.Shuffle(len(set.Rows), func(i, j int) { set.Rows[i], set.Rows[j] = set.Rows[j], set.Rows[i] })
		for ms := from; ms < len(heads); ms++ {
			want := View{NextOffset: heads[ms].next, LastEpoch: heads[ms].epoch}
			if got := set.CommittedBy(view, int64(ms)); got != want {
				t.Fatalf("seed %d: from %d, at %d: got %+v, want %+v\nrows %+v\ngaps %+v", seed, from, ms, got, want, set.Rows, set.Gaps)
			}
		}
		if got := set.CommittedBy(view, math.MaxInt64); got.NextOffset != now.next {
			t.Fatalf("seed %d: all of it ends at %d, want %d", seed, got.NextOffset, now.next)
		}
	}
	if truncations < 1000 {
		t.Errorf("%d truncations", truncations)
	}
}
