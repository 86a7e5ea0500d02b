package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/vault"
)

func newLsCommand(global *globalOptions, e *env) *cobra.Command {
	o := &readOptions{global: global}
	cmd := &cobra.Command{
		Use:   "ls [TOPIC]",
		Short: "List the topics of a snapshot, or the partitions of one topic",
		Long: `List the topics of a snapshot with their records, sizes and gaps, or the partitions of one
topic with their offsets. Records are those that the vault holds for the snapshot: of a compacted
topic, the ones that compaction had left; of transactions, also the aborted ones. "size" is that of
the record batches as the brokers hold them. "newest" is the highest timestamp of a record. "lost"
counts offsets between the log start and the end that were gone before they could be saved.

-l adds IDs, configs and the consumer groups that have committed offsets; of one topic also where its log had
lost its end (forks), and how often a compacted partition was read again in full (rescans).

--at TIME lists what a restore with --at would bring; configs and groups are those of the last
snapshot before.`,
		Example: `  coldstream ls --vault /srv/kafka-vault
  coldstream ls --vault /srv/kafka-vault orders -l
  coldstream ls --vault /srv/kafka-vault --snapshot 62db6e9e`,
		Args: atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return runLs(cmd.Context(), o, args, e) },
	}
	o.vault.catalogIsEnough = true
	o.vault.addFlags(cmd, e)
	cmd.Flags().StringVar(&o.snapshot, "snapshot", "", "the snapshot's `ID`, or a unique prefix of it (default: the newest that holds the topic)")
	addAtFlag(cmd, &o.at, "list what topics held at this `TIME`, in place of a snapshot")
	cmd.Flags().StringVar(&o.clusterID, "cluster-id", "", "the source cluster's `ID`, where the vault holds several")
	o.tags.addFlag(cmd)
	cmd.Flags().BoolVarP(&o.long, "long", "l", false, "list IDs, configs and consumer groups too")
	return cmd
}

type lsDocument struct {
	header
	snapshotIdentity
	At     string          `json:"at,omitempty"` // the time that was asked for
	Topics []topicDocument `json:"topics"`
	// GroupsMissing are the consumer groups that the snapshot lacks.
	GroupsMissing []missingGroupsDocument `json:"groups_missing"`
}

type topicDocument struct {
	Topic          string           `json:"topic"`
	TopicID        string           `json:"topic_id"`
	PartitionCount int              `json:"partition_count"`
	Records        int64            `json:"records"`
	Bytes          int64            `json:"bytes"`
	NewestRecord   string           `json:"newest_record,omitempty"`
	Configs        []configDocument `json:"configs"`
	Groups         []string         `json:"groups"`
	Partitions     []rangeDocument  `json:"partitions"`

	positions []groupPosition
}

type configDocument struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type rangeDocument struct {
	Partition      int32              `json:"partition"`
	LogStartOffset int64              `json:"log_start_offset"`
	NextOffset     int64              `json:"next_offset"`
	LeaderEpoch    int32              `json:"leader_epoch"`
	Records        int64              `json:"records"`
	Bytes          int64              `json:"bytes"`
	NewestRecord   string             `json:"newest_record,omitempty"`
	Gaps           []gapRangeDocument `json:"gaps"`
	// Forks are the offsets at which the log had lost its end, and went on with other records.
	Forks []int64 `json:"forks"`
	// Rescans counts how often the partition was read again in full, up to this snapshot.
	Rescans uint32 `json:"rescans"`
}

type gapRangeDocument struct {
	FirstOffset int64  `json:"first_offset"`
	NextOffset  int64  `json:"next_offset"`
	Cause       string `json:"cause"`
}

// groupPosition is how far a group was in a partition.
type groupPosition struct {
	group     string
	partition int32
	offset    int64
}

func runLs(ctx context.Context, o *readOptions, args []string, e *env) error {
	v, catalog, err := o.vault.openCatalog(ctx, e)
	if err != nil {
		return err
	}
	choice := &vault.Choice{ID: o.snapshot, ClusterID: o.clusterID, Tags: o.tags.wanted()}
	if len(args) > 0 {
		if choice.Topics, err = coldstream.ParsePatterns(args, nil); err != nil {
			return err
		}
	}
	if err := readChoice(e, o.at, choice); err != nil {
		return err
	}
	shown, err := catalog.Show(ctx, choice)
	if err != nil {
		return err
	}
	snapshot := shown.Snapshot
	if err := noteOlder(ctx, e, catalog, chosenSnapshot{snapshot, choice}); err != nil {
		return err
	}
	l := &listing{vault: v, catalog: catalog, snapshot: snapshot, topics: shown.Topics, shown: shown, at: choice.At, now: e.now(), damage: slices.Concat(catalog.Damage(), shown.Damage), long: o.long, partitions: len(args) > 0}
	if err := l.read(ctx); err != nil {
		return err
	}
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, l.document)
	} else {
		err = table(e.stdout, l.rows(e.now()))
	}
	if err != nil {
		return err
	}
	doubtTime(e, snapshot)
	lacking(e, snapshot, l.groupsMissing)
	return noteDamage(e, l.damage)
}

// listing is what a vault holds of topics of a snapshot.
type listing struct {
	vault    *vault.Vault
	catalog  *vault.Catalog
	snapshot *vault.Snapshot
	topics   []coldstream.Topic
	shown    *vault.Shown
	at       time.Time // that was asked for; zero without
	now      time.Time
	document lsDocument
	damage   []*vault.DamageError
	// groupsMissing are the consumer groups that the snapshot lacks.
	groupsMissing []coldstream.MissingGroups

	// For people: with details, and a row for each partition rather than for each topic.
	long, partitions bool
}

func (l *listing) read(ctx context.Context) error {
	s := l.snapshot
	missing, err := l.vault.GroupsMissing(ctx, s)
	if err != nil {
		return err
	}
	l.groupsMissing = missing
	l.document = lsDocument{
		header{SchemaVersion: schemaVersion}, newSnapshotIdentity(s, l.now), optionalTime(l.at), []topicDocument{}, newMissingGroupsDocuments(missing),
	}
	metadata, err := l.vault.Metadata(ctx, s)
	if err != nil {
		return err
	}
	for _, damage := range metadata.Damaged {
		l.damage = append(l.damage, damage)
	}
	views := map[incarnation][]vault.View{}
	for _, view := range l.shown.Views {
		in := incarnationOf(view)
		views[in] = append(views[in], view)
	}
	recorded := recordedOf(metadata)
	for _, t := range l.topics {
		// One topic after the other: the rows of all may be more than fits into memory.
		history, err := l.catalog.OpenHistory(ctx, views[incarnation{t.Name, t.ID}], vault.HistoryOptions{})
		if err != nil {
			return err
		}
		l.document.Topics = append(l.document.Topics, l.topic(t, history.Streams(), recorded))
	}
	return nil
}

// recorded is a snapshot's metadata by what it is about.
type recorded struct {
	configs   map[incarnation][]coldstream.Config
	positions map[string][]groupPosition // by topic, in the order of groups
}

func recordedOf(m *vault.Metadata) *recorded {
	r := &recorded{map[incarnation][]coldstream.Config{}, map[string][]groupPosition{}}
	for i := range m.Topics {
		t := &m.Topics[i]
		r.configs[incarnation{t.Name, t.ID}] = t.Configs
	}
	for i := range m.Groups {
		g := &m.Groups[i]
		for _, o := range g.Offsets {
			r.positions[o.Topic] = append(r.positions[o.Topic], groupPosition{g.Name, o.Partition, o.Offset})
		}
	}
	return r
}

// incarnation is a topic of a snapshot.
type incarnation struct {
	name string
	id   coldstream.TopicID
}

func incarnationOf(view vault.View) incarnation {
	return incarnation{view.Stream.Topic, view.Stream.TopicID}
}

func (l *listing) topic(t coldstream.Topic, streams []*vault.StreamHistory, recorded *recorded) topicDocument {
	d := topicDocument{Topic: t.Name, TopicID: t.ID.String(), Configs: []configDocument{}, Groups: []string{}, Partitions: []rangeDocument{}}
	newest := int64(-1)
	for _, s := range streams {
		p, ms := newRangeDocument(s)
		d.Partitions = append(d.Partitions, p)
		d.Records += p.Records
		d.Bytes += p.Bytes
		newest = max(newest, ms)
		l.damage = append(l.damage, s.Lost...)
	}
	slices.SortFunc(d.Partitions, func(a, b rangeDocument) int { return cmp.Compare(a.Partition, b.Partition) })
	d.PartitionCount, d.NewestRecord = len(d.Partitions), recordTime(newest)
	for _, c := range recorded.configs[incarnation{t.Name, t.ID}] {
		d.Configs = append(d.Configs, configDocument{c.Name, c.Value})
	}
	d.positions = recorded.positions[t.Name]
	for _, at := range d.positions {
		if n := len(d.Groups); n == 0 || d.Groups[n-1] != at.group {
			d.Groups = append(d.Groups, at.group)
		}
	}
	return d
}

// newRangeDocument sums up what the vault holds of a view, with the highest timestamp of a
// record.
func newRangeDocument(s *vault.StreamHistory) (d rangeDocument, newestMs int64) {
	v := s.View
	d = rangeDocument{Partition: v.Stream.Partition, LogStartOffset: v.LogStartOffset, NextOffset: v.NextOffset, LeaderEpoch: v.LastEpoch, Gaps: []gapRangeDocument{}, Forks: []int64{}, Rescans: v.Scan}
	newestMs = -1
	for i := range s.Runs {
		run := &s.Runs[i]
		d.Records += min(run.Records, run.NextOffset-run.FirstOffset) // of a part no more than it has offsets
		d.Bytes += run.SizeBytes
		newestMs = max(newestMs, run.MaxTimestampMs)
		if run.Forked {
			d.Forks = append(d.Forks, run.NextOffset)
		}
	}
	for _, g := range s.Gaps {
		d.Gaps = append(d.Gaps, gapRangeDocument{g.FirstOffset, g.NextOffset, string(g.Cause)})
	}
	d.NewestRecord = recordTime(newestMs)
	return d, newestMs
}

// recordTime is the time of a record, or nothing where there is none.
func recordTime(ms int64) string {
	if ms < 0 {
		return ""
	}
	return timestamp(time.UnixMilli(ms))
}

// lost counts the offsets of gaps.
func (d *rangeDocument) lost() (offsets int64) {
	for _, g := range d.Gaps {
		offsets += g.NextOffset - g.FirstOffset
	}
	return offsets
}

func (l *listing) rows(now time.Time) []row {
	rows := l.topicRows()
	if l.partitions {
		rows = l.partitionRows()
	}
	var records, size int64
	for _, t := range l.document.Topics {
		records += t.Records
		size += t.Bytes
	}
	where := "in"
	if !l.at.IsZero() {
		where = "at " + timestamp(l.at) + ", behind"
	}
	return append(rows, row{fmt.Sprintf("%s, %s, %s %s snapshot %s of cluster %s, taken %s (%s)",
		plural(int64(len(l.document.Topics)), "topic"), plural(records, "record"), formatBytes(size), where,
		l.snapshot.ID, l.snapshot.ClusterID, timestamp(l.snapshot.Time), formatAge(now.Sub(l.snapshot.Time)))})
}

func (l *listing) topicRows() []row {
	head := row{"topic", "partitions", "records", "size", "newest", "lost"}
	if l.long {
		head = append(head, "topic ID", "groups", "configs")
	}
	rows := []row{head}
	for _, t := range l.document.Topics {
		var lost int64
		for i := range t.Partitions {
			lost += t.Partitions[i].lost()
		}
		r := row{t.Topic, fmt.Sprint(t.PartitionCount), formatCount(t.Records), formatBytes(t.Bytes), orDash(t.NewestRecord), formatCount(lost)}
		if l.long {
			r = append(r, t.TopicID, orDash(strings.Join(t.Groups, ",")), orDash(strings.Join(t.configs(), " ")))
		}
		rows = append(rows, r)
	}
	return rows
}

func (d *topicDocument) configs() []string {
	var out []string
	for _, c := range d.Configs {
		out = append(out, c.Name+"="+c.Value)
	}
	return out
}

func orDash(text string) string { return cmp.Or(text, "-") }

func (l *listing) partitionRows() []row {
	topics := l.document.Topics
	rows := []row{{"topic", "partition", "log start", "end", "records", "size", "newest", "lost"}}
	for i := range topics {
		t := &topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			rows = append(rows, row{
				t.Topic, fmt.Sprint(p.Partition), fmt.Sprint(p.LogStartOffset), fmt.Sprint(p.NextOffset),
				formatCount(p.Records), formatBytes(p.Bytes), orDash(p.NewestRecord), formatCount(p.lost()),
			})
		}
	}
	for i := range topics {
		rows = append(rows, topics[i].gapRows()...)
		if l.long {
			rows = append(rows, topics[i].detailRows()...)
		}
	}
	return rows
}

func (d *topicDocument) gapRows() (rows []row) {
	for _, p := range d.Partitions {
		for _, g := range p.Gaps {
			rows = append(rows, row{fmt.Sprintf("gap: %s-%d offsets [%d, %d): %s", d.Topic, p.Partition, g.FirstOffset, g.NextOffset, g.Cause)})
		}
	}
	return rows
}

// detailRows are what else there is to know of a topic.
func (d *topicDocument) detailRows() []row {
	rows := []row{{fmt.Sprintf("topic %s has ID %s", d.Topic, d.TopicID)}}
	for _, config := range d.configs() {
		rows = append(rows, row{"config " + config})
	}
	for _, p := range d.Partitions {
		for _, offset := range p.Forks {
			rows = append(rows, row{fmt.Sprintf("fork: %s-%d had lost its end at offset %d, and went on with other records", d.Topic, p.Partition, offset)})
		}
		if p.Rescans > 0 {
			rows = append(rows, row{fmt.Sprintf("rescanned: %s-%d was read again in full, %s", d.Topic, p.Partition, plural(int64(p.Rescans), "time"))})
		}
	}
	next := map[int32]int64{}
	for _, p := range d.Partitions {
		next[p.Partition] = p.NextOffset
	}
	for _, at := range d.positions {
		rows = append(rows, row{fmt.Sprintf("group %s: partition %d at offset %d, %s before the end", at.group, at.partition, at.offset,
			plural(max(0, next[at.partition]-at.offset), "offset"))})
	}
	return rows
}

// chosenSnapshot is a snapshot and what it was chosen by.
type chosenSnapshot struct {
	snapshot *vault.Snapshot
	by       *vault.Choice
}

// noteOlder says that an older snapshot than the newest is taken, unless one was named.
func noteOlder(ctx context.Context, e *env, catalog *vault.Catalog, chosen chosenSnapshot) error {
	if chosen.by.ID != "" || len(chosen.by.Tags) > 0 {
		return nil
	}
	notice, err := catalog.OlderNotice(ctx, chosen.snapshot, chosen.by)
	for _, notice := range []string{notice, catalog.OrderNotice(chosen.snapshot, chosen.by)} {
		if notice != "" {
			e.note("warning: %s", notice)
		}
	}
	return err
}
