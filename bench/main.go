// Bench measures what a backup and a restore cost, against the least that they could
// cost: it starts two real Kafka brokers of one node, fills one, and lets tools bring its
// topics out and into the other, one after the other, round after round. See
// docs/benchmarks.md for what is measured and how to read it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"coldstream/bench/workload"
)

// options are the command line.
type options struct {
	workloads string
	tools     string
	growth    bool
	far       bool
	rounds    int
	scale     float64
	seed      uint64
	dir       string
	old       string
	json      string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // main
	defer stop()
	err := run(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		err = nil
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == childCommand {
		return runChild(ctx, args[1:], os.Stdout)
	}
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.growth, "growth", false, "measure what grows with partitions and with the way to the broker, instead")
	f.BoolVar(&o.far, "far", false, "measure vaults in object storage, also with 30 ms added to each request, against one in a folder, instead")
	f.StringVar(&o.workloads, "workloads", "", fmt.Sprintf("what to measure with (default %s; with -growth %s; with -far %s)", workload.Names(workload.All()), workload.Names(workload.Growth()), workload.Names(workload.Far())))
	f.StringVar(&o.tools, "tools", "", fmt.Sprintf("what to measure (default %s; with -growth %s; with -far %s); %s, with -far %s, is always measured, since all else is compared with it", strings.Join(toolNames(tools()), ","), coldstreamTool, strings.Join(toolNames(farTools()), ","), limitTool, folderTool))
	f.IntVar(&o.rounds, "rounds", 0, "how often (default 5; with -growth or -far 3)")
	f.Float64Var(&o.scale, "scale", 1, "how many records, as a share of the full workload")
	f.Uint64Var(&o.seed, "seed", 1, "of the records")
	f.StringVar(&o.dir, "dir", "", "where tools put their backups (default: the system's folder for temporary files, where the brokers' logs are)")
	f.StringVar(&o.old, "old", "", "with -growth: measure what readers of vaults take that are years old, and nothing else; the vaults are made in this folder, which takes half an hour, and stay there")
	f.StringVar(&o.json, "json", "", "write all measurements to this file, too")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.fill()
	if o.far && o.growth || o.old != "" && !o.growth {
		return errors.New("usage: -far or -growth, not both; -old with -growth")
	}
	if f.NArg() > 0 || o.rounds < 1 || o.scale <= 0 {
		return fmt.Errorf("usage: no arguments, at least one round, a scale above 0; got %v, %d, %g", f.Args(), o.rounds, o.scale)
	}
	report, err := Run(ctx, &o, os.Stderr)
	if err != nil {
		return err
	}
	report.Write(os.Stdout)
	if o.json == "" {
		return nil
	}
	return writeJSON(o.json, report)
}

// fill gives what was not said its default.
func (o *options) fill() {
	names, rounds := toolNames(o.allTools()), 5
	switch {
	case o.growth:
		names, rounds = []string{coldstreamTool}, 3
	case o.far:
		rounds = 3
	}
	if o.workloads == "" {
		o.workloads = workload.Names(o.all())
	}
	if o.tools == "" {
		o.tools = strings.Join(names, ",")
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
}

// all are the workloads that there are to choose from.
func (o *options) all() []workload.Workload {
	switch {
	case o.growth:
		return workload.Growth()
	case o.far:
		return workload.Far()
	}
	return workload.All()
}

// allTools are the tools that there are to choose from.
func (o *options) allTools() []tool {
	if o.far {
		return farTools()
	}
	return tools()
}

// base is the tool that all others are compared with.
func (o *options) base() string {
	if o.far {
		return folderTool
	}
	return limitTool
}

func writeJSON(path string, report *Report) error {
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode measurements: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write measurements: %w", err)
	}
	return nil
}

// logf says what goes on.
func logf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...) // there is nobody to tell
}
