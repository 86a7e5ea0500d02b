//go:build long

package main

// A long sweep leaves nothing out.
const (
	sweepStride     = 1
	sweepStrideFS   = 1
	sweepStrideCall = 1
)
