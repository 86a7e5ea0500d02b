package lineage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"coldstream"
	"coldstream/vault/internal/format"
)

// stretch is offsets and the leader epochs in them.
type stretch struct {
	firstOffset, nextOffset int64
	epochs                  []format.EpochStart
}

func row(first, next int64, pairs ...int64) stretch {
	s := stretch{firstOffset: first, nextOffset: next}
	for i := 0; i < len(pairs); i += 2 {
		s.epochs = append(s.epochs, format.EpochStart{Epoch: int32(pairs[i]), FirstOffset: pairs[i+1]})
	}
	return s
}

// rowNamed makes a stored row whose batches' size is its name.
func rowNamed(name byte, e stretch) Row {
	r := Row{Row: format.Row{
		FirstOffset: e.firstOffset, NextOffset: e.nextOffset, BaseOffset: e.firstOffset,
		Length: int64(name), Batches: 1, Records: e.nextOffset - e.firstOffset, Epochs: e.epochs,
	}}
	if name == 0 {
		r.Records, r.Batches = 0, 0
	}
	return r
}

func (c Coverage) String() string {
	type part struct {
		at   int64
		text string
	}
	var parts []part
	for _, r := range c.Runs {
		name := "-"
		if r.SizeBytes > 0 {
			name = string(rune(r.SizeBytes))
		}
		parts = append(parts, part{r.FirstOffset, fmt.Sprintf("%s[%d,%d)", name, r.FirstOffset, r.NextOffset)})
	}
	for _, g := range c.Gaps {
		parts = append(parts, part{g.FirstOffset, fmt.Sprintf("%s[%d,%d)", g.Cause, g.FirstOffset, g.NextOffset)})
	}
	for _, l := range c.Lost {
		parts = append(parts, part{l.FirstOffset, fmt.Sprintf("LOST[%d,%d)", l.FirstOffset, l.NextOffset)})
	}
	slices.SortFunc(parts, func(a, b part) int { return int(a.at - b.at) })
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.text
	}
	return strings.Join(texts, " ")
}

// TestCover asks what rows make of a view: letters name rows with data, '-' empty ones.
func TestCover(t *testing.T) {
	forked := []Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(5, 8, 2, 5)), rowNamed('C', row(8, 20, 2, 8))}
	reborn := []Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(5, 14, 2, 5)), rowNamed('C', row(5, 20, 1, 5, 3, 12))}
	holed := rowNamed('A', row(0, 20, 5, 8))
	holed.BaseOffset = 8
	gap := func(first, next int64) format.Gap {
		return format.Gap{FirstOffset: first, NextOffset: next, Cause: coldstream.GapLogStartAdvanced}
	}
	view := func(first, next int64, epoch int32) View {
		return View{LogStartOffset: first, NextOffset: next, LastEpoch: epoch}
	}
	for name, c := range map[string]struct {
		rows   []Row
		gaps   []format.Gap
		starts []int64
		view   View
		want   string
	}{
		"nothing":                       {nil, nil, nil, view(5, 5, -1), ""},
		"all of it":                     {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(10, 20, 1, 10))}, nil, nil, view(0, 20, 1), "A[0,10) B[10,20)"},
		"the middle":                    {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(10, 20, 1, 10))}, nil, nil, view(4, 15, 1), "A[4,10) B[10,15)"},
		"stored twice":                  {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(0, 10, 1, 0))}, nil, nil, view(0, 10, 1), "A[0,10)"},
		"overlaps":                      {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(3, 6, 1, 3)), rowNamed('C', row(5, 15, 1, 5))}, nil, nil, view(0, 15, 1), "A[0,10) C[10,15)"},
		"a fork":                        {forked, nil, nil, view(0, 20, 2), "A[0,5) B[5,8) C[8,20)"},
		"a fork, in the view before it": {forked, nil, nil, view(0, 10, 1), "A[0,10)"},
		"a fork in one row":             {[]Row{rowNamed('A', row(0, 10, 1, 0, 2, 7)), rowNamed('B', row(4, 9, 3, 4))}, nil, nil, view(0, 9, 3), "A[0,4) B[4,9)"},
		"an epoch that was never":       {reborn, nil, nil, view(0, 20, 3), "A[0,10) C[10,20)"},
		"an epoch that was, then":       {reborn, nil, nil, view(0, 14, 2), "A[0,5) B[5,14)"},
		"gap":                           {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(15, 20, 1, 15))}, []format.Gap{gap(10, 15)}, nil, view(0, 20, 1), "A[0,10) log_start_advanced[10,15) B[15,20)"},
		"gap that others had saved":     {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(10, 20, 1, 10))}, []format.Gap{gap(5, 15)}, nil, view(0, 20, 1), "A[0,10) B[10,20)"},
		"gap at the end":                {[]Row{rowNamed('A', row(0, 10, 1, 0))}, []format.Gap{gap(10, 30)}, nil, view(0, 20, 1), "A[0,10) log_start_advanced[10,20)"},
		"gap around a row":              {[]Row{rowNamed('A', row(5, 6, 1, 5))}, []format.Gap{gap(0, 10)}, nil, view(0, 10, 1), "log_start_advanced[0,5) A[5,6) log_start_advanced[6,10)"},
		"lost":                          {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(15, 20, 1, 15))}, nil, nil, view(0, 25, 1), "A[0,10) LOST[10,15) B[15,20) LOST[20,25)"},
		"lost before a gap":             {[]Row{rowNamed('A', row(15, 20, 1, 15))}, []format.Gap{gap(10, 15)}, nil, view(5, 20, 1), "LOST[5,10) log_start_advanced[10,15) A[15,20)"},
		"two begun at once":             {[]Row{rowNamed('A', row(0, 3, 1, 0)), rowNamed('B', row(5, 9, 1, 5))}, nil, []int64{0, 5}, view(0, 9, 1), "A[0,3) log_start_advanced[3,5) B[5,9)"},
		"empty row":                     {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed(0, row(10, 20))}, nil, nil, view(0, 20, 1), "A[0,10) -[10,20)"},
		"empty row over data":           {[]Row{rowNamed(0, row(0, 30)), rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(20, 25, 1, 20))}, nil, nil, view(0, 30, 1), "A[0,10) -[10,20) B[20,25) -[25,30)"},
		"empty row before a fork":       {[]Row{rowNamed('A', row(0, 10, 1, 0)), rowNamed(0, row(10, 20)), rowNamed('B', row(12, 25, 2, 12))}, nil, nil, view(0, 25, 2), "A[0,10) -[10,12) B[12,25)"},
		"legacy batches":                {[]Row{rowNamed('A', row(0, 10)), rowNamed('B', row(10, 20)), rowNamed('C', row(20, 30, 5, 20))}, nil, nil, view(0, 30, 5), "A[0,10) B[10,20) C[20,30)"},
		"legacy batches, then others":   {[]Row{rowNamed('A', row(0, 20, 5, 10)), rowNamed('B', row(15, 18, 6, 15))}, nil, nil, view(0, 18, 6), "A[0,15) B[15,18)"},
		"of which an epoch was lost":    {[]Row{rowNamed('A', row(0, 20, 5, 10)), rowNamed('B', row(10, 18, 6, 10))}, nil, nil, view(0, 18, 6), "A[0,10) B[10,18)"},
		"a hole before a lost epoch":    {[]Row{holed, rowNamed('B', row(8, 18, 6, 8))}, nil, nil, view(0, 18, 6), "-[0,8) B[8,18)"},
		"legacy batches, truncated":     {[]Row{rowNamed('A', row(0, 10)), rowNamed('B', row(10, 20)), rowNamed('C', row(15, 18, 5, 15))}, nil, nil, view(0, 18, 5), "A[0,10) B[10,15) C[15,18)"},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 1))
			for range 20 {
				set := &Set{Rows: slices.Clone(c.rows), Gaps: slices.Clone(c.gaps), Starts: c.starts}
				if name != "stored twice" { // there which of the two is a matter of order
					random.Shuffle(len(set.Rows), func(i, j int) { set.Rows[i], set.Rows[j] = set.Rows[j], set.Rows[i] })
				}
				if got := set.Cover(c.view).String(); got != c.want {
					t.Fatalf("got  %s\nwant %s", got, c.want)
				}
			}
		})
	}
}

func TestRunOfRow(t *testing.T) {
	dense := rowNamed('A', row(5, 15, 1, 5))
	dense.Transactions = []format.TransactionStart{{ProducerID: 7, FirstOffset: 6}}
	run := (&Segment{5, 15, &dense, false}).Run(8, 12)
	if !run.Dense() || run.Partial || run.Records != 4 || len(run.Transactions) != 1 {
		t.Errorf("part of a dense row: %+v", run)
	}
	marked := dense
	marked.Records, marked.Markers = 8, []format.Marker{{Offset: 7}, {Offset: 12}}
	run = (&Segment{5, 15, &marked, false}).Run(8, 15)
	if run.Dense() || !run.Partial || len(run.Markers) != 1 || run.Markers[0].Offset != 12 {
		t.Errorf("part of a row with markers: %+v", run)
	}
	run = (&Segment{5, 15, &marked, false}).Run(5, 15)
	if run.Dense() || run.Partial || run.Records != 8 {
		t.Errorf("whole row with markers: %+v", run)
	}
	below := dense
	below.BaseOffset, below.Records = 3, 10
	if run = (&Segment{5, 15, &below, false}).Run(5, 15); run.Dense() || !run.Partial {
		t.Errorf("row whose first batch begins below it, with holes: %+v", run)
	}
	below.Records = 12
	if run = (&Segment{5, 15, &below, false}).Run(5, 15); !run.Dense() || run.Records != 10 {
		t.Errorf("row whose first batch begins below it: %+v", run)
	}
}

// TestCoverPrefersSoundRows: rows whose names are small letters may be damaged.
func TestCoverPrefersSoundRows(t *testing.T) {
	at := func(commitMs int64, r Row) Row {
		r.CommitMs = commitMs
		r.Doubtful = 'a' <= r.Length && r.Length <= 'z'
		return r
	}
	whole := at(1, rowNamed('a', row(0, 20, 1, 0)))
	gap := []format.Gap{{FirstOffset: 0, NextOffset: 30, Cause: coldstream.GapLogStartAdvanced}}
	for name, c := range map[string]struct {
		rows []Row
		gaps []format.Gap
		view View
		want string
	}{
		"nothing else":             {[]Row{whole}, nil, View{NextOffset: 20, LastEpoch: 1}, "a[0,20)"},
		"the same again":           {[]Row{whole, at(2, rowNamed('B', row(0, 20, 1, 0)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "B[0,20)"},
		"a part again":             {[]Row{whole, at(2, rowNamed('B', row(5, 10, 1, 5)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "a[0,5) B[5,10) a[10,20)"},
		"in two parts":             {[]Row{whole, at(2, rowNamed('B', row(0, 8, 1, 0))), at(2, rowNamed('C', row(6, 12, 1, 6)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "B[0,8) C[8,12) a[12,20)"},
		"a longer one":             {[]Row{whole, at(2, rowNamed('B', row(0, 25, 1, 0)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "B[0,20)"},
		"two that may be damaged":  {[]Row{whole, at(2, rowNamed('b', row(5, 30, 1, 5)))}, nil, View{NextOffset: 30, LastEpoch: 1}, "a[0,20) b[20,30)"},
		"and one between":          {[]Row{whole, at(2, rowNamed('b', row(5, 30, 1, 5))), at(3, rowNamed('C', row(19, 21, 1, 19)))}, nil, View{NextOffset: 30, LastEpoch: 1}, "a[0,19) C[19,21) b[21,30)"},
		"before a fork":            {[]Row{whole, at(2, rowNamed('B', row(5, 20, 2, 5)))}, nil, View{NextOffset: 20, LastEpoch: 2}, "a[0,5) B[5,20)"},
		"of a fork":                {[]Row{whole, at(2, rowNamed('B', row(5, 20, 2, 5)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "a[0,20)"},
		"a fork is not the same":   {[]Row{at(1, rowNamed('A', row(0, 20, 1, 0))), at(2, rowNamed('b', row(5, 20, 2, 5)))}, nil, View{NextOffset: 20, LastEpoch: 2}, "A[0,5) b[5,20)"},
		"a fork of which is again": {[]Row{at(1, rowNamed('A', row(0, 20, 1, 0))), at(2, rowNamed('b', row(5, 20, 2, 5))), at(3, rowNamed('C', row(8, 10, 2, 8)))}, nil, View{NextOffset: 20, LastEpoch: 2}, "A[0,5) b[5,8) C[8,10) b[10,20)"},
		"empty before":             {[]Row{at(2, rowNamed('a', row(0, 20, 1, 0))), at(1, rowNamed(0, row(0, 20)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "a[0,20)"},
		"empty at once":            {[]Row{whole, at(1, rowNamed(0, row(0, 20)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "a[0,20)"},
		"empty since":              {[]Row{whole, at(2, rowNamed(0, row(0, 20)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "-[0,20)"},
		"empty inside since":       {[]Row{whole, at(2, rowNamed(0, row(5, 10)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "a[0,5) -[5,10) a[10,20)"},
		"empty around since":       {[]Row{at(1, rowNamed('a', row(5, 10, 1, 5))), at(2, rowNamed(0, row(0, 20)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "-[0,5) -[5,20)"},
		"sound data over empty":    {[]Row{at(1, rowNamed('A', row(0, 20, 1, 0))), at(2, rowNamed(0, row(0, 30)))}, nil, View{NextOffset: 30, LastEpoch: 1}, "A[0,20) -[20,30)"},
		"in a gap":                 {[]Row{whole}, gap, View{NextOffset: 30, LastEpoch: 1}, "a[0,20) log_start_advanced[20,30)"},
		"and nothing":              {[]Row{at(1, rowNamed('a', row(5, 10, 1, 5)))}, nil, View{NextOffset: 20, LastEpoch: 1}, "LOST[0,5) a[5,10) LOST[10,20)"},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 1))
			for range 20 {
				set := &Set{Rows: slices.Clone(c.rows), Gaps: slices.Clone(c.gaps)}
				random.Shuffle(len(set.Rows), func(i, j int) { set.Rows[i], set.Rows[j] = set.Rows[j], set.Rows[i] })
				if got := set.Cover(c.view).String(); got != c.want {
					t.Fatalf("got  %s\nwant %s", got, c.want)
				}
			}
		})
	}
}
