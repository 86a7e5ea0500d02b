//go:build long

package sim_test

import "testing"

func TestManyVaultSchedules(t *testing.T) { testVault(t, 5000) }
