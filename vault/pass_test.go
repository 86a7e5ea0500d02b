package vault

import (
	"cmp"
	"math/rand/v2"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

var (
	wholeHeads = gocmp.AllowUnexported(headState{}, lineage.Start{}, holes{}, passState{})
	// headsOfBases leaves out what bases do not keep, or not of all streams.
	headsOfBases = gocmp.Options{wholeHeads, cmpopts.IgnoreFields(headState{}, "startedMs", "holes", "pass")}
	// extentOfHeads is likewise for what writers are told.
	extentOfHeads = cmpopts.IgnoreFields(Head{}, "Started", "Pass", "HolesAt")
)

// TestPassesInEveryOrder takes passes in random orders: which is the newest does not depend
// on it, and is what the format's page says.
func TestPassesInEveryOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var all []passState
		for range 1 + r.IntN(5) {
			p := passState{known: true, scan: r.Uint32N(3), nextOffset: r.Int64N(3), listed: r.IntN(3) > 0}
			if p.listed {
				p.asOfMs, p.retention = r.Int64N(3), 1000*r.Int64N(2)
			}
			all = append(all, p)
		}
		var want passState
		for i, order := range [][]int{r.Perm(len(all)), r.Perm(len(all)), r.Perm(len(all))} {
			var got passState
			for _, at := range order {
				got.merge(all[at])
			}
			if i == 0 {
				want = got
			}
			if got != want {
				t.Fatalf("of %+v in another order: %+v, and %+v", all, want, got)
			}
		}
		for _, p := range all {
			further := cmp.Or(cmp.Compare(p.scan, want.scan), cmp.Compare(p.nextOffset, want.nextOffset))
			if further > 0 || further == 0 && (p.asOfMs == 0 && want.asOfMs != 0 || want.asOfMs != 0 && p.asOfMs > want.asOfMs) {
				t.Fatalf("of %+v the newest is said to be %+v", all, want)
			}
		}
	}
}

// TestHoles knows which rows lack offsets, and forgets those that a pass has seen.
func TestHoles(t *testing.T) {
	full := format.Row{FirstOffset: 10, NextOffset: 20, BaseOffset: 10, Records: 10}
	for name, c := range map[string]struct {
		change func(*format.Row)
		want   bool
	}{
		"each offset has a record": {func(*format.Row) {}, false},
		"control records":          {func(r *format.Row) { r.Records, r.Markers = 8, make([]format.Marker, 2) }, false},
		"a record lacks":           {func(r *format.Row) { r.Records-- }, true},
		"empty":                    {func(r *format.Row) { r.Records = 0 }, true},
		"the first lacks":          {func(r *format.Row) { r.BaseOffset, r.Records = 11, 9 }, true},
		"begins in a batch":        {func(r *format.Row) { r.BaseOffset, r.Records = 8, 12 }, true}, // what lacks cannot be told
		"one was compacted since":  {func(r *format.Row) { r.BaseOffset = 8 }, true},
	} {
		row := full
		c.change(&row)
		if got := isHoley(&row); got != c.want {
			t.Errorf("%s: holey %t, want %t", name, got, c.want)
		}
	}

	h := beginScan(nil, format.Scan{StartedMs: 5})
	h.add(extent{firstOffset: 0, nextOffset: 10, holey: true, commitMs: 100})
	h.add(extent{firstOffset: 10, nextOffset: 20, commitMs: 200})
	if h.holes != (holes{10, 100}) {
		t.Errorf("holes %+v, want those of offset 10", h.holes)
	}
	h.pass.merge(passState{known: true, listed: true, nextOffset: 20, asOfMs: 150})
	h.forgetHoles()
	h.add(extent{firstOffset: 0, nextOffset: 20, holey: true, commitMs: 300}) // of a slower writer
	if h.holes != (holes{}) {
		t.Errorf("holes %+v, which the pass has seen", h.holes)
	}
	h.add(extent{firstOffset: 20, nextOffset: 30, holey: true, commitMs: 400})
	if stored := h.storedPass(0); stored.AsOfMs != 0 || stored.NextOffset != 20 {
		t.Errorf("a base says %+v although there are holes behind the pass", stored)
	}
	again := beginScan(h, format.Scan{Number: 1, StartedMs: 500})
	if again.pass.scan != 0 || again.holes != (holes{}) || again.startedMs != 500 || !again.hasPassToKeep() {
		t.Errorf("a new scan begins with %+v", again)
	}
}
