package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// pageRow is what docs/benchmarks.md says of one operation on one workload. measured is
// false where it says nothing yet.
type pageRow struct {
	target         string
	wall, cpu      float64
	wallIsMeasured bool
	cpuIsMeasured  bool
}

// readPage reads the table of targets and results.
func readPage(t *testing.T) map[string]pageRow {
	t.Helper()
	text, err := os.ReadFile("../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]pageRow{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 6 || !strings.HasPrefix(cells[0], backupOperation+" ") && !strings.HasPrefix(cells[0], restoreOperation+" ") {
			continue
		}
		row := pageRow{target: strings.Join(cells[1:4], " ")}
		row.wall, row.wallIsMeasured = number(t, cells[4])
		row.cpu, row.cpuIsMeasured = number(t, cells[5])
		rows[cells[0]] = row
	}
	return rows
}

func number(t *testing.T, cell string) (float64, bool) {
	t.Helper()
	if cell == "-" {
		return 0, false
	}
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		t.Errorf("docs/benchmarks.md: %q is neither a number nor -", cell)
	}
	return v, err == nil
}

func TestThePageHasOurTargets(t *testing.T) {
	page := readPage(t)
	if len(page) != len(targets()) {
		t.Errorf("the page has %d rows, want %d", len(page), len(targets()))
	}
	for _, target := range targets() {
		cpu := ""
		if target.CPURatio > 0 {
			cpu = fmt.Sprintf("%.1f", target.CPURatio)
		} else if target.CPUPerGB > 0 {
			cpu = fmt.Sprintf("%.1f s/GB", target.CPUPerGB)
		}
		want := fmt.Sprintf("%.1f %v %s", target.WallRatio, strconv.FormatFloat(target.WallExtra, 'f', -1, 64), cpu)
		name := target.Operation + " " + target.Workload
		if got := page[name].target; got != want {
			t.Errorf("%s: the page says %q, want %q", name, got, want)
		}
	}
}

// TestMain lets this program be its own child, as bench is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childCommand {
		if err := run(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
