package main

import (
	"slices"
	"strings"
	"testing"
)

// TestReadersOfLittle measures readers of small old vaults, with a real broker.
func TestReadersOfLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Kafka; run without -short")
	}
	o := &options{growth: true, rounds: 1, scale: 0.001, seed: 1, dir: t.TempDir(), old: t.TempDir()}
	o.fill()
	report, err := Run(t.Context(), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(report.Summaries()); got != 10 {
		t.Errorf("%d commands were measured, want 10", got)
	}
}

// TestGrowthOfLittle runs all of growth, small, against a real broker.
func TestGrowthOfLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Kafka; run without -short")
	}
	o := &options{growth: true, rounds: 1, scale: 0.02, seed: 1, dir: t.TempDir()}
	o.fill()
	report, err := Run(t.Context(), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	report.Write(&table)
	t.Logf("%s", table.String())
	var got []string
	for _, s := range report.Summaries() {
		got = append(got, s.workload+" "+s.tool)
		if stored := report.Workloads[s.workload].StoredBytes; strings.HasPrefix(s.workload, "idle-") {
			if s.Stored > 100_000 {
				t.Errorf("%s: a backup that found nothing new stored %d bytes", s.workload, s.Stored)
			}
		} else if s.Stored < stored/10 || s.Objects == 0 {
			t.Errorf("%s: %s stored %d bytes in %d objects, of %d", s.workload, s.tool, s.Stored, s.Objects, stored)
		}
		if s.workload == farName && s.Wall < 4*oneWay.Seconds() {
			t.Errorf("%s got through the relay in %.3f s", s.tool, s.Wall)
		}
	}
	want := []string{
		"one limit", "one coldstream", "catchup limit", "catchup coldstream",
		"latency-0 limit", "latency-0 coldstream", "latency-20 limit", "latency-20 coldstream",
		"idle-5000 coldstream", "active-5000 coldstream", "idle-10000 coldstream", "active-10000 coldstream",
	}
	if !slices.Equal(got, want) {
		t.Errorf("measured %q, want %q", got, want)
	}
	for _, no := range []string{"NaN", "Inf", "left out"} {
		if strings.Contains(table.String(), no) {
			t.Errorf("the table says %s", no)
		}
	}
}
