package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coldstream"
	"coldstream/backup"
	"coldstream/internal/notify"
	"coldstream/kafka"
	"coldstream/vault"
)

type runOptions struct {
	backupOptions
	snapshotEvery time.Duration
	grace         time.Duration
	values        map[string]string // of all flags, as the command began
	watch         watchOptions
}

func newRunCommand(global *globalOptions, e *env) *cobra.Command {
	cmd, _ := runCommand(global, e)
	return cmd
}

// runCommand also returns the options that its flags set.
func runCommand(global *globalOptions, e *env) (*cobra.Command, *runOptions) {
	o := &runOptions{backupOptions: backupOptions{global: global, memory: newMemoryOptions(backup.DefaultMemory)}}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Back up continuously: keep the vault seconds behind the cluster",
		Long: `Back up continuously. What is written to the cluster is in the vault after --interval, and a snapshot is
made every --snapshot-every. Topics and partitions that come, grow, go, or are made again are found
while it runs. A pattern that matches nothing is waited for. If the cluster or the storage is
away, run waits, and catches up afterwards.

If the configuration file has changed, or the file of --command-config, or a file that one of them refers
to, run reads all of them again; so it does on SIGHUP. It takes up topics, --max-rate, --max-rpo,
passwords and certificates. If something is wrong, run says so, and goes on as before. It names what
else has changed and needs a restart.

SIGTERM and SIGINT end it: what was fetched is saved, with a snapshot, within --grace. A second signal
ends it at once; nothing that was saved is lost by that. "coldstream status" says how well each topic is
protected.

Exit codes: 0 stopped by a signal; 1 failed, or the vault cannot be reached; 2 wrong usage; 10 no vault;
12 wrong or no key; 13 cluster unreachable at the start; 130 stopped by a second signal.`,
		Example: `  coldstream run -b localhost:9092 --vault /srv/kafka-vault
  coldstream run -b localhost:9092 --vault /srv/kafka-vault -t orders,'payments-*' --interval 5s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.values = map[string]string{}
			cmd.Flags().VisitAll(func(f *pflag.Flag) { o.values[f.Name] = f.Value.String() })
			return runRun(cmd.Context(), o, e)
		},
	}
	o.addFlags(cmd, e)
	o.watch.addFlags(cmd, e)
	f := cmd.Flags()
	f.DurationVar(&o.snapshotEvery, "snapshot-every", 10*time.Minute, "make a snapshot, which is a restore point, once per `TIME`")
	f.DurationVar(&o.grace, "grace", 25*time.Second, "when asked to stop, take at most this `TIME` to save what was fetched")
	return cmd, o
}

func (o *runOptions) validate() error {
	switch {
	case o.interval < time.Second:
		return usagef("", errors.New("--interval must be at least 1s"))
	case o.snapshotEvery < o.interval:
		return usagef("", errors.New("--snapshot-every must be at least as long as --interval"))
	case o.grace <= 0:
		return usagef("", errors.New("--grace must be longer than 0"))
	}
	return o.watch.validate()
}

func runRun(ctx context.Context, o *runOptions, e *env) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.dryRun {
		return runBackup(ctx, &o.backupOptions, e)
	}
	log := newEventLog(e, o.global)
	var err error
	if o.watch.bounds, err = o.global.settings.topicBounds(e); err != nil {
		return err
	}
	w, err := newWatch(ctx, &o.watch, log, e)
	if err != nil {
		return err
	}
	defer w.close()
	o.cluster.hook = w.metrics.KafkaHook
	options, v, client, err := o.open(ctx, e, w)
	if err != nil {
		return err
	}
	defer client.Close()
	if v.IsPermanent() {
		return &failure{exitFailed, errors.New("run: the vault's storage makes a recovery point of each commit"),
			"run into a folder or an object store, and copy from there on a schedule, with: coldstream copy; see docs/elastio.md"}
	}
	options.Name = fmt.Sprintf("%s:%d", e.writerName("run"), os.Getpid())
	follower := backup.NewFollower(client, v, backup.FollowOptions{Options: *options, SnapshotEvery: o.snapshotEvery, Grace: o.grace})
	log.began(o)
	w.follow(ctx, follower, &followed{v.ID(), o.interval})
	running := &service{follower: follower, log: log, watch: w, manager: notify.New(e.getenv)}
	running.reloader = &reloader{follower: follower, options: o, env: e, log: log, watch: w, inputs: cmp.Or(e.inputs, &inputs{})}
	if err := running.run(ctx); err != nil {
		return err
	}
	log.stopped(follower.Status())
	return nil
}

// open opens what a backup stands between; the caller closes the client.
func (o *backupOptions) open(ctx context.Context, e *env, observer coldstream.Observer) (*backup.Options, *vault.Vault, *kafka.Client, error) {
	patterns, err := o.topics.patterns()
	if err != nil {
		return nil, nil, nil, err
	}
	if o.interval <= 0 {
		return nil, nil, nil, usagef("", errors.New("--interval must be longer than 0"))
	}
	tags, err := coldstream.ParseTags(o.tags)
	if err != nil {
		return nil, nil, nil, usagef("write it as --tag KEY=VALUE", err)
	}
	budget, err := o.memory.budget()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := o.cluster.validate(); err != nil {
		return nil, nil, nil, err
	}
	never, err := o.global.settings.neverRescan(e)
	if err != nil {
		return nil, nil, nil, err
	}
	o.never.Store(never)
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return nil, nil, nil, err
	}
	memory := backup.Divide(budget)
	if v.IsEncrypted() {
		memory = backup.DivideSealed(budget)
	}
	o.cluster.fetchBytes = memory.FetchBytes
	client, err := o.cluster.connect(ctx, observer)
	if err != nil {
		return nil, nil, nil, err
	}
	return &backup.Options{
		Topics: patterns, Interval: o.interval, Now: e.now, Name: e.writerName("backup"), Observer: observer, NoReadBack: o.noVerify,
		BufferBytes: memory.BufferBytes, PackBytes: memory.PackBytes, MaxRate: int64(o.maxRate),
		Tags:        coldstream.Tags{Values: tags, Pinned: o.pin},
		NeverRescan: func(topic string) bool { return o.never.Load().of(&coldstream.Topic{Name: topic}, false) },
	}, v, client, nil
}
