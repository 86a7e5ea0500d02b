package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"coldstream/bench/workload"
	"coldstream/internal/testproc"
	"coldstream/kafka/kafkatest"
	"coldstream/recordbatch"
)

const (
	limitTool      = "limit"
	coldstreamTool = "coldstream"
	unverifiedTool = "coldstream-no-extra-verify"
	pureTool       = "coldstream-pure-go"
	encryptedTool  = "coldstream-encrypted"
)

// job is one workload for one tool in one round.
type job struct {
	*session
	workload workload.Workload
	name     string // what the report calls it
	from     string // the source's address
	dir      string // of its own
	objects  string // what the tool stores is below it
	vault    string // the URL of coldstream's
}

// tool is something to measure: the commands of its backup and of its restore, of which
// one may be missing.
type tool struct {
	name string
	// place puts the job's vault elsewhere than in its folder.
	place func(j *job)
	// prepare makes ready what is not measured.
	prepare func(ctx context.Context, j *job) error
	backup  func(j *job) []string
	restore func(j *job) []string
	// missing says why it cannot be measured here.
	missing func(s *session) error
}

func tools() []tool {
	return []tool{
		{
			name:    limitTool,
			backup:  func(j *job) []string { return j.limit("backup", "-b", j.from, "-file", j.file()) },
			restore: func(j *job) []string { return j.limit("restore", "-b", j.target.Bootstrap(), "-file", j.file()) },
		},
		{name: "segments", backup: copySegments},
		{
			name:    coldstreamTool,
			prepare: makeVault,
			backup:  func(j *job) []string { return j.coldstreamBackup() },
			restore: (*job).coldstreamRestore,
		},
		{name: unverifiedTool, prepare: makeVault, backup: func(j *job) []string { return j.coldstreamBackup("--no-extra-verify") }},
		{name: pureTool, prepare: makeVault, backup: func(j *job) []string {
			return append([]string{j.program(pureTool)}, j.coldstreamBackup()[1:]...)
		}},
		{name: encryptedTool, prepare: makeEncryptedVault, backup: func(j *job) []string {
			return append(j.coldstreamBackup(), "--key-file", j.keyFile())
		}, restore: func(j *job) []string {
			return append(j.coldstreamRestore(), "--key-file", j.keyFile())
		}},
		{name: "kcat", backup: kcatBackup, restore: kcatRestore, missing: missingKcat},
		{name: "kafka-producer-perf-test", prepare: writeSample, restore: perfTest},
	}
}

func makeVault(ctx context.Context, j *job) error { return j.quietly(ctx, j.coldstream("init")) }

func makeEncryptedVault(ctx context.Context, j *job) error {
	return j.quietly(ctx, j.coldstream("init", "--encrypt", "--key-file", j.keyFile()))
}

func (j *job) keyFile() string { return filepath.Join(j.dir, "key") }

func (j *job) coldstreamBackup(flags ...string) []string {
	return j.coldstream(append([]string{"backup", "-b", j.from, "-t", strings.Join(j.workload.TopicNames(), ",")}, flags...)...)
}

func (j *job) coldstreamRestore() []string {
	return j.coldstream("restore", "-b", j.target.Bootstrap(), "-t", j.workload.Topic(), "--yes")
}

func toolNames(tools []tool) []string {
	var out []string
	for _, t := range tools {
		out = append(out, t.name)
	}
	return out
}

func (j *job) file() string { return filepath.Join(j.dir, "backup") }

func (j *job) limit(args ...string) []string {
	return append(append([]string{j.program("limit")}, args...), "-t", j.workload.Topic())
}

func (j *job) coldstream(args ...string) []string {
	return append(append([]string{j.program("coldstream")}, args...), "--vault", j.vault, "--quiet")
}

// command is a program in the environment of the session.
func (s *session) command(ctx context.Context, words []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	return cmd
}

func (s *session) quietly(ctx context.Context, command []string) error {
	if out, err := s.command(ctx, command).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", command, err, out)
	}
	return nil
}

// shell runs a script that gets its words as $1, $2, ...
func shell(script string, words ...string) []string {
	return append([]string{"sh", "-ec", script, "sh"}, words...)
}

// copySegments copies the broker's files with the batches: no checksums, no end that is
// the same for all partitions, and no way back but into a stopped broker.
func copySegments(j *job) []string {
	return shell(`cd "$1"; cp --parents "$2"-*/*.log "$3"; sync -f "$3"`, j.source.LogDir(1), j.workload.Topic(), j.dir)
}

func missingKcat(*session) error {
	if _, err := exec.LookPath("kcat"); err != nil {
		return errors.New("install it to measure it (Debian: apt-get install kcat)")
	}
	return nil
}

// kcatBackup keeps values, a line each: what most people do with it.
func kcatBackup(j *job) []string {
	return shell(`kcat -C -b "$1" -t "$2" -o beginning -e -q -f '%s\n' >"$3"; sync "$3"`,
		j.from, j.workload.Topic(), j.file())
}

// kcatRestore sends them. The topic is made within the time, as by all others.
func kcatRestore(j *job) []string {
	return shell(createScript+`kcat -P -b "$2" -t "$3" -z "$5" -l "$6"`, j.creating(j.codec(), j.file())...)
}

const createScript = `"$1" create -b "$2" -t "$3" -partitions "$4"; `

// creating are the words of createScript, and more.
func (j *job) creating(more ...string) []string {
	return append([]string{j.program("limit"), j.target.Bootstrap(), j.workload.Topic(), strconv.Itoa(int(j.workload.Partitions))}, more...)
}

func (j *job) codec() string {
	if j.workload.Codec == recordbatch.CodecNone {
		return "none"
	}
	return j.workload.Codec.String()
}

func writeSample(ctx context.Context, j *job) error {
	b, err := childOutput(ctx, "sample", "-w", j.workload.Name, "-seed", strconv.FormatUint(j.seed, 10))
	if err != nil {
		return err
	}
	return os.WriteFile(j.sample(), b, 0o644)
}

func (j *job) sample() string { return filepath.Join(j.dir, "sample") }

// perfTest lets Kafka's own producer send as many records like ours, in batches as large.
func perfTest(j *job) []string {
	batchBytes := 16 << 10
	if j.workload.Name != "W3" {
		batchBytes = j.workload.BatchRecords << 10
	}
	return shell(createScript+`exec java -Xmx512m -cp "$5/*" org.apache.kafka.tools.ProducerPerformance --topic "$3" --num-records "$6" --throughput -1 \
		--payload-file "$7" --producer-props bootstrap.servers="$2" acks=all linger.ms=50 compression.type="$8" batch.size="$9"`,
		j.creating(j.jars, strconv.FormatInt(j.workload.Records, 10), j.sample(), j.codec(), strconv.Itoa(batchBytes))...)
}

// findJars finds the jars that the brokers were started from.
func findJars() (string, error) {
	cache, err := testproc.CacheDir()
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(cache, "kafka-"+kafkatest.DefaultVersion+"-*", "kafka-tools-*.jar"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("find Kafka's jars in %s: %w", cache, errors.Join(err, os.ErrNotExist))
	}
	return filepath.Dir(found[len(found)-1]), nil
}
