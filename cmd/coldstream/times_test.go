package main

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, zone)
	for text, want := range map[string]string{
		"2026-11-22T14:05:00Z":      "2026-11-22T14:05:00Z",
		"2026-11-22T14:05:00+01:00": "2026-11-22T13:05:00Z",
		"2026-11-22 14:05":          "2026-11-22T12:05:00Z",
		"2026-11-22 14:05:30":       "2026-11-22T12:05:30Z",
		"-30m":                      "2026-11-30T09:30:00Z",
		"-2d":                       "2026-11-28T10:00:00Z",
		"1700000000000":             "2023-11-14T22:13:20Z",
		"0":                         "1970-01-01T00:00:00Z",
	} {
		got, err := parseTime(text, now)
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v, want %s", text, got.UTC(), err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-", "--5m", "30m", "2026-11-22", "2026-13-01 00:00", "-5", "1e3", "99999999999999999999"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}
