package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/restore"
)

type restoreOptions struct {
	global  *globalOptions
	cluster clusterOptions
	vault   vaultOptions
	memory  memoryOptions
	maxRate byteSize

	topics           []string
	exclude          []string
	allTopics        bool
	maps             []string
	partitions       string
	snapshot         string
	clusterID        string
	tags             tagFilter
	offsets          string
	groups           bool
	groupNames       []string
	groupsOnly       bool
	restoreID        string
	stateFile        string
	appendRecords    bool
	again            resumeOptions
	putBackRetention bool
	strict           bool
	configs          string
	setConfigs       []string
	dryRun           bool
	yes              bool
	metadata         metadataOptions
	moment           momentOptions
	// told says that the plan was shown, and what there is to say of configs with it.
	told bool
}

func newRestoreCommand(global *globalOptions, e *env) *cobra.Command {
	o := &restoreOptions{global: global, memory: newMemoryOptions(restore.DefaultMemory)}
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Bring topics of a snapshot back into a cluster",
		Long: `Bring topics of a snapshot back into a cluster: same partitions, same order, same
offsets where that can be had, else an exact translation, which consumer groups follow. The whole
plan is checked before anything is written. A topic that is missing is made, with the
snapshot's partitions and configs; one that holds records is refused.

--at TIME restores what the logs held at a time: all that was backed up by then, and of what the
next backup brought the batches before the first one that is stamped later. Configs and groups are those of
the last snapshot before. The plan says for each partition how sharp that is. --archive restores
all that the vault holds, also what retention had deleted at the cluster.

--since and --until restore a part of each partition: from the first record stamped at SINCE or
later, up to before the first one stamped at UNTIL or later. Both take a time, or offset:N. A
bare number below 100000000000 is an offset too; from there on it is milliseconds since 1970.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage, unknown topic or snapshot; 3 done, but a partition
failed or a group has members; 5 stored data is damaged; 10 no vault; 12 wrong or no key; 13 cluster
unreachable; 130 interrupted.`,
		Example: `  coldstream restore -b localhost:9092 --vault /srv/kafka-vault -t orders --dry-run
  coldstream restore -b localhost:9092 --vault /srv/kafka-vault -t orders --map orders=orders-restored --groups
  coldstream restore -b localhost:9092 --vault /srv/kafka-vault --all-topics --groups --yes
  coldstream restore -b localhost:9092 --vault /srv/kafka-vault -t orders --at '2026-11-22 14:05' --map orders=orders-at-1405`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.again.read(cmd.Flags())
			return runRestore(cmd.Context(), o, e)
		},
	}
	o.addFlags(cmd, e)
	return cmd
}

func (o *restoreOptions) addFlags(cmd *cobra.Command, e *env) {
	o.cluster.addFlags(cmd, e)
	o.vault.addFlags(cmd, e)
	o.memory.addFlag(cmd)
	o.vault.addSpoolFlag(cmd)
	o.metadata.addFlags(cmd)
	o.moment.addFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&o.topics, "topic", "t", nil, "restore these `TOPICS`: name, glob or /regex/, repeatable, with commas between several")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out these `TOPICS`, written likewise")
	f.BoolVar(&o.allTopics, "all-topics", false, "restore all topics of the snapshot")
	f.StringArrayVar(&o.maps, "map", nil, "restore topic OLD under the name NEW: `OLD=NEW`, or /REGEX/=NEW where $1 is the first group; repeatable")
	f.StringVar(&o.partitions, "partitions", "", "restore these partitions only: a `LIST` like 0-3,7")
	f.StringVar(&o.snapshot, "snapshot", "", "the snapshot's `ID`, or a unique prefix of it (default: the newest that holds all topics)")
	f.StringVar(&o.clusterID, "cluster-id", "", "the source cluster's `ID`, where the vault holds several")
	o.tags.addFlag(cmd)
	f.StringVar(&o.offsets, "offsets", "auto", "offsets of restored records, a `MODE`: auto, exact or translate")
	f.BoolVar(&o.groups, "groups", false, "restore the offsets of all consumer groups")
	f.StringArrayVar(&o.groupNames, "group", nil, "restore the offsets of the consumer group `NAME`, repeatable")
	f.BoolVar(&o.groupsOnly, "groups-only", false, "restore no records, only offsets of consumer groups, into topics that were restored before")
	f.StringVar(&o.restoreID, "restore", "", "with --groups-only: the `ID`, or a unique prefix of it, of the restore that brought the topics (default: the last one that did)")
	f.StringVar(&o.stateFile, "state", "", "write nothing to the vault: keep the restore's records in a new `FILE`. With --groups-only, the file of the restore that brought the topics")
	o.again.addFlag(f)
	f.BoolVar(&o.appendRecords, "append", false, "restore behind the records that a target topic holds")
	f.Var(&o.maxRate, "max-rate", "send at most this `SIZE` a second to all brokers together, as 50MB (default: no limit)")
	f.BoolVar(&o.strict, "strict", false, "end with 3 if the snapshot lacks records that were due when it was taken: gaps, and partitions that the backup could not read")
	f.BoolVar(&o.putBackRetention, "put-back-retention", false, "put retention back also where it will delete restored records")
	f.StringVar(&o.configs, "configs", "effective", "configs of topics that are made, a `MODE`: effective (what held for them at the source), own (what they carried themselves) or none (what the target's brokers have)")
	f.StringArrayVar(&o.setConfigs, "config", nil, "set this config on the restored topics, whatever they had: `NAME=VALUE`, repeatable")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan, and change nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask (needed where there is no terminal)")
}

// request checks the command line.
func (o *restoreOptions) request(e *env) (restore.Request, error) {
	req := restore.Request{
		Snapshot: o.snapshot, ClusterID: o.clusterID, Tags: o.tags.wanted(), Offsets: restore.OffsetsMode(o.offsets),
		Groups: o.groups, GroupNames: o.groupNames, GroupsOnly: o.groupsOnly, RestoreID: o.restoreID, StateFile: o.stateFile,
		Command: o.again.command, Resume: o.again.resume, Append: o.appendRecords, PutBackRetention: o.putBackRetention, Now: e.now, Configs: restore.ConfigsMode(o.configs),
	}
	if err := errors.Join(o.checkGroupsOnly(), o.moment.read(o, e, &req)); err != nil {
		return req, err
	}
	switch {
	case len(o.topics) == 0 && !o.allTopics && !o.groupsOnly:
		return req, usagef("name them with -t, or say --all-topics", errors.New("no topics to restore"))
	case len(o.topics) > 0 && o.allTopics:
		return req, usagef("", errors.New("-t and --all-topics exclude each other"))
	case o.configs != "effective" && o.configs != "own" && o.configs != "none":
		return req, usagef("use effective, own or none", fmt.Errorf("unknown --configs %q", o.configs))
	case o.offsets != "auto" && o.offsets != "exact" && o.offsets != "translate":
		return req, usagef("use auto, exact or translate", fmt.Errorf("unknown --offsets %q", o.offsets))
	}
	req.MaxRateBytes = int64(o.maxRate)
	var err error
	if req.MemoryBytes, err = o.memory.budget(); err != nil {
		return req, err
	}
	if req.Topics, err = o.patterns(); err != nil {
		return req, err
	}
	for _, text := range o.maps {
		m, err := restore.ParseMap(text)
		if err != nil {
			return req, err
		}
		req.Maps = append(req.Maps, m)
	}
	if req.SetConfigs, err = restore.ParseConfigs(o.setConfigs); err != nil {
		return req, err
	}
	if o.partitions != "" {
		req.Partitions, err = restore.ParsePartitions(o.partitions)
	}
	return req, err
}

// patterns takes everything that a snapshot holds for --all-topics: internal topics are
// in it only if a backup named them, and are refused by the plan unless mapped.
func (o *restoreOptions) patterns() (*coldstream.Patterns, error) {
	if len(o.topics)+len(o.exclude) == 0 {
		return nil, nil //nolint:nilnil // nil takes all topics of the snapshot, or of the restore
	}
	return coldstream.ParsePatterns(o.topics, o.exclude)
}

func runRestore(ctx context.Context, o *restoreOptions, e *env) error {
	if o.metadata.asked() {
		return runRestoreMetadata(ctx, o, e)
	}
	result, err := o.perform(ctx, e)
	if err != nil {
		return o.failed(e, result, err)
	}
	return o.report(e, result)
}

// perform carries the command out up to its result. On an error the result, if any, is
// what was done before.
func (o *restoreOptions) perform(ctx context.Context, e *env) (*restore.Result, error) {
	req, err := o.request(e)
	if err != nil {
		return nil, err
	}
	if err := o.cluster.validate(); err != nil {
		return nil, err
	}
	if !o.dryRun && !o.yes && !e.stdinTerminal {
		return nil, usagef("add --yes, or look first with --dry-run", errors.New("restore asks before it writes, and there is no terminal to ask on"))
	}
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return nil, err
	}
	p := newProgress(e, o.global)
	defer p.finish()
	client, err := o.cluster.connect(ctx, p)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	req.Observer, req.Bootstrap = p, o.cluster.bootstrap
	plan, err := restore.MakePlan(ctx, v, client, req)
	if err != nil {
		return nil, err
	}
	if o.dryRun || !o.yes {
		if err := plan.Count(ctx); err != nil {
			return nil, err
		}
	}
	for _, w := range plan.Warnings {
		e.note("warning: %s", warningText(w))
	}
	doubtTime(e, plan.Snapshot)
	listDamage(e, plan.Damage)
	o.sayWhere(e, plan)
	if o.dryRun {
		return plan.DryRun(), nil
	}
	if !o.yes {
		if err := o.ask(e, plan); err != nil {
			return nil, err
		}
	}
	return plan.Execute(ctx)
}

// sayWhere says which cluster is written to, and what from: the wrong one of two terminals
// looks like the right one.
func (o *restoreOptions) sayWhere(e *env, plan *restore.Plan) {
	s := plan.Snapshot
	if !o.global.quiet {
		e.note("from snapshot %s of cluster %s, taken %s (%s)", s.ID, s.ClusterID, timestamp(s.Time), formatAge(e.now().Sub(s.Time)))
		e.note("into cluster %s at %s", plan.TargetClusterID, o.cluster.bootstrap)
	}
	if names := plan.IntoItself(); len(names) > 0 {
		e.note("warning: this is the cluster that the backup came from, and topics are restored under their own names: %s", listNames(names))
	}
}

const namesShown = 10

func listNames(names []string) string {
	if more := len(names) - namesShown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namesShown], ", "), more)
	}
	return strings.Join(names, ", ")
}

// ask shows the plan and waits for a yes.
func (o *restoreOptions) ask(e *env, plan *restore.Plan) error {
	r := plan.DryRun()
	if err := table(e.stderr, restoreLines(r, "would restore")); err != nil {
		return err
	}
	sayConfigs(e, r)
	o.told = true
	topics := map[string]bool{}
	var records int64
	for _, p := range r.Partitions {
		topics[p.TargetTopic] = true
		records += p.Records
	}
	what := fmt.Sprintf("%s, %s", plural(int64(len(topics)), "topic"), plural(records, "record"))
	if o.groupsOnly {
		what = plural(int64(len(r.Groups)), "consumer group")
	}
	yes, err := e.ask("%s: restore this into cluster %s at %s?", what, plan.TargetClusterID, o.cluster.bootstrap)
	switch {
	case err != nil:
		return &failure{exitFailed, errors.New("no answer: nothing was restored"), ""}
	case !yes:
		return &failure{exitFailed, errors.New("nothing was restored"), ""}
	}
	return nil
}

// failed says how far a restore came that broke off; what it left behind was said already.
func (o *restoreOptions) failed(e *env, result *restore.Result, err error) error {
	if result == nil {
		return o.again.sayLine(o.hintState(err))
	}
	defer o.again.sayUnfinished(e, result)
	var unrecorded *restore.UnrecordedError
	if errors.As(err, &unrecorded) {
		e.note("%s in %s, %s: this is done", plural(result.RecordCount(), "record"), plural(int64(len(result.Partitions)), "partition"), plural(int64(len(result.Groups)), "group"))
		o.warn(e, result)
		return err
	}
	if records := result.RecordCount(); records > 0 {
		e.note("%s were restored before", plural(records, "record"))
	}
	return err
}

// hintState tells who may not write to the vault how to restore nevertheless.
func (o *restoreOptions) hintState(err error) error {
	mayNot := errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
	if o.stateFile != "" || !mayNot || !errors.Is(err, restore.ErrNotRecorded) {
		return err
	}
	return &failure{exitFailed, err, "nothing was restored. To restore without the right to write to the vault, keep the record in a file: --state FILE"}
}

type restoreDocument struct {
	header
	*restoredDocument
}

func (o *restoreOptions) report(e *env, r *restore.Result) error {
	var err error
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, restoreDocument{header{SchemaVersion: schemaVersion, DryRun: o.dryRun}, newRestoredDocument(r)})
	} else {
		err = table(e.stdout, restoreLines(r, o.verb()))
	}
	o.warn(e, r)
	o.again.sayUnfinished(e, r)
	switch {
	case err != nil:
		return err
	case r.Damaged():
		return &incomplete{exitDamage}
	case r.Incomplete(), o.strict && r.Short():
		return &incomplete{exitIncomplete}
	}
	return nil
}

func (o *restoreOptions) warn(e *env, r *restore.Result) {
	for _, p := range r.Partitions {
		if p.Error != "" {
			e.note("not restored in full: %s-%d: %s", p.TargetTopic, p.TargetPartition, p.Error)
		}
	}
	switch {
	case r.Healable():
		e.hint(hintHeal + "; then restore again")
	case r.Damaged():
		e.hint("these records cannot be brought back. Newer snapshots may be whole; list them with: coldstream snapshots")
	}
	o.warnOfRefusedGroups(e, r)
	for _, h := range r.RetentionHeld {
		e.note("topic %s: %s=%s is not put back, because it would delete restored records", h.Topic, h.Config, h.Value)
		e.hint("put it back later with: " + h.Command)
	}
	if !o.told {
		sayConfigs(e, r)
	}
}

func (o *restoreOptions) verb() string {
	if o.dryRun {
		return "would restore"
	}
	return "restored"
}

// restoreLines are a result, or what it would be, for people: a line per topic, then the
// groups.
func restoreLines(r *restore.Result, verb string) []row {
	if r.OffsetMapOf != "" {
		return append(groupLines(r), groupsOnlyLine(r, verb))
	}
	lines := []row{{"topic", "into", "partitions", "records", "offsets"}}
	var total int64
	for i := 0; i < len(r.Partitions); {
		first := r.Partitions[i]
		var records int64
		exact, n := 0, 0
		for ; i < len(r.Partitions) && r.Partitions[i].Topic == first.Topic && r.Partitions[i].TargetTopic == first.TargetTopic; i++ {
			records += r.Partitions[i].Records
			if r.Partitions[i].Offsets == "exact" {
				exact++
			}
			n++
		}
		offsets := "exact"
		if exact < n {
			offsets = fmt.Sprintf("%d of %d partitions translated: %s", n-exact, n, firstWhy(r, first.TargetTopic))
		}
		lines = append(lines, row{first.Topic, first.TargetTopic, fmt.Sprint(n), formatCount(records), offsets})
		total += records
	}
	lines = append(lines, cutLines(r)...)
	lines = append(lines, groupLines(r)...)
	lines = append(lines, droppedLines(r)...)
	return append(lines, row{fmt.Sprintf("%s %s from snapshot %s (restore %s)", verb, plural(total, "record"), r.Snapshot, r.Restore)})
}

// droppedLines say which records are left out, and why.
func droppedLines(r *restore.Result) []row {
	var aborted, undecided int64
	for _, p := range r.Partitions {
		aborted += p.DroppedAborted
		undecided += p.DroppedUndecided
	}
	var lines []row
	if aborted > 0 {
		lines = append(lines, row{fmt.Sprintf("left out %s of aborted transactions", plural(aborted, "record"))})
	}
	if undecided > 0 {
		lines = append(lines, row{fmt.Sprintf("left out %s of transactions that were still open when the snapshot was taken", plural(undecided, "record"))})
	}
	return lines
}

func firstWhy(r *restore.Result, topic string) string {
	for _, p := range r.Partitions {
		if p.TargetTopic == topic && p.Why != "" {
			return p.Why
		}
	}
	return ""
}
