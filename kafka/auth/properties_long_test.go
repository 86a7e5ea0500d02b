//go:build long

package auth

import (
	"math/rand/v2"
	"testing"
)

// Many more texts than are kept, and others each time.
func TestManyPropertiesAsJava(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	compareCases(t, askJava(t, somePropertiesTexts(50000, seed)))
}
