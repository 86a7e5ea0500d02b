package main

import (
	"fmt"
	"strings"
	"testing"
)

// took is a measurement of a backup of W1.
func took(tool string, round int, wall, cpu float64) Measurement {
	return Measurement{Workload: "W1", Operation: backupOperation, Tool: tool, Round: round, Wall: wall, CPU: cpu}
}

func TestRatiosAreWithinARound(t *testing.T) {
	r := newReport(&options{})
	// The machine is three times slower in round 2, and the tool no worse for that.
	r.Measurements = []Measurement{
		took("coldstream", 1, 2, 4), took(limitTool, 1, 1, 1),
		took(limitTool, 2, 3, 3), took("coldstream", 2, 6, 12),
		took(limitTool, 3, 1, 1), took("coldstream", 3, 2, 4),
	}
	got := r.Summaries()
	if len(got) != 2 || got[0].tool != limitTool {
		t.Fatalf("got %+v, want limit and coldstream", got)
	}
	if s := got[1]; s.WallRatio != 2 || s.CPURatio != 4 || s.Wall != 2 {
		t.Errorf("ratios %g and %g of %g s, want 2 and 4 of 2 s", s.WallRatio, s.CPURatio, s.Wall)
	}
}

func TestNoisyRoundsDoNotCount(t *testing.T) {
	r := newReport(&options{})
	noisy := took(limitTool, 2, 10, 1)
	noisy.Noise = "others used 50 % of the machine"
	r.Measurements = []Measurement{
		took(limitTool, 1, 1, 1), took("coldstream", 1, 2, 2),
		noisy, took("coldstream", 2, 2, 2), // not noisy itself, but what it is compared with is
	}
	s := r.Summaries()[1]
	if s.WallRatio != 2 || s.Noisy != 1 || s.Rounds != 2 {
		t.Errorf("ratio %g with %d of %d noisy, want 2 with 1 of 2", s.WallRatio, s.Noisy, s.Rounds)
	}
	var b strings.Builder
	r.Write(&b)
	if !strings.Contains(b.String(), "1 of 2") {
		t.Errorf("the table does not say that a round was noisy:\n%s", b.String())
	}
	r.Measurements = r.Measurements[2:]
	if s := r.Summaries()[1]; s.WallRatio != 0.2 || s.Noisy != 1 {
		t.Errorf("with noisy rounds only: ratio %g with %d noisy, want 0.2 with 1", s.WallRatio, s.Noisy)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		walls []float64
		want  float64
	}{{[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 3, 2, 1}, 2.5}} {
		s := Summary{}
		for _, wall := range c.walls {
			s.pairs = append(s.pairs, pair{tool: Measurement{Wall: wall}})
		}
		if got := s.median(func(p pair) float64 { return p.tool.Wall }); got != c.want {
			t.Errorf("median of %v is %g, want %g", c.walls, got, c.want)
		}
	}
}

func TestNoise(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      Measurement
		stolen float64
		want   bool
	}{
		{"quiet", Measurement{Wall: 10, OtherCPU: 0.1}, 0, false},
		{"others", Measurement{Wall: 1, OtherCPU: 500}, 0, true},
		{"too short to tell", Measurement{Wall: 0.01, OtherCPU: 0.02}, 0.02, false},
		{"stolen", Measurement{Wall: 1}, 500, true},
	} {
		if got := noise(c.m, c.stolen); (got != "") != c.want {
			t.Errorf("%s: noise is %q", c.name, got)
		}
	}
}

func TestVerdicts(t *testing.T) {
	verdicts := func(change func(*Measurement)) string {
		r := newReport(&options{})
		r.Workloads["W1"] = fact{}
		f := r.Workloads["W1"]
		f.StoredBytes = 1e9
		r.Workloads["W1"] = f
		m := took("coldstream", 1, 1.9, 4.9)
		m.Stored, m.PeakRSS = 219e6, 299<<20
		change(&m)
		r.Measurements = []Measurement{took(limitTool, 1, 1, 1), m}
		return fmt.Sprint(r.Verdicts())
	}
	if got := verdicts(func(*Measurement) {}); strings.Contains(got, "MISSED") || strings.Count(got, "met") != 4 {
		t.Errorf("got %s, want 4 targets met", got)
	}
	for name, change := range map[string]func(*Measurement){
		"wall":   func(m *Measurement) { m.Wall = 2.1 },
		"CPU":    func(m *Measurement) { m.CPU = 5.1 },
		"stored": func(m *Measurement) { m.Stored = 221e6 },
		"memory": func(m *Measurement) { m.PeakRSS = 301 << 20 },
	} {
		if got := verdicts(change); strings.Count(got, "MISSED") != 1 {
			t.Errorf("%s above its target: got %s", name, got)
		}
	}
}

func TestARestoreThatLosesRecordsMissesItsTarget(t *testing.T) {
	r := newReport(&options{})
	r.Workloads["W2"] = fact{}
	for _, records := range []string{"same", "count"} {
		limit, m := took(limitTool, 1, 1, 1), took("coldstream", 1, 1, 1)
		limit.Workload, m.Workload = "W2", "W2"
		limit.Operation, m.Operation, m.Records = restoreOperation, restoreOperation, records
		r.Measurements = []Measurement{limit, m}
		if got := fmt.Sprint(r.Verdicts()); strings.Contains(got, "not the same") != (records != "same") {
			t.Errorf("records %q: got %s", records, got)
		}
	}
}

// TestLatencyIsComparedWithinARound holds that each tool is compared with itself without
// the way, and in the same round.
func TestLatencyIsComparedWithinARound(t *testing.T) {
	r := newReport(&options{})
	for round, slow := range []float64{1, 3, 1} { // the machine, in each round
		for _, m := range []Measurement{
			took(limitTool, round+1, 1*slow, 1), took(limitTool, round+1, 2*slow, 1),
			took(coldstreamTool, round+1, 2*slow, 1), took(coldstreamTool, round+1, 3*slow, 1),
		} {
			m.Workload = nearName
			if len(r.Measurements)%2 == 1 {
				m.Workload = farName
			}
			r.Measurements = append(r.Measurements, m)
		}
	}
	got := fmt.Sprint(r.latencyVerdicts())
	if !strings.Contains(got, "limit and back it takes 2.00 times") || !strings.Contains(got, "coldstream and back it takes 1.50 times") {
		t.Errorf("got %s, want 2 and 1.5 times", got)
	}
}

func TestWhatHasNoLimitHasNoRatio(t *testing.T) {
	r := newReport(&options{})
	r.Measurements = []Measurement{took(coldstreamTool, 1, 1, 1)}
	row := r.Summaries()[0].row()
	if row[2] != "1.00" || row[3] != "" || row[5] != "" {
		t.Errorf("got %q, want no ratios", row)
	}
}
