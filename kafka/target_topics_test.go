package kafka

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"coldstream"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCreateTopicThatExists(t *testing.T) {
	c := startFake(t)
	name, _ := c.create(t, 2)
	err := c.CreateTopic(t.Context(), coldstream.NewTopic{Name: name, Partitions: 2, ReplicationFactor: 1})
	wantError(t, err, "create topic "+name+": file already exists: TOPIC_ALREADY_EXISTS")
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v is not fs.ErrExist", err)
	}
	err = c.CheckTopic(t.Context(), coldstream.NewTopic{Name: name, Partitions: 2, ReplicationFactor: 1})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v of the check is not fs.ErrExist", err)
	}
}

// The controller has created the topic, and nobody learned of it.
func TestCreateTopicAfterALostAnswer(t *testing.T) {
	c := startFake(t)
	c.wire.loseAnswers(kmsg.CreateTopics, 1)
	name, _ := c.create(t, 3)
	if got := c.wire.left(kmsg.CreateTopics); got != 0 {
		t.Errorf("%d answers were not lost, the test proves nothing", got)
	}
	if c.fake.LeaderFor(name, 2) < 0 || c.fake.LeaderFor(name, 3) >= 0 {
		t.Error("the topic does not have 3 partitions")
	}
}

// A topic of somebody else must not be taken for our own because an answer was lost.
func TestCreateTopicAfterALostAnswerDoesNotTakeOver(t *testing.T) {
	for what, make := range map[string]func(t *testing.T, c *cluster) string{
		"a topic with other partitions": func(t *testing.T, c *cluster) string {
			name, _ := c.create(t, 2)
			return name
		},
		"a topic with records": func(t *testing.T, c *cluster) string {
			name, id := c.create(t, 3)
			wantError(t, produceOne(t.Context(), c.Client, partitionsOf(name, 1)[0], id, batchOf(c.producer(t), 0, 1)).Err, "")
			return name
		},
	} {
		t.Run(what, func(t *testing.T) {
			c := startFake(t)
			name := make(t, c)
			c.wire.loseAnswers(kmsg.CreateTopics, 1)
			err := c.CreateTopic(t.Context(), coldstream.NewTopic{Name: name, Partitions: 3, ReplicationFactor: 1})
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("got error %v, want fs.ErrExist", err)
			}
		})
	}
}

func TestCreateTopicWaitsForItsLeaders(t *testing.T) {
	c := startFake(t)
	faults := c.fake.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.NotLeaderForPartition, Count: 1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.UnknownTopicOrPartition, Count: 1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Nodes: []int32{2}, Topic: "late", Err: kerr.UnknownTopicOrPartition, Count: 2},
	)
	topic := coldstream.NewTopic{Name: "late", Partitions: 4, ReplicationFactor: 1}
	if err := c.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	if got, want := faults.Hits(), 4; got != want {
		t.Errorf("got %d of the faults, want all %d before CreateTopic returns", got, want)
	}
}

func TestCreateTopicPassesOverABrokerThatIsAway(t *testing.T) {
	c := startFake(t)
	c.fake.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		if topics := req.(*kmsg.MetadataRequest).Topics; len(topics) == 1 && c.fake.CurrentNode() == 1 {
			return nil, errors.New("away"), true
		}
		return nil, nil, false
	})
	topic := coldstream.NewTopic{Name: "orders", Partitions: 4, ReplicationFactor: 1}
	if err := c.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
}

func TestCreateTopicNamesTheReason(t *testing.T) {
	c := startFake(t)
	topic := coldstream.NewTopic{Name: "orders", Partitions: 1, ReplicationFactor: 5}
	wantError(t, c.CreateTopic(t.Context(), topic), "create topic orders: INVALID_REPLICATION_FACTOR")
	wantError(t, c.CheckTopic(t.Context(), topic), "check whether topic orders can be created: INVALID_REPLICATION_FACTOR")
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed})
	topic.ReplicationFactor = 1
	if err := c.CreateTopic(t.Context(), topic); !errors.Is(err, coldstream.ErrDenied) {
		t.Errorf("got error %v, want ErrDenied", err)
	}
}

func TestCheckTopicCreatesNothing(t *testing.T) {
	c := startFake(t)
	if err := c.CheckTopic(t.Context(), coldstream.NewTopic{Name: "orders", Partitions: 1, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	if c.fake.LeaderFor("orders", 0) >= 0 {
		t.Error("the topic was created")
	}
}

func TestCreateTopicEndsWithItsContext(t *testing.T) {
	c := startFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.ThrottlingQuotaExceeded, Count: -1,
		When: func(kmsg.Request) bool { cancel(); return true }})
	err := c.CreateTopic(ctx, coldstream.NewTopic{Name: "orders", Partitions: 1, ReplicationFactor: 1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
}

// configsOf returns the configs that a topic carries itself.
func (c *cluster) configsOf(t *testing.T, topic string) map[string]string {
	t.Helper()
	resp, err := newDescribeRequest(topic).RequestWith(t.Context(), c.kgo)
	if err != nil || resp.Resources[0].ErrorCode != 0 {
		t.Fatal(err, resp)
	}
	own := make(map[string]string)
	for _, config := range resp.Resources[0].Configs {
		if config.Source == kmsg.ConfigSourceDynamicTopicConfig {
			own[config.Name] = text(config.Value)
		}
	}
	return own
}

func TestAlterTopicConfigsSetsAndRemoves(t *testing.T) {
	c := startFake(t)
	name, _ := c.create(t, 1, "retention.ms", "-1", "cleanup.policy", "compact", "segment.bytes", "2000000")
	err := c.AlterTopicConfigs(t.Context(), name, coldstream.ConfigChange{
		Set: map[string]string{"cleanup.policy": "delete", "max.message.bytes": "3000000"}, Remove: []string{"retention.ms"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cleanup.policy": "delete", "max.message.bytes": "3000000", "segment.bytes": "2000000"}
	if diff := cmp.Diff(want, c.configsOf(t, name)); diff != "" {
		t.Errorf("configs (-want +got):\n%s", diff)
	}
	wantError(t, c.AlterTopicConfigs(t.Context(), name, coldstream.ConfigChange{}), "")
	err = c.AlterTopicConfigs(t.Context(), "absent", coldstream.ConfigChange{Remove: []string{"retention.ms"}})
	wantError(t, err, "alter configs of topic absent: unknown topic")
}

// Without a topic to look at, and from a controller that does not tell, there is still
// an answer; the first topic there is gives a better one.
func TestTopicConfigNamesOfAClusterThatDoesNotTell(t *testing.T) {
	c := startFake(t)
	got, err := c.TopicConfigNames(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(commonTopicConfigs(), got); diff != "" {
		t.Errorf("empty cluster (-want +got):\n%s", diff)
	}
	name, _ := c.create(t, 1, "max.message.bytes", "77", "cleanup.policy", "compact")
	for _, topic := range []string{"", "absent", name} {
		got, err := c.TopicConfigNames(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := got["max.message.bytes"], "1048588"; got != want {
			t.Errorf("topic %q: got default %s of max.message.bytes, want %s", topic, got, want)
		}
		if _, ok := got["preallocate"]; ok {
			t.Errorf("topic %q: got a config that the cluster does not know", topic)
		}
	}
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	if _, err := c.TopicConfigNames(t.Context(), ""); !errors.Is(err, coldstream.ErrDenied) {
		t.Errorf("got error %v, want ErrDenied", err)
	}
}

func TestDeleteRecordsMovesTheLogStart(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 3)
	producer := c.producer(t)
	for _, tp := range partitionsOf(name, 3) {
		wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 0, 10)).Err, "")
	}
	moved := false
	c.fake.ControlKey(int16(kmsg.DeleteRecords), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		if moved {
			return nil, nil, false
		}
		moved = true
		return nil, errors.New("away"), true
	})
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DeleteRecords}, Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: 1})
	tps := partitionsOf(name, 3)
	err := c.DeleteRecords(t.Context(), map[coldstream.TopicPartition]int64{tps[0]: 3, tps[1]: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]int64
	for _, tp := range tps {
		got = append(got, c.logEnds(t, tp))
	}
	if diff := cmp.Diff([][2]int64{{3, 10}, {10, 10}, {0, 10}}, got); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
}

func TestDeleteRecordsNamesWhatItCannotDo(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 3)
	tps, producer := partitionsOf(name, 3), c.producer(t)
	for _, tp := range tps {
		wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 0, 10)).Err, "")
	}
	err := c.DeleteRecords(t.Context(), map[coldstream.TopicPartition]int64{tps[0]: 5, tps[1]: 11, tps[2]: 12})
	wantError(t, err, "delete records of "+name+"-1 before offset 11: OFFSET_OUT_OF_RANGE")
	wantError(t, err, "(and 1 more such errors)")
	if got, want := c.logEnds(t, tps[0]), [2]int64{5, 10}; got != want {
		t.Errorf("got log %v, want %v", got, want)
	}
	absent := coldstream.TopicPartition{Topic: "absent"}
	err = c.impatient(t).DeleteRecords(t.Context(), map[coldstream.TopicPartition]int64{absent: 1})
	if !errors.Is(err, coldstream.ErrUnknownTopic) {
		t.Errorf("got error %v, want ErrUnknownTopic", err)
	}
	wantError(t, c.DeleteRecords(t.Context(), nil), "")
}
