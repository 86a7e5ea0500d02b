//go:build race

package vault

// Under the race detector everything takes ten times as long.
const raceDetector = true
