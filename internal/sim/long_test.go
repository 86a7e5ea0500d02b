//go:build long

package sim_test

import "testing"

func TestManyVaultSchedules(t *testing.T) { inEpoch0.test(t, 5000) }

func TestManyTurnSchedules(t *testing.T) { withTurns.test(t, 2000) }
