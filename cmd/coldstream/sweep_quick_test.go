//go:build !long

package main

// How many storage operations, and system calls, a sweep goes on by. Those of the quick
// tier are no common divisors of anything, so that each action meets others.
const (
	sweepStride     = 7
	sweepStrideFS   = 23
	sweepStrideCall = 61
)
