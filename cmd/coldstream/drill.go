package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/internal/recorddiff"
	"coldstream/kafka"
	"coldstream/kafka/embedded"
	"coldstream/restore"
	"coldstream/vault"
)

// drill is a restore for the sake of seeing that it works: of a whole snapshot into topics of its
// own, which are compared with the snapshot and removed.
type drill struct {
	opts     *verifyOptions
	env      *env
	progress *progress
	vault    *vault.Vault
	folder   string // for the embedded broker, and the records of the restore

	id       vault.RestoreID
	catalog  *vault.Catalog
	choice   *vault.Choice
	snapshot *vault.Snapshot
	topics   []coldstream.Topic
	names    map[string]string // of topics in the target, by those in the snapshot

	cluster *embedded.Cluster // nil if a cluster was named
	client  *kafka.Client
	result  *restore.Result
	pairs   []*pair
	damage  []*vault.DamageError
	took    restoreTestDocument
}

// runDrill tests a restore. What came of it is in the vault, also where it ended with an error.
func (o *verifyOptions) runDrill(ctx context.Context, e *env, v *vault.Vault) (_ *drill, err error) {
	d := &drill{opts: o, env: e, progress: newProgress(e, o.global), vault: v, names: map[string]string{}}
	defer d.progress.finish()
	if d.folder, err = os.MkdirTemp("", "coldstream-restore-test-"); err != nil {
		return nil, fmt.Errorf("make a folder for the restore test: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.folder)) }()
	if err := d.choose(ctx); err != nil {
		return nil, err
	}
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	defer d.close()
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	err = d.restoreAndCompare(ctx)
	d.removeTopics(ctx)
	return d, errors.Join(err, d.end(ctx, err))
}

// choose finds what is to be restored, and how it is to be called meanwhile.
func (d *drill) choose(ctx context.Context) (err error) {
	d.choice = &vault.Choice{ID: d.opts.snapshot}
	if len(d.opts.topics.include)+len(d.opts.topics.exclude) > 0 {
		if d.choice.Topics, err = d.opts.topics.patterns(); err != nil {
			return err
		}
	}
	if _, err := rand.Read(d.id[:]); err != nil {
		return fmt.Errorf("make an ID: %w", err)
	}
	if d.catalog, err = d.vault.OpenCatalog(ctx); err != nil {
		return err
	}
	if d.snapshot, d.topics, err = d.catalog.Choose(ctx, d.choice); err != nil {
		return err
	}
	for i := range d.topics {
		d.names[d.topics[i].Name] = d.testName(i)
	}
	return noteOlder(ctx, d.env, d.catalog, chosenSnapshot{d.snapshot, d.choice})
}

// longestName is how long names of topics may be.
const longestName = 249

// testName is the name of a topic while it is tested. It begins as names of internal topics do, so
// that no backup takes it; and the number tells apart what is cut off, or is alike but for dots.
func (d *drill) testName(i int) string {
	name := fmt.Sprintf("__coldstream_test_%s_%d_%s", d.id, i, d.topics[i].Name)
	return name[:min(len(name), longestName)]
}

// open connects to the cluster that is named, or to a broker of its own.
func (d *drill) open(ctx context.Context) (err error) {
	at := d.opts.cluster
	if !d.opts.clusterNamed() {
		if d.cluster, err = embedded.Start(embedded.Options{DataDir: filepath.Join(d.folder, "broker")}); err != nil {
			return err
		}
		at = embeddedOptions(d.cluster)
	} else if err := at.validate(); err != nil {
		return err
	}
	if d.client, err = at.connect(ctx, d.progress); err != nil {
		d.close()
	}
	return err
}

func (d *drill) close() {
	if d.client != nil {
		d.client.Close()
	}
	if d.cluster != nil {
		d.cluster.Close()
	}
}

// begin holds the snapshot, so that what is compared stays.
func (d *drill) begin(ctx context.Context) error {
	d.took = restoreTestDocument{
		ID: d.id.String(), Snapshot: d.snapshot.ID.String(), SnapshotTime: timestamp(d.snapshot.Time), ClusterID: d.snapshot.ClusterID,
		Started: timestamp(d.env.now()), IsRealBroker: d.cluster == nil, Bootstrap: d.opts.cluster.bootstrap,
	}
	if d.cluster != nil {
		d.took.Bootstrap = ""
	}
	document, err := json.Marshal(struct {
		Restore     string   `json:"restore"`
		Snapshot    string   `json:"snapshot"`
		Topics      []string `json:"topics"` // none was brought back
		Started     string   `json:"started"`
		RestoreTest bool     `json:"restore_test"`
	}{d.id.String(), d.took.Snapshot, []string{}, d.took.Started, true})
	if err == nil {
		err = d.vault.BeginRestoreTest(ctx, d.id, d.snapshot, document)
	}
	if err != nil {
		return fmt.Errorf("keep the record of the restore test in the vault: %w", err)
	}
	return nil
}

// end keeps what came out. The record is written also where the test was interrupted.
func (d *drill) end(ctx context.Context, cause error) error {
	if cause != nil {
		d.took.Error = cause.Error()
	}
	d.took.Finished = timestamp(d.env.now())
	d.fill()
	document, err := json.Marshal(&d.took)
	if err == nil {
		err = d.vault.EndRestoreTest(context.WithoutCancel(ctx), d.id, document)
	}
	if err != nil {
		return fmt.Errorf("keep the record of the restore test in the vault: %w", err)
	}
	return nil
}

func (d *drill) restoreAndCompare(ctx context.Context) error {
	started := d.env.now()
	if err := d.restore(ctx); err != nil {
		return err
	}
	restored := d.env.now()
	d.took.RestoreMs = restored.Sub(started).Milliseconds()
	err := d.compare(ctx)
	d.took.CompareMs = d.env.now().Sub(restored).Milliseconds()
	return err
}

// restore brings the snapshot's records back, with configs under which they stay. Its own records
// go into a file: nobody shall take it for a restore that somebody relies on.
func (d *drill) restore(ctx context.Context) error {
	memory, err := d.opts.memory.budget()
	if err != nil {
		return err
	}
	req := restore.Request{
		Topics: d.choice.Topics, Snapshot: d.snapshot.ID.String(), Configs: restore.ConfigsNone, MemoryBytes: memory,
		SetConfigs: map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
		StateFile:  filepath.Join(d.folder, "state"), Held: true,
		Now: d.env.now, Observer: d.progress, Bootstrap: d.took.Bootstrap,
	}
	for from, to := range d.names {
		m, err := restore.ParseMap(from + "=" + to)
		if err != nil {
			return err
		}
		req.Maps = append(req.Maps, m)
	}
	plan, err := restore.MakePlan(ctx, d.vault, d.client, req)
	if err != nil {
		return err
	}
	for _, w := range plan.Warnings {
		d.env.note("warning: %s", warningText(w))
	}
	d.damage = append(d.damage, plan.Damage...)
	d.result, err = plan.Execute(ctx)
	return err
}

// compare holds what came back against the snapshot.
func (d *drill) compare(ctx context.Context) error {
	if err := d.addPairs(ctx); err != nil {
		return err
	}
	planned := coldstream.Planned{Activity: "compare", Partitions: len(d.pairs)}
	for _, p := range d.pairs {
		planned.Offsets += p.left.NextOffset - p.left.LogStartOffset
	}
	d.progress.Observe(&planned)
	var group errgroup.Group
	group.SetLimit(comparedAtOnce)
	for _, p := range d.pairs {
		group.Go(func() error {
			p.compareCopy(ctx, d.progress)
			d.progress.Observe(&coldstream.Progress{Activity: "compare", Partitions: 1})
			return ctx.Err()
		})
	}
	return group.Wait()
}

// addPairs finds both sides of each partition that was restored.
func (d *drill) addPairs(ctx context.Context) error {
	chosen := map[incarnation]bool{}
	for _, t := range d.topics {
		chosen[incarnation{t.Name, t.ID}] = true
	}
	from := &diff{vault: d.vault, catalog: d.catalog}
	saved, err := from.savedSides(ctx, d.snapshot, func(view *vault.View) bool { return chosen[incarnationOf(*view)] })
	if err != nil {
		return err
	}
	sides := map[coldstream.TopicPartition]*recorddiff.Side{}
	for _, s := range saved {
		sides[s.history.View.Stream.TopicPartition()] = s.side
		d.damage = append(d.damage, s.history.Lost...)
	}
	against := &diff{client: d.client}
	for i := range d.result.Partitions {
		r := &d.result.Partitions[i]
		saved := coldstream.TopicPartition{Topic: r.Topic, Partition: r.Partition}
		if r.Error != "" || sides[saved] == nil {
			continue
		}
		p := &pair{saved: saved, target: coldstream.TopicPartition{Topic: r.TargetTopic, Partition: r.TargetPartition}, left: sides[saved]}
		if r.Offsets != "exact" {
			p.placement = recorddiff.OtherOffsets
		}
		against.pairs = append(against.pairs, p)
	}
	d.pairs = against.pairs
	return against.addCluster(ctx)
}

// compareCopy is [pair.compare] for a copy that was made for that.
func (p *pair) compareCopy(ctx context.Context, observer coldstream.Observer) {
	if p.err == nil && p.right == nil {
		p.err = errors.New("it is not there after the restore")
	}
	if p.err == nil {
		p.result, p.err = recorddiff.Copied(ctx, p.left, p.right, p.placement, func(offsets, bytes int64) {
			observer.Observe(&coldstream.Progress{Activity: "compare", Offsets: offsets, Bytes: bytes})
		})
	}
	if p.err != nil {
		p.err = fmt.Errorf("%s: %w", p.saved, p.err)
	}
}

// deletionPatience is how long an interrupted test tries to remove its topics.
const deletionPatience = time.Minute

// removeTopics removes what the test made in a cluster that was named. The names have the test's
// ID in them, so that nothing else can be meant.
func (d *drill) removeTopics(ctx context.Context) {
	if d.cluster != nil {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), deletionPatience)
	defer cancel()
	var names []string
	for _, t := range d.topics {
		names = append(names, d.names[t.Name])
	}
	if err := d.client.DeleteTopics(last, names); err != nil {
		d.took.TopicsLeft = names
		d.env.note("the topics that the restore test made are still there: %v", err)
		d.env.hint("delete them: their names begin with __coldstream_test_" + d.id.String())
	}
}
