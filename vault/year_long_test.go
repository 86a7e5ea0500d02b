//go:build long

package vault

import (
	"flag"
	"testing"
)

var days = flag.Int64("days", 365, "how long the year of TestYear is")

// TestYear lets a year go by: 52,560 backups by cron, and 1,051,200 commits of a process.
func TestYear(t *testing.T) {
	for name, b := range map[string]busy{"cron": everyTenMinutes(144 * *days), "process": everyHalfMinute(2880**days, 10)} {
		t.Run(name, b.report)
	}
}
