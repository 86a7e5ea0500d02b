package lineage

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/vault/internal/format"
)

// TestJoin: what is lost of a view, and what gaps there are, is the same for rows that were
// joined, whatever they are.
func TestJoin(t *testing.T) {
	joined := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var plain, short Set
		at, epoch := r.Int64N(3), int32(1)
		for range 2 + r.IntN(10) {
			row := randomRow(r, at, &epoch)
			plain.Rows = append(plain.Rows, Row{Row: row})
			short.Join(&row)
			if at = row.NextOffset; r.IntN(6) == 0 {
				at += r.Int64N(4) - 2 // lost, or stored twice
			}
			at = max(at, 0)
		}
		if r.IntN(3) == 0 {
			gap := format.Gap{FirstOffset: r.Int64N(20), NextOffset: 21}
			plain.Gaps, short.Gaps = append(plain.Gaps, gap), append(short.Gaps, gap)
		}
		joined += len(plain.Rows) - len(short.Rows)
		for last := int32(NoEpoch); last <= epoch; last++ {
			view := View{LogStartOffset: r.Int64N(6), NextOffset: at + 1, LastEpoch: last}
			want, got := plain.Cover(view), short.Cover(view)
			if diff := cmp.Diff(joinRanges(want.Lost), joinRanges(got.Lost)); diff != "" {
				t.Fatalf("seed %d, view %+v: lost (-each row +joined)\n%s\nrows %+v\njoined %+v", seed, view, diff, plain.Rows, short.Rows)
			}
			if diff := cmp.Diff(want.Gaps, got.Gaps); diff != "" {
				t.Fatalf("seed %d, view %+v: gaps (-each row +joined)\n%s", seed, view, diff)
			}
		}
	}
	if joined < 1000 {
		t.Errorf("%d rows were joined", joined)
	}
}

// randomRow is a row of up to three offsets: empty, of one leader epoch or two, perhaps with
// nothing in front, or with legacy batches.
func randomRow(r *rand.Rand, at int64, epoch *int32) format.Row {
	row := format.Row{FirstOffset: at, NextOffset: at + 1 + r.Int64N(3), BaseOffset: at}
	if r.IntN(8) == 0 {
		return row
	}
	row.Length = 1
	if r.IntN(6) == 0 && row.NextOffset > at+1 {
		row.BaseOffset++
	}
	first := row.BaseOffset
	if r.IntN(10) == 0 && row.NextOffset > first+1 {
		first++
	}
	row.Epochs = []format.EpochStart{{Epoch: *epoch, FirstOffset: first}}
	if r.IntN(6) == 0 && row.NextOffset > first+1 {
		*epoch++
		row.Epochs = append(row.Epochs, format.EpochStart{Epoch: *epoch, FirstOffset: first + 1})
	}
	if r.IntN(8) == 0 {
		*epoch = max(1, *epoch+r.Int32N(3)-1)
	}
	return row
}

// joinRanges puts ranges that touch together.
func joinRanges(in []Range) []Range {
	var out []Range
	for _, r := range in {
		if n := len(out); n > 0 && out[n-1].NextOffset == r.FirstOffset {
			out[n-1].NextOffset = r.NextOffset
			continue
		}
		out = append(out, r)
	}
	return out
}
