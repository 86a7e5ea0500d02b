//go:build long

package vault

import "testing"

// TestYear lets a year go by: 52,560 backups by cron, and 1,051,200 commits of a process.
func TestYear(t *testing.T) {
	for name, b := range map[string]busy{"cron": everyTenMinutes(52_560), "process": everyHalfMinute(1_051_200, 10)} {
		t.Run(name, b.report)
	}
}
