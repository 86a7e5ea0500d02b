package main

import (
	"fmt"
	"slices"
	"strings"
)

// Target is what coldstream promises for one operation on one workload. A zero is no
// promise.
type Target struct {
	Operation, Workload string
	// WallRatio times the limit's time, and WallExtra seconds, is how long it may take.
	WallRatio, WallExtra float64
	// CPURatio is to the limit's; a restore of what the vault compressed may decode it, too.
	CPURatio float64
	decodes  bool
	// CPUPerGB is in seconds for each GB of batches.
	CPUPerGB float64
	// StoredRatio is to the batches as the broker has them.
	StoredRatio float64
	Objects     int
}

// peakRSSLimit is for backups and restores of any size.
const peakRSSLimit = 300 << 20

func targets() []Target {
	return []Target{
		{Operation: backupOperation, Workload: "W1", WallRatio: 2.0, CPUPerGB: 5.0, StoredRatio: 0.22},
		{Operation: backupOperation, Workload: "W2", WallRatio: 1.3, WallExtra: 0.3, CPURatio: 2.5, StoredRatio: 1.01},
		{Operation: backupOperation, Workload: "W3", WallRatio: 1.5, WallExtra: 0.3, CPURatio: 3, Objects: 10},
		{Operation: restoreOperation, Workload: "W1", WallRatio: 1.4, WallExtra: 0.5, CPURatio: 2, decodes: true},
		{Operation: restoreOperation, Workload: "W2", WallRatio: 1.4, WallExtra: 0.5, CPURatio: 2},
		{Operation: restoreOperation, Workload: "W3", WallRatio: 1.3, WallExtra: 1},
	}
}

// Verdicts says for each target that was measured whether it was met.
func (r *Report) Verdicts() []string {
	var out []string
	for _, s := range r.Summaries() {
		if s.tool != coldstreamTool {
			continue
		}
		found := false
		for _, t := range targets() {
			if s.operation == t.Operation && s.workload == t.Workload {
				out = append(out, t.verdicts(&s, r.Workloads[s.workload])...)
				found = true
			}
		}
		switch {
		case strings.HasPrefix(s.workload, oldPrefix):
			out = append(out, s.oldVerdicts()...)
		case !found:
			out = append(out, s.memoryVerdict())
		}
	}
	return slices.Concat(out, r.latencyVerdicts(), r.farVerdicts())
}

// verdict compares, and says by how much.
func (s *Summary) verdict(what string, got, want float64) string {
	word := "met   "
	if got > want {
		word = "MISSED"
	}
	return fmt.Sprintf("%s %s %s: %s is %.2f, at most %.2f", word, s.operation, s.workload, what, got, want)
}

func (s *Summary) memoryVerdict() string {
	return s.verdict("peak memory in MB", float64(s.PeakRSS>>20), peakRSSLimit>>20)
}

func (t *Target) verdicts(s *Summary, f fact) []string {
	out := []string{s.verdict(fmt.Sprintf("(wall - %.1f s) / limit", t.WallExtra), t.wall(s), t.WallRatio)}
	if t.CPURatio > 0 {
		out = append(out, s.verdict("CPU / limit", t.cpu(s, f), t.CPURatio))
	}
	if t.CPUPerGB > 0 {
		out = append(out, s.verdict("CPU s per GB", t.cpu(s, f), t.CPUPerGB))
	}
	if t.StoredRatio > 0 {
		out = append(out, s.verdict("stored / batches", float64(s.Stored)/float64(f.StoredBytes), t.StoredRatio))
	}
	if t.Objects > 0 {
		out = append(out, s.verdict("objects", float64(s.Objects), float64(t.Objects)))
	}
	out = append(out, s.memoryVerdict())
	if t.Operation == restoreOperation && s.Records != "same" {
		out = append(out, fmt.Sprintf("MISSED %s %s: the records are not the same (%s)", s.operation, s.workload, s.Records))
	}
	return out
}

// wall is the ratio to the limit's time, without the extra.
func (t *Target) wall(s *Summary) float64 {
	return s.median(func(p pair) float64 { return (p.tool.Wall - t.WallExtra) / p.limit.Wall })
}

// cpu is the processor time as the target counts it: for each GB, or else as a ratio to
// the limit's.
func (t *Target) cpu(s *Summary, f fact) float64 {
	gb := float64(f.StoredBytes) / 1e9
	if t.CPUPerGB > 0 {
		return s.CPU / gb
	}
	decode := 0.0
	if t.decodes {
		decode = f.DecodeSecondsPerGB * gb
	}
	return s.median(func(p pair) float64 { return (p.tool.CPU - decode) / p.limit.CPU })
}
