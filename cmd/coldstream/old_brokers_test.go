package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"coldstream/kafka/kafkatest"
)

// oldCluster is an embedded cluster that speaks what an old version of Kafka does, with a
// topic of 100 records in two partitions and a consumer group.
func oldCluster(t *testing.T, versions *kversion.Versions) (string, *kgo.Client) {
	t.Helper()
	fake := kafkatest.StartFake(t, kfake.NumBrokers(2), kfake.MaxVersions(versions), kfake.SeedTopics(2, "orders"))
	client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var records []*kgo.Record
	for i := range 100 {
		records = append(records, &kgo.Record{Topic: "orders", Partition: int32(i % 2), Key: []byte{byte(i)}, Value: []byte("value"), Timestamp: time.UnixMilli(int64(1700000000000 + i))})
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("orders", 1, 7, -1)
	if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), "billing", offsets); err != nil {
		t.Fatal(err)
	}
	return strings.Join(fake.ListenAddrs(), ","), client
}

// TestOldVersionsOfTheProtocol: a whole backup and restore with brokers that speak no more
// than an old version of Kafka does.
func TestOldVersionsOfTheProtocol(t *testing.T) {
	for name, versions := range map[string]*kversion.Versions{
		"2.1": kversion.V2_1_0(), "2.3": kversion.V2_3_0(), "2.7": kversion.V2_7_0(), "2.8": kversion.V2_8_0(), "3.3": kversion.V3_3_0(),
	} {
		t.Run(name, func(t *testing.T) {
			at, client := oldCluster(t, versions)
			vault := newVault(t)
			var saved struct{ Records int64 }
			command(t, nil, "backup", "-o", "json", "-b", at, "--vault", vault).must(t, exitDone).into(t, &saved)
			if saved.Records != 100 {
				t.Errorf("saved %d records", saved.Records)
			}
			command(t, nil, "restore", "-b", at, "--vault", vault, "-t", "orders", "--map", "orders=back", "--groups", "--yes", "--patience", "30s").must(t, exitDone)
			read := func(topic string) []kafkatest.Record {
				records, err := kafkatest.ReadAll(t.Context(), strings.Split(at, ","), topic, kgo.ReadUncommitted())
				if err != nil {
					t.Fatal(err)
				}
				for i := range records {
					records[i].Topic = ""
				}
				return records
			}
			if want, got := kafkatest.ContentHash(read("orders")), kafkatest.ContentHash(read("back")); want != got {
				t.Errorf("what was restored is not what was saved")
			}
			fetched, err := kadm.NewClient(client).FetchOffsets(context.WithoutCancel(t.Context()), "billing")
			if err != nil {
				t.Fatal(err)
			}
			if o, ok := fetched.Lookup("back", 1); !ok || o.At != 7 {
				t.Errorf("the group is at %+v", o)
			}
			d := checked(t, exitDone, "-b", at)
			if old := name < "2.8"; old {
				d.wants(t, "versions", "broker 0, 1", "warn", "there are no topic IDs")
			} else {
				d.wants(t, "versions", "broker 0", "ok", "all that a backup needs")
			}
		})
	}
}

// TestLookAlikes: what a broker that only looks like Kafka does not have is told once, with
// what it costs, and is not called denied. The records are saved all the same.
func TestLookAlikes(t *testing.T) {
	for _, test := range []struct {
		key          kmsg.Key
		says, doctor string
	}{
		{kmsg.DescribeConfigs, "the configs of topics are not saved", "configs of topics are not saved"},
		{kmsg.ListGroups, "the offsets of consumer groups are not saved", "consumer groups are not saved"},
		{kmsg.OffsetForLeaderEpoch, "", "may go unnoticed"},
		{kmsg.DescribeCluster, "", "for lack of rights is not told"},
	} {
		t.Run(test.key.Name(), func(t *testing.T) {
			fake := kafkatest.StartFake(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "orders", "payments"))
			hideAPI(fake, test.key)
			at := strings.Join(fake.ListenAddrs(), ",")
			out := command(t, nil, "backup", "-b", at, "--vault", newVault(t), "--patience", "5s").must(t, exitDone)
			if strings.Contains(out.stderr, "denied") || test.says != "" && strings.Count(out.stderr, test.says) != 1 {
				t.Errorf("stderr: %s", out.stderr)
			}
			d := checked(t, exitDone, "-b", at)
			d.wants(t, "versions", "broker 0", "warn", test.doctor)
		})
	}
}

// hideAPI makes an embedded cluster say that it does not know a request.
func hideAPI(fake *kfake.Cluster, hidden kmsg.Key) {
	fake.ControlKey(kmsg.ApiVersions.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.ApiVersionsResponse)
		all := kversion.V3_3_0()
		all.EachMaxKeyVersion(func(key, version int16) {
			if kmsg.Key(key) != hidden {
				resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MaxVersion: version})
			}
		})
		return resp, nil, true
	})
}
