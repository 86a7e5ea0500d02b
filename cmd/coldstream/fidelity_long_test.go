//go:build long

package main

import "testing"

// More seeds than guard each change.
func TestFidelityOfManySeeds(t *testing.T) {
	for range 15 {
		t.Run("dense", TestDenseTopicComesBackToTheByte)
		t.Run("leading gap", TestLeadingGapComesBackExactly)
		t.Run("transactions", TestTransactionsComeBackDecided)
		t.Run("compacted", TestCompactedTopicWithHoles)
		t.Run("compaction between backups", TestCompactionBetweenBackups)
		t.Run("two at once", TestTwoBackupsAtOnce)
	}
}

func TestManyKilledBackups(t *testing.T) {
	realCluster(t)
	binary := buildProgram(t)
	for range 20 {
		t.Run("kill", func(t *testing.T) { testKilledBackups(t, binary) })
	}
}
