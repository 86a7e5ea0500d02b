package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"coldstream/bench/workload"
	"coldstream/kafka/kafkatest"
)

const (
	relayedListener = "RELAYED"
	// otherFiles is how many a broker has open besides one for each partition.
	otherFiles = 1000

	latencyWorkload = "latency"
	farName         = "latency-20"
	nearName        = "latency-0"
)

// growth measures backups of what has more of one thing: one workload after the other,
// each with all its rounds, so that the broker has never more partitions than it must.
func (s *session) growth(ctx context.Context) (err error) {
	if s.old != "" {
		return s.readers(ctx)
	}
	if s.relay, err = startRelay(ctx, oneWay); err != nil {
		return err
	}
	config := brokerConfig()
	config.Listeners = map[string]string{relayedListener: "PLAINTEXT"}
	config.Advertised = map[string]string{relayedListener: s.relay.addr}
	if s.source, err = kafkatest.StartShared(config); err != nil {
		return err
	}
	if err := s.relay.to(s.source.ListenerAddrs(relayedListener)[0]); err != nil {
		return fmt.Errorf("tell the relay where the broker is: %w", err)
	}
	for i := range s.workloads {
		w := &s.workloads[i]
		if err := enoughFiles(w); err != nil {
			s.report.LeftOut = append(s.report.LeftOut, fmt.Sprintf("%s: %v", w.Name, err))
			continue
		}
		measure := s.grown
		if w.Topics > 0 {
			measure = s.flushes
		}
		if err := measure(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// enoughFiles says if a broker may have as many files open as a workload has partitions.
func enoughFiles(w *workload.Workload) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("ask how many files may be open: %w", err)
	}
	if need := uint64(w.AllPartitions()) + otherFiles; limit.Max < need {
		return fmt.Errorf("the broker would have %d files open, and may have %d: see ulimit -Hn", need, limit.Max)
	}
	return nil
}

// grown measures first backups of one topic by each tool, from the broker and, of one
// workload, through the relay, too.
func (s *session) grown(ctx context.Context, w *workload.Workload) error {
	if err := s.load(ctx, w, w.Name, s.seed); err != nil {
		return err
	}
	views := []job{{name: w.Name, from: s.source.Bootstrap()}}
	if w.Name == latencyWorkload {
		views = []job{{name: nearName, from: s.source.Bootstrap()}, {name: farName, from: s.relay.addr}}
	}
	for round := 0; round <= s.rounds; round++ {
		for _, view := range views {
			s.report.Workloads[view.name] = s.report.Workloads[w.Name]
			jobs, err := s.newJobs(*w)
			if err != nil {
				return err
			}
			for _, j := range jobs {
				j.name, j.from = view.name, view.from
			}
			if err := s.backups(ctx, jobs, round); err != nil {
				return err
			}
			for _, j := range jobs {
				if err := os.RemoveAll(j.dir); err != nil {
					return err
				}
			}
		}
	}
	return forget(ctx, s.source, w.Topic())
}

// flushes measures backups into a vault that has everything already: one that finds
// nothing new, and one that finds a batch in each partition.
func (s *session) flushes(ctx context.Context, w *workload.Workload) error {
	size := strings.TrimPrefix(w.Name, "many-")
	t := tools()[slices.Index(toolNames(tools()), coldstreamTool)]
	j, err := s.newJob(*w)
	if err != nil {
		return err
	}
	if err := s.load(ctx, w, w.Name, s.seed); err != nil {
		return err
	}
	j.name = "first-" + size
	if err := j.backup(ctx, t, 0); err != nil {
		return err
	}
	for round := 0; round <= s.rounds; round++ {
		j.name = "idle-" + size
		if err := j.backupAgain(ctx, t, round); err != nil {
			return err
		}
		j.name = "active-" + size
		if err := s.load(ctx, w, j.name, s.seed+uint64(round)+1); err != nil {
			return err
		}
		if err := j.backupAgain(ctx, t, round); err != nil {
			return err
		}
	}
	return os.RemoveAll(j.dir)
}

// latencyVerdicts say how much longer a backup through the relay takes.
func (r *Report) latencyVerdicts() []string {
	near, far := map[string]Measurement{}, map[string][]Measurement{}
	for _, m := range r.Measurements {
		switch m.Workload {
		case nearName:
			near[m.Tool+roundOf(m)] = m
		case farName:
			far[m.Tool] = append(far[m.Tool], m)
		}
	}
	var out []string
	for _, tool := range toolNames(tools()) {
		if len(far[tool]) == 0 {
			continue
		}
		others := map[string]Measurement{}
		for _, m := range far[tool] {
			n := m
			n.Workload = nearName
			others[roundOf(m)] = near[tool+roundOf(n)]
		}
		s := summarize(key{farName, backupOperation, tool}, far[tool], others)
		out = append(out, fmt.Sprintf("latency: with %d ms between broker and %s and back it takes %.2f times as long as without", 2*oneWay.Milliseconds(), tool, s.WallRatio))
	}
	return out
}
