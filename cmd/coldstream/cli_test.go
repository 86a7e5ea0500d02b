package main

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestFirstBackupAndRestore(t *testing.T) {
	cluster := realCluster(t)
	client := newClient(t, cluster)
	createTopic(t, client, "first-orders", 2)
	produce(t, client, &kgo.Record{Topic: "first-orders", Value: []byte("one")}, &kgo.Record{Topic: "first-orders", Partition: 1, Value: []byte("two")})
	vault := newVault(t)
	command(t, nil, "backup", "-b", cluster.Bootstrap(), "--vault", vault, "-t", "first-*").must(t, exitDone)
	command(t, nil, "restore", "-b", cluster.Bootstrap(), "--vault", vault, "-t", "first-orders", "--map", "first-orders=first-again", "--yes").must(t, exitDone)
}
