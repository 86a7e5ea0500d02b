package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"coldstream/kafka"
)

// clusterOptions say how to reach the cluster.
type clusterOptions struct {
	bootstrap      string
	connectTimeout time.Duration
	patience       time.Duration
	fetchBytes     int // of answers under way; 0 is the default
}

func (o *clusterOptions) addFlags(cmd *cobra.Command, e *env) {
	f := cmd.Flags()
	f.StringVarP(&o.bootstrap, "bootstrap-server", "b", e.getenv("COLDSTREAM_BOOTSTRAP_SERVER"),
		"brokers to connect to first, host:port,… (environment: COLDSTREAM_BOOTSTRAP_SERVER)")
	f.DurationVar(&o.connectTimeout, "connect-timeout", 15*time.Second, "give up if no broker answers within this time")
	f.DurationVar(&o.patience, "patience", 10*time.Minute, "give a partition up that stays unavailable for this time")
}

func (o *clusterOptions) validate() error {
	switch {
	case o.bootstrap == "":
		return usagef("name it with -b or COLDSTREAM_BOOTSTRAP_SERVER", errors.New("no cluster given"))
	case o.connectTimeout <= 0:
		return usagef("", errors.New("--connect-timeout must be longer than 0"))
	case o.patience <= 0:
		return usagef("", errors.New("--patience must be longer than 0"))
	}
	return nil
}

// connect reaches the cluster; the caller closes the client.
func (o *clusterOptions) connect(ctx context.Context) (*kafka.Client, error) {
	return kafka.Connect(ctx, kafka.Config{
		Bootstrap:      splitList(o.bootstrap),
		ConnectTimeout: o.connectTimeout,
		Patience:       o.patience,
		FetchBytes:     o.fetchBytes,
	})
}
