//go:build long

package sim_test

import "testing"

func TestManyVaultSchedules(t *testing.T) { inEpoch0.test(t, 5000) }

func TestManyTurnSchedules(t *testing.T) { withTurns.test(t, 2000) }

func TestManyHandOverSchedules(t *testing.T) { handingOver.test(t, 1000) }

func TestManyMisreadSchedules(t *testing.T) { misreading.test(t, 1000) }

func TestManyDamageSchedules(t *testing.T) { spoiling.test(t, 2000) }
