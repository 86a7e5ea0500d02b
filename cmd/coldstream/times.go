package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeForms is the hint to a time that cannot be read.
const timeForms = "write it as 2026-11-22T14:05:00Z, as '2026-11-22 14:05' in local time, as -30m or -2d, or in milliseconds since 1970"

// parseTime reads a time as people write it: RFC 3339, a local time, a distance from now, or
// milliseconds since 1970.
func parseTime(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if ago, is := strings.CutPrefix(text, "-"); is {
		d, err := parseDays(ago)
		if err != nil {
			return time.Time{}, fmt.Errorf("%q is no time", text)
		}
		return now.Add(-d), nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 {
		return time.UnixMilli(ms), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time", text)
}
