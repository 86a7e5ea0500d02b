package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/vault"
)

type groupsOptions struct {
	readOptions
	history bool
}

func newGroupsCommand(global *globalOptions, e *env) *cobra.Command {
	o := &groupsOptions{readOptions: readOptions{global: global}}
	cmd := &cobra.Command{
		Use:   "groups [GROUP]",
		Short: "List the consumer groups of a snapshot, or the committed offsets of one group",
		Long: `List the consumer groups of a snapshot with the number of their committed offsets, or the committed
offsets of one group. A snapshot has the groups of the whole cluster, whatever topics it selected. "behind"
counts the offsets between a committed offset and the end of the partition in the snapshot; it is unknown
where the snapshot does not hold the partition.

--history lists the same for each snapshot of the cluster, oldest first. That shows when a group
was last sane.`,
		Example: `  coldstream groups --vault /srv/kafka-vault
  coldstream groups billing --history --vault /srv/kafka-vault`,
		Args: atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return runGroups(cmd.Context(), o, args, e) },
	}
	o.vault.catalogIsEnough = true
	o.vault.addFlags(cmd, e)
	cmd.Flags().StringVar(&o.snapshot, "snapshot", "", "the snapshot's `ID`, or a unique prefix of it (default: the newest)")
	addAtFlag(cmd, &o.at, "list the groups of the last snapshot that is not later than this `TIME`")
	cmd.Flags().StringVar(&o.clusterID, "cluster-id", "", "the source cluster's `ID`, where the vault holds several")
	o.tags.addFlag(cmd)
	cmd.Flags().BoolVar(&o.history, "history", false, "list the groups of each snapshot of the cluster")
	return cmd
}

type groupsDocument struct {
	header
	snapshotGroups
}

type groupsHistoryDocument struct {
	header
	ClusterID string           `json:"cluster_id"`
	Snapshots []snapshotGroups `json:"snapshots"`
}

// snapshotGroups are the consumer groups of one snapshot.
type snapshotGroups struct {
	snapshotIdentity
	Groups []groupDocument `json:"groups"`
	// GroupsMissing are the consumer groups that the snapshot lacks.
	GroupsMissing []missingGroupsDocument `json:"groups_missing"`
}

type groupDocument struct {
	Group        string                `json:"group"`
	Type         string                `json:"type"` // classic, consumer, share or streams; empty where the broker did not say
	ProtocolType string                `json:"protocol_type"`
	Error        string                `json:"error,omitempty"` // why its offsets are not known
	Offsets      []groupOffsetDocument `json:"offsets"`
}

type groupOffsetDocument struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Offset      int64  `json:"offset"`
	LeaderEpoch int32  `json:"leader_epoch"`
	Metadata    string `json:"metadata"`
	// Behind counts the offsets up to the partition's end; null where the snapshot does not hold it.
	Behind *int64 `json:"behind"`
}

func runGroups(ctx context.Context, o *groupsOptions, args []string, e *env) error {
	if o.history && (o.snapshot != "" || o.at != "") {
		return usagef("", errors.New("--history lists all snapshots: it excludes --snapshot and --at"))
	}
	choice := &vault.Choice{ID: o.snapshot, ClusterID: o.clusterID, Tags: o.tags.wanted()}
	if err := readChoice(e, o.at, choice); err != nil {
		return err
	}
	v, catalog, err := o.vault.openCatalog(ctx, e)
	if err != nil {
		return err
	}
	newest, _, err := catalog.Choose(ctx, choice)
	if err != nil {
		return err
	}
	if notice := catalog.OrderNotice(newest, choice); notice != "" {
		e.note("warning: %s", notice)
	}
	l := &groupsListing{vault: v.RememberingSections(), env: e, group: args, history: o.history, damage: catalog.Damage()}
	if !o.history {
		if err := l.add(ctx, newest); err != nil {
			return err
		}
		if err := l.checkName(); err != nil {
			return err
		}
		return l.print(o, groupsDocument{header{SchemaVersion: schemaVersion}, l.snapshots[0]})
	}
	if err := catalog.EachSnapshot(ctx, func(s *vault.Snapshot) error {
		if s.ClusterID != newest.ClusterID {
			return nil
		}
		return l.add(ctx, s)
	}); err != nil {
		return err
	}
	if err := l.checkName(); err != nil {
		return err
	}
	return l.print(o, groupsHistoryDocument{header{SchemaVersion: schemaVersion}, newest.ClusterID, l.snapshots})
}

// groupsListing gathers the groups of snapshots.
type groupsListing struct {
	vault     *vault.Vault
	env       *env
	group     []string // the one asked for, or none for all
	history   bool
	snapshots []snapshotGroups
	names     []string // of all groups there are
	damage    []*vault.DamageError
}

func (l *groupsListing) add(ctx context.Context, s *vault.Snapshot) error {
	metadata, err := l.vault.Metadata(ctx, s)
	if err != nil {
		return err
	}
	missing, err := l.vault.GroupsMissing(ctx, s)
	if err != nil {
		return err
	}
	if damage := metadata.Damaged[vault.SectionGroups]; damage != nil {
		l.damage = append(l.damage, damage)
	}
	d := snapshotGroups{
		newSnapshotIdentity(s, l.env.now()), []groupDocument{}, newMissingGroupsDocuments(missing),
	}
	ends := map[coldstream.TopicPartition]int64{}
	views, err := s.Views(ctx)
	var unread *vault.DamageError
	if errors.As(err, &unread) { // what groups lag behind is not known then
		l.damage = append(l.damage, unread)
	} else if err != nil {
		return err
	}
	for _, view := range views {
		ends[view.Stream.TopicPartition()] = view.NextOffset
	}
	for i := range metadata.Groups {
		g := &metadata.Groups[i]
		l.names = append(l.names, g.Name)
		if len(l.group) == 0 || l.group[0] == g.Name {
			d.Groups = append(d.Groups, newGroupDocument(g, ends))
		}
	}
	lacking(l.env, s, missing)
	l.snapshots = append(l.snapshots, d)
	return nil
}

func newGroupDocument(g *coldstream.Group, ends map[coldstream.TopicPartition]int64) groupDocument {
	d := groupDocument{Group: g.Name, Type: g.Type, ProtocolType: g.ProtocolType, Offsets: []groupOffsetDocument{}}
	if g.Err != nil {
		d.Error = g.Err.Error()
	}
	for _, at := range g.Offsets {
		o := groupOffsetDocument{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset, LeaderEpoch: at.LeaderEpoch, Metadata: at.Metadata}
		if end, known := ends[at.TopicPartition]; known {
			behind := max(0, end-at.Offset)
			o.Behind = &behind
		}
		d.Offsets = append(d.Offsets, o)
	}
	return d
}

// checkName refuses a group that no snapshot has, unless damage may be why.
func (l *groupsListing) checkName() error {
	for _, s := range l.snapshots {
		if len(l.group) == 0 || len(s.Groups) > 0 {
			return nil
		}
	}
	if len(l.damage) > 0 {
		return fmt.Errorf("consumer group %s: it may have been lost: %w", groupName(l.group[0]), l.damage[0])
	}
	hint := "see: coldstream groups"
	if near := coldstream.Nearest(l.group[0], l.names); len(near) > 0 {
		hint = "did you mean: " + listNames(near)
	}
	return usagef(hint, fmt.Errorf("no consumer group %s in %s", groupName(l.group[0]), plural(int64(len(l.snapshots)), "snapshot")))
}

func (l *groupsListing) print(o *groupsOptions, document any) error {
	var err error
	if isMachineFormat(o.global.output) {
		err = writeDocument(l.env.stdout, o.global.output, document)
	} else {
		err = table(l.env.stdout, l.rows())
	}
	if err != nil {
		return err
	}
	return noteDamage(l.env, l.damage)
}

func (l *groupsListing) rows() []row {
	head := row{"group", "type", "topics", "partitions", "behind"}
	if len(l.group) > 0 {
		head = row{"topic", "partition", "offset", "behind", "metadata"}
	}
	if l.history {
		head = append(row{"snapshot", "time"}, head...)
	}
	rows := []row{head}
	for i := range l.snapshots {
		s := &l.snapshots[i]
		for j := range s.Groups {
			for _, cells := range l.groupRows(&s.Groups[j]) {
				if l.history {
					cells = append(row{s.Snapshot, s.Time + doubtWords(s.TimeDoubts)}, cells...)
				}
				rows = append(rows, cells)
			}
		}
	}
	if !l.history {
		s := &l.snapshots[0]
		rows = append(rows, row{fmt.Sprintf("snapshot %s of cluster %s, taken %s", s.Snapshot, s.ClusterID, s.Time)})
	}
	return rows
}

// groupRows are the row of a group, or those of its offsets where one group is asked for.
func (l *groupsListing) groupRows(g *groupDocument) []row {
	if g.Error != "" {
		return []row{{groupName(g.Group), "offsets not known: " + g.Error}}
	}
	if len(l.group) == 0 {
		return []row{g.row()}
	}
	var rows []row
	for _, o := range g.Offsets {
		behind := "-"
		if o.Behind != nil {
			behind = formatCount(*o.Behind)
		}
		rows = append(rows, row{o.Topic, fmt.Sprint(o.Partition), fmt.Sprint(o.Offset), behind, orDash(o.Metadata)})
	}
	return rows
}

func (g *groupDocument) row() row {
	topics := map[string]bool{}
	var behind int64
	unknown := false
	for _, o := range g.Offsets {
		topics[o.Topic] = true
		if o.Behind == nil {
			unknown = true
			continue
		}
		behind += *o.Behind
	}
	text := formatCount(behind)
	if unknown {
		text = "-"
	}
	return row{groupName(g.Group), orDash(g.Type), fmt.Sprint(len(topics)), fmt.Sprint(len(g.Offsets)), text}
}
