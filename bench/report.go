package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
)

// Report is everything that was measured.
type Report struct {
	Version      string          `json:"version"`
	Processors   int             `json:"processors"`
	Scale        float64         `json:"scale"`
	Rounds       int             `json:"rounds"`
	Seed         uint64          `json:"seed"`
	Base         string          `json:"base"` // the tool that all others are compared with
	Workloads    map[string]fact `json:"workloads"`
	LeftOut      []string        `json:"left_out,omitempty"`
	Measurements []Measurement   `json:"measurements"`
}

func newReport(o *options) *Report {
	return &Report{Processors: runtime.NumCPU(), Scale: o.scale, Rounds: o.rounds, Seed: o.seed, Base: o.base(), Workloads: map[string]fact{}}
}

// key names what is done again in each round.
type key struct{ workload, operation, tool string }

// Summary is the middle of the rounds of one tool. Ratios are to the limit in the same
// round, and then the middle of them.
type Summary struct {
	key
	Wall, CPU, BrokerCPU float64
	StorageCPU           float64
	WallRatio, CPURatio  float64
	PeakRSS              int64 // the highest
	Stored               int64
	Objects              int
	Records              string // the worst
	Rounds, Noisy        int
	// pairs are the rounds that count, beside the limit's.
	pairs []pair
}

type pair struct{ tool, limit Measurement }

// Summaries sums up, in the order of workloads, operations and tools. Noisy rounds do not
// count, unless there is no other.
func (r *Report) Summaries() []Summary {
	limits := map[string]Measurement{}
	var keys []key
	var workloads []string // as they were measured
	byKey := map[key][]Measurement{}
	for _, m := range r.Measurements {
		k := key{m.Workload, m.Operation, m.Tool}
		if byKey[k] == nil {
			keys = append(keys, k)
			workloads = append(workloads, m.Workload)
		}
		byKey[k] = append(byKey[k], m)
		if m.Tool == r.Base {
			limits[roundOf(m)] = m
		}
	}
	names := toolNames(append(tools(), farTools()...))
	slices.SortStableFunc(keys, func(a, b key) int {
		return cmp.Or(slices.Index(workloads, a.workload)-slices.Index(workloads, b.workload), cmp.Compare(a.operation, b.operation), slices.Index(names, a.tool)-slices.Index(names, b.tool))
	})
	var out []Summary
	for _, k := range keys {
		out = append(out, summarize(k, byKey[k], limits))
	}
	return out
}

// roundOf names the measurements that belong together.
func roundOf(m Measurement) string { return fmt.Sprint(m.Workload, m.Operation, m.Round) }

func summarize(k key, all []Measurement, limits map[string]Measurement) Summary {
	s := Summary{key: k, Rounds: len(all)}
	var quiet, every []pair
	for _, m := range all {
		p := pair{m, limits[roundOf(m)]}
		every = append(every, p)
		if m.Noise == "" && p.limit.Noise == "" {
			quiet = append(quiet, p)
		} else {
			s.Noisy++
		}
		s.PeakRSS, s.Stored, s.Objects = max(s.PeakRSS, m.PeakRSS), max(s.Stored, m.Stored), max(s.Objects, m.Objects)
		s.Records = worse(s.Records, m.Records)
	}
	s.pairs = quiet
	if len(quiet) == 0 {
		s.pairs = every
	}
	s.Wall = s.median(func(p pair) float64 { return p.tool.Wall })
	s.CPU = s.median(func(p pair) float64 { return p.tool.CPU })
	s.BrokerCPU = s.median(func(p pair) float64 { return p.tool.BrokerCPU })
	s.StorageCPU = s.median(func(p pair) float64 { return p.tool.StorageCPU })
	s.WallRatio = s.median(func(p pair) float64 { return p.tool.Wall / p.limit.Wall })
	s.CPURatio = s.median(func(p pair) float64 { return p.tool.CPU / p.limit.CPU })
	return s
}

// worse is the one of two answers of [workload.Digest.Same] that promises less.
func worse(a, b string) string {
	order := []string{"", "same", "values", "count", "differ"}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

func (s *Summary) median(of func(pair) float64) float64 {
	var values []float64
	for _, p := range s.pairs {
		values = append(values, of(p))
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// Write prints the table, which is also Markdown, and what came of the targets.
func (r *Report) Write(w io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "\ncoldstream %s, %d processors, scale %g, %d rounds, seed %d\n\n", r.Version, r.Processors, r.Scale, r.Rounds, r.Seed)
	rows := [][]string{
		{"what", "tool", "wall s", "x " + r.Base, "CPU s", "x " + r.Base, "broker CPU s", "storage CPU s", "peak MB", "stored MB", "objects", "records", "noisy"},
	}
	summaries := r.Summaries()
	for i := range summaries {
		rows = append(rows, summaries[i].row())
	}
	writeTable(&b, rows)
	for _, text := range r.LeftOut {
		fmt.Fprintf(&b, "\nleft out: %s\n", text)
	}
	fmt.Fprintln(&b)
	for _, line := range r.Verdicts() {
		fmt.Fprintln(&b, line)
	}
	_, _ = io.WriteString(w, b.String()) // there is nobody to tell
}

func (s *Summary) row() []string {
	f := func(v float64) string {
		if math.IsInf(v, 0) || math.IsNaN(v) { // there is no limit to compare with
			return ""
		}
		return fmt.Sprintf("%.2f", v)
	}
	row := []string{s.operation + " " + s.workload, s.tool, f(s.Wall), f(s.WallRatio), f(s.CPU), f(s.CPURatio), f(s.BrokerCPU), "", fmt.Sprint(s.PeakRSS >> 20), "", "", s.Records, ""}
	if s.operation == backupOperation {
		row[9], row[10] = megabytes(s.Stored), fmt.Sprint(s.Objects)
	}
	if s.StorageCPU > 0 {
		row[7] = f(s.StorageCPU)
	}
	if s.Noisy > 0 {
		row[12] = fmt.Sprintf("%d of %d", s.Noisy, s.Rounds)
	}
	return row
}

// megabytes says little of much, and more of little.
func megabytes(sizeBytes int64) string {
	mb := float64(sizeBytes) / 1e6
	if mb < 10 {
		return fmt.Sprintf("%.3f", mb)
	}
	return fmt.Sprintf("%.1f", mb)
}

func writeTable(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			if i < 2 {
				fmt.Fprintf(b, "| %-*s ", widths[i], cell)
			} else {
				fmt.Fprintf(b, "| %*s ", widths[i], cell)
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, width := range widths {
			if i < 2 {
				fmt.Fprintf(b, "|%s", strings.Repeat("-", width+2))
			} else {
				fmt.Fprintf(b, "|%s:", strings.Repeat("-", width+1))
			}
		}
		b.WriteString("|\n")
	}
}
