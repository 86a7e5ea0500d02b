package blob

import "context"

// Setting is one setting of what holds a store's objects, as a bucket, and whether it fits a vault.
type Setting struct {
	Name string
	Text string // what it is, for people
	Fit  Fit
	Hint string // what to do about it
}

// Fit says whether a setting fits.
type Fit int

// From good to bad.
const (
	Fits Fit = iota
	Doubtful
	Harmful
)

// Configured is a [Store] that can say how what holds its objects is set.
type Configured interface {
	// Settings reads them for a vault with a lock, or without one. What may not be read is
	// among them, and says so.
	Settings(ctx context.Context, lock Lock) []Setting
}
