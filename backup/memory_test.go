package backup

import "testing"

// TestDivide: the shares of a budget, with what is used twice, are all of it.
func TestDivide(t *testing.T) {
	defaults := Options{}.withDefaults()
	if m := Divide(DefaultMemory); m.BufferBytes != defaults.BufferBytes || m.PackBytes != defaults.PackBytes || m.FetchBytes != fetchParts*defaults.BufferBytes {
		t.Errorf("the default budget is divided into %+v", m)
	}
	for _, total := range []int64{16 << 20, 100_000_000, DefaultMemory, 2 << 30} {
		m := Divide(total)
		// One buffer fills while one is encoded into frames; one pack fills while two are under way,
		// and one of them is larger by a buffer at most.
		if sum := int64(m.FetchBytes + 3*m.BufferBytes + 3*m.PackBytes + m.BufferBytes); sum > total || sum < total-memoryParts {
			t.Errorf("of %d bytes %d are given out: %+v", total, sum, m)
		}
	}
	if m := Divide(1 << 50); m.PackBytes+m.BufferBytes >= 1<<30 {
		t.Errorf("a pack may be as large as %d", m.PackBytes+m.BufferBytes)
	}
}
