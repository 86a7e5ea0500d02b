//go:build long

package kafka

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"coldstream"
	"coldstream/kafka/kafkatest"
	"coldstream/recordbatch"

	"github.com/twmb/franz-go/pkg/kgo"
)

// startThree starts three nodes that notice soon when one is gone.
func startThree(t *testing.T) (*cluster, *kafkatest.Cluster) {
	t.Helper()
	k := kafkatest.Start(t, kafkatest.Config{Nodes: 3, HeapMB: 384, Properties: map[string]string{
		"broker.session.timeout.ms": "3000", "replica.lag.time.max.ms": "3000", "min.insync.replicas": "1",
	}})
	return &cluster{Client: connect(t, k.Addrs(), 2*time.Minute), addrs: k.Addrs()}, k
}

// leaderOf is the node that leads a partition, -1 if nobody is known to.
func (c *cluster) leaderOf(t *testing.T, tp coldstream.TopicPartition) int {
	t.Helper()
	leaders, err := c.leadersOf(t.Context(), []coldstream.TopicPartition{tp})
	if err != nil {
		t.Fatal(err)
	}
	return int(leaders[tp].id)
}

func TestFetchGoesOnWhenLeadersAreKilled(t *testing.T) {
	c, k := startThree(t)
	const partitions, nodes = 3, 3
	topic := coldstream.NewTopic{Name: "failover", Partitions: partitions, ReplicationFactor: nodes, Configs: map[string]string{"min.insync.replicas": "2"}}
	if err := c.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	var records []*kgo.Record
	for i := range int32(partitions) {
		records = append(records, recordsOf(topic.Name, i, 30000)...)
	}
	c.write(t, records, kgo.ProducerBatchMaxBytes(64<<10))
	plan := c.planOf(t, topic.Name, partitions)
	want := fetch(t, c.Client, plan...)
	killed := 0
	kill := sync.OnceFunc(func() {
		killed = c.leaderOf(t, plan[0].TopicPartition)
		if err := k.Kill(killed); err != nil {
			t.Error(err)
		}
	})
	small := connect(t, c.addrs, 2*time.Minute)
	small.cfg.FetchBytes = 1 // many answers
	r := &recorder{onTake: func(event coldstream.FetchEvent) error {
		if partitionOf(event) == plan[0].TopicPartition {
			kill()
		}
		return nil
	}}
	if err := small.Fetch(t.Context(), plan, r); err != nil {
		t.Fatal(err)
	}
	for _, p := range plan {
		r.wantStory(t, p.TopicPartition, want.story(p.TopicPartition)...)
		if !bytes.Equal(r.bytes(p.TopicPartition), want.bytes(p.TopicPartition)) {
			t.Errorf("%s: other bytes than before the leader was killed", p.TopicPartition)
		}
	}
	events := len(r.events[plan[0].TopicPartition])
	if killed == 0 || events < 3 {
		t.Errorf("killed node %d in a story of %d events", killed, events)
	}
}

func TestFetchSeesAnUncleanElection(t *testing.T) {
	c, k := startThree(t)
	req := coldstream.NewTopic{Name: "unclean", Partitions: 1, ReplicationFactor: 2, Configs: map[string]string{"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}}
	if err := c.CreateTopic(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	tp := partitionsOf(req.Name, 1)[0]
	write := func(n int) { c.write(t, recordsOf(req.Name, 0, n), kgo.RecordRetries(1000)) }
	write(1000)
	leader := c.leaderOf(t, tp)
	described, err := c.Metadata(t.Context(), []string{req.Name})
	if err != nil {
		t.Fatal(err)
	}
	replicas := described.Topics[0].Partitions[0].Replicas
	follower := int(replicas[(slices.Index(replicas, int32(leader))+1)%2])
	await(t, "both replicas have all", func() bool { return c.inSync(t, req.Name, 2) })
	if err := k.Kill(follower); err != nil {
		t.Fatal(err)
	}
	await(t, "the leader is alone", func() bool { return !c.inSync(t, req.Name, 2) })
	write(500)
	p := c.planOf(t, req.Name, 1)[0]
	before := fetch(t, c.Client, p)
	before.wantStory(t, tp, "data [0,1500)", "done 1500")
	if err := k.Kill(leader); err != nil {
		t.Fatal(err)
	}
	if err := k.StartNode(follower); err != nil {
		t.Fatal(err)
	}
	await(t, "the one that was behind leads", func() bool { return c.leaderOf(t, tp) == follower })
	for _, test := range []struct {
		more int
		want []string
	}{
		{200, []string{"truncated 1000 from 1500 epoch 0", "data [1000,1200)", "done 1200"}},
		{800, []string{"truncated 1000 from 1500 epoch 0", "data [1000,2000)", "done 2000"}},
	} {
		write(test.more)
		next := c.planOf(t, req.Name, 1)[0]
		next.NextOffset, next.Epochs = 1500, []coldstream.EpochStart{{Epoch: 0}}
		next.StopOffset = max(next.StopOffset, 1501)
		r := fetch(t, c.Client, next)
		r.wantStory(t, tp, test.want...)
		if log := segments(t, k, follower, tp); !bytes.HasSuffix(log, r.bytes(tp)) {
			t.Errorf("what was read after the election is not the end of the log")
		}
	}
}

func TestFetchFromOlderVersions(t *testing.T) {
	for _, version := range kafkatest.Versions() {
		if version == kafkatest.DefaultVersion {
			continue // as in every other test
		}
		t.Run(version, func(t *testing.T) {
			k := kafkatest.Start(t, kafkatest.Config{Version: version})
			c := &cluster{Client: connect(t, k.Addrs(), time.Minute), addrs: k.Addrs()}
			t.Run("bytes", func(t *testing.T) { fetchesTheLog(t, c, k) })
			t.Run("deleted records", func(t *testing.T) { readsBehindDeletedRecords(t, c, k) })
			t.Run("groups", func(t *testing.T) {
				name, _ := c.create(t, 1)
				group := groupName()
				c.commitRaw(t, group, partitionsOf(name, 1)[0], 7, 0, "meta")
				c.joinClassic(t, group, name)
				got, _ := c.groupNamed(t, group)
				if got.Err != nil || len(got.Offsets) != 1 || got.Offsets[0].Metadata != "meta" || got.Offsets[0].LeaderEpoch != 0 {
					t.Errorf("got %+v", got)
				}
			})
			t.Run("metadata", func(t *testing.T) {
				name, id := c.create(t, 1, "retention.ms", "5000")
				got, err := c.Metadata(t.Context(), []string{name})
				if err != nil || got.ID == "" || got.Topics[0].ID != id || len(got.Topics[0].Configs) != 1 {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		})
	}
}

// TestFetchReadsFromAFollowerWhatTheLeaderCannot spoils the leader's copy of one batch: a whole
// copy is on the other brokers, which answer for it although no replica.selector is set.
func TestFetchReadsFromAFollowerWhatTheLeaderCannot(t *testing.T) {
	c, k := startThree(t)
	for name, spoil := range map[string]func(batch []byte){
		"payload": func(b []byte) { b[len(b)-2] ^= 1 },
		"length":  func(b []byte) { copy(b[8:12], []byte{0x7f, 0xff, 0xff, 0xff}) },
	} {
		t.Run(name, func(t *testing.T) {
			topic := coldstream.NewTopic{Name: "spoiled-" + name, Partitions: 1, ReplicationFactor: 3, Configs: map[string]string{"min.insync.replicas": "3"}}
			if err := c.CreateTopic(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				c.write(t, recordsOf(topic.Name, 0, 10))
			}
			plan := c.planOf(t, topic.Name, 1)
			tp := plan[0].TopicPartition
			whole := fetch(t, c.Client, plan...)
			files, err := filepath.Glob(filepath.Join(k.LogDir(c.leaderOf(t, tp)), tp.String(), "*.log"))
			if err != nil || len(files) != 1 {
				t.Fatalf("files %q, error %v", files, err)
			}
			log, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			_, rest, err := recordbatch.Next(log)
			if err != nil {
				t.Fatal(err)
			}
			second, _, err := recordbatch.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			spoil(second) // it lies in log
			f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt(second, int64(len(log)-len(rest)))
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			r := fetch(t, c.Client, plan...)
			r.wantStory(t, tp, whole.story(tp)...)
			if !bytes.Equal(r.bytes(tp), whole.bytes(tp)) {
				t.Error("what was fetched is not what was written")
			}
		})
	}
}
