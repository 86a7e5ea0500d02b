//go:build long

package vault

import (
	"flag"
	"testing"
)

var days = flag.Int64("days", 36, "how long the process of TestYear goes on")

// TestYear lets a year of backups by cron go by, 52,560 of them, and some days of a process
// that commits every 30 s.
func TestYear(t *testing.T) {
	for name, b := range map[string]busy{"cron": everyTenMinutes(52_560), "process": everyHalfMinute(2880**days, 10)} {
		t.Run(name, b.report)
	}
}
