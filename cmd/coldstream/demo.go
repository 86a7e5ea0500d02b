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
		Long: `Start a Kafka cluster inside this process, on the loopback interface only, with sample
topics and a consumer group; back it up, twice; delete a topic; restore it; and prove that
it came back: by the hash of its content, and by the group going on where it stood. All
in a temporary folder, which is removed at the end.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), o, e) },
	}
	cmd.Flags().BoolVar(&o.keep, "keep", false, "leave the cluster running and the vault in place, until interrupted")
	return cmd
}

// The sample: what an order shop might have.
const (
	demoOrders    = "orders"
	demoCustomers = "customers"
	demoGroup     = "billing"

	demoFirstOrders = 12_000
	demoRead        = 9_000
	demoLaterOrders = 300
	demoNewCustomer = 500
)

// demo is a demonstration under way.
type demo struct {
	opts    *demoOptions
	env     *env
	cluster *embedded.Cluster
	client  *embedded.Client
	folder  string
	orders  int // produced so far

	first, second *backupOutcome
	restored      *restore.Result
	before, after demoState
}

// demoState is what the proof compares.
type demoState struct {
	content  embedded.Content
	position embedded.Position
}

func runDemo(ctx context.Context, o *demoOptions, e *env) (err error) {
	folder, err := os.MkdirTemp("", "coldstream-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	if !o.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	}
	cluster, err := embedded.Start(embedded.Options{Topics: []embedded.Topic{
		{Name: demoOrders, Partitions: 6, Configs: map[string]string{"retention.ms": "-1"}},
		{Name: demoCustomers, Partitions: 3, Configs: map[string]string{"cleanup.policy": "compact"}},
	}})
	if err != nil {
		return err
	}
	defer cluster.Close()
	client, err := cluster.NewClient()
	if err != nil {
		return err
	}
	defer client.Close()
	d := &demo{opts: o, env: e, cluster: cluster, client: client, folder: folder}
	if err := d.run(ctx); err != nil {
		return err
	}
	if err := d.prove(); err != nil {
		return err
	}
	if o.keep {
		return d.wait(ctx)
	}
	return nil
}

func (d *demo) run(ctx context.Context) error {
	steps := []func(context.Context) error{d.fill, d.saveFirst, d.saveAgain, d.loseTopic, d.bringBack}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) vault() vaultOptions { return vaultOptions{url: filepath.Join(d.folder, "vault")} }

func (d *demo) clusterOptions() clusterOptions {
	return clusterOptions{bootstrap: strings.Join(d.cluster.Addrs(), ","), connectTimeout: 15 * time.Second, patience: time.Minute}
}

// fill makes a cluster that has been in use for a while.
func (d *demo) fill(ctx context.Context) error {
	d.title("A cluster in this process")
	if err := d.takeOrders(ctx, demoFirstOrders); err != nil {
		return err
	}
	if err := d.client.Produce(ctx, sampleCustomers(d.env.now())); err != nil {
		return err
	}
	if err := d.client.Consume(ctx, demoGroup, demoOrders, demoRead); err != nil {
		return err
	}
	position, err := d.client.Position(ctx, demoGroup, demoOrders)
	if err != nil {
		return err
	}
	d.say("topic %s: %s orders in 6 partitions", demoOrders, formatCount(int64(d.orders)))
	d.say("topic %s: %s, compacted", demoCustomers, plural(demoNewCustomer, "customer"))
	d.say("group %s: has read %s orders, %s to go", demoGroup, formatCount(position.Read), formatCount(position.Lag))
	return nil
}

func (d *demo) takeOrders(ctx context.Context, n int) error {
	if err := d.client.Produce(ctx, sampleOrders(d.orders, n, d.env.now())); err != nil {
		return err
	}
	d.orders += n
	return nil
}

func (d *demo) saveFirst(ctx context.Context) error {
	d.title("A vault, and the first backup")
	v := d.vault()
	d.command("init --vault %s", v.url)
	if err := runInit(ctx, &initOptions{global: &globalOptions{quiet: true}, vault: v}, d.muted()); err != nil {
		return err
	}
	var err error
	d.first, err = d.save(ctx)
	return err
}

func (d *demo) save(ctx context.Context) (*backupOutcome, error) {
	o := &backupOptions{
		global: d.opts.global, cluster: d.clusterOptions(), vault: d.vault(),
		memory: newMemoryOptions(backup.DefaultMemory), interval: 30 * time.Second,
	}
	d.command("backup -b %s --vault %s", o.cluster.bootstrap, o.vault.url)
	done, err := o.perform(ctx, d.env)
	if err != nil {
		return nil, err
	}
	if done.Incomplete() {
		return nil, fmt.Errorf("the backup is not complete: %+v", *done.Result)
	}
	d.say("%s", strings.Join(done.lines(), "\n"))
	return done, nil
}

func (d *demo) saveAgain(ctx context.Context) error {
	d.title("More orders come in; the next backup takes only what is new")
	if err := d.takeOrders(ctx, demoLaterOrders); err != nil {
		return err
	}
	d.say("%s new orders", formatCount(demoLaterOrders))
	var err error
	if d.second, err = d.save(ctx); err != nil {
		return err
	}
	d.say("→ %s read and %s stored, where the first took %s and %s", formatBytes(d.second.BytesRead), formatBytes(d.second.BytesStored),
		formatBytes(d.first.BytesRead), formatBytes(d.first.BytesStored))
	return nil
}

func (d *demo) loseTopic(ctx context.Context) error {
	d.title("Disaster")
	var err error
	if d.before, err = d.look(ctx); err != nil {
		return err
	}
	if err := d.client.DeleteTopic(ctx, demoOrders); err != nil {
		return err
	}
	d.say("topic %s is deleted: %s orders gone, on every replica at once", demoOrders, formatCount(d.before.content.Records))
	return nil
}

func (d *demo) look(ctx context.Context) (s demoState, err error) {
	if s.content, err = d.client.Content(ctx, demoOrders); err != nil {
		return s, err
	}
	s.position, err = d.client.Position(ctx, demoGroup, demoOrders)
	return s, err
}

func (d *demo) bringBack(ctx context.Context) error {
	d.title("Restore")
	o := &restoreOptions{
		global: d.opts.global, cluster: d.clusterOptions(), vault: d.vault(), memory: newMemoryOptions(restore.DefaultMemory),
		topics: []string{demoOrders}, offsets: "auto", groups: true, yes: true,
	}
	d.command("restore -b %s --vault %s -t %s --groups --yes", o.cluster.bootstrap, o.vault.url, demoOrders)
	result, err := o.perform(ctx, d.env)
	if err != nil {
		return err
	}
	d.restored = result
	var lines strings.Builder
	if err := table(&lines, restoreLines(result, o.verb())); err != nil {
		return err
	}
	d.say("%s", lines.String())
	d.after, err = d.look(ctx)
	return err
}
