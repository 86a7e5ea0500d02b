package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"coldstream/bench/wire"
	"coldstream/bench/workload"
	"coldstream/kafka/kafkatest"
)

const (
	brokerHeapMB = 1024
	gonePatience = 5 * time.Minute
	gonePoll     = 50 * time.Millisecond
)

// session is one run of the benchmark.
type session struct {
	*options
	say            io.Writer
	root           string // everything of ours is below it
	jars           string
	source, target *kafkatest.Cluster // growth has no target
	relay          *relayProcess      // only growth has one
	storage        *farStorage        // only far has one
	env            []string           // of the tools, besides ours
	workloads      []workload.Workload
	tools          []tool
	report         *Report
}

// Run measures, and says what it does on say.
func Run(ctx context.Context, o *options, say io.Writer) (*Report, error) {
	s := &session{options: o, say: say, report: newReport(o)}
	s.report.Version = version(ctx)
	var err error
	if s.workloads, err = workload.Choose(o.all(), o.workloads, o.scale); err != nil {
		return nil, err
	}
	if err := s.chooseTools(); err != nil {
		return nil, err
	}
	if s.root, err = os.MkdirTemp(o.dir, "coldstream-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(s.root) //nolint:errcheck // of temporary files
	if err := s.buildPrograms(ctx); err != nil {
		return nil, err
	}
	defer s.close()
	switch {
	case o.growth:
		err = s.growth(ctx)
	case o.far:
		err = s.far(ctx)
	default:
		err = s.everything(ctx)
	}
	if err != nil {
		return nil, err
	}
	return s.report, nil
}

// everything measures backups and restores.
func (s *session) everything(ctx context.Context) error {
	if err := s.startBrokers(); err != nil {
		return err
	}
	for i := range s.workloads {
		if err := s.load(ctx, &s.workloads[i], s.workloads[i].Name, s.seed); err != nil {
			return err
		}
	}
	for round := 0; round <= s.rounds; round++ {
		if err := s.round(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) chooseTools() error {
	names := strings.Split(s.options.tools, ",")
	for _, name := range names {
		if all := toolNames(s.allTools()); !slices.Contains(all, name) {
			return fmt.Errorf("no tool %q: there are %s", name, strings.Join(all, ", "))
		}
	}
	for _, t := range s.allTools() {
		if t.name != s.base() && !slices.Contains(names, t.name) {
			continue
		}
		if t.missing != nil {
			if err := t.missing(s); err != nil {
				s.report.LeftOut = append(s.report.LeftOut, fmt.Sprintf("%s: %v", t.name, err))
				continue
			}
		}
		s.tools = append(s.tools, t)
	}
	return nil
}

// buildPrograms makes the programs that are measured, from this tree.
func (s *session) buildPrograms(ctx context.Context) error {
	if err := os.Mkdir(s.program(""), 0o755); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"go", "build", "-tags", "libzstd", "-o", s.program(""), "coldstream/cmd/coldstream"}, // as releases are
		{"go", "build", "-o", s.program(pureTool), "coldstream/cmd/coldstream"},               // as `make build` does
		{"go", "build", "-o", s.program(""), "coldstream/bench/limit"},
	} {
		if err := s.quietly(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) program(name string) string { return filepath.Join(s.root, "bin", name) }

func (s *session) startBrokers() (err error) {
	if s.source, err = kafkatest.StartShared(brokerConfig()); err != nil {
		return err
	}
	if s.target, err = kafkatest.StartShared(brokerConfig()); err != nil {
		return err
	}
	s.jars, err = findJars()
	return err
}

func brokerConfig() kafkatest.Config {
	return kafkatest.Config{HeapMB: brokerHeapMB, Properties: map[string]string{
		"log.segment.delete.delay.ms": "100", // what is deleted must be gone before the next tool starts
		"log.initial.task.delay.ms":   "100", // and a broker that just started deletes nothing, by default for 30 s
	}}
}

// brokers are those that run.
func (s *session) brokers() []*kafkatest.Cluster {
	return slices.DeleteFunc([]*kafkatest.Cluster{s.source, s.target}, func(c *kafkatest.Cluster) bool { return c == nil })
}

func (s *session) close() {
	for _, c := range s.brokers() {
		c.Close()
	}
	if s.relay != nil {
		s.relay.close()
	}
	if s.storage != nil {
		s.storage.close()
	}
}

// load fills the source with a workload, of which the report speaks by a name.
func (s *session) load(ctx context.Context, w *workload.Workload, name string, seed uint64) error {
	var f fact
	if err := child(ctx, &f, "load", "-b", s.source.Bootstrap(), "-w", w.Name,
		"-scale", strconv.FormatFloat(s.scale, 'g', -1, 64), "-seed", strconv.FormatUint(seed, 10)); err != nil {
		return err
	}
	s.report.Workloads[name] = f
	text := fmt.Sprintf("%s: %s; scale %g: %d records, %d MB as the broker has them", name, w.Title, s.scale, f.Records, f.StoredBytes/1e6)
	if f.Level1 > 0 {
		text += fmt.Sprintf(", zstd level 1 leaves %.3f", f.Level1)
	}
	logf(s.say, "%s", text)
	return nil
}

// newJob makes a job that reads from the source itself.
func (s *session) newJob(w workload.Workload) (*job, error) {
	dir, err := os.MkdirTemp(s.root, "job-")
	return &job{session: s, workload: w, name: w.Name, from: s.source.Bootstrap(), dir: dir, objects: dir, vault: filepath.Join(dir, "vault")}, err
}

// newJobs makes a job for each tool.
func (s *session) newJobs(w workload.Workload) ([]*job, error) {
	var jobs []*job
	for _, t := range s.tools {
		j, err := s.newJob(w)
		if err != nil {
			return nil, err
		}
		if t.place != nil {
			t.place(j)
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// round lets each tool handle each workload once. Round 0 warms the brokers up and
// counts for nothing. Who is first changes, so that it is no advantage.
func (s *session) round(ctx context.Context, round int) error {
	for _, w := range s.workloads {
		jobs, err := s.newJobs(w)
		if err != nil {
			return err
		}
		if err := s.backups(ctx, jobs, round); err != nil {
			return err
		}
		for i := range s.tools {
			at := (i + round) % len(s.tools)
			if err := jobs[at].restore(ctx, s.tools[at], round); err != nil {
				return err
			}
			if err := jobs[at].remove(); err != nil {
				return err
			}
		}
	}
	return nil
}

// backups lets each tool do its job.
func (s *session) backups(ctx context.Context, jobs []*job, round int) error {
	for i := range s.tools {
		at := (i + round) % len(s.tools)
		if err := jobs[at].backup(ctx, s.tools[at], round); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) backup(ctx context.Context, t tool, round int) error {
	if t.prepare != nil {
		if err := t.prepare(ctx, j); err != nil {
			return err
		}
	}
	if t.backup == nil {
		return nil
	}
	return j.backupAgain(ctx, t, round)
}

// backupAgain measures a backup into what is prepared, or holds earlier ones.
func (j *job) backupAgain(ctx context.Context, t tool, round int) error {
	bytesBefore, filesBefore, err := stored(j.objects)
	if err != nil {
		return err
	}
	m, err := j.measure(ctx, t.backup(j))
	if err != nil {
		return err
	}
	if m.Stored, m.Objects, err = stored(j.objects); err != nil {
		return err
	}
	m.Stored, m.Objects = m.Stored-bytesBefore, m.Objects-filesBefore
	j.add(m, names{backupOperation, t.name, round})
	return nil
}

func (j *job) restore(ctx context.Context, t tool, round int) error {
	if t.restore == nil {
		return nil
	}
	m, err := j.measure(ctx, t.restore(j))
	if err != nil {
		return err
	}
	var d workload.Digest
	if err := child(ctx, &d, "digest", "-b", j.target.Bootstrap(), "-w", j.workload.Name); err != nil {
		return err
	}
	m.Records = j.report.Workloads[j.workload.Name].Same(d)
	j.add(m, names{restoreOperation, t.name, round})
	return forget(ctx, j.target, j.workload.Topic())
}

const (
	backupOperation  = "backup"
	restoreOperation = "restore"
)

type names struct {
	operation, tool string
	round           int
}

func (j *job) add(m Measurement, n names) {
	m.Workload, m.Operation, m.Tool, m.Round = j.name, n.operation, n.tool, n.round
	text := fmt.Sprintf("round %d %s %-7s %-24s %7.2f s, CPU %6.2f s, broker %6.2f s, %4d MB", n.round, m.Workload, m.Operation, m.Tool, m.Wall, m.CPU, m.BrokerCPU, m.PeakRSS>>20)
	if m.Noise != "" {
		text += "  NOISY: " + m.Noise
	}
	logf(j.say, "%s", text)
	if n.round > 0 {
		j.report.Measurements = append(j.report.Measurements, m)
	}
}

// forget deletes a topic, and waits until its files are gone, too.
func forget(ctx context.Context, c *kafkatest.Cluster, topic string) error {
	if err := wire.Delete(ctx, c.Bootstrap(), topic); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, gonePatience)
	defer cancel()
	poll := time.NewTicker(gonePoll)
	defer poll.Stop()
	for {
		left, err := filepath.Glob(filepath.Join(c.LogDir(1), topic+"-*"))
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the files of a deleted topic to go: %w", ctx.Err())
		case <-poll.C:
		}
	}
}

// stored counts what a backup left.
func stored(dir string) (sizeBytes int64, files int, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			sizeBytes += info.Size()
			files++
		}
		return err
	})
	return sizeBytes, files, err
}

// version says which program was measured.
func version(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
