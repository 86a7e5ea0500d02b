package protection

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

var now = time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)

func log(start, end, next int64) Log {
	return Log{LogOffsets: coldstream.LogOffsets{LogStartOffset: start, HighWatermark: end}, Saved: next >= 0, NextOffset: next, BeforeOffset: -1}
}

// summary is what a judgment says, in short.
func summary(t *Topic) string {
	show := func(f *float64) string {
		if f == nil {
			return "-"
		}
		return fmt.Sprint(*f)
	}
	return fmt.Sprintf("rpo %s lag %d headroom %s behind %d", show(t.RPOSeconds), t.LagRecords, show(t.HeadroomSeconds), t.BehindCount)
}

func TestJudge(t *testing.T) {
	minute := now.Add(-time.Minute)
	deleting := coldstream.Topic{CleanupPolicy: "delete", Retention: time.Hour}
	compacted := coldstream.Topic{CleanupPolicy: "compact", Retention: time.Hour}
	bySize := coldstream.Topic{CleanupPolicy: "compact,delete", RetentionBytes: 1000}
	grown := func(l Log, before, size int64) Log { l.BeforeOffset, l.SizeBytes = before, size; return l }
	away := Log{LogOffsets: coldstream.LogOffsets{Err: errors.New("no leader")}}
	for name, c := range map[string]struct {
		facts Facts
		want  string
	}{
		"saved to its end":               {Facts{Topic: deleting, SavedAt: minute, Logs: []Log{log(0, 10, 10)}}, "rpo 0 lag 0 headroom 3600 behind 0"},
		"one partition behind":           {Facts{Topic: deleting, SavedAt: minute, Logs: []Log{log(0, 10, 10), log(0, 10, 4)}}, "rpo 60 lag 6 headroom 3540 behind 1"},
		"never saved":                    {Facts{Topic: deleting, Logs: []Log{log(3, 10, -1)}}, "rpo - lag 7 headroom - behind 1"},
		"never saved, and empty":         {Facts{Topic: deleting, Logs: []Log{log(3, 3, -1)}}, "rpo 0 lag 0 headroom 3600 behind 0"},
		"saved in part":                  {Facts{Topic: deleting, Logs: []Log{log(0, 10, 5)}}, "rpo - lag 5 headroom - behind 1"},
		"a new partition":                {Facts{Topic: deleting, SavedAt: minute, Logs: []Log{log(0, 10, 10), log(0, 3, -1)}}, "rpo 60 lag 3 headroom 3540 behind 1"},
		"overtaken":                      {Facts{Topic: deleting, SavedAt: minute, Logs: []Log{log(8, 10, 4)}}, "rpo 60 lag 2 headroom 0 behind 1"},
		"the log lost its end":           {Facts{Topic: deleting, SavedAt: minute, Logs: []Log{log(0, 7, 10)}}, "rpo 60 lag 0 headroom 3540 behind 1"},
		"a partition that is away":       {Facts{Topic: deleting, SavedAt: minute, Logs: []Log{log(0, 10, 10), away}}, "rpo 60 lag 0 headroom 3600 behind 1"},
		"nothing is deleted":             {Facts{Topic: compacted, SavedAt: minute, Logs: []Log{log(0, 10, 9)}}, "rpo 60 lag 1 headroom - behind 1"},
		"by size, 10 bytes and 1 record": {Facts{Topic: bySize, SavedAt: minute, Before: minute, Logs: []Log{grown(log(0, 100, 90), 40, 1000)}}, "rpo 60 lag 10 headroom 90 behind 1"},
		"by size, at rest":               {Facts{Topic: bySize, SavedAt: minute, Before: minute, Logs: []Log{grown(log(0, 100, 90), 100, 1000)}}, "rpo 60 lag 10 headroom - behind 1"},
		"may not be seen":                {Facts{Topic: coldstream.Topic{Err: coldstream.ErrDenied}}, "rpo - lag 0 headroom - behind 0"},
	} {
		c.facts.Now = now
		got := Judge(&c.facts)
		if diff := cmp.Diff(c.want, summary(&got)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestBound(t *testing.T) {
	at := func(seconds float64) *float64 { return &seconds }
	for _, c := range []struct {
		rpo  *float64
		want bool
	}{{at(0), true}, {at(300), true}, {at(301), false}, {nil, false}} {
		topic := Topic{RPOSeconds: c.rpo}
		if topic.Bound(5 * time.Minute); *topic.OK != c.want {
			t.Errorf("RPO %v: ok %v, want %v", c.rpo, *topic.OK, c.want)
		}
	}
}

func TestLagBytes(t *testing.T) {
	known, guessed, unknown := log(0, 10, 5), log(0, 10, 8), log(0, 10, 9)
	known.SizeBytes, guessed.StoredBytes, guessed.StoredOffsets = 1000, 60, 20
	if got := Judge(&Facts{Logs: []Log{known, guessed}, Now: now}); got.LagBytes == nil || *got.LagBytes != 506 {
		t.Errorf("lag in bytes: %v, want 506", got.LagBytes)
	}
	if got := Judge(&Facts{Logs: []Log{known, unknown}, Now: now}); got.LagBytes != nil {
		t.Errorf("lag in bytes: %v, want none: nobody tells the size of one log", *got.LagBytes)
	}
}
