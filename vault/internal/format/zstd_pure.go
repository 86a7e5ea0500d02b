//go:build !cgo

package format

// newFastest makes the encoder that there is without cgo.
func newFastest() (fastest, error) { return newPureFastest() }
