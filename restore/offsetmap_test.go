package restore

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seedFlag gives a random test the seed of a failure again.
var seedFlag = flag.Uint64("seed", 0, "seed of random tests; 0 for a new one")

// random is a source whose seed is printed if the test fails.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("go test ./restore -run '^%s$' -seed %d", t.Name(), seed)
		}
	})
	return rand.New(rand.NewPCG(seed, seed))
}

func TestOffsetMapOfNothing(t *testing.T) {
	m := offsetMap{start: 7, next: 7}
	for _, offset := range []int64{0, 7, 1000} {
		if got := m.translate(offset); got != 7 {
			t.Errorf("translate(%d) = %d, want the end, 7", offset, got)
		}
	}
}

func TestOffsetMapJoinsWhatIsConsecutive(t *testing.T) {
	var m offsetMap
	for _, r := range []mapped{{0, 10, 3}, {3, 13, 2}, {7, 15, 1}, {8, 16, 1}, {9, 18, 1}} {
		m.add(r)
	}
	want := []mapped{{0, 10, 5}, {7, 15, 2}, {9, 18, 1}}
	if diff := cmp.Diff(want, m.runs); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// modelMap is obviously right: it knows every record.
type modelMap struct {
	source, target []int64 // of each record that was restored
	next           int64
}

// translate is the hazards' rule: the first restored record at or after the offset.
func (m *modelMap) translate(offset int64) int64 {
	for i, source := range m.source {
		if source >= offset {
			return m.target[i]
		}
	}
	return m.next
}

func TestOffsetMapAgainstTheModel(t *testing.T) {
	rnd := random(t)
	for range 300 {
		start := rnd.Int64N(5)
		m, model := offsetMap{start: start, next: start}, modelMap{next: start}
		source := rnd.Int64N(20)
		for range rnd.IntN(12) {
			source += rnd.Int64N(4)     // what was not restored
			model.next += rnd.Int64N(2) // a marker in the target, say
			m.next = model.next
			n := 1 + rnd.Int64N(5)
			m.add(mapped{Source: source, Target: m.next, Count: n})
			for range n {
				model.source, model.target = append(model.source, source), append(model.target, model.next)
				source++
				model.next++
			}
			m.next = model.next
		}
		for offset := range source + 5 {
			if got, want := m.translate(offset), model.translate(offset); got != want {
				t.Fatalf("translate(%d) = %d, want %d: runs %v, next %d", offset, got, want, m.runs, m.next)
			}
		}
		for i := 1; i < len(m.runs); i++ {
			if p, r := m.runs[i-1], m.runs[i]; p.Source+p.Count == r.Source && p.Target+p.Count == r.Target {
				t.Fatalf("runs %v could be one: maps are runs, not records", m.runs)
			}
		}
	}
}
