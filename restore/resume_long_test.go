//go:build long

package restore

import "testing"

func TestRestoreKilledFiveHundredTimes(t *testing.T) {
	killRestores(t, 500)
}
