package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/vault"
)

type readOptions struct {
	global    *globalOptions
	vault     vaultOptions
	snapshot  string
	at        string
	clusterID string
	tags      tagFilter
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
	o.tags.addFlag(cmd)
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
	GroupsMissing []missingGroupsDocument `json:"groups_missing"`
	// RestoreTests are those of verify --restore-test, the oldest first.
	RestoreTests []restoreTestDocument `json:"restore_tests"`
	tagsDocument
	*snapshotDetails
}

// snapshotDetails are what -l adds.
type snapshotDetails struct {
	Topics     []string          `json:"topics"`
	GroupCount int               `json:"group_count"`
	Missing    map[string]string `json:"missing"` // what the backup could not read, and why
}

func runSnapshots(ctx context.Context, o *readOptions, e *env) error {
	v, catalog, err := o.vault.openCatalog(ctx, e)
	if err != nil {
		return err
	}
	if err := o.tags.check(); err != nil {
		return err
	}
	tags, err := v.ReadTags(ctx)
	if err != nil {
		return err
	}
	tests, err := restoreTests(ctx, v)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // the list of snapshots is whole without
		e.note("warning: what restore tests found could not be read: %v", err)
	}
	l := &snapshotsLister{vault: v.RememberingSections(), env: e, tests: tests, tags: tags, wanted: o.tags.wanted(), long: o.long, document: snapshotsDocument{header{SchemaVersion: schemaVersion}, []snapshotDocument{}}}
	if err := catalog.EachSnapshot(ctx, func(s *vault.Snapshot) error { return l.add(ctx, s) }); err != nil {
		return err
	}
	d := &l.document
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, d)
	} else {
		err = table(e.stdout, d.rows())
	}
	if err != nil {
		return err
	}
	return noteDamage(e, slices.Concat(l.damage, tags.Damage(), catalog.Damage()))
}

// snapshotsLister makes a line of each snapshot.
type snapshotsLister struct {
	vault    *vault.Vault
	tags     *vault.TagReader
	wanted   coldstream.TagFilter
	env      *env
	long     bool
	tests    map[string][]restoreTestDocument
	document snapshotsDocument
	damage   []*vault.DamageError // of metadata
}

// add leaves a snapshot out that cannot be read: the catalog's damage has it then.
func (l *snapshotsLister) add(ctx context.Context, s *vault.Snapshot) error {
	said, err := l.tags.Of(ctx, s)
	if err != nil || !l.wanted.Matches(&said) {
		return err
	}
	topics, err := s.Incarnations(ctx)
	if errors.Is(err, coldstream.ErrCorrupt) || errors.Is(err, coldstream.ErrForgotten) {
		return nil
	}
	if err != nil {
		return err
	}
	partitions, err := s.Partitions(ctx)
	if err != nil {
		return err
	}
	missing, err := l.vault.GroupsMissing(ctx, s)
	if err != nil {
		return err
	}
	lacking(l.env, s, missing)
	d := snapshotDocument{
		ID: s.ID.String(), Time: timestamp(s.Time), TimeDoubts: timeDoubts(s, l.env.now()), ClusterID: s.ClusterID,
		TopicCount: len(topics), PartitionCount: partitions, Bytes: s.SizeBytes,
		GroupsMissing: newMissingGroupsDocuments(missing), RestoreTests: append([]restoreTestDocument{}, l.tests[s.ID.String()]...), tagsDocument: newTagsDocument(&said),
	}
	if l.long {
		metadata, err := l.vault.Metadata(ctx, s)
		if err != nil {
			return err
		}
		d.snapshotDetails = newSnapshotDetails(topics, metadata)
		for _, found := range metadata.Damaged {
			l.damage = append(l.damage, found)
		}
	}
	l.document.Snapshots = append(l.document.Snapshots, d)
	return nil
}

func newSnapshotDetails(topics []coldstream.Incarnation, m *vault.Metadata) *snapshotDetails {
	d := &snapshotDetails{Topics: []string{}, GroupCount: len(m.Groups), Missing: m.Missing}
	for _, t := range topics {
		if n := len(d.Topics); n == 0 || d.Topics[n-1] != t.Topic {
			d.Topics = append(d.Topics, t.Topic)
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
	tagged := slices.ContainsFunc(d.Snapshots, func(s snapshotDocument) bool { return s.words() != "" })
	if tagged {
		head = append(head, "tags")
	}
	isTested := slices.ContainsFunc(d.Snapshots, func(s snapshotDocument) bool { return len(s.RestoreTests) > 0 })
	if isTested {
		head = append(head, "restore test")
	}
	if d.Snapshots[0].snapshotDetails != nil {
		head = append(head, "groups", "names", "missing")
	}
	rows := []row{head}
	for _, s := range d.Snapshots {
		r := row{s.ID, s.Time + doubtWords(s.TimeDoubts), s.ClusterID, fmt.Sprint(s.TopicCount), fmt.Sprint(s.PartitionCount), formatBytes(s.Bytes)}
		if tagged {
			r = append(r, orDash(s.words()))
		}
		if isTested {
			r = append(r, lastTest(s.RestoreTests))
		}
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

// lastTest says what the newest of some restore tests found.
func lastTest(tests []restoreTestDocument) string {
	if len(tests) == 0 {
		return "-"
	}
	t := &tests[len(tests)-1]
	verdict, broker := "passed", ""
	if !t.OK {
		verdict = "failed"
	}
	if !t.IsRealBroker {
		broker = ", no real broker"
	}
	return fmt.Sprintf("%s %s (restored %s of %s in %s%s)", verdict, t.Started, plural(t.Records, "record"), plural(int64(t.TopicCount), "topic"), milliseconds(t.RestoreMs), broker)
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
