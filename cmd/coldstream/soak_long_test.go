//go:build long

package main

import (
	"testing"
	"time"
)

// TestStorm: the same faults for five minutes, and the backup is killed and started again each
// few seconds all the while. Of what was acknowledged nothing is lost, and what the cluster deleted before
// it was saved is told.
func TestStorm(t *testing.T) {
	s := newSoak(t, 10*time.Second)
	s.kills = true
	s.goesOn(5*time.Minute, 12*time.Second)
	s.ends()
	t.Logf("%d faults, %d kills", s.faults, s.killed)
	if s.faults < len(soakFaults()) || s.killed < 30 {
		t.Error("that was no storm")
	}
}
