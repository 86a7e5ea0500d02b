//go:build long

package epochs

import "testing"

func TestManyModelSchedules(t *testing.T) { testSchedules(t, 100000) }
