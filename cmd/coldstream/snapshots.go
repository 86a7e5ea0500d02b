package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/restore"
	"coldstream/vault"
)

type readOptions struct {
	global    *globalOptions
	vault     vaultOptions
	snapshot  string
	clusterID string
}

func newSnapshotsCommand(global *globalOptions, e *env) *cobra.Command {
	o := &readOptions{global: global}
	cmd := &cobra.Command{
		Use:     "snapshots",
		Short:   "List the restore points of a vault, oldest first",
		Example: "  coldstream snapshots --vault /srv/kafka-vault",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSnapshots(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	return cmd
}

type snapshotsDocument struct {
	header
	Snapshots []snapshotDocument `json:"snapshots"`
}

type snapshotDocument struct {
	ID             string `json:"id"`
	Time           string `json:"time"`
	ClusterID      string `json:"cluster_id"`
	TopicCount     int    `json:"topic_count"`
	PartitionCount int    `json:"partition_count"`
	Bytes          int64  `json:"bytes"`
}

func runSnapshots(ctx context.Context, o *readOptions, e *env) error {
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	catalog, err := v.OpenCatalog(ctx)
	if err != nil {
		return err
	}
	d := snapshotsDocument{header{SchemaVersion: schemaVersion}, []snapshotDocument{}}
	for _, s := range catalog.Snapshots() {
		d.Snapshots = append(d.Snapshots, snapshotDocument{
			ID: s.ID.String(), Time: timestamp(s.Time), ClusterID: s.ClusterID,
			TopicCount: topicCount(&s), PartitionCount: len(s.Views), Bytes: s.SizeBytes,
		})
	}
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, d)
	} else {
		lines := []row{{"id", "time", "cluster", "topics", "partitions", "size"}}
		for _, s := range d.Snapshots {
			lines = append(lines, row{s.ID, s.Time, s.ClusterID, fmt.Sprint(s.TopicCount), fmt.Sprint(s.PartitionCount), formatBytes(s.Bytes)})
		}
		if len(d.Snapshots) == 0 {
			lines = []row{{"no snapshots"}}
		}
		err = table(e.stdout, lines)
	}
	if err != nil {
		return err
	}
	return noteDamage(e, catalog.Damage())
}

// noteDamage prints what of a catalog could not be read; a list without it is not whole.
func noteDamage(e *env, damage []*vault.DamageError) error {
	listDamage(e, damage)
	if len(damage) > 0 {
		e.hint("see what it costs with: coldstream verify --deep")
		return &incomplete{exitDamage}
	}
	return nil
}

// listDamage names the first objects; verify names all.
func listDamage(e *env, damage []*vault.DamageError) {
	const named = 10
	for i, d := range damage {
		if i == named {
			e.note("damage in the vault: %d objects more", len(damage)-i)
			return
		}
		e.note("damage in the vault: %v", d)
	}
}

func topicCount(s *vault.Snapshot) int {
	n := 0
	for i := range s.Views {
		if i == 0 || s.Views[i].Stream.Incarnation != s.Views[i-1].Stream.Incarnation {
			n++
		}
	}
	return n
}

func newLsCommand(global *globalOptions, e *env) *cobra.Command {
	o := &readOptions{global: global}
	cmd := &cobra.Command{
		Use:   "ls [TOPIC]",
		Short: "List the topics of a snapshot, or the partitions of one",
		Example: `  coldstream ls --vault /srv/kafka-vault
  coldstream ls --vault /srv/kafka-vault orders`,
		Args: atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return runLs(cmd.Context(), o, args, e) },
	}
	o.vault.addFlags(cmd, e)
	cmd.Flags().StringVar(&o.snapshot, "snapshot", "", "snapshot ID or unique prefix (default: the newest that holds the topic)")
	cmd.Flags().StringVar(&o.clusterID, "cluster-id", "", "source cluster, where the vault holds several")
	return cmd
}

type lsDocument struct {
	header
	Snapshot string          `json:"snapshot"`
	Topics   []topicDocument `json:"topics"`
}

type topicDocument struct {
	Topic          string          `json:"topic"`
	TopicID        string          `json:"topic_id"`
	PartitionCount int             `json:"partition_count"`
	Partitions     []rangeDocument `json:"partitions"`
}

type rangeDocument struct {
	Partition      int32 `json:"partition"`
	LogStartOffset int64 `json:"log_start_offset"`
	NextOffset     int64 `json:"next_offset"`
	LeaderEpoch    int32 `json:"leader_epoch"`
}

func runLs(ctx context.Context, o *readOptions, args []string, e *env) error {
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	catalog, err := v.OpenCatalog(ctx)
	if err != nil {
		return err
	}
	req := &restore.Request{Snapshot: o.snapshot, ClusterID: o.clusterID}
	if len(args) > 0 {
		if req.Topics, err = coldstream.ParsePatterns(args, nil); err != nil {
			return err
		}
	}
	snapshot, topics, err := restore.Choose(catalog, req)
	if err != nil {
		return err
	}
	d := newLsDocument(snapshot, topics)
	switch {
	case isMachineFormat(o.global.output):
		err = writeDocument(e.stdout, o.global.output, d)
	case len(args) > 0:
		err = table(e.stdout, partitionLines(d))
	default:
		err = table(e.stdout, topicLines(d))
	}
	if err != nil {
		return err
	}
	return noteDamage(e, catalog.Damage())
}

func newLsDocument(s *vault.Snapshot, topics []coldstream.Topic) lsDocument {
	d := lsDocument{header{SchemaVersion: schemaVersion}, s.ID.String(), []topicDocument{}}
	for _, t := range topics {
		td := topicDocument{Topic: t.Name, TopicID: t.ID.String(), Partitions: []rangeDocument{}}
		for _, v := range s.Views {
			if v.Stream.Topic == t.Name && v.Stream.TopicID == t.ID {
				td.Partitions = append(td.Partitions, rangeDocument{v.Stream.Partition, v.LogStartOffset, v.NextOffset, v.LastEpoch})
			}
		}
		slices.SortFunc(td.Partitions, func(a, b rangeDocument) int { return int(a.Partition - b.Partition) })
		td.PartitionCount = len(td.Partitions)
		d.Topics = append(d.Topics, td)
	}
	return d
}

func topicLines(d lsDocument) []row {
	lines := []row{{"topic", "partitions", "offsets"}}
	for _, t := range d.Topics {
		var offsets int64
		for _, p := range t.Partitions {
			offsets += p.NextOffset - p.LogStartOffset
		}
		lines = append(lines, row{t.Topic, fmt.Sprint(t.PartitionCount), formatCount(offsets)})
	}
	return lines
}

func partitionLines(d lsDocument) []row {
	lines := []row{{"topic", "partition", "log start", "end", "offsets"}}
	for _, t := range d.Topics {
		for _, p := range t.Partitions {
			lines = append(lines, row{t.Topic, fmt.Sprint(p.Partition), fmt.Sprint(p.LogStartOffset), fmt.Sprint(p.NextOffset), formatCount(p.NextOffset - p.LogStartOffset)})
		}
	}
	return lines
}
