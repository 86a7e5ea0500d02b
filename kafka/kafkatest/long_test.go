//go:build long

package kafkatest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestEveryVersionStartsAndKeepsItsData(t *testing.T) {
	for _, version := range Versions() {
		t.Run(version, func(t *testing.T) {
			c := Start(t, Config{Version: version})
			client := connect(t, c.Addrs())
			createTopic(t, client, "t", 1, 1)
			produce(t, client, &kgo.Record{Topic: "t", Value: []byte("payload-1")})
			outlives(t, c, "t")
			dumps(t, c, "t")
			transaction(t, c, "t", "a", "a1")(kgo.TryAbort)
			got := values(readAll(t, c.Addrs(), "t", kgo.ReadCommitted()))
			if diff := cmp.Diff(map[int64]string{0: "payload-1"}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestStartErrorsOfEveryVersionHoldTheLog(t *testing.T) {
	for _, version := range Versions() {
		t.Run(version, func(t *testing.T) {
			c, err := StartShared(Config{Version: version, Properties: map[string]string{"metric.reporters": "no.such.Reporter"}})
			if err == nil {
				c.Close()
				t.Fatal("the cluster started")
			}
			if !strings.Contains(err.Error(), "no.such.Reporter") || !strings.Contains(err.Error(), "--- node 1") {
				t.Errorf("got %v, want the broker's own words", err)
			}
		})
	}
}

func TestThreeNodesOutliveEachOther(t *testing.T) {
	for _, version := range Versions() {
		t.Run(version, func(t *testing.T) {
			c := Start(t, Config{Version: version, Nodes: 3, HeapMB: 384, Properties: map[string]string{"min.insync.replicas": "2"}})
			client := connect(t, c.Addrs())
			brokers, err := kadm.NewClient(client).ListBrokers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]int32{1, 2, 3}, brokers.NodeIDs()); diff != "" {
				t.Fatalf("nodes (-want +got):\n%s", diff)
			}
			createTopic(t, client, "t", 3, 3)
			total := 0
			write := func() {
				t.Helper()
				for partition := range int32(3) {
					produce(t, client, &kgo.Record{Topic: "t", Partition: partition, Value: fmt.Append(nil, total)})
					total++
				}
			}
			write()
			for id := 1; id <= 3; id++ {
				if err := c.Kill(id); err != nil {
					t.Fatal(err)
				}
				write() // the two others are enough
				if err := c.StartNode(id); err != nil {
					t.Fatal(err)
				}
				await(t, "all replicas are in sync", func() bool { return inSync(t, client) })
			}
			if got := readAll(t, c.Addrs(), "t", kgo.ReadCommitted()); len(got) != total {
				t.Errorf("got %d records, want %d", len(got), total)
			}
		})
	}
}

// inSync is true if topic t has three replicas in sync everywhere.
func inSync(t *testing.T, client *kgo.Client) bool {
	t.Helper()
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), "t")
	if err != nil {
		return false
	}
	for _, partition := range topics["t"].Partitions {
		if len(partition.ISR) < 3 {
			return false
		}
	}
	return len(topics["t"].Partitions) == 3
}
