package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/kafka"
	"coldstream/kafka/auth"
)

// clusterOptions say how to reach the cluster.
type clusterOptions struct {
	env            *env
	verbose        func() bool
	bootstrap      string
	commandConfig  string
	properties     []string
	auth           *auth.Config // of commandConfig and properties
	connectTimeout time.Duration
	patience       time.Duration
	fetchBytes     int // of answers under way; 0 is the default
	hook           func(client string) any
}

func (o *clusterOptions) addFlags(cmd *cobra.Command, e *env) {
	o.env = e
	o.verbose = func() bool {
		verbose, err := cmd.Flags().GetBool("verbose")
		return err == nil && verbose
	}
	f := cmd.Flags()
	f.StringVarP(&o.bootstrap, "bootstrap-server", "b", e.getenv("COLDSTREAM_BOOTSTRAP_SERVER"),
		"brokers to connect to first: `HOST:PORT,…` (environment: COLDSTREAM_BOOTSTRAP_SERVER)")
	f.StringVar(&o.commandConfig, "command-config", "", "read Java client properties from this `FILE`: TLS, login, bootstrap.servers (docs/connecting.md)")
	f.StringArrayVarP(&o.properties, "command-property", "X", nil,
		"set a client property, `NAME=VALUE`, repeatable; it wins over the file. VALUE may be @FILE or ${VARIABLE}; a secret must be one of these")
	f.DurationVar(&o.connectTimeout, "connect-timeout", 15*time.Second, "give up if no broker answers within this `TIME`")
	f.DurationVar(&o.patience, "patience", 10*time.Minute, "give up on a partition that stays unavailable for this `TIME`")
}

// validate checks the flags, and reads what they name.
func (o *clusterOptions) validate() error {
	switch {
	case o.connectTimeout <= 0:
		return usagef("", errors.New("--connect-timeout must be longer than 0"))
	case o.patience <= 0:
		return usagef("", errors.New("--patience must be longer than 0"))
	}
	if err := o.load(); err != nil {
		return err
	}
	o.tellOddities()
	if o.bootstrap == "" {
		return usagef("name it with -b, COLDSTREAM_BOOTSTRAP_SERVER, or bootstrap.servers in the file of --command-config", errors.New("no cluster given"))
	}
	return nil
}

// load reads --command-config and -X.
func (o *clusterOptions) load() error {
	if o.commandConfig == "" && len(o.properties) == 0 {
		return nil
	}
	config, err := auth.Load(auth.Source{File: o.commandConfig, Overrides: o.properties, OverrideName: "-X", Getenv: o.env.getenv})
	for _, file := range config.Files {
		o.env.inputs.note(file.Name, file.Content)
	}
	if err != nil {
		return err
	}
	o.auth = config
	if o.bootstrap == "" {
		o.bootstrap = strings.Join(config.Bootstrap, ",")
	}
	return nil
}

// tellOddities says what is odd about the properties.
func (o *clusterOptions) tellOddities() {
	if o.auth == nil {
		return
	}
	for _, warning := range o.auth.Warnings {
		o.env.note("warning: %s", warning)
	}
	if len(o.auth.PassedOver) > 0 && o.verbose() {
		o.env.note("these properties have no meaning here and are passed over: %s", strings.Join(o.auth.PassedOver, ", "))
	}
}

// connect reaches the cluster; the caller closes the client. The observer is told of what
// is waited for, also later.
func (o *clusterOptions) connect(ctx context.Context, observer coldstream.Observer) (*kafka.Client, error) {
	return kafka.Connect(ctx, o.config(observer))
}

// config is how to reach the cluster.
func (o *clusterOptions) config(observer coldstream.Observer) kafka.Config {
	return kafka.Config{
		Bootstrap:      splitList(o.bootstrap),
		Auth:           o.auth,
		ConnectTimeout: o.connectTimeout,
		Patience:       o.patience,
		FetchBytes:     o.fetchBytes,
		Observer:       observer,
		Hook:           o.hook,
	}
}
