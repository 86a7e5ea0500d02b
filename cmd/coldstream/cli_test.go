package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/embedded"
	"coldstream/kafka/kafkatest"
)

// embeddedOrders is a cluster in this process with some records.
func embeddedOrders(t *testing.T, topics ...embedded.Topic) string {
	t.Helper()
	cluster, err := embedded.Start(embedded.Options{Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := cluster.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, topic := range topics {
		var records []embedded.Record
		for i := range 100 {
			records = append(records, embedded.Record{Topic: topic.Name, Key: fmt.Sprint(i), Value: fmt.Appendf(nil, "value %d", i), Time: time.UnixMilli(int64(i))})
		}
		if err := client.Produce(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(cluster.Addrs(), ",")
}

type backupNumbers struct {
	Snapshot       string `json:"snapshot"`
	VaultHash      string `json:"vault_hash"`
	TopicCount     int    `json:"topic_count"`
	PartitionCount int    `json:"partition_count"`
	Records        int64  `json:"records"`
	ObjectsStored  int64  `json:"objects_stored"`
	OffsetsToRead  int64  `json:"offsets_to_read"`
	DryRun         bool   `json:"dry_run"`
}

func TestBackupTakesTheTopicsAskedFor(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders-eu", Partitions: 2}, embedded.Topic{Name: "orders-us"}, embedded.Topic{Name: "orders-test"}, embedded.Topic{Name: "__hidden"})
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{nil, "orders-eu orders-test orders-us"},
		{[]string{"-t", "orders-eu"}, "orders-eu"},
		{[]string{"-t", "orders-eu,orders-us"}, "orders-eu orders-us"},
		{[]string{"-t", "orders-eu", "-t", "/orders-t.*/"}, "orders-eu orders-test"},
		{[]string{"-t", "*", "--exclude", "*-test"}, "orders-eu orders-us"},
		{[]string{"--exclude", "/.*-(test|us)/"}, "orders-eu"},
		{[]string{"-t", "__hidden"}, "__hidden"},
	} {
		t.Run(strings.Join(test.flags, " "), func(t *testing.T) {
			vault := newVault(t)
			command(t, nil, append([]string{"backup", "-b", at, "--vault", vault}, test.flags...)...).must(t, exitDone)
			var d lsDocument
			command(t, nil, "ls", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &d)
			var names []string
			for _, topic := range d.Topics {
				names = append(names, topic.Topic)
			}
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("saved %s, want %s", got, test.want)
			}
		})
	}
	vault := newVault(t)
	before := tree(t, vault)
	command(t, nil, "backup", "-b", at, "--vault", vault, "-t", "order-eu").must(t, exitUsage).says(t, `"order-eu"`, "did you mean: orders-eu")
	if diff := cmp.Diff(before, tree(t, vault)); diff != "" {
		t.Error(diff)
	}
}

func TestDryRunOfABackupStoresNothing(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders", Partitions: 3})
	vault := newVault(t)
	before := tree(t, vault)
	var d backupNumbers
	command(t, nil, "backup", "-b", at, "--vault", vault, "--dry-run", "-o", "json").must(t, exitDone).into(t, &d)
	if want := (backupNumbers{TopicCount: 1, PartitionCount: 3, OffsetsToRead: 100, DryRun: true}); d != want {
		t.Errorf("got %+v, want %+v", d, want)
	}
	if out := command(t, nil, "backup", "-b", at, "--vault", vault, "--dry-run").must(t, exitDone); out.stdout != "would read 100 offsets in 3 partitions of 1 topic\n" {
		t.Errorf("stdout: %s", out.stdout)
	}
	if diff := cmp.Diff(before, tree(t, vault)); diff != "" {
		t.Error(diff)
	}
}

func TestASecondBackupStoresASmallCommitOnly(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders", Partitions: 3})
	vault := newVault(t)
	var first, second backupNumbers
	command(t, nil, "backup", "-b", at, "--vault", vault, "-o", "json").must(t, exitDone).into(t, &first)
	out := command(t, nil, "backup", "-b", at, "--vault", vault, "-o", "json").must(t, exitDone)
	out.into(t, &second)
	if first.Records != 100 || second.Records != 0 || second.ObjectsStored != 1 || first.Snapshot == second.Snapshot || first.VaultHash == second.VaultHash {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if len(first.Snapshot) != 16 || len(first.VaultHash) != 64 {
		t.Errorf("IDs of an unexpected form: %+v", first)
	}
	for _, list := range []string{"gaps", "forks", "rescanned", "failed", "denied", "healed"} {
		if !strings.Contains(out.stdout, `"`+list+`": []`) {
			t.Errorf("%s is not an empty list: %s", list, out.stdout)
		}
	}
	var d snapshotsDocument
	command(t, nil, "snapshots", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &d)
	if len(d.Snapshots) != 2 || d.Snapshots[0].ID != first.Snapshot || d.Snapshots[1].ID != second.Snapshot {
		t.Errorf("snapshots %+v", d.Snapshots)
	}
	if out := command(t, nil, "snapshots", "--vault", vault).must(t, exitDone).stdout; strings.Count(out, "\n") != 3 || !strings.Contains(out, first.Snapshot) {
		t.Errorf("snapshots: %s", out)
	}
	if out := command(t, nil, "ls", "orders", "--vault", vault, "--snapshot", first.Snapshot[:4]).must(t, exitDone).stdout; strings.Count(out, "\n") != 5 {
		t.Errorf("ls: %s", out)
	}
}

func TestVerboseAndQuietBackups(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	if out := command(t, nil, "backup", "-b", at, "--vault", vault, "--quiet", "--interval", "1h").must(t, exitDone); out.stderr != "" {
		t.Errorf("--quiet says: %s", out.stderr)
	}
	command(t, nil, "restore", "-b", at, "--vault", vault, "-t", "orders", "--map", "orders=other", "--yes", "--verbose").must(t, exitDone).says(t, "wrote other-0 from orders-0: 100 records")
	command(t, nil, "backup", "-b", at, "--vault", vault, "--verbose").must(t, exitDone).says(t, "read other-0: offsets [0, 100)")
}

func TestRestoreAsksOnATerminal(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	for i, test := range []struct {
		answer string
		code   int
	}{{"", exitFailed}, {"no\n", exitFailed}, {"\n", exitFailed}, {"maybe", exitFailed}, {"y\n", exitDone}, {"YES", exitDone}} {
		e := testEnv(nil)
		stdout, stderr := &lockedBuffer{}, &lockedBuffer{}
		e.stdin, e.stdout, e.stderr, e.stdinTerminal = strings.NewReader(test.answer), stdout, stderr, true
		target := fmt.Sprintf("answer-%d", i)
		code := run(t.Context(), []string{"restore", "-b", at, "--vault", vault, "-t", "orders", "--map", "orders=" + target}, e)
		if code != test.code || !strings.Contains(stderr.String(), "would restore 100 records") {
			t.Errorf("%q: exit code %d, want %d; stderr: %s", test.answer, code, test.code, stderr.String())
		}
		// What was not restored is not there: it can be restored still.
		again := map[int]int{exitFailed: exitDone, exitDone: exitFailed}[code]
		command(t, nil, "restore", "-b", at, "--vault", vault, "-t", "orders", "--map", "orders="+target, "--yes").must(t, again)
	}
}

// Of two terminals one may be that of production: the question says where, and what from.
func TestQuestionSaysWhereAndWhen(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	var made struct {
		Snapshots []struct {
			ID        string `json:"id"`
			ClusterID string `json:"cluster_id"`
		} `json:"snapshots"`
	}
	command(t, nil, "snapshots", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &made)
	snapshot := made.Snapshots[0]
	ask := func(at string, args ...string) outcome {
		e := testEnv(nil)
		stdout, stderr := &lockedBuffer{}, &lockedBuffer{}
		e.stdin, e.stdout, e.stderr, e.stdinTerminal = strings.NewReader("n\n"), stdout, stderr, true
		code := run(t.Context(), append([]string{"restore", "-b", at, "--vault", vault, "-t", "orders"}, args...), e)
		return outcome{code, stdout.String(), stderr.String()}
	}
	const itself = "this is the cluster that the backup came from"
	out := ask(at, "--map", "orders=other").must(t, exitFailed).says(t,
		"from snapshot "+snapshot.ID+" of cluster "+snapshot.ClusterID+", taken ", "(just now)",
		"into cluster "+snapshot.ClusterID+" at "+at, "1 topic, 100 records", "restore this into cluster "+snapshot.ClusterID+" at "+at+"? [y/N]")
	if strings.Contains(out.stderr, itself) {
		t.Errorf("another name is not the same name: %s", out.stderr)
	}
	elsewhere := kafkatest.StartFake(t, kfake.NumBrokers(1), kfake.ClusterID("elsewhere")).ListenAddrs()[0]
	if out := ask(elsewhere).says(t, "into cluster elsewhere at "+elsewhere); strings.Contains(out.stderr, itself) {
		t.Errorf("another cluster is not the same: %s", out.stderr)
	}
	client := kgo.SeedBrokers(at)
	deleteTopic(t, client, "orders")
	ask(at).must(t, exitFailed).says(t, itself+", and topics are restored under their own names: orders")
}

func deleteTopic(t *testing.T, cluster kgo.Opt, topic string) {
	t.Helper()
	client, err := kgo.NewClient(cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
}

func TestFirstBackupAndRestoreAsTheReadmeTellsIt(t *testing.T) {
	cluster := realCluster(t)
	client := newClient(t, cluster)
	createTopic(t, client, "first-orders", 2)
	produce(t, client, &kgo.Record{Topic: "first-orders", Value: []byte("one")}, &kgo.Record{Topic: "first-orders", Partition: 1, Value: []byte("two")})
	vars := []string{"COLDSTREAM_BOOTSTRAP_SERVER=" + cluster.Bootstrap(), "COLDSTREAM_VAULT=" + newVault(t)}
	command(t, vars, "backup", "--dry-run", "-t", "first-*").must(t, exitDone)
	command(t, vars, "backup", "-t", "first-*").must(t, exitDone)
	command(t, vars, "snapshots").must(t, exitDone)
	command(t, vars, "ls", "first-orders").must(t, exitDone)
	command(t, vars, "verify", "--deep").must(t, exitDone)
	restore := []string{"restore", "-t", "first-orders", "--map", "first-orders=first-again", "--groups"}
	command(t, vars, append(restore, "--dry-run")...).must(t, exitDone)
	out := command(t, vars, append(restore, "--yes")...).must(t, exitDone)
	if !strings.Contains(out.stdout, "restored 2 records") {
		t.Errorf("stdout: %s", out.stdout)
	}
	command(t, vars, append(restore, "--yes")...).must(t, exitFailed).says(t, "first-again-0 holds records", "--append")
}

// TestVerifyCounts: a script reads ok, and how much was looked at.
func TestVerifyCounts(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders", Partitions: 3})
	vault := newVault(t)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	var d struct {
		OK             bool `json:"ok"`
		SnapshotCount  int  `json:"snapshot_count"`
		PackCount      int  `json:"pack_count"`
		PartitionCount int  `json:"partition_count"`
	}
	command(t, nil, "verify", "--vault", vault, "-o", "json").must(t, exitDone).into(t, &d)
	if !d.OK || d.SnapshotCount != 2 || d.PackCount != 1 || d.PartitionCount != 3 {
		t.Errorf("%+v", d)
	}
	if err := os.RemoveAll(filepath.Join(vault, "packs")); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "verify", "--vault", vault, "-o", "json").must(t, exitDamage).into(t, &d)
	if d.OK || d.SnapshotCount != 2 {
		t.Errorf("%+v", d)
	}
}
