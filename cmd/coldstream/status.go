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
	"coldstream/internal/protection"
	"coldstream/kafka"
	"coldstream/vault"
)

type statusOptions struct {
	global     *globalOptions
	cluster    clusterOptions
	vault      vaultOptions
	topics     topicOptions
	check      bool
	maxRPO     time.Duration
	partitions bool
	bounds     *topicBounds // of topics that have a --max-rpo of their own
}

// statusPatience is how long status waits for partitions that are away: who asks wants an answer.
const statusPatience = 15 * time.Second

// latelySeen is how long ago a writer's last commit may be for it to be named.
const latelySeen = time.Hour

func newStatusCommand(global *globalOptions, e *env) *cobra.Command {
	o := &statusOptions{global: global}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how well each topic is protected",
		Long: `Say how well each topic of a cluster is protected by a vault. The command reads the vault and the
cluster. It needs no running backup, and writes nothing.

"rpo" is how much time of a topic would be lost with its cluster now. It is 0 while every partition is
saved to its end. Else it is the time since all of the topic was last saved: timestamps of records do
not count. "never" means that the vault never held all of the topic. "lag" is what is not saved yet.
"headroom" is how long the brokers keep the oldest record that is not saved, at present rates, until
retention deletes it. "lost" counts offsets that were gone before they could be saved. "newest" is the
highest timestamp of a saved record.

Without -t all topics count but internal ones, as for a backup. Name with -t and --exclude what you
name for the backup.

With --check the exit code says whether all is well. It is 4 if the RPO of any topic is above --max-rpo,
or a topic was never saved: for cron and Nagios. A configuration file may bound single topics, with
max-rpo under topics (docs/configuration.md).

Exit codes: 0 done; 2 wrong usage or unknown topic; 3 something could not be read; 4 worse than --max-rpo; 5
the vault is damaged; 10 no vault; 12 wrong or no key; 13 cluster unreachable.`,
		Example: `  coldstream status -b localhost:9092 --vault /srv/kafka-vault
  coldstream status -b localhost:9092 --vault /srv/kafka-vault -t 'orders-*' --check --max-rpo 20m`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), o, e) },
	}
	o.cluster.addFlags(cmd, e)
	setDefault(cmd, "patience", statusPatience.String())
	o.vault.catalogIsEnough = true
	o.vault.addFlags(cmd, e)
	o.topics.addFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.check, "check", false, "end with exit code 4 if the RPO of any topic is above --max-rpo")
	f.DurationVar(&o.maxRPO, "max-rpo", 0, "how old what is saved may be, a `TIME` as 5m")
	f.BoolVar(&o.partitions, "partitions", false, "list partitions too")
	return cmd
}

// setDefault gives a flag another default than its usual one.
func setDefault(cmd *cobra.Command, name, value string) {
	flag := cmd.Flags().Lookup(name)
	if err := flag.Value.Set(value); err != nil {
		panic(err) // a mistake in this program
	}
	flag.DefValue = value
}

func (o *statusOptions) validate() error {
	switch {
	case o.maxRPO < 0:
		return usagef("", errors.New("--max-rpo must be longer than 0"))
	case o.check && o.maxRPO == 0 && len(o.bounds.values) == 0:
		return usagef("name the bound with --max-rpo, as: --check --max-rpo 5m, or in the file of --config", errors.New("--check needs --max-rpo"))
	}
	return o.cluster.validate()
}

func runStatus(ctx context.Context, o *statusOptions, e *env) (err error) {
	if o.bounds, err = o.global.settings.topicBounds(e); err != nil {
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	patterns, err := o.topics.patterns()
	if err != nil {
		return err
	}
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	client, err := o.cluster.connect(ctx, o.vault.observer(e))
	if err != nil {
		return err
	}
	defer client.Close()
	a := &assessment{client: client, vault: v, now: e.now}
	if err := a.read(ctx, patterns); err != nil {
		return err
	}
	if err := a.judge(ctx, o); err != nil {
		return err
	}
	return o.report(e, a)
}

// assessment is what vault and cluster say of topics.
type assessment struct {
	client *kafka.Client
	vault  *vault.Vault
	now    func() time.Time

	cluster  *coldstream.Cluster
	topics   []coldstream.Topic
	ends     map[coldstream.TopicPartition]coldstream.LogOffsets
	sizes    map[coldstream.TopicPartition]int64
	standing *vault.Standing
	document protection.Document
}

// read asks for the ends of the logs first, and then how far the vault has got: what is saved
// meanwhile does not look as if it was behind.
func (a *assessment) read(ctx context.Context, patterns *coldstream.Patterns) (err error) {
	if a.cluster, err = a.client.Metadata(ctx, nil); err != nil {
		return fmt.Errorf("read cluster metadata: %w", err)
	}
	if a.topics, err = patterns.Select(a.cluster.Topics); err != nil {
		return err
	}
	if err := a.client.TopicConfigs(ctx, a.topics); err != nil {
		return err
	}
	asked := map[string]bool{}
	var all []coldstream.TopicPartition
	for i := range a.topics {
		asked[a.topics[i].Name] = true
		all = append(all, partitionsOf(&a.topics[i])...)
	}
	if a.ends, err = a.client.LogOffsets(ctx, all); err != nil {
		return fmt.Errorf("read log offsets: %w", err)
	}
	if a.sizes, err = a.client.LogSizes(ctx, a.topics); err != nil && ctx.Err() != nil {
		return ctx.Err() // else there are estimates
	}
	if a.standing, err = a.vault.OpenStanding(ctx, func(topic string) bool { return asked[topic] }); err != nil {
		return err
	}
	return a.lookAgain(ctx)
}

// lookAgain asks once more for ends that lie before what is saved: the vault may have gone on
// since. Else the log has lost its end.
func (a *assessment) lookAgain(ctx context.Context) error {
	var before []coldstream.TopicPartition
	for i := range a.topics {
		for _, tp := range partitionsOf(&a.topics[i]) {
			if head, ok := a.standing.Head(a.stream(&a.topics[i], tp.Partition)); ok && head.NextOffset > a.ends[tp].HighWatermark {
				before = append(before, tp)
			}
		}
	}
	if len(before) == 0 {
		return nil
	}
	ends, err := a.client.LogOffsets(ctx, before)
	if err != nil {
		return fmt.Errorf("read log offsets: %w", err)
	}
	for tp, end := range ends {
		if end.Err == nil {
			if head, _ := a.standing.Head(a.stream(a.topic(tp.Topic), tp.Partition)); end.HighWatermark > head.NextOffset {
				end.HighWatermark = head.NextOffset // it had reached the end that was seen first
			}
			a.ends[tp] = end
		}
	}
	return nil
}

func (a *assessment) topic(name string) *coldstream.Topic {
	i := slices.IndexFunc(a.topics, func(t coldstream.Topic) bool { return t.Name == name })
	return &a.topics[i]
}

func partitionsOf(t *coldstream.Topic) []coldstream.TopicPartition {
	var out []coldstream.TopicPartition
	for _, p := range t.Partitions {
		out = append(out, coldstream.TopicPartition{Topic: t.Name, Partition: p.ID})
	}
	return out
}

func (a *assessment) stream(t *coldstream.Topic, partition int32) coldstream.Stream {
	in := coldstream.Incarnation{ClusterID: a.cluster.ID, Topic: t.Name, TopicID: t.ID}
	return coldstream.Stream{Incarnation: in, Partition: partition}
}

// judge makes the document.
func (a *assessment) judge(ctx context.Context, o *statusOptions) error {
	now := a.now()
	a.document = protection.Document{
		SchemaVersion: schemaVersion, Time: timestamp(now), ClusterID: a.cluster.ID, VaultID: a.vault.ID(),
		Topics: []protection.Topic{}, Writers: []protection.Writer{},
	}
	for i := range a.topics {
		t, err := a.judgeTopic(ctx, &a.topics[i], now)
		if err != nil {
			return err
		}
		if !o.partitions {
			t.Partitions = nil
		}
		if bound := o.bounds.of(&a.topics[i], o.maxRPO); bound > 0 {
			t.Bound(bound)
			ok := *t.OK && (a.document.OK == nil || *a.document.OK)
			a.document.OK = &ok
		}
		a.document.Topics = append(a.document.Topics, *t)
	}
	for _, w := range a.standing.Writers(now.Add(-latelySeen)) {
		a.document.Writers = append(a.document.Writers, protection.Writer{Writer: w.ID, Name: w.Name, Commits: w.Commits, LastCommit: timestamp(w.Newest)})
	}
	return nil
}

func (a *assessment) judgeTopic(ctx context.Context, topic *coldstream.Topic, now time.Time) (*protection.Topic, error) {
	in := a.stream(topic, 0).Incarnation
	facts := &protection.Facts{Topic: *topic, Now: now}
	savedAt, ahead, _, err := a.standing.ReachedAt(ctx, in, now)
	if err != nil {
		return nil, err
	}
	facts.SavedAt = savedAt
	before := map[int32]int64{}
	snapshot, err := a.standing.LastSnapshot(ctx, in)
	if err != nil {
		return nil, err
	}
	if snapshot != nil {
		facts.Before = snapshot.Time
		views, err := snapshot.Views(ctx)
		if err != nil {
			return nil, err
		}
		for _, view := range views {
			if view.Stream.Incarnation == in {
				before[view.Stream.Partition] = view.NextOffset
			}
		}
	}
	newest := int64(-1)
	var streams []vault.StreamStanding
	for _, tp := range partitionsOf(topic) {
		of := a.standing.Stream(a.stream(topic, tp.Partition))
		newest = max(newest, of.NewestMs)
		streams = append(streams, of)
		facts.Logs = append(facts.Logs, a.log(topic, tp, &of, before))
	}
	t := protection.Judge(facts)
	t.ClockDoubt = ahead
	t.List(facts.Logs)
	for i := range streams {
		for _, gap := range streams[i].Gaps {
			t.Lost(gap.Gap, gap.Found)
		}
	}
	if snapshot != nil {
		t.LastSnapshot, t.LastSnapshotTime = snapshot.ID.String(), timestamp(snapshot.Time)
	}
	if newest >= 0 {
		age := now.Sub(time.UnixMilli(newest)).Seconds()
		t.NewestRecord, t.NewestRecordAge = recordTime(newest), &age
	}
	return &t, nil
}

func (a *assessment) log(topic *coldstream.Topic, tp coldstream.TopicPartition, of *vault.StreamStanding, before map[int32]int64) protection.Log {
	head, known := a.standing.Head(a.stream(topic, tp.Partition))
	l := protection.Log{
		Partition: tp.Partition, LogOffsets: a.ends[tp], Saved: known, NextOffset: head.NextOffset,
		SizeBytes: a.sizes[tp], StoredOffsets: of.Offsets, StoredBytes: of.Bytes, BeforeOffset: -1,
	}
	if offset, ok := before[tp.Partition]; ok {
		l.BeforeOffset = offset
	}
	return l
}

func (o *statusOptions) report(e *env, a *assessment) error {
	d := &a.document
	var err error
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, d)
	} else {
		err = table(e.stdout, statusRows(d, a.now()))
	}
	if err != nil {
		return err
	}
	failed := warnOfStatus(e, d)
	if damage := a.standing.Damage(); len(damage) > 0 {
		return noteDamage(e, damage)
	}
	switch {
	case o.check && d.OK != nil && !*d.OK:
		e.hint("back up what is behind with: coldstream backup; leave out with --exclude what needs no backup")
		return &incomplete{exitBelowTarget}
	case failed:
		return &incomplete{exitIncomplete}
	}
	return nil
}

// warnOfStatus says what is not as it should be. It is true if something could not be read.
func warnOfStatus(e *env, d *protection.Document) (failed bool) {
	for i := range d.Topics {
		t := &d.Topics[i]
		for _, f := range t.Errors {
			failed = true
			if f.Partition < 0 {
				e.note("not known: topic %s: %s", t.Topic, f.Error)
				continue
			}
			e.note("not known: %s-%d: %s", t.Topic, f.Partition, f.Error)
		}
		if t.ClockDoubt {
			e.note("warning: the vault has times of topic %s that are ahead of this host's clock, %s: one of the clocks is wrong, and the RPO may be less", t.Topic, d.Time)
		}
		if t.OK == nil || *t.OK {
			continue
		}
		bound := formatDuration(time.Duration(*t.MaxRPOSeconds * float64(time.Second)))
		if t.RPOSeconds == nil {
			e.note("topic %s is not protected: the vault never held all of it", t.Topic)
			continue
		}
		e.note("topic %s: RPO %s is above %s", t.Topic, shortTime(t.RPOSeconds, "never"), bound)
	}
	if len(d.Writers) > 1 {
		var names []string
		for _, w := range d.Writers {
			names = append(names, fmt.Sprintf("%s (%s, last commit %s)", orDash(w.Name), w.Writer, w.LastCommit))
		}
		e.note("several processes wrote to the vault in the last hour: %s", strings.Join(names, "; "))
	}
	return failed
}

func statusRows(d *protection.Document, now time.Time) []row {
	rows := []row{{"topic", "partitions", "rpo", "lag", "lag size", "headroom", "lost", "last snapshot", "newest"}}
	for i := range d.Topics {
		t := &d.Topics[i]
		size, snapshot, newest := "-", "-", "-"
		if t.LagBytes != nil {
			size = formatBytes(*t.LagBytes)
		}
		if at, err := time.Parse(time.RFC3339, t.LastSnapshotTime); err == nil {
			snapshot = formatAge(now.Sub(at))
		}
		if t.NewestRecordAge != nil {
			newest = formatAge(time.Duration(*t.NewestRecordAge * float64(time.Second)))
		}
		rows = append(rows, row{
			t.Topic, fmt.Sprint(t.PartitionCount), shortTime(t.RPOSeconds, "never"), formatCount(t.LagRecords), size,
			shortTime(t.HeadroomSeconds, "-"), formatCount(t.LostOffsets), snapshot, newest,
		})
	}
	for i := range d.Topics {
		for _, p := range d.Topics[i].Partitions {
			rows = append(rows, row{fmt.Sprintf("%s-%d: log [%d, %d), saved up to %d, lag %s", d.Topics[i].Topic, p.Partition,
				p.LogStartOffset, p.HighWatermark, p.NextOffset, formatCount(p.LagRecords))})
		}
	}
	return rows
}

// shortTime writes seconds for people; what is not there as other says.
func shortTime(seconds *float64, other string) string {
	if seconds == nil {
		return other
	}
	if *seconds == 0 {
		return "0"
	}
	return formatDuration(time.Duration(*seconds * float64(time.Second)).Round(time.Second / 10))
}
