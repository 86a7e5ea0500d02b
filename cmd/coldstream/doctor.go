package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/kafka"
)

type doctorOptions struct {
	global    *globalOptions
	cluster   clusterOptions
	vault     vaultOptions
	topics    topicOptions
	job       string
	acls      string
	principal string
	every     time.Duration
}

func newDoctorCommand(global *globalOptions, e *env) *cobra.Command {
	o := &doctorOptions{global: global}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what stands in the way of a backup or a restore",
		Long: `Look at the cluster, the vault and this host as a backup or a restore needs them, and say of
each thing whether it is ok, and what to do if not. Nothing is changed. docs/doctor.md tells of each check.

With --acls, print what grants a user the rights that a job takes: lines for kafka-acls.sh, and the
same for Strimzi, Confluent Cloud, MSK and Redpanda. No cluster is asked then.

Exit codes: 0 nothing fails; 1 something fails; 2 wrong usage; 10 no vault; 12 wrong or no key; 13 cluster
unreachable.`,
		Example: `  coldstream doctor -b localhost:9092 --vault /srv/kafka-vault
  coldstream doctor --for restore --command-config client.properties -t orders
  coldstream doctor --acls backup --principal User:coldstream -t 'orders-*'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), o, e) },
	}
	o.cluster.addFlags(cmd, e)
	o.vault.catalogIsEnough = true
	o.vault.addFlags(cmd, e)
	o.topics.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.job, "for", string(kafka.JobBackup), "what the cluster is to be ready for: backup, restore or run")
	f.StringVar(&o.acls, "acls", "", "print what grants the rights for this job, and check nothing: backup or restore")
	f.StringVar(&o.principal, "principal", "", "with --acls: the user to grant them to, as User:coldstream")
	f.DurationVar(&o.every, "every", 24*time.Hour, "how often backups run: topics that keep their records for less than twice as long are warned of")
	return cmd
}

func runDoctor(ctx context.Context, o *doctorOptions, e *env) error {
	if o.acls != "" || o.principal != "" {
		return o.printACLs(e)
	}
	jobs := []string{string(kafka.JobBackup), string(kafka.JobRestore), string(kafka.JobRun)}
	if !slices.Contains(jobs, o.job) {
		return usagef("use backup, restore or run", fmt.Errorf("unknown --for %q", o.job))
	}
	if o.every <= 0 {
		return usagef("", errors.New("--every must be longer than 0"))
	}
	patterns, err := o.topics.patterns()
	if err != nil {
		return err
	}
	if err := o.cluster.validate(); err != nil {
		return err
	}
	d := &diagnosis{options: o, env: e}
	d.cluster(ctx, patterns)
	d.vault(ctx)
	d.host()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return d.report()
}

// diagnosis gathers the lines of a doctor.
type diagnosis struct {
	options                     *doctorOptions
	env                         *env
	lines                       kafka.Findings
	unreachable, noVault, noKey bool
}

// cluster looks at the cluster, as far as it can be reached.
func (d *diagnosis) cluster(ctx context.Context, patterns *coldstream.Patterns) {
	o := d.options
	p := newProgress(d.env, o.global)
	defer p.finish()
	d.lines = append(d.lines, kafka.ExamineAddresses(ctx, o.cluster.config(p), d.env.now())...)
	client, err := o.cluster.connect(ctx, p)
	if err != nil {
		d.unreachable = true
		d.fail("cluster", o.cluster.bootstrap, err)
		return
	}
	defer client.Close()
	found, err := client.Examine(ctx, kafka.Checkup{Job: kafka.Job(o.job), Topics: patterns, Every: o.interval(), Now: d.env.now})
	d.lines = append(d.lines, found...)
	if err != nil {
		d.fail("cluster", o.cluster.bootstrap, err)
	}
}

// interval is how often records are fetched.
func (o *doctorOptions) interval() time.Duration {
	if kafka.Job(o.job) == kafka.JobRun {
		return time.Minute
	}
	return o.every
}

// fail adds a line for an error, with its hint.
func (d *diagnosis) fail(check, subject string, err error) {
	f := classify(context.Background(), err) //nolint:forbidigo // an interrupt ends the command elsewhere
	d.noKey = d.noKey || f.code == exitKey
	d.lines.Add(check, subject, kafka.StatusFail, f.Error()).Hint = f.hint
}

type doctorDocument struct {
	header
	OK     bool             `json:"ok"`
	For    string           `json:"for"`
	Checks []doctorFindings `json:"checks"`
}

type doctorFindings struct {
	Check   string `json:"check"`
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Text    string `json:"text"`
	Hint    string `json:"hint,omitempty"`
}

// report prints the table and chooses the exit code.
func (d *diagnosis) report() error {
	counts := map[kafka.Status]int64{}
	document := doctorDocument{header: header{SchemaVersion: schemaVersion}, For: d.options.job, Checks: []doctorFindings{}}
	rows := []row{{"status", "check", "of", "found"}}
	for _, line := range d.lines {
		line.Hint = inputText(line.Hint, line.Input)
		counts[line.Status]++
		document.Checks = append(document.Checks, doctorFindings{line.Check, line.Subject, string(line.Status), line.Text, line.Hint})
		rows = append(rows, row{string(line.Status), line.Check, line.Subject, line.Text})
		if line.Hint != "" {
			rows = append(rows, row{"", "", "", "-> " + line.Hint})
		}
	}
	document.OK = counts[kafka.StatusFail] == 0
	var err error
	if isMachineFormat(d.options.global.output) {
		err = writeDocument(d.env.stdout, d.options.global.output, document)
	} else if err = table(d.env.stdout, rows); err == nil {
		err = printLines(d.env.stdout, []string{fmt.Sprintf("%d ok, %s, %s", counts[kafka.StatusOK],
			plural(counts[kafka.StatusWarn], "warning"), plural(counts[kafka.StatusFail], "failure"))})
	}
	switch {
	case err != nil:
		return err
	case d.noKey:
		return &incomplete{exitKey}
	case d.noVault:
		return &incomplete{exitNoVault}
	case d.unreachable:
		return &incomplete{exitUnreachable}
	case !document.OK:
		return &incomplete{exitFailed}
	}
	return nil
}

// printACLs prints what grants the rights for a job.
func (o *doctorOptions) printACLs(e *env) error {
	jobs := []string{string(kafka.JobBackup), string(kafka.JobRestore), string(kafka.JobRun)}
	switch {
	case !slices.Contains(jobs, o.acls):
		return usagef("use backup or restore", fmt.Errorf("unknown --acls %q", o.acls))
	case !strings.HasPrefix(o.principal, "User:") || o.principal == "User:":
		return usagef("write it as User:coldstream", errors.New("--acls needs --principal, the user to grant the rights to"))
	}
	patterns, err := o.topics.patterns()
	if err != nil {
		return err
	}
	names, note, err := aclNames(patterns.Texts())
	if err != nil {
		return err
	}
	if note != "" {
		e.note("warning: %s", note)
	}
	bootstrap := o.cluster.bootstrap
	if bootstrap == "" {
		bootstrap = "HOST:PORT"
	}
	g := &grants{bootstrap: bootstrap, principal: o.principal, needs: kafka.Needs(kafka.Job(o.acls), names)}
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, g.document(o.acls))
	}
	return printLines(e.stdout, g.lines())
}

// aclNames turns patterns into what ACLs can say: a name, or how names begin.
func aclNames(patterns []string) (names []kafka.NamePattern, note string, err error) {
	for _, text := range patterns {
		begin, glob := strings.CutSuffix(text, "*")
		switch {
		case strings.HasPrefix(text, "/") || strings.ContainsAny(begin, "*?["):
			return nil, fmt.Sprintf("ACLs know names and how names begin, and no pattern like %s: these lines are for all topics", text), nil
		case glob && begin == "":
			return nil, "", nil
		default:
			name, _, _ := strings.Cut(begin, "@")
			names = append(names, kafka.NamePattern{Name: name, Prefixed: glob})
		}
	}
	return names, "", nil
}
