package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/backup"
)

type backupOptions struct {
	global   *globalOptions
	cluster  clusterOptions
	vault    vaultOptions
	topics   topicOptions
	memory   memoryOptions
	interval time.Duration
	maxRate  byteSize
	dryRun   bool
	noVerify bool
	tags     []string
	pin      bool
	never    atomic.Pointer[topicChoices] // topics that are not read again in full
}

func newBackupCommand(global *globalOptions, e *env) *cobra.Command {
	o := &backupOptions{global: global, memory: newMemoryOptions(backup.DefaultMemory)}
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Save what is new in a cluster, make a snapshot, and end",
		Long: `Save what is new in a cluster since the last backup into the same vault, with topic configs and the
offsets of all consumer groups. A backup ends at the end offsets that it saw when it began. It makes
a snapshot, which is a restore point. Records that the vault holds already are not read again. An
interrupted backup loses nothing: the next one goes on where the vault ends.

If a verify or a restore found that the vault has lost records, the backup fetches them again, as far
as the cluster still has them.

Exit codes: 0 done; 2 wrong usage or unknown topic; 3 done, but something named in the result could not be
saved; 5 the vault is damaged; 10 no vault; 12 wrong or no key; 13 cluster unreachable; 130 interrupted.`,
		Example: `  coldstream backup -b localhost:9092 --vault /srv/kafka-vault
  coldstream backup -b localhost:9092 --vault /srv/kafka-vault -t orders,'payments-*' --exclude '/.*-test/'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackup(cmd.Context(), o, e) },
	}
	o.addFlags(cmd, e)
	cmd.Flags().BoolVar(&o.pin, "pin", false, "pin the snapshot: no policy forgets it, until it is unpinned with: coldstream tag --unpin")
	return cmd
}

func (o *backupOptions) addFlags(cmd *cobra.Command, e *env) {
	o.cluster.addFlags(cmd, e)
	o.vault.catalogIsEnough = true
	o.vault.addFlags(cmd, e)
	o.topics.addFlags(cmd)
	o.memory.addFlag(cmd)
	f := cmd.Flags()
	f.DurationVar(&o.interval, "interval", 30*time.Second, "store what was fetched at least once per `TIME`")
	f.StringArrayVar(&o.tags, "tag", nil, "give the snapshot a tag, `KEY=VALUE`, repeatable")
	f.Var(&o.maxRate, "max-rate", "read at most this `SIZE` of record batches from the cluster in a second; 0 is no bound")
	f.BoolVar(&o.noVerify, "no-extra-verify", false,
		"do not decode again what was just compressed to compare it with the original: less CPU, more trust in this machine's memory")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be saved, and save nothing")
}

// topicOptions choose topics.
type topicOptions struct {
	include, exclude []string
}

func (o *topicOptions) addFlags(cmd *cobra.Command) {
	const syntax = "name, glob or /regex/, repeatable, with commas between several"
	f := cmd.Flags()
	f.StringArrayVarP(&o.include, "topic", "t", nil, "take these `TOPICS`: "+syntax+"; internal topics by name only")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out these `TOPICS`: "+syntax)
}

func (o *topicOptions) patterns() (*coldstream.Patterns, error) {
	return coldstream.ParsePatterns(o.include, o.exclude)
}

func runBackup(ctx context.Context, o *backupOptions, e *env) error {
	done, err := o.perform(ctx, e)
	if err != nil {
		return o.failed(e, done, err)
	}
	return o.report(e, done)
}

// backupOutcome is what became of a backup, or would with --dry-run.
type backupOutcome struct {
	*backup.Result
	offsetsToRead *int64 // of a dry run
	took          time.Duration
}

// perform carries the command out up to its result. On an error the outcome, if any, is
// what was done before.
func (o *backupOptions) perform(ctx context.Context, e *env) (*backupOutcome, error) {
	p := newProgress(e, o.global)
	defer p.finish()
	options, v, client, err := o.open(ctx, e, p)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	done, started := &backupOutcome{}, e.now()
	if o.dryRun {
		var offsets int64
		done.Result, offsets, err = backup.DryRun(ctx, client, v, *options)
		done.offsetsToRead = &offsets
	} else {
		done.Result, err = backup.Run(ctx, client, v, *options)
	}
	done.took = e.now().Sub(started)
	return done, err
}

// failed says what an interrupted or failed backup saved nevertheless.
func (o *backupOptions) failed(e *env, done *backupOutcome, err error) error {
	if done != nil && done.Batches > 0 {
		e.note("%s saved before the backup stopped. The next backup goes on from there.", wasOrWere(done.Records, "record"))
	}
	return err
}

type backupDocument struct {
	header
	Snapshot       string                  `json:"snapshot"`
	TimeDoubts     []string                `json:"time_doubts"` // why the snapshot's time cannot be right
	VaultHash      string                  `json:"vault_hash"`
	TopicCount     int                     `json:"topic_count"`
	PartitionCount int                     `json:"partition_count"`
	Batches        int64                   `json:"batches"`
	Records        int64                   `json:"records"`
	BytesRead      int64                   `json:"bytes_read"`
	BytesStored    int64                   `json:"bytes_stored"`
	ObjectsStored  int64                   `json:"objects_stored"`
	OffsetsToRead  *int64                  `json:"offsets_to_read,omitempty"`
	Gaps           []gapDocument           `json:"gaps"`
	GroupsMissing  []missingGroupsDocument `json:"groups_missing"`
	Forks          []forkDocument          `json:"forks"`
	Rescanned      []rescannedDocument     `json:"rescanned"`
	Failed         []partitionDocument     `json:"failed"`
	Denied         []partitionDocument     `json:"denied"`
	Healed         []healedDocument        `json:"healed"`
	Damage         []string                `json:"damage,omitempty"`
}

type gapDocument struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"first_offset"`
	NextOffset  int64  `json:"next_offset"`
	Cause       string `json:"cause"`
}

type rescannedDocument struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Reason    string `json:"reason"`
}

type healedDocument struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"first_offset"`
	NextOffset  int64  `json:"next_offset"`
}

type forkDocument struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"first_offset"`
	NextOffset  int64  `json:"next_offset"`
	LeaderEpoch int32  `json:"leader_epoch"`
}

type partitionDocument struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Error     string `json:"error"`
}

func newBackupDocument(r *backupOutcome) backupDocument {
	d := backupDocument{
		header:    header{SchemaVersion: schemaVersion, DryRun: r.offsetsToRead != nil},
		VaultHash: r.VaultHash, OffsetsToRead: r.offsetsToRead,
		TopicCount: r.TopicCount, PartitionCount: r.PartitionCount, Batches: r.Batches, Records: r.Records,
		BytesRead: r.BytesRead, BytesStored: r.BytesStored, ObjectsStored: r.ObjectsStored,
		Gaps: []gapDocument{}, GroupsMissing: newMissingGroupsDocuments(r.GroupsMissing), Forks: []forkDocument{}, Rescanned: []rescannedDocument{},
		Failed: partitionDocuments(r.Failed), Denied: partitionDocuments(r.Denied), Healed: []healedDocument{},
	}
	d.TimeDoubts = []string{}
	if s := snapshotOf(r.Result); s != nil {
		d.Snapshot, d.TimeDoubts = s.ID.String(), timeDoubts(s, s.Time)
	}
	for _, g := range r.Gaps {
		d.Gaps = append(d.Gaps, gapDocument{g.Topic, g.Partition, g.FirstOffset, g.NextOffset, string(g.Cause)})
	}
	for _, f := range r.Forks {
		d.Forks = append(d.Forks, forkDocument{f.Topic, f.Partition, f.FirstOffset, f.NextOffset, f.Epoch})
	}
	for _, again := range r.Rescanned {
		d.Rescanned = append(d.Rescanned, rescannedDocument{again.Topic, again.Partition, again.Why})
	}
	for _, h := range r.Healed {
		d.Healed = append(d.Healed, healedDocument{h.Topic, h.Partition, h.FirstOffset, h.NextOffset})
	}
	for _, damage := range slices.Concat(r.Damage, r.OlderDamage) {
		d.Damage = append(d.Damage, damage.Error())
	}
	return d
}

func partitionDocuments(errs []backup.PartitionError) []partitionDocument {
	out := []partitionDocument{}
	for _, e := range errs {
		out = append(out, partitionDocument{e.Topic, e.Partition, e.Err.Error()})
	}
	return out
}

func (o *backupOptions) report(e *env, r *backupOutcome) error {
	var err error
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, newBackupDocument(r))
	} else {
		err = printLines(e.stdout, r.lines())
	}
	o.warn(e, r.Result)
	switch {
	case err != nil:
		return err
	case len(r.Damage) > 0:
		return &incomplete{exitDamage}
	case r.Incomplete():
		return &incomplete{exitIncomplete}
	}
	return nil
}

// lines are the outcome for people.
func (r *backupOutcome) lines() []string {
	where := fmt.Sprintf("%s of %s", plural(int64(r.PartitionCount), "partition"), plural(int64(r.TopicCount), "topic"))
	if r.offsetsToRead != nil {
		return r.withHealed("would fetch again", "are", fmt.Sprintf("would read %s in %s", plural(*r.offsetsToRead, "offset"), where))
	}
	saved := "nothing new in " + where
	if r.BytesRead > 0 {
		saved = fmt.Sprintf("saved %s (%s) of %s", plural(r.Records, "record"), formatBytes(r.BytesRead), where)
	}
	return r.withHealed("fetched again", "were",
		fmt.Sprintf("%s in %s", saved, formatDuration(r.took)),
		fmt.Sprintf("stored %s in %s", formatBytes(r.BytesStored), plural(r.ObjectsStored, "object")),
		"snapshot "+r.Snapshot.String(),
		"vault hash "+r.VaultHash,
	)
}

// withHealed puts before other lines what was healed, if anything was.
func (r *backupOutcome) withHealed(did, were string, lines ...string) []string {
	if len(r.Healed) == 0 {
		return lines
	}
	var offsets int64
	partitions := map[coldstream.TopicPartition]bool{}
	for _, h := range r.Healed {
		offsets += h.NextOffset - h.FirstOffset
		partitions[h.TopicPartition] = true
	}
	return append([]string{fmt.Sprintf("%s %s of %s whose copies in the vault %s damaged", did,
		plural(offsets, "offset"), plural(int64(len(partitions)), "partition"), were)}, lines...)
}

// warn names everything that is not as asked.
func (o *backupOptions) warn(e *env, r *backup.Result) {
	if s := snapshotOf(r); s != nil {
		doubtTime(e, s)
	}
	for _, g := range r.Gaps {
		e.note("gap: %s offsets [%d, %d) were gone before they could be saved (%s)", g.TopicPartition, g.FirstOffset, g.NextOffset, g.Cause)
	}
	was := "was"
	if o.dryRun {
		was = "would be"
	}
	for _, again := range r.Rescanned {
		e.note("%s %s read again in full: %s", again.TopicPartition, was, again.Why)
	}
	for _, tp := range r.MayRescan {
		e.note("%s may be read again in full: it was last read longer ago than its cleaner keeps tombstones", tp)
	}
	for _, f := range r.Forks {
		e.note("fork: %s: the cluster lost offsets [%d, %d) after they were saved. The vault keeps them apart.", f.TopicPartition, f.FirstOffset, f.NextOffset)
	}
	for _, f := range append(r.Failed, r.Denied...) {
		switch {
		case f.Topic == "":
			e.note("not saved: %v", f.Err)
		case f.Partition < 0:
			e.note("not saved: topic %s: %v", f.Topic, f.Err)
		default:
			e.note("not saved: %s: %v", f.TopicPartition, f.Err)
		}
	}
	warnOfGroups(e, r.GroupsMissing)
	if n := len(r.OlderDamage); n > 0 {
		e.note("warning: damage in the vault that costs older states only, %s, the first: %v; accept it with: coldstream repair --accept-loss",
			losses(n), r.OlderDamage[0])
	}
	listDamage(e, r.Damage)
	if len(r.Damage) > 0 {
		e.hint("what the damaged objects held was fetched again where the cluster still has it. See what is left of the damage with: coldstream verify --deep")
	}
}
