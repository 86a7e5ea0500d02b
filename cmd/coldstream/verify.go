package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coldstream/internal/metrics"
	"coldstream/restore"
	"coldstream/vault"
)

type verifyOptions struct {
	global *globalOptions
	vault  vaultOptions
	deep   bool
	expect string
	// metricsFile is where Prometheus' node exporter finds what came out; empty if nowhere.
	metricsFile string

	// Of the restore test.
	restoreTest bool
	topics      topicOptions
	snapshot    string
	cluster     clusterOptions
	memory      memoryOptions
}

func newVerifyCommand(global *globalOptions, e *env) *cobra.Command {
	o := &verifyOptions{global: global, memory: newMemoryOptions(restore.DefaultMemory)}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that a vault is whole",
		Long: `Prove that every object that the vault's catalog names is there at its size, that all
metadata is what was stored, and that the offsets of each partition join. With --deep every byte
of every pack is read and checked as well. A pack that is found damaged is marked in the vault, so
that the next backup fetches again what the pack held. After that its damage is no problem any more.

A vault cannot show by itself that its newest commits were taken away: what is left is a whole
vault, of an earlier time. --expect HASH shows it. Keep the vault hash that a backup prints in
a place that nobody who can write to the vault can change. Verify then proves that the vault still
holds the state of that backup.

--restore-test restores the newest snapshot, or the topics of -t, and compares each record with what the
vault holds. It does so in a broker inside this process, which keeps what it gets among the temporary
files and is no real broker; or, with -b, in a cluster. There it makes topics whose names begin with
__coldstream_test_ and the test's ID, and deletes those again, and touches nothing else. COLDSTREAM_BOOTSTRAP_SERVER alone
does not choose a cluster. The vault keeps what came out and how long it took; "snapshots" shows it.

Exit codes: 0 all is well; 3 a partition could not be restored or compared, or a topic of the test could not
be deleted; 5 something is missing, altered or different; 10 no vault; 12 wrong or no key; 13 cluster unreachable.`,
		Example: `  coldstream verify --vault /srv/kafka-vault --deep
  coldstream verify --vault /srv/kafka-vault --restore-test
  coldstream verify --vault /srv/kafka-vault --restore-test -t orders -b test-cluster:9092`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runVerify(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	o.vault.addSpoolFlag(cmd)
	cmd.Flags().BoolVar(&o.deep, "deep", false, "read and check every byte")
	cmd.Flags().StringVar(&o.expect, "expect", "", "prove that the vault still holds the state of the backup that printed the vault hash `HASH`")
	cmd.Flags().StringVar(&o.metricsFile, "metrics-file", "", "write when this was done, and how many problems were found, to `FILE` for the textfile collector of Prometheus' node exporter")
	cmd.Flags().BoolVar(&o.restoreTest, "restore-test", false, "restore a snapshot for a test, and compare each record")
	o.topics.addFlags(cmd)
	cmd.Flags().StringVar(&o.snapshot, "snapshot", "", "test the snapshot with this `ID` or unique prefix (default: the newest that holds all topics asked for)")
	o.cluster.addFlags(cmd, e)
	o.memory.addFlag(cmd)
	return cmd
}

const hintHeal = "fetch again what the cluster still has with: coldstream backup"

type verifyDocument struct {
	header
	OK             bool              `json:"ok"`
	SnapshotCount  int               `json:"snapshot_count"`
	PackCount      int               `json:"pack_count"`
	PartitionCount int               `json:"partition_count"`
	Problems       []problemDocument `json:"problems"`
	Accepted       []problemDocument `json:"accepted"`
	BytesChecked   int64             `json:"bytes_checked"`
	// RestoreTest is what came out of --restore-test.
	RestoreTest *restoreTestDocument `json:"restore_test,omitempty"`
}

type problemDocument struct {
	ID          string   `json:"id"` // for: repair --accept-loss
	Object      string   `json:"object"`
	Kind        string   `json:"kind"`
	ClusterID   string   `json:"cluster_id"`
	Topic       string   `json:"topic"`
	TopicID     string   `json:"topic_id"`
	Partition   int32    `json:"partition"`
	FirstOffset int64    `json:"first_offset"`
	NextOffset  int64    `json:"next_offset"`
	Snapshots   []string `json:"snapshots"` // that show what it costs
	Message     string   `json:"message"`
}

func runVerify(ctx context.Context, o *verifyOptions, e *env) error {
	if err := o.checkTestFlags(); err != nil {
		return err
	}
	p := newProgress(e, o.global)
	opts := vault.VerifyOptions{Deep: o.deep, Observer: p}
	if o.expect != "" {
		hash, err := vault.ParseVaultHash(o.expect)
		if err != nil {
			return usagef("it is in the output of a backup: \"vault hash\", or vault_hash with -o json", fmt.Errorf("--expect: %w", err))
		}
		opts.Expect = &hash
	}
	o.vault.catalogIsEnough = !o.deep && !o.restoreTest
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	report, err := v.Verify(ctx, opts)
	p.finish()
	if err != nil {
		return err
	}
	var d *drill
	if o.restoreTest {
		if d, err = o.runDrill(ctx, e, v); err != nil {
			return err
		}
	}
	if err := o.print(e, report, d); err != nil {
		return err
	}
	if o.metricsFile != "" {
		verified := metrics.Verified{Time: e.now(), Deep: o.deep, Problems: len(report.Problems)}
		if err := verified.WriteFile(o.metricsFile); err != nil {
			return err
		}
	}
	for _, id := range v.Strays() {
		e.note("recovery point %s is of a run that was cut off; it does not count, and may be deleted", id)
	}
	return o.judge(e, report, d)
}

// checkTestFlags refuses flags that would do nothing.
func (o *verifyOptions) checkTestFlags() error {
	if o.restoreTest {
		return nil
	}
	if o.snapshot != "" || len(o.topics.include)+len(o.topics.exclude) > 0 || o.clusterNamed() {
		return usagef("", errors.New("-t, --exclude, --snapshot and -b are for --restore-test: verify looks at the whole vault"))
	}
	return nil
}

// clusterNamed says that a cluster was named for the test. What all commands have from a variable or the
// file is most likely the cluster of the backup: nobody asked to write there.
func (o *verifyOptions) clusterNamed() bool {
	if o.global.settings == nil {
		return false
	}
	from := o.global.settings.origins["bootstrap-server"]
	return from.kind == fromFlag || (from.kind == fromEnvironment || from.kind == fromFile) && !from.isShared
}

func (o *verifyOptions) print(e *env, report *vault.VerifyReport, d *drill) error {
	if isMachineFormat(o.global.output) {
		document := newVerifyDocument(report)
		if d != nil {
			document.RestoreTest = &d.took
			document.OK = document.OK && d.took.OK
		}
		return writeDocument(e.stdout, o.global.output, document)
	}
	lines := o.lines(report)
	if d != nil {
		lines = append(lines, d.lines()...)
	}
	return printLines(e.stdout, lines)
}

// judge gives the advice and the exit code.
func (o *verifyOptions) judge(e *env, report *vault.VerifyReport, d *drill) error {
	code := exitDone
	if d != nil {
		listDamage(e, d.damage)
		code = d.code()
	}
	if len(report.Problems) > 0 {
		if slices.ContainsFunc(report.Problems, func(p *vault.DamageError) bool { return strings.HasPrefix(p.Object, "packs/") }) {
			e.hint(hintHeal)
		}
		e.hint("what cannot be had again can be accepted, so that new damage stands out: coldstream repair --accept-loss")
		code = exitDamage
	}
	if code != exitDone {
		return &incomplete{code}
	}
	return nil
}

func newVerifyDocument(r *vault.VerifyReport) verifyDocument {
	return verifyDocument{
		header: header{SchemaVersion: schemaVersion}, OK: len(r.Problems) == 0,
		SnapshotCount: r.Snapshots, PackCount: r.Packs, PartitionCount: r.Streams,
		Problems: problemDocuments(r, r.Problems), Accepted: problemDocuments(r, r.Accepted), BytesChecked: r.BytesChecked,
	}
}

func problemDocuments(r *vault.VerifyReport, problems []*vault.DamageError) []problemDocument {
	out := []problemDocument{}
	for _, p := range problems {
		d := problemDocument{
			ID: p.ID(), Object: p.Object, Kind: p.Kind, ClusterID: p.Stream.ClusterID, Topic: p.Stream.Topic, Partition: p.Stream.Partition,
			FirstOffset: p.FirstOffset, NextOffset: p.NextOffset, Snapshots: []string{}, Message: p.Error(),
		}
		if !p.Stream.TopicID.IsZero() {
			d.TopicID = p.Stream.TopicID.String()
		}
		for _, id := range r.Concerned[p] {
			d.Snapshots = append(d.Snapshots, id.String())
		}
		out = append(out, d)
	}
	return out
}

// problemLine is a problem for people: with what is needed to accept it.
func problemLine(r *vault.VerifyReport, p *vault.DamageError) string {
	line := p.ID() + "  " + p.Error()
	if p.NextOffset > p.FirstOffset && !p.Stream.TopicID.IsZero() {
		line += fmt.Sprintf(" (topic ID %s)", p.Stream.TopicID)
	}
	if ids := r.Concerned[p]; len(ids) > 0 {
		line += fmt.Sprintf("; %s, the newest %s", plural(int64(len(ids)), "snapshot"), ids[len(ids)-1])
	}
	return line
}

func (o *verifyOptions) lines(r *vault.VerifyReport) []string {
	var lines []string
	for _, p := range r.Problems {
		lines = append(lines, problemLine(r, p))
	}
	what := fmt.Sprintf("%s, %s, %s", plural(int64(r.Snapshots), "snapshot"), plural(int64(r.Packs), "pack"), plural(int64(r.Streams), "partition"))
	if n := len(r.Accepted); n > 0 {
		what += fmt.Sprintf(", and accepted damage: %s", losses(n))
	}
	if len(r.Problems) > 0 {
		return append(lines, fmt.Sprintf("%s found in %s", plural(int64(len(r.Problems)), "problem"), what))
	}
	if o.deep {
		return append(lines, fmt.Sprintf("all is well: %s; every byte was read (%s)", what, formatBytes(r.BytesChecked)))
	}
	return append(lines, fmt.Sprintf("all is well: %s; sizes and metadata were checked (--deep reads every byte)", what))
}
