//go:build long

package vault

import "testing"

// TestDamageMillionBits flips a million bits, half of them in a vault that has turned.
// Each bit of the two vaults is met about a dozen times.
func TestDamageMillionBits(t *testing.T) {
	for how, s := range sounds(t) {
		t.Run(how+"vault", func(t *testing.T) {
			t.Parallel()
			s.flipBits(t, how, 500_000)
		})
	}
}
