package main

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/kafka/kafkatest"
)

// A restore test brings everything back that a restore would, in a broker of its own and in a
// cluster that is named, leaves nothing there, and is kept in the vault.
func TestRestoreTest(t *testing.T) {
	w := newWorld(t)
	w.fill("drilled", 2, 50)
	w.abortedBetween("drilled")
	w.create("drilled-away", 1, "cleanup.policy=compact,delete")
	w.values("drilled-away", "a", "b", "c")
	w.deleteRecords("drilled-away", 1)
	saved := w.backup("drilled", "drilled-away")
	before, groups := w.names()

	var v verifyDocument
	w.run("verify", "--restore-test").must(t, exitDone).into(t, &v)
	same(t, "verdict of a broker of its own", []any{v.OK, v.RestoreTest.OK, v.RestoreTest.IsRealBroker}, []any{true, true, false})
	same(t, "what came back", []any{v.RestoreTest.Snapshot, v.RestoreTest.TopicCount, v.RestoreTest.PartitionCount, v.RestoreTest.Records}, []any{saved.Snapshot, 2, 3, int64(103)})

	// The variable that all commands have is the cluster of the backup, and no wish to write there.
	vars := []string{"COLDSTREAM_VAULT=" + w.vault, "COLDSTREAM_BOOTSTRAP_SERVER=127.0.0.1:1"}
	out := command(t, vars, "verify", "--restore-test", "-t", "drilled").must(t, exitDone)
	contains(t, out.stdout, "restore test passed: 101 records of 1 topic of snapshot "+saved.Snapshot, "It is no real broker")

	w.run("verify", "--restore-test", "-b", w.bootstrap).must(t, exitDone).into(t, &v)
	same(t, "verdict of a cluster", []any{v.RestoreTest.OK, v.RestoreTest.IsRealBroker, v.RestoreTest.Records}, []any{true, true, int64(103)})
	w.await("nothing is left of the test", func() bool {
		topics, now := w.names()
		return slices.Equal(topics, before) && slices.Equal(now, groups)
	})

	// All three are in the vault, and none is taken for a restore.
	out = command(t, vars, "snapshots").must(t, exitDone)
	contains(t, out.stdout, "restore test", "passed 20", "restored 103 records of 2 topics in ")
	var s snapshotsDocument
	w.run("snapshots").must(t, exitDone).into(t, &s)
	if tests := s.Snapshots[0].RestoreTests; len(tests) != 3 || tests[0].IsRealBroker || !tests[2].IsRealBroker || tests[2].RestoreMs < 1 {
		t.Errorf("kept in the vault: %+v", tests)
	}
	w.run("restore", "-b", w.bootstrap, "--groups-only", "--yes").must(t, exitUsage).says(t, "the vault knows no restore of these topics")
	w.run("forget", "--keep-last", "1", "--dry-run").must(t, exitDone)
	w.verify()

	w.run("verify", "-t", "drilled").must(t, exitUsage).says(t, "are for --restore-test")
	w.run("verify", "-b", w.bootstrap).must(t, exitUsage)
	w.run("verify", "--restore-test", "-t", "no-such").must(t, exitUsage)
	w.run("verify", "--restore-test", "-b", "127.0.0.1:1", "--connect-timeout", "1s").must(t, exitUnreachable)
}

// TestRestoreTestFindsDifferences: in a cluster that changes what it is given, and in a vault that
// does not have all any more. Also that is kept.
func TestRestoreTestFindsDifferences(t *testing.T) {
	w := newFakeWorld(t)
	w.fill("drilled", 1, 20)
	w.backup("drilled")
	fake := kafkatest.StartFake(t, kfake.NumBrokers(1))
	fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for i := range topic.Partitions {
				batch := topic.Partitions[i].Records
				batch[27+7] ^= 1 // the first timestamp
				binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
			}
		}
		return nil, nil, false // the broker takes it
	})
	bootstrap := strings.Join(fake.ListenAddrs(), ",")
	var v verifyDocument
	out := w.run("verify", "--restore-test", "-b", bootstrap).must(t, exitDamage)
	out.into(t, &v)
	same(t, "verdict", []any{v.OK, v.RestoreTest.OK, len(v.Problems)}, []any{false, false, 0})
	if d := v.RestoreTest.Differences; len(d) != 1 || d[0].Topic != "drilled" || d[0].FirstOffset != 0 || !strings.HasPrefix(d[0].Detail, "timestamp") {
		t.Errorf("differences: %+v", d)
	}

	flip(t, w.vault, "packs/*/*/*")
	w.run("verify", "--restore-test").must(t, exitDamage).into(t, &v)
	if v.RestoreTest.OK || len(v.RestoreTest.Failed)+len(v.RestoreTest.Damage) == 0 {
		t.Errorf("of a damaged vault: %+v", v.RestoreTest)
	}
	out = command(t, []string{"COLDSTREAM_VAULT=" + w.vault}, "snapshots")
	contains(t, out.stdout, "failed 20")
	flip(t, w.vault, "restores/*/*2") // what tests found
	command(t, []string{"COLDSTREAM_VAULT=" + w.vault}, "snapshots").must(t, exitDone).says(t, "what restore tests found could not be read")
}

// An interrupted test holds nothing afterwards, and leaves nothing in the cluster.
func TestRestoreTestThatFails(t *testing.T) {
	w := newFakeWorld(t)
	w.fill("drilled", 1, 20)
	w.backup("drilled")
	fake := kafkatest.StartFake(t, kfake.NumBrokers(1))
	fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		answer := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			refused := kmsg.NewProduceResponseTopic()
			refused.Topic, refused.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				r := kmsg.NewProduceResponseTopicPartition()
				r.Partition, r.ErrorCode = p.Partition, 29 // TOPIC_AUTHORIZATION_FAILED
				refused.Partitions = append(refused.Partitions, r)
			}
			answer.Topics = append(answer.Topics, refused)
		}
		return answer, nil, true
	})
	var v verifyDocument
	w.run("verify", "--restore-test", "-b", strings.Join(fake.ListenAddrs(), ",")).must(t, exitIncomplete).into(t, &v)
	if v.OK || len(v.RestoreTest.Failed) != 1 {
		t.Errorf("verdict: %+v", v.RestoreTest)
	}
	other := newWorldOf(t, fake.ListenAddrs())
	if topics, _ := other.names(); len(topics) > 0 {
		t.Errorf("left in the cluster: %v", topics)
	}
	w.values("drilled", "newer")
	w.backup("drilled")
	w.run("forget", "--keep-last", "1").must(t, exitDone)
	same(t, "snapshots that are left", len(w.snapshots()), 1)
}
