package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	long      bool
}

func newSnapshotsCommand(global *globalOptions, e *env) *cobra.Command {
	o := &readOptions{global: global}
	cmd := &cobra.Command{
		Use:   "snapshots",
		Short: "List the restore points of a vault, oldest first",
		Long: `List the restore points of a vault, oldest first. "size" is that of the record batches which the
vault held of the snapshot's partitions when the snapshot was made: what the brokers need for them,
not what the vault takes. The order is that in which the backups built on each other; a "time" that cannot be right, because a clock
was wrong, is marked. -l adds how many consumer groups are in it, which topics, and what
the backup could not read. What is in each topic says: coldstream ls --snapshot ID`,
		Example: "  coldstream snapshots --vault /srv/kafka-vault -l",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSnapshots(cmd.Context(), o, e) },
	}
	o.vault.catalogIsEnough = true
	o.vault.addFlags(cmd, e)
	cmd.Flags().BoolVarP(&o.long, "long", "l", false, "list topics, consumer groups and what is missing too")
	return cmd
}

type snapshotsDocument struct {
	header
	Snapshots []snapshotDocument `json:"snapshots"`
}

type snapshotDocument struct {
	ID   string `json:"id"`
	Time string `json:"time"`
	// TimeDoubts say why the time cannot be right.
	TimeDoubts     []string `json:"time_doubts"`
	ClusterID      string   `json:"cluster_id"`
	TopicCount     int      `json:"topic_count"`
	PartitionCount int      `json:"partition_count"`
	Bytes          int64    `json:"bytes"`
	// GroupsMissing are the consumer groups that the snapshot lacks.
	GroupsMissing []restore.MissingGroups `json:"groups_missing"`
	*snapshotDetails
}

// snapshotDetails are what -l adds.
type snapshotDetails struct {
	Topics     []string          `json:"topics"`
	GroupCount int               `json:"group_count"`
	Missing    map[string]string `json:"missing"` // what the backup could not read, and why
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
	damage := catalog.Damage()
	d := snapshotsDocument{header{SchemaVersion: schemaVersion}, []snapshotDocument{}}
	for _, s := range catalog.Snapshots() {
		missing, err := v.GroupsMissing(ctx, &s)
		if err != nil {
			return err
		}
		lacking(e, &s, missing)
		sd := snapshotDocument{
			ID: s.ID.String(), Time: timestamp(s.Time), TimeDoubts: timeDoubts(&s, e.now()), ClusterID: s.ClusterID,
			TopicCount: topicCount(&s), PartitionCount: len(s.Views), Bytes: s.SizeBytes,
			GroupsMissing: restore.MissingGroupsOf(missing),
		}
		if o.long {
			metadata, err := v.Metadata(ctx, &s)
			if err != nil {
				return err
			}
			sd.snapshotDetails = newSnapshotDetails(&s, metadata)
			for _, found := range metadata.Damaged {
				damage = append(damage, found)
			}
		}
		d.Snapshots = append(d.Snapshots, sd)
	}
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, d)
	} else {
		err = table(e.stdout, d.rows())
	}
	if err != nil {
		return err
	}
	return noteDamage(e, damage)
}

func newSnapshotDetails(s *vault.Snapshot, m *vault.Metadata) *snapshotDetails {
	d := &snapshotDetails{Topics: []string{}, GroupCount: len(m.Groups), Missing: m.Missing}
	for _, v := range s.Views {
		if n := len(d.Topics); n == 0 || d.Topics[n-1] != v.Stream.Topic {
			d.Topics = append(d.Topics, v.Stream.Topic)
		}
	}
	if m.Administration != nil {
		for part, err := range m.Administration.Errs {
			d.Missing[string(part)] = err.Error()
		}
	}
	for name, damage := range m.Damaged {
		d.Missing[name] = damage.Error()
	}
	return d
}

func (d *snapshotsDocument) rows() []row {
	if len(d.Snapshots) == 0 {
		return []row{{"no snapshots"}}
	}
	head := row{"id", "time", "cluster", "topics", "partitions", "size"}
	if d.Snapshots[0].snapshotDetails != nil {
		head = append(head, "groups", "names", "missing")
	}
	rows := []row{head}
	for _, s := range d.Snapshots {
		r := row{s.ID, s.Time + doubtWords(s.TimeDoubts), s.ClusterID, fmt.Sprint(s.TopicCount), fmt.Sprint(s.PartitionCount), formatBytes(s.Bytes)}
		if s.snapshotDetails != nil {
			var missing []string
			for _, name := range slices.Sorted(maps.Keys(s.Missing)) {
				missing = append(missing, name+": "+s.Missing[name])
			}
			r = append(r, fmt.Sprint(s.GroupCount), listNames(s.Topics), orDash(strings.Join(missing, "; ")))
		}
		rows = append(rows, r)
	}
	return rows
}

// lacking says which consumer groups a snapshot lacks.
func lacking(e *env, s *vault.Snapshot, missing []coldstream.MissingGroups) {
	for _, text := range coldstream.MissingGroupsTexts(missing) {
		e.note("snapshot %s lacks %s", s.ID, text)
	}
}

// noteDamage prints what of a catalog could not be read; a list without it is not whole.
func noteDamage(e *env, damage []*vault.DamageError) error {
	listDamage(e, damage)
	if len(damage) > 0 {
		e.hint("see what is lost with: coldstream verify --deep")
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
