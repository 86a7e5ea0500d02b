//go:build long

package main

import (
	"testing"
)

// slack is how much worse than the page a small run on a busy machine may be.
const slack = 1.5

// TestRatiosAreThoseOfThePage guards against regressions: it measures a tenth of the
// workloads, and compares with what docs/benchmarks.md says was measured. Wall time says
// something only if the machine had nothing else to do; processor time does always.
func TestRatiosAreThoseOfThePage(t *testing.T) {
	report, err := Run(t.Context(), &options{workloads: "W1,W2,W3", tools: "coldstream", rounds: 3, scale: 0.1, seed: 1, dir: t.TempDir()}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	report.Write(t.Output())
	page := readPage(t)
	for _, s := range report.Summaries() {
		for _, target := range targets() {
			if s.tool == "coldstream" && s.operation == target.Operation && s.workload == target.Workload {
				compare(t, &target, &s, report.Workloads[s.workload], page[s.operation+" "+s.workload])
			}
		}
	}
}

func compare(t *testing.T, target *Target, s *Summary, f fact, row pageRow) {
	t.Helper()
	name := s.operation + " " + s.workload
	if s.operation == restoreOperation && s.Records != "same" {
		t.Errorf("%s: the records are not the same: %s", name, s.Records)
	}
	switch got := target.cpu(s, f); {
	case !row.cpuIsMeasured:
		t.Logf("%s: CPU %.2f; the page has no number to compare with", name, got)
	case got > slack*row.cpu:
		t.Errorf("%s: CPU %.2f, the page says %.2f", name, got, row.cpu)
	}
	switch got := target.wall(s); {
	case !row.wallIsMeasured:
		t.Logf("%s: wall %.2f; the page has no number to compare with", name, got)
	case s.Noisy == s.Rounds:
		t.Logf("%s: wall %.2f, not compared: all rounds were noisy", name, got)
	case got > slack*max(row.wall, 1):
		t.Errorf("%s: wall %.2f, the page says %.2f", name, got, row.wall)
	}
}

// TestFarAwayIsNotFar guards the speed of vaults that are far away: a quarter of the workload,
// beside a folder in the same round.
func TestFarAwayIsNotFar(t *testing.T) {
	o := &options{far: true, scale: 0.25, seed: 1, dir: t.TempDir()}
	o.fill()
	report, err := Run(t.Context(), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	report.Write(t.Output())
	compared := 0
	for _, s := range report.Summaries() {
		if s.operation == restoreOperation && s.Records != "same" {
			t.Errorf("%s %s: the records are not the same: %s", s.operation, s.tool, s.Records)
		}
		for _, target := range farTargets() {
			if s.operation != target.Operation || s.tool != target.Tool {
				continue
			}
			compared++
			if s.Noisy < s.Rounds && s.share() < target.Share/slack {
				t.Errorf("%s %s: %.2f of the folder's speed, want %.2f", s.operation, s.tool, s.share(), target.Share)
			}
		}
	}
	if compared != len(farTargets()) {
		t.Errorf("%d of %d targets were measured", compared, len(farTargets()))
	}
}
