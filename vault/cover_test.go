package vault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// rowNamed makes a stored row whose batches' size is its name.
func rowNamed(name byte, e extent) storedRow {
	r := storedRow{Row: format.Row{
		FirstOffset: e.firstOffset, NextOffset: e.nextOffset, BaseOffset: e.firstOffset,
		Length: int64(name), Batches: 1, Records: e.nextOffset - e.firstOffset, Epochs: e.epochs,
	}}
	if name == 0 {
		r.Records, r.Batches = 0, 0
	}
	return r
}

func (c coverage) String() string {
	type part struct {
		at   int64
		text string
	}
	var parts []part
	for _, r := range c.runs {
		name := "-"
		if r.SizeBytes > 0 {
			name = string(rune(r.SizeBytes))
		}
		parts = append(parts, part{r.FirstOffset, fmt.Sprintf("%s[%d,%d)", name, r.FirstOffset, r.NextOffset)})
	}
	for _, g := range c.gaps {
		parts = append(parts, part{g.FirstOffset, fmt.Sprintf("%s[%d,%d)", g.Cause, g.FirstOffset, g.NextOffset)})
	}
	for _, l := range c.lost {
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
	forked := []storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(5, 8, 2, 5)), rowNamed('C', row(8, 20, 2, 8))}
	reborn := []storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(5, 14, 2, 5)), rowNamed('C', row(5, 20, 1, 5, 3, 12))}
	holed := rowNamed('A', row(0, 20, 5, 8))
	holed.BaseOffset = 8
	gap := func(first, next int64) format.Gap {
		return format.Gap{FirstOffset: first, NextOffset: next, Cause: coldstream.GapLogStartAdvanced}
	}
	view := func(first, next int64, epoch int32) View {
		return View{LogStartOffset: first, NextOffset: next, LastEpoch: epoch}
	}
	for name, c := range map[string]struct {
		rows   []storedRow
		gaps   []format.Gap
		starts []int64
		view   View
		want   string
	}{
		"nothing":                       {nil, nil, nil, view(5, 5, -1), ""},
		"all of it":                     {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(10, 20, 1, 10))}, nil, nil, view(0, 20, 1), "A[0,10) B[10,20)"},
		"the middle":                    {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(10, 20, 1, 10))}, nil, nil, view(4, 15, 1), "A[4,10) B[10,15)"},
		"stored twice":                  {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(0, 10, 1, 0))}, nil, nil, view(0, 10, 1), "A[0,10)"},
		"overlaps":                      {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(3, 6, 1, 3)), rowNamed('C', row(5, 15, 1, 5))}, nil, nil, view(0, 15, 1), "A[0,10) C[10,15)"},
		"a fork":                        {forked, nil, nil, view(0, 20, 2), "A[0,5) B[5,8) C[8,20)"},
		"a fork, in the view before it": {forked, nil, nil, view(0, 10, 1), "A[0,10)"},
		"a fork in one row":             {[]storedRow{rowNamed('A', row(0, 10, 1, 0, 2, 7)), rowNamed('B', row(4, 9, 3, 4))}, nil, nil, view(0, 9, 3), "A[0,4) B[4,9)"},
		"an epoch that was never":       {reborn, nil, nil, view(0, 20, 3), "A[0,10) C[10,20)"},
		"an epoch that was, then":       {reborn, nil, nil, view(0, 14, 2), "A[0,5) B[5,14)"},
		"gap":                           {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(15, 20, 1, 15))}, []format.Gap{gap(10, 15)}, nil, view(0, 20, 1), "A[0,10) log_start_advanced[10,15) B[15,20)"},
		"gap that others had saved":     {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(10, 20, 1, 10))}, []format.Gap{gap(5, 15)}, nil, view(0, 20, 1), "A[0,10) B[10,20)"},
		"gap at the end":                {[]storedRow{rowNamed('A', row(0, 10, 1, 0))}, []format.Gap{gap(10, 30)}, nil, view(0, 20, 1), "A[0,10) log_start_advanced[10,20)"},
		"gap around a row":              {[]storedRow{rowNamed('A', row(5, 6, 1, 5))}, []format.Gap{gap(0, 10)}, nil, view(0, 10, 1), "log_start_advanced[0,5) A[5,6) log_start_advanced[6,10)"},
		"lost":                          {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(15, 20, 1, 15))}, nil, nil, view(0, 25, 1), "A[0,10) LOST[10,15) B[15,20) LOST[20,25)"},
		"lost before a gap":             {[]storedRow{rowNamed('A', row(15, 20, 1, 15))}, []format.Gap{gap(10, 15)}, nil, view(5, 20, 1), "LOST[5,10) log_start_advanced[10,15) A[15,20)"},
		"two begun at once":             {[]storedRow{rowNamed('A', row(0, 3, 1, 0)), rowNamed('B', row(5, 9, 1, 5))}, nil, []int64{0, 5}, view(0, 9, 1), "A[0,3) log_start_advanced[3,5) B[5,9)"},
		"empty row":                     {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed(0, row(10, 20))}, nil, nil, view(0, 20, 1), "A[0,10) -[10,20)"},
		"empty row over data":           {[]storedRow{rowNamed(0, row(0, 30)), rowNamed('A', row(0, 10, 1, 0)), rowNamed('B', row(20, 25, 1, 20))}, nil, nil, view(0, 30, 1), "A[0,10) -[10,20) B[20,25) -[25,30)"},
		"empty row before a fork":       {[]storedRow{rowNamed('A', row(0, 10, 1, 0)), rowNamed(0, row(10, 20)), rowNamed('B', row(12, 25, 2, 12))}, nil, nil, view(0, 25, 2), "A[0,10) -[10,12) B[12,25)"},
		"legacy batches":                {[]storedRow{rowNamed('A', row(0, 10)), rowNamed('B', row(10, 20)), rowNamed('C', row(20, 30, 5, 20))}, nil, nil, view(0, 30, 5), "A[0,10) B[10,20) C[20,30)"},
		"legacy batches, then others":   {[]storedRow{rowNamed('A', row(0, 20, 5, 10)), rowNamed('B', row(15, 18, 6, 15))}, nil, nil, view(0, 18, 6), "A[0,15) B[15,18)"},
		"of which an epoch was lost":    {[]storedRow{rowNamed('A', row(0, 20, 5, 10)), rowNamed('B', row(10, 18, 6, 10))}, nil, nil, view(0, 18, 6), "A[0,10) B[10,18)"},
		"a hole before a lost epoch":    {[]storedRow{holed, rowNamed('B', row(8, 18, 6, 8))}, nil, nil, view(0, 18, 6), "-[0,8) B[8,18)"},
		"legacy batches, truncated":     {[]storedRow{rowNamed('A', row(0, 10)), rowNamed('B', row(10, 20)), rowNamed('C', row(15, 18, 5, 15))}, nil, nil, view(0, 18, 5), "A[0,10) B[10,15) C[15,18)"},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 1))
			for range 20 {
				set := &rowSet{rows: slices.Clone(c.rows), gaps: slices.Clone(c.gaps), starts: c.starts}
				if name != "stored twice" { // there which of the two is a matter of order
					random.Shuffle(len(set.rows), func(i, j int) { set.rows[i], set.rows[j] = set.rows[j], set.rows[i] })
				}
				if got := set.cover(c.view, nil).String(); got != c.want {
					t.Fatalf("got  %s\nwant %s", got, c.want)
				}
			}
		})
	}
}

// TestLostRangeBlames names what may have held the range, and never a commit that was read.
func TestLostRangeBlames(t *testing.T) {
	cause := errors.New("bad hash")
	joinless := &DamageError{Object: "commits/a", Kind: KindDoesNotJoin, Cause: errors.New("x")}
	altered := &DamageError{Object: "commits/b", Kind: KindAltered, Cause: cause}
	other := &DamageError{Object: "commits/c", Kind: KindMissing, Cause: errors.New("y")}
	d := lostRange(stream("orders", 1), []*DamageError{joinless, altered}, 5, 9)
	if d.Object != "commits/b" || d.Kind != KindAltered || !errors.Is(d, cause) || !errors.Is(d, coldstream.ErrCorrupt) {
		t.Errorf("one suspect: %+v", d)
	}
	if want := "object commits/b is altered, which costs orders-1 offsets [5, 9): no readable commit holds these offsets: bad hash"; d.Error() != want {
		t.Errorf("got  %s\nwant %s", d, want)
	}
	d = lostRange(stream("orders", 1), []*DamageError{joinless, altered, other}, 5, 9)
	if !strings.Contains(d.Error(), "2 objects of the catalog are damaged") {
		t.Errorf("two suspects: %v", d)
	}
	if d = lostRange(stream("orders", 1), nil, 5, 9); d.Kind != KindMissing || d.FirstOffset != 5 || d.NextOffset != 9 {
		t.Errorf("no suspect: %+v", d)
	}
}

func TestRunOfRow(t *testing.T) {
	dense := rowNamed('A', row(5, 15, 1, 5))
	dense.Transactions = []format.TransactionStart{{ProducerID: 7, FirstOffset: 6}}
	run := (&segment{5, 15, &dense, false}).run(8, 12)
	if !run.Dense() || run.Partial || run.Records != 4 || len(run.Transactions) != 1 {
		t.Errorf("part of a dense row: %+v", run)
	}
	marked := dense
	marked.Records, marked.Markers = 8, []format.Marker{{Offset: 7}, {Offset: 12}}
	run = (&segment{5, 15, &marked, false}).run(8, 15)
	if run.Dense() || !run.Partial || len(run.Markers) != 1 || run.Markers[0].Offset != 12 {
		t.Errorf("part of a row with markers: %+v", run)
	}
	run = (&segment{5, 15, &marked, false}).run(5, 15)
	if run.Dense() || run.Partial || run.Records != 8 {
		t.Errorf("whole row with markers: %+v", run)
	}
	below := dense
	below.BaseOffset, below.Records = 3, 10
	if run = (&segment{5, 15, &below, false}).run(5, 15); run.Dense() || !run.Partial {
		t.Errorf("row whose first batch begins below it, with holes: %+v", run)
	}
	below.Records = 12
	if run = (&segment{5, 15, &below, false}).run(5, 15); !run.Dense() || run.Records != 10 {
		t.Errorf("row whose first batch begins below it: %+v", run)
	}
}

// TestForkInsideABatch: logs are truncated between batches, so what straddles the begin of
// a newer epoch was lost whole: the newer log began lower, and its first batches were
// compacted away.
func TestForkInsideABatch(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	k.commit(w, Changes{Data: data(s, piece(t, 0, 9, 1)), Scans: begin(s, 0)})
	k.commit(w, Changes{Data: data(s, Piece{FirstOffset: 6, NextOffset: 10, Batches: batchOf(t, 7, 3, 2, recordbatch.CodecNone)})})
	h := k.history(View{Stream: s, NextOffset: 10, LastEpoch: 2})[0]
	if got, damage := offsets(t, h, 0); got != "0-2@1 3-5@1 7-9@2" || damage != nil {
		t.Errorf("behind the fork: %s, %v", got, damage)
	}
}
