package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coldstream/backup"
	"coldstream/kafka/embedded"
	"coldstream/restore"
)

type demoOptions struct {
	global *globalOptions
	keep   bool
}

func newDemoCommand(global *globalOptions, e *env) *cobra.Command {
	o := &demoOptions{global: global}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a backup, a disaster and a restore, without a cluster of one's own",
		Long: `Start a Kafka-compatible cluster inside this process, on the loopback interface only. Fill it with
sample topics: plain records, a compacted topic, and transactions. Back it up, twice. Delete the
topics. Restore them. Then let an ordinary consumer read all of them and compare: content, offsets,
and where consumer groups go on. Everything is in a temporary folder, which is removed at the end.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), o, e) },
	}
	cmd.Flags().BoolVar(&o.keep, "keep", false, "leave the cluster running and the vault in place, until interrupted")
	return cmd
}

// demo is a demonstration under way.
type demo struct {
	opts    *demoOptions
	env     *env
	cluster *embedded.Cluster
	client  *embedded.Client
	folder  string
	orders  int   // produced so far
	printed error // why nobody reads on
	kept    bool  // the folder stays

	first, second *backupOutcome
	restored      *restore.Result
	before, after map[string]embedded.Content // by topic
}

func runDemo(ctx context.Context, o *demoOptions, e *env) (err error) {
	folder, err := os.MkdirTemp("", "coldstream-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	d := &demo{opts: o, env: e, folder: folder}
	defer func() {
		if !d.kept {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	var topics []embedded.Topic
	for _, t := range demoTopics() {
		topics = append(topics, t.Topic)
	}
	if d.cluster, err = embedded.Start(embedded.Options{Topics: topics}); err != nil {
		return err
	}
	defer d.cluster.Close()
	if d.client, err = d.cluster.NewClient(); err != nil {
		return err
	}
	defer d.client.Close()
	return d.run(ctx)
}

func (d *demo) run(ctx context.Context) error {
	steps := []func(context.Context) error{d.fill, d.saveFirst, d.saveAgain, d.loseTopics, d.bringBack, d.prove, d.sayNext}
	if d.opts.keep {
		steps = append(steps, d.wait)
	}
	for _, step := range steps {
		if err := errors.Join(step(ctx), d.printed); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) vault() vaultOptions {
	return vaultOptions{url: filepath.Join(d.folder, "vault"), isOneOfTwo: true}
}

func (d *demo) bootstrap() string { return strings.Join(d.cluster.Addrs(), ",") }

func (d *demo) clusterOptions() clusterOptions {
	return clusterOptions{bootstrap: d.bootstrap(), connectTimeout: 15 * time.Second, patience: time.Minute}
}

// fill makes a cluster that has been in use for a while.
func (d *demo) fill(ctx context.Context) error {
	d.title("A cluster in this process, with three topics")
	if err := d.produceSample(ctx); err != nil {
		return err
	}
	contents, err := d.look(ctx)
	if err != nil {
		return err
	}
	produced := 0
	for round := range demoRounds {
		produced += len(sampleCustomers(round, d.env.now()))
	}
	d.say("%s: %s in 6 partitions", demoOrders, plural(contents[demoOrders].Records, "order"))
	d.say("%s: a compacted topic. Of %s the log cleaner left %s.", demoCustomers, plural(int64(produced), "change"), formatCount(contents[demoCustomers].Records))
	d.say("%s: %s in %s, and %s more in %s", demoPayments, plural(contents[demoPayments].Records, "payment"), plural(demoCommitted, "transaction"),
		formatCount(demoAborted*demoPerPayment), plural(demoAborted, "aborted transaction"))
	for _, t := range demoTopics() {
		c := contents[t.Name]
		d.say("Consumer group %s has read %s; %s to go.", t.group, plural(c.Read, t.noun), formatCount(c.Records-c.Read))
	}
	return nil
}

func (d *demo) saveFirst(ctx context.Context) error {
	d.title("A vault, and the first backup")
	v := d.vault()
	d.print("  $ export COLDSTREAM_BOOTSTRAP_SERVER=" + d.bootstrap() + "\n")
	d.print("  $ export COLDSTREAM_VAULT=" + v.url + "\n")
	d.command("init")
	if err := runInit(ctx, &initOptions{global: &globalOptions{quiet: true}, vault: v}, d.muted()); err != nil {
		return err
	}
	var err error
	if d.first, err = d.save(ctx); err != nil {
		return err
	}
	contents, err := d.look(ctx)
	if err != nil {
		return err
	}
	d.explain("%s records: %s orders, %s changes and %s payments, those of aborted transactions too: a backup keeps what the brokers have.",
		formatCount(d.first.Records), formatCount(contents[demoOrders].Records), formatCount(contents[demoCustomers].Records),
		formatCount(d.first.Records-contents[demoOrders].Records-contents[demoCustomers].Records))
	d.explain("%s is what the brokers hold. The applications did not compress their records, so the vault did: it takes %s.",
		formatBytes(d.first.BytesRead), formatBytes(d.first.BytesStored))
	d.explain("The snapshot is a restore point. The vault hash stands for all that the vault knows: whoever keeps it elsewhere can prove later, with verify --expect, that nothing was taken away.")
	return nil
}

func (d *demo) save(ctx context.Context) (*backupOutcome, error) {
	o := &backupOptions{
		global: d.opts.global, cluster: d.clusterOptions(), vault: d.vault(),
		memory: newMemoryOptions(backup.DefaultMemory), interval: 30 * time.Second,
	}
	d.command("backup")
	done, err := o.perform(ctx, d.env)
	if err != nil {
		return nil, err
	}
	if done.Incomplete() {
		return nil, fmt.Errorf("the backup is not complete: %+v", *done.Result)
	}
	for _, line := range done.lines() {
		d.say("%s", line)
	}
	return done, nil
}

func (d *demo) saveAgain(ctx context.Context) error {
	d.title(fmt.Sprintf("%s orders more; the next backup takes only what is new", formatCount(demoLaterOrders)))
	if err := d.takeOrders(ctx, demoLaterOrders); err != nil {
		return err
	}
	var err error
	if d.second, err = d.save(ctx); err != nil {
		return err
	}
	d.explain("%s were read and %s stored, where the first backup read %s and stored %s.", formatBytes(d.second.BytesRead), formatBytes(d.second.BytesStored),
		formatBytes(d.first.BytesRead), formatBytes(d.first.BytesStored))
	return nil
}

func (d *demo) loseTopics(ctx context.Context) error {
	d.title("A disaster")
	var err error
	if d.before, err = d.look(ctx); err != nil {
		return err
	}
	for _, t := range demoTopics() {
		if err := d.client.DeleteTopic(ctx, t.Name); err != nil {
			return err
		}
	}
	d.say("All three topics are deleted, on every replica at once.")
	return nil
}

// look reads all topics as an ordinary consumer.
func (d *demo) look(ctx context.Context) (map[string]embedded.Content, error) {
	contents := map[string]embedded.Content{}
	for _, t := range demoTopics() {
		c, err := d.client.Content(ctx, t.Name, t.group)
		if err != nil {
			return nil, err
		}
		contents[t.Name] = c
	}
	return contents, nil
}

func (d *demo) bringBack(ctx context.Context) error {
	d.title("The restore")
	o := &restoreOptions{
		global: d.opts.global, cluster: d.clusterOptions(), vault: d.vault(), memory: newMemoryOptions(restore.DefaultMemory),
		allTopics: true, offsets: "auto", configs: "effective", groups: true, yes: true,
	}
	d.command("restore --all-topics --groups --yes")
	result, err := o.perform(ctx, d.muted())
	if err != nil {
		return err
	}
	d.restored = result
	var lines strings.Builder
	if err := table(&lines, demoRestoreRows(result)); err != nil {
		return err
	}
	d.print(lines.String())
	d.explain("Holes of compaction and markers of transactions take offsets that a producer cannot write. Where a topic has them, offsets are translated, and the groups' offsets with them. Aborted payments do not come back.")
	d.after, err = d.look(ctx)
	return err
}
