//go:build long

package planted

import "testing"

// TestEachFaultIsCaught plants every fault. One alone: -run 'TestEachFaultIsCaught/name$'.
func TestEachFaultIsCaught(t *testing.T) {
	known := map[string]bool{}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) { mustCatch(t, &f, known) })
	}
}
