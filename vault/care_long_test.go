//go:build long

package vault

import "testing"

// TestYearOfCare is TestCare for a year.
func TestYearOfCare(t *testing.T) { careFor(t, 365) }
