//go:build !(libzstd && cgo)

package format

// newFastest makes the encoder that every build has: libzstd has to be asked for, for a C
// compiler takes its time for it.
func newFastest() (fastest, error) { return newPureFastest() }
