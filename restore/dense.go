package restore

import (
	"fmt"

	"coldstream/vault"
)

// whyNotDense says which offset of a view is no record that will be produced, or "" if
// each is one.
func whyNotDense(s *vault.StreamHistory) string {
	next := s.View.LogStartOffset
	for i := range s.Runs {
		run := &s.Runs[i]
		switch {
		case run.FirstOffset != next:
			return fmt.Sprintf("offsets [%d, %d) are missing", next, run.FirstOffset)
		case len(run.Transactions) > 0 || len(run.Markers) > 0:
			return fmt.Sprintf("offsets [%d, %d) hold transactions, and no producer can write the offsets of their markers", run.FirstOffset, run.NextOffset)
		case !run.Dense():
			return fmt.Sprintf("compaction left holes in offsets [%d, %d)", run.FirstOffset, run.NextOffset)
		}
		next = run.NextOffset
	}
	if next != s.View.NextOffset {
		return fmt.Sprintf("offsets [%d, %d) are missing", next, s.View.NextOffset)
	}
	return ""
}
