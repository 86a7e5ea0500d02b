package main

import (
	"strings"
	"testing"
	"time"

	root "coldstream"
)

// watched is a progress whose clock and output belong to the test.
func watched(global *globalOptions) (*progress, *lockedBuffer, *time.Time) {
	now, out := time.Unix(1000, 0), &lockedBuffer{}
	e := testEnv(nil)
	e.stderr, e.now = out, func() time.Time { return now }
	return newProgress(e, global), out, &now
}

func half(p *progress, now *time.Time) {
	p.Observe(&root.Planned{Activity: "backup", Partitions: 4, Offsets: 1000})
	*now = now.Add(20 * time.Second)
	p.Observe(&root.Progress{Activity: "backup", Offsets: 500, Bytes: 40_000_000, Partitions: 1})
}

func TestProgressSaysHowFarHowFastAndHowLong(t *testing.T) {
	p, out, now := watched(&globalOptions{})
	half(p, now)
	if got, want := out.String(), "coldstream: backup: 40 MB, 2.0 MB/s, 50%, about 20 s left, 1 of 4 partitions done\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.Observe(&root.Progress{Activity: "backup", Offsets: 1}) // too soon for another line
	if got := strings.Count(out.String(), "\n"); got != 1 {
		t.Errorf("%d lines", got)
	}
}

func TestProgressWritesOverItselfOnATerminal(t *testing.T) {
	p, out, now := watched(&globalOptions{})
	p.terminal = true
	half(p, now)
	p.Observe(&root.Warning{Text: "something", Hint: "do this"})
	p.finish()
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, "\rbackup: 40 MB") ||
		!strings.HasSuffix(got, "\rcoldstream: warning: something\ncoldstream: hint: do this\n") {
		t.Errorf("got %q", got)
	}
}

func TestProgressIsSilentWhereAskedTo(t *testing.T) {
	for _, global := range []*globalOptions{{quiet: true}, {noProgress: true}} {
		p, out, now := watched(global)
		half(p, now)
		p.Observe(&root.Detail{Text: "more"})
		if out.String() != "" {
			t.Errorf("%+v says %q", global, out.String())
		}
		p.Observe(&root.Warning{Text: "something"})
		if !strings.Contains(out.String(), "something") {
			t.Errorf("%+v hides a warning", global)
		}
	}
}

func TestVerboseTellsDetails(t *testing.T) {
	p, out, now := watched(&globalOptions{verbose: true, noProgress: true})
	half(p, now)
	p.Observe(&root.Detail{Text: "read orders-0"})
	if got, want := out.String(), "coldstream: backup: 1,000 offsets ahead in 4 partitions\ncoldstream: read orders-0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFiguresForPeople(t *testing.T) {
	for got, want := range map[string]string{
		formatBytes(999): "999 B", formatBytes(1000): "1.0 kB", formatBytes(2_500_000_000_000): "2.5 TB", formatBytes(1 << 62): "4.6 EB",
		formatCount(0): "0", formatCount(999): "999", formatCount(-1000): "-1,000", formatCount(1_234_567): "1,234,567",
		plural(1, "topic"): "1 topic", plural(0, "topic"): "0 topics", plural(2000, "topic"): "2,000 topics",
		formatDuration(1234 * time.Microsecond): "1ms", formatDuration(1234 * time.Millisecond): "1.2s", formatDuration(90 * time.Second): "1m30s",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestProgressSaysWhatIsWaitedForAlsoWhereItIsSilent(t *testing.T) {
	for _, global := range []*globalOptions{{}, {quiet: true}} {
		p, out, _ := watched(global)
		p.Observe(&root.Waiting{For: "the ends of the logs", Cause: "a-0: no leader", Elapsed: 3100 * time.Millisecond, AtMost: 10 * time.Minute})
		if got, want := out.String(), "coldstream: waiting for the ends of the logs since 3s, at most 10m0s: a-0: no leader\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
