package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// The user that the shared broker's listeners with a login know. The password stands
// nowhere else, so that a test can look for it.
const (
	secureUser     = "alice"
	securePassword = "canary-p4ss"
)

// fillTopic makes a topic with records in it.
func fillTopic(t *testing.T, c *kafkatest.Cluster, topic string, records int) {
	t.Helper()
	client := newClient(t, c)
	createTopic(t, client, topic, 1)
	var all []*kgo.Record
	for i := range records {
		all = append(all, &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "value %d", i), Timestamp: time.UnixMilli(int64(1700000000000 + i))})
	}
	produce(t, client, all...)
}

// contents are the records of a topic without its name.
func contents(t *testing.T, c *kafkatest.Cluster, topic string) []kafkatest.Record {
	t.Helper()
	records, err := kafkatest.ReadAll(t.Context(), c.Addrs(), topic, kgo.ReadUncommitted())
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		records[i].Topic = ""
	}
	return records
}

// TestSecuredBackupAndRestore does the main job with nothing but the properties file that
// Kafka's own tools take: TLS, SCRAM, and the brokers' addresses.
func TestSecuredBackupAndRestore(t *testing.T) {
	c := realCluster(t)
	fillTopic(t, c, "secured", 500)
	properties := c.WriteClientProperties(t, kafkatest.SASLSSL, "SCRAM-SHA-512", secureUser)
	vault := newVault(t)
	command(t, nil, "backup", "--command-config", properties, "--vault", vault, "-t", "secured").must(t, exitDone)
	command(t, nil, "restore", "--command-config", properties, "--vault", vault, "-t", "secured", "--map", "secured=secured-back", "--yes").must(t, exitDone)
	got := contents(t, c, "secured-back")
	if diff := cmp.Diff(contents(t, c, "secured"), got); diff != "" || len(got) != 500 {
		t.Errorf("%d records (-source +restored)\n%s", len(got), diff)
	}
}

// TestEveryListener logs in through each listener and saves 100 records.
func TestEveryListener(t *testing.T) {
	c := realCluster(t)
	fillTopic(t, c, "listened", 100)
	type listener struct{ name, mechanism, user string }
	listeners := []listener{{kafkatest.SSL, "", ""}, {kafkatest.MutualTLS, "", ""}}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		listeners = append(listeners, listener{kafkatest.SASLSSL, mechanism, secureUser})
	}
	listeners = append(listeners, listener{kafkatest.SASLPlaintext, "SCRAM-SHA-256", secureUser})
	for _, l := range listeners {
		t.Run(strings.TrimSpace(l.name+" "+l.mechanism), func(t *testing.T) {
			properties := c.WriteClientProperties(t, l.name, l.mechanism, l.user)
			var saved struct{ Records int64 }
			command(t, nil, "backup", "-o", "json", "--command-config", properties, "--vault", newVault(t), "-t", "listened").must(t, exitDone).into(t, &saved)
			if saved.Records != 100 {
				t.Errorf("saved %d records, want 100", saved.Records)
			}
		})
	}
}
