package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/internal/recorddiff"
	"coldstream/kafka"
	"coldstream/restore"
	"coldstream/vault"
)

// comparedAtOnce bounds the partitions that are compared at a time.
const comparedAtOnce = 4

type diffOptions struct {
	global    *globalOptions
	cluster   clusterOptions
	vault     vaultOptions
	topics    topicOptions
	snapshot  string
	clusterID string
	tags      tagFilter
	with      string
	maps      []string
}

func newDiffCommand(global *globalOptions, e *env) *cobra.Command {
	o := &diffOptions{global: global}
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Compare a snapshot with the cluster, or with another snapshot, record by record",
		Long: `Compare a snapshot with what a cluster has now, or with another snapshot (--with). Over the offsets
that both have, each record must be the same: key, value, headers and timestamp. The result names
for each partition the first offset that differs, and how many do. Nothing is changed.

What only one side has outside of the common offsets is listed, and is no difference: records
that are newer than the snapshot, or that retention deleted since. The same holds for records that
a cleaner may have removed (compacted topics), and for those of transactions that were not
committed, which a restore leaves out.

After a restore under another name, --map says which topic is held against which. Only topics whose
offsets were restored exactly can be compared.

Exit codes: 0 the same; 2 wrong usage or unknown topic; 3 some partitions could not be read; 5 different, or
the vault is damaged; 10 no vault; 12 wrong or no key; 13 cluster unreachable.`,
		Example: `  coldstream diff -b localhost:9092 --vault /srv/kafka-vault -t orders
  coldstream diff -b localhost:9092 --vault /srv/kafka-vault -t orders --map orders=orders-restored
  coldstream diff --vault /srv/kafka-vault --snapshot 62db6e9e --with 4b3f0bfd`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDiff(cmd.Context(), o, e) },
	}
	o.cluster.addFlags(cmd, e)
	o.vault.addFlags(cmd, e)
	o.vault.addSpoolFlag(cmd)
	o.topics.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.snapshot, "snapshot", "", "compare the snapshot with this `ID` or unique prefix (default: the newest that holds all topics asked for)")
	f.StringVar(&o.clusterID, "cluster-id", "", "compare a snapshot of the cluster with this `ID`, where the vault holds several")
	o.tags.addFlag(cmd)
	f.StringVar(&o.with, "with", "", "compare with the snapshot with this `ID` or unique prefix, and not with a cluster")
	f.StringArrayVar(&o.maps, "map", nil, "the cluster has the topic under another name: `OLD=NEW` or /REGEX/=NEW with $1, repeatable")
	return cmd
}

func runDiff(ctx context.Context, o *diffOptions, e *env) error {
	d, err := o.open(ctx, e)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.compareAll(ctx); err != nil {
		return err
	}
	d.progress.finish()
	return d.report(o.global.output)
}

// diff is a comparison under way.
type diff struct {
	env      *env
	progress *progress
	vault    *vault.Vault
	catalog  *vault.Catalog
	maps     []restore.Map
	snapshot *vault.Snapshot
	with     *vault.Snapshot // nil for a cluster
	client   *kafka.Client   // nil for a snapshot
	pairs    []*pair
}

// pair is a partition of the snapshot with what is held against it.
type pair struct {
	saved  coldstream.TopicPartition
	target coldstream.TopicPartition
	left   *recorddiff.Side
	right  *recorddiff.Side // nil where there is nothing
	result *recorddiff.Result
	err    error
	lost   []*vault.DamageError

	placement recorddiff.Placement // of a copy whose offsets may be others
}

func (d *diff) close() {
	if d.client != nil {
		d.client.Close()
	}
}

// choose is the snapshot that the command line means, and the names of topics in the cluster.
func (o *diffOptions) choose() (choice *vault.Choice, maps []restore.Map, err error) {
	choice = &vault.Choice{ID: o.snapshot, ClusterID: o.clusterID, Tags: o.tags.wanted()}
	if len(o.topics.include)+len(o.topics.exclude) > 0 {
		if choice.Topics, err = o.topics.patterns(); err != nil {
			return nil, nil, err
		}
	}
	for _, text := range o.maps {
		m, err := restore.ParseMap(text)
		if err != nil {
			return nil, nil, err
		}
		maps = append(maps, m)
	}
	if o.with == "" {
		return choice, maps, o.cluster.validate()
	}
	if len(o.maps) > 0 {
		return nil, nil, usagef("", errors.New("--map is for a cluster: it excludes --with"))
	}
	return choice, nil, nil
}

// open finds what to compare with what.
func (o *diffOptions) open(ctx context.Context, e *env) (*diff, error) {
	choice, maps, err := o.choose()
	if err != nil {
		return nil, err
	}
	v, catalog, err := o.vault.openCatalog(ctx, e)
	if err != nil {
		return nil, err
	}
	d := &diff{env: e, progress: newProgress(e, o.global), vault: v, catalog: catalog, maps: maps}
	var topics []coldstream.Topic
	if d.snapshot, topics, err = catalog.Choose(ctx, choice); err != nil {
		return nil, err
	}
	if err := noteOlder(ctx, e, catalog, chosenSnapshot{d.snapshot, choice}); err != nil {
		return nil, err
	}
	if err := d.addSaved(ctx, topics); err != nil {
		return nil, err
	}
	if o.with != "" {
		if d.with, err = catalog.SnapshotNamed(o.with); err != nil {
			return nil, err
		}
		return d, d.addSnapshot(ctx)
	}
	if d.client, err = o.cluster.connect(ctx, d.progress); err != nil {
		return nil, err
	}
	if err := d.addCluster(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// addSaved makes a pair of each partition of the topics chosen.
func (d *diff) addSaved(ctx context.Context, topics []coldstream.Topic) error {
	chosen := map[incarnation]bool{}
	for _, t := range topics {
		chosen[incarnation{t.Name, t.ID}] = true
	}
	streams, err := d.savedSides(ctx, d.snapshot, func(view *vault.View) bool { return chosen[incarnationOf(*view)] })
	if err != nil {
		return err
	}
	for _, s := range streams {
		saved := s.history.View.Stream.TopicPartition()
		d.pairs = append(d.pairs, &pair{saved: saved, target: d.targetOf(saved), left: s.side, lost: s.history.Lost})
	}
	return nil
}

func (d *diff) targetOf(tp coldstream.TopicPartition) coldstream.TopicPartition {
	for i := range d.maps {
		if name, is := d.maps[i].Apply(tp.Topic); is {
			return coldstream.TopicPartition{Topic: name, Partition: tp.Partition}
		}
	}
	return tp
}

// savedSide is a partition of a snapshot.
type savedSide struct {
	history *vault.StreamHistory
	side    *recorddiff.Side
}

// savedSides are the partitions of a snapshot that are wanted.
func (d *diff) savedSides(ctx context.Context, s *vault.Snapshot, wanted func(*vault.View) bool) ([]savedSide, error) {
	views, err := s.Views(ctx)
	if err != nil {
		return nil, err
	}
	views = slices.DeleteFunc(views, func(view vault.View) bool { return !wanted(&view) })
	metadata, err := d.vault.Metadata(ctx, s)
	if err != nil {
		return nil, err
	}
	compacted := map[incarnation]bool{}
	for i := range metadata.Topics {
		t := &metadata.Topics[i]
		compacted[incarnation{t.Name, t.ID}] = coldstream.HasPolicy(t.CleanupPolicy, "compact")
	}
	history, err := d.catalog.OpenHistory(ctx, views, vault.HistoryOptions{})
	if err != nil {
		return nil, err
	}
	var out []savedSide
	for _, h := range history.Streams() {
		side := recorddiff.Saved(h)
		side.Compacted = compacted[incarnationOf(h.View)]
		out = append(out, savedSide{h, side})
	}
	return out, nil
}

// addSnapshot finds the other side of each pair in the snapshot of --with.
func (d *diff) addSnapshot(ctx context.Context) error {
	pairs := map[coldstream.TopicPartition]*pair{}
	for _, p := range d.pairs {
		pairs[p.saved] = p
	}
	streams, err := d.savedSides(ctx, d.with, func(view *vault.View) bool {
		return pairs[view.Stream.TopicPartition()] != nil
	})
	for _, s := range streams {
		p := pairs[s.history.View.Stream.TopicPartition()]
		p.right, p.lost = s.side, append(p.lost, s.history.Lost...)
	}
	return err
}

// addCluster finds the other side of each pair in the cluster.
func (d *diff) addCluster(ctx context.Context) error {
	var names []string
	for _, p := range d.pairs {
		if !slices.Contains(names, p.target.Topic) {
			names = append(names, p.target.Topic)
		}
	}
	if len(names) == 0 {
		return nil
	}
	cluster, err := d.client.Metadata(ctx, names)
	if err != nil {
		return err
	}
	topics := map[string]*coldstream.Topic{}
	for i := range cluster.Topics {
		topics[cluster.Topics[i].Name] = &cluster.Topics[i]
	}
	var there []coldstream.TopicPartition
	for _, p := range d.pairs {
		switch t := topics[p.target.Topic]; {
		case t == nil || errors.Is(t.Err, coldstream.ErrUnknownTopic):
		case t.Err != nil:
			p.err = t.Err
		case int(p.target.Partition) < len(t.Partitions):
			there = append(there, p.target)
		}
	}
	ends, err := d.client.LogOffsets(ctx, there)
	if err != nil {
		return err
	}
	for _, p := range d.pairs {
		end, is := ends[p.target]
		switch {
		case !is:
		case end.Err != nil:
			p.err = end.Err
		default:
			p.right = recorddiff.Live(d.client, topics[p.target.Topic], p.target.Partition, end)
		}
	}
	return nil
}

// compareAll holds every pair against each other.
func (d *diff) compareAll(ctx context.Context) error {
	planned := coldstream.Planned{Activity: "diff", Partitions: len(d.pairs)}
	for _, p := range d.pairs {
		if p.right != nil {
			planned.Offsets += max(0, min(p.left.NextOffset, p.right.NextOffset)-max(p.left.LogStartOffset, p.right.LogStartOffset))
		}
	}
	d.progress.Observe(&planned)
	var group errgroup.Group
	group.SetLimit(comparedAtOnce)
	for _, p := range d.pairs {
		group.Go(func() error {
			p.compare(ctx, d.progress)
			d.progress.Observe(&coldstream.Progress{Activity: "diff", Partitions: 1})
			return ctx.Err()
		})
	}
	return group.Wait()
}

func (p *pair) compare(ctx context.Context, observer coldstream.Observer) {
	switch {
	case p.err != nil:
	case p.right == nil:
		p.result = &recorddiff.Result{
			LeftOnly: []recorddiff.Range{{FirstOffset: p.left.LogStartOffset, NextOffset: p.left.NextOffset}},
			First:    p.left.LogStartOffset, Kind: recorddiff.NothingToMeet, Count: p.left.NextOffset - p.left.LogStartOffset,
		}
	default:
		p.result, p.err = recorddiff.Partition(ctx, p.left, p.right, func(offsets, bytes int64) {
			observer.Observe(&coldstream.Progress{Activity: "diff", Offsets: offsets, Bytes: bytes})
		})
		var damage *vault.DamageError
		if errors.As(p.err, &damage) {
			p.lost = append(p.lost, damage)
		}
	}
	if p.err != nil {
		p.err = fmt.Errorf("%s: %w", p.saved, p.err)
	}
}
