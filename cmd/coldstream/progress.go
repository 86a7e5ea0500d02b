package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"coldstream"
	"coldstream/internal/terminal"
)

const (
	terminalInterval = 200 * time.Millisecond
	plainInterval    = 10 * time.Second
	lineWidth        = 100
)

// progress is the observer for people: one line that is written over on a terminal, a
// plain line now and then elsewhere. Warnings are printed in either case.
type progress struct {
	env      *env
	quiet    bool // no progress, only warnings
	verbose  bool // details too
	terminal bool

	mu      sync.Mutex
	started time.Time
	last    time.Time
	drawn   bool
	planned coldstream.Planned
	done    coldstream.Progress
}

func newProgress(e *env, global *globalOptions) *progress {
	now := e.now()
	return &progress{env: e, quiet: global.quiet || global.noProgress, verbose: global.verbose, terminal: e.stderrTerminal, started: now, last: now}
}

// Observe is the [coldstream.Observer].
func (p *progress) Observe(event coldstream.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := event.(type) {
	case *coldstream.Planned:
		p.planned, p.done = *ev, coldstream.Progress{}
		p.started = p.env.now()
		if p.verbose {
			p.env.note("%s: %s ahead in %s", ev.Activity, p.ahead(), plural(int64(ev.Partitions), "partition"))
		}
	case *coldstream.Progress:
		p.done.Activity = ev.Activity
		p.done.Offsets += ev.Offsets
		p.done.Records += ev.Records
		p.done.Bytes += ev.Bytes
		p.done.Stored += ev.Stored
		p.done.Partitions += ev.Partitions
		p.draw()
	case *coldstream.Detail:
		if p.verbose {
			p.clear()
			p.env.note("%s", ev.Text)
		}
	case *coldstream.Waiting:
		p.clear()
		p.env.note("%s", waitingLine(ev))
	case *coldstream.Notice:
		p.clear()
		p.env.note("%s", ev.Text)
		for _, line := range ev.Lines {
			p.env.note("  %s", line)
		}
	case *coldstream.Warning:
		p.clear()
		p.env.note("warning: %s", ev.Text)
		p.env.hint(ev.Hint)
	}
}

// ahead says how much was planned.
func (p *progress) ahead() string {
	if p.planned.Bytes > 0 {
		return formatBytes(p.planned.Bytes)
	}
	return plural(p.planned.Offsets, "offset")
}

func (p *progress) draw() {
	now, interval := p.env.now(), plainInterval
	if p.terminal {
		interval = terminalInterval
	}
	if p.quiet || now.Sub(p.last) < interval {
		return
	}
	p.last = now
	line := terminal.Visible(p.line(now))
	if p.terminal {
		fmt.Fprintf(p.env.stderr, "\r%-*.*s", lineWidth, lineWidth, line)
		p.drawn = true
		return
	}
	p.env.note("%s", line)
}

// line says how far, how fast and how long still.
func (p *progress) line(now time.Time) string {
	elapsed := now.Sub(p.started)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.done.Activity, formatBytes(p.done.Bytes))
	if elapsed > 0 {
		fmt.Fprintf(&b, ", %s/s", formatBytes(int64(float64(p.done.Bytes)/elapsed.Seconds())))
	}
	done, total := p.done.Offsets, p.planned.Offsets
	if p.planned.Bytes > 0 {
		done, total = p.done.Bytes, p.planned.Bytes
	}
	if total > 0 && done > 0 {
		share := min(1, float64(done)/float64(total))
		fmt.Fprintf(&b, ", %.0f%%", 100*share)
		if left := time.Duration(float64(elapsed) * (1 - share) / share); left > 0 {
			fmt.Fprintf(&b, ", about %s left", formatLeft(left))
		}
	}
	if p.planned.Partitions > 0 {
		fmt.Fprintf(&b, ", %s of %s done", formatCount(int64(p.done.Partitions)), plural(int64(p.planned.Partitions), "partition"))
	}
	return b.String()
}

// finish wipes the line off a terminal.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if p.drawn {
		_, _ = io.WriteString(p.env.stderr, "\r"+strings.Repeat(" ", lineWidth)+"\r") // nothing to do if the terminal is gone
		p.drawn = false
	}
}

func formatDuration(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// formatLeft says how long something will take, no more exactly than anybody can know.
func formatLeft(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(1, d.Round(time.Second)/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	}
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}

// formatAge says how long ago something was, in its largest unit or two.
func formatAge(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return fmt.Sprintf("%d days ago", d/day)
}

// waitingLine says what is waited for, since when and how long still.
func waitingLine(ev *coldstream.Waiting) string {
	line := "waiting for " + ev.For
	if ev.Elapsed >= time.Second {
		line += " since " + formatDuration(ev.Elapsed.Round(time.Second))
	}
	if ev.AtMost > 0 {
		line += ", at most " + formatDuration(ev.AtMost)
	}
	if ev.Cause != "" {
		line += ": " + ev.Cause
	}
	return line
}
