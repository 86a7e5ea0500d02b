package kafka

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coldstream"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestConnectCompletesAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"kafka": "kafka:9092", " kafka:1 ": "kafka:1", "10.0.0.1": "10.0.0.1:9092", "[::1]": "[::1]:9092", "[::1]:9": "[::1]:9",
		"": "", ":9092": "", "kafka:": "", "kafka:0": "", "kafka:65536": "", "kafka:x": "", "a:b:c": "", "kafka:-1": "",
	} {
		got, err := hostPort(address)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q and %v, want %q", address, got, err, want)
		}
		var bad *AddressError
		if err != nil && !errors.As(err, &bad) {
			t.Errorf("%q: got error %v, want an AddressError", address, err)
		}
	}
}

func TestConnectGivesUpAfterItsTimeout(t *testing.T) {
	_, err := Connect(t.Context(), Config{Bootstrap: []string{"127.0.0.1:1"}, ConnectTimeout: 300 * time.Millisecond})
	if !errors.Is(err, coldstream.ErrUnreachable) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("got error %v, want ErrUnreachable with the address", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, Config{Bootstrap: []string{"127.0.0.1:1"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want the context's", err)
	}
}

// describe asks for topics with their configs.
func (c *Client) describe(ctx context.Context, names []string) (*coldstream.Cluster, error) {
	cluster, err := c.Metadata(ctx, names)
	if err != nil {
		return nil, err
	}
	return cluster, c.TopicConfigs(ctx, cluster.Topics)
}

// Whoever asks for topics does not wait for the configs of all of them.
func TestMetadataIsOfNamesAndConfigsOfThoseThatAreAskedFor(t *testing.T) {
	c := startFake(t)
	first, _ := c.create(t, 1, "retention.ms", "5")
	second, _ := c.create(t, 1, "retention.ms", "6")
	var asked []string
	c.fake.ControlKey(kmsg.DescribeConfigs.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		for _, r := range kreq.(*kmsg.DescribeConfigsRequest).Resources {
			asked = append(asked, r.ResourceName)
		}
		return nil, nil, false
	})
	cluster, err := c.Metadata(t.Context(), nil)
	if err != nil || len(cluster.Topics) != 2 || len(asked) > 0 || cluster.Topics[0].Configs != nil {
		t.Fatalf("got %+v, %v, and configs of %q were asked for", cluster, err, asked)
	}
	chosen := slices.DeleteFunc(cluster.Topics, func(topic coldstream.Topic) bool { return topic.Name == first })
	if err := c.TopicConfigs(t.Context(), chosen); err != nil || chosen[0].Name != second || len(chosen[0].Configs) != 1 {
		t.Errorf("got %+v, %v", chosen, err)
	}
	if diff := cmp.Diff([]string{second}, asked); diff != "" {
		t.Errorf("configs that were asked for: -want +got:\n%s", diff)
	}
}

func TestMetadataDescribesTopics(t *testing.T) {
	c := startFake(t, kfake.ClusterID("the-cluster"))
	first, firstID := c.create(t, 3, "retention.ms", "12345", "cleanup.policy", "compact")
	second, _ := c.create(t, 1)
	got, err := c.describe(t.Context(), []string{first, "missing", second})
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != "the-cluster" || len(got.Brokers) != 3 || len(got.Topics) != 3 {
		t.Fatalf("got cluster %q of %d brokers with %d topics", got.ID, len(got.Brokers), len(got.Topics))
	}
	topics := map[string]coldstream.Topic{}
	for _, topic := range got.Topics {
		topics[topic.Name] = topic
	}
	if !errors.Is(topics["missing"].Err, coldstream.ErrUnknownTopic) {
		t.Errorf("got error %v, want ErrUnknownTopic", topics["missing"].Err)
	}
	want := []coldstream.Config{
		{Name: "cleanup.policy", Value: "compact", Source: "DYNAMIC_TOPIC_CONFIG"},
		{Name: "retention.ms", Value: "12345", Source: "DYNAMIC_TOPIC_CONFIG"},
	}
	if diff := cmp.Diff(want, topics[first].Configs); diff != "" {
		t.Errorf("configs (-want +got):\n%s", diff)
	}
	if topics[first].ID != firstID || len(topics[first].Partitions) != 3 || topics[first].Partitions[2].ID != 2 {
		t.Errorf("got %+v", topics[first])
	}
	if topics[first].CleanupPolicy != "compact" || topics[second].CleanupPolicy != "delete" {
		t.Errorf("got cleanup policies %q and %q, want compact and the broker's, delete", topics[first].CleanupPolicy, topics[second].CleanupPolicy)
	}
	if len(topics[second].Configs) > 0 || topics[second].ConfigsErr != nil {
		t.Errorf("got configs %v (%v), want none", topics[second].Configs, topics[second].ConfigsErr)
	}
	none, err := c.describe(t.Context(), []string{})
	if err != nil || len(none.Topics) != 0 {
		t.Errorf("asked for no topics: got %v, %v", none.Topics, err)
	}
	all, err := c.describe(t.Context(), nil)
	if err != nil || len(all.Topics) != 2 {
		t.Errorf("asked for all topics: got %v, %v", all.Topics, err)
	}
}

func TestMetadataKeepsWhatIsRefusedInTheTopic(t *testing.T) {
	c := startFake(t)
	good, _ := c.create(t, 1)
	for what, test := range map[string]struct {
		fault kfake.Fault
		err   func(coldstream.Topic) error
		want  error
	}{
		"topic denied": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.TopicAuthorizationFailed, Count: -1},
			func(topic coldstream.Topic) error { return topic.Err }, coldstream.ErrDenied,
		},
		"configs denied": {
			kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1},
			func(topic coldstream.Topic) error { return topic.ConfigsErr }, coldstream.ErrDenied,
		},
	} {
		t.Run(what, func(t *testing.T) {
			bad, _ := c.create(t, 1)
			fault := test.fault
			if fault.Keys[0] == kmsg.DescribeConfigs {
				fault.Resource = bad
			} else {
				fault.Topic = bad
			}
			defer c.fake.Fault(fault).Remove()
			got, err := c.describe(t.Context(), []string{bad, good})
			if err != nil {
				t.Fatal(err)
			}
			for _, topic := range got.Topics {
				if err := test.err(topic); topic.Name == bad && !errors.Is(err, test.want) {
					t.Errorf("got error %v, want %v", err, test.want)
				}
				if topic.Name == good && (topic.Err != nil || topic.ConfigsErr != nil) {
					t.Errorf("the other topic: %v, %v", topic.Err, topic.ConfigsErr)
				}
			}
		})
	}
}

// A topic that the brokers cannot describe for long is one topic that fails.
func TestMetadataOfATopicThatStaysUnavailable(t *testing.T) {
	c := startFake(t)
	good, _ := c.create(t, 1)
	bad, _ := c.create(t, 1)
	names := []string{bad, good}
	for what, change := range map[string]func(*kmsg.MetadataResponseTopic){
		"no leader":          func(t *kmsg.MetadataResponseTopic) { t.ErrorCode, t.Partitions = kerr.LeaderNotAvailable.Code, nil },
		"without its middle": func(t *kmsg.MetadataResponseTopic) { t.Partitions[0].Partition = 1 },
		"a negative one":     func(t *kmsg.MetadataResponseTopic) { t.Partitions[0].Partition = -1 },
		"left out":           func(t *kmsg.MetadataResponseTopic) { other := "other"; t.Topic = &other },
		"without a name":     func(t *kmsg.MetadataResponseTopic) { t.Topic = nil },
	} {
		t.Run(what, func(t *testing.T) {
			var over atomic.Bool
			t.Cleanup(func() { over.Store(true) })
			c.answerMetadata(t, names, func(topics []kmsg.MetadataResponseTopic) bool {
				if over.Load() || len(topics) != 2 {
					return false
				}
				change(&topics[0])
				return true
			})
			got, err := c.impatient(t).describe(t.Context(), names)
			if err != nil {
				t.Fatal(err)
			}
			for _, topic := range got.Topics {
				if topic.Name == bad && (topic.Err == nil || errors.Is(topic.Err, coldstream.ErrUnknownTopic) || topic.Partitions != nil) {
					t.Errorf("got %+v, want an error that does not say that it is gone", topic)
				}
				if topic.Name == good && topic.Err != nil {
					t.Errorf("the other topic: %v", topic.Err)
				}
			}
		})
	}
}

func TestConfigsThatAreNotAnsweredAreNotNone(t *testing.T) {
	c := startFake(t)
	name, _ := c.create(t, 1, "retention.ms", "5")
	var lost atomic.Int32
	c.fake.ControlKey(kmsg.DescribeConfigs.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		if lost.Add(1) > 100 {
			return nil, nil, false
		}
		return kreq.ResponseKind(), nil, true // of no topic
	})
	got, err := c.impatient(t).describe(t.Context(), []string{name})
	if err != nil || got.Topics[0].ConfigsErr == nil {
		t.Errorf("got %+v, %v, want an error about its configs", got, err)
	}
	lost.Store(99)
	if got, err = c.describe(t.Context(), []string{name}); err != nil || len(got.Topics[0].Configs) != 1 || got.Topics[0].ConfigsErr != nil {
		t.Errorf("after one lost answer: got %+v, %v", got, err)
	}
}

func TestMetadataWaitsForBrokersAsLongAsItsPatience(t *testing.T) {
	c := startFake(t)
	name, _ := c.create(t, 1)
	c.wire.loseAnswers(kmsg.Metadata, 5)
	if _, err := c.describe(t.Context(), []string{name}); err != nil {
		t.Errorf("after five lost answers: %v", err)
	}
	impatient := c.impatient(t)
	c.fake.Close()
	if _, err := impatient.describe(t.Context(), []string{name}); err == nil || !strings.Contains(err.Error(), "read metadata: gave up after 2s") {
		t.Errorf("without brokers: got error %v", err)
	}
}

func TestLogOffsetsAnswersForEveryPartition(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 4, 2)
	name := plan[0].Topic
	if err := c.fake.DeleteRecords(name, 1, 15); err != nil {
		t.Fatal(err)
	}
	if err := c.fake.DeleteRecords(name, 2, 20); err != nil {
		t.Fatal(err)
	}
	got, err := c.LogOffsets(t.Context(), partitionsOf(name, 4))
	if err != nil {
		t.Fatal(err)
	}
	want := map[coldstream.TopicPartition]coldstream.LogOffsets{}
	for i, ends := range [][2]int64{{0, 20}, {15, 20}, {20, 20}, {0, 20}} {
		want[plan[i].TopicPartition] = coldstream.LogOffsets{LogStartOffset: ends[0], HighWatermark: ends[1]}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLogOffsetsOfUnknownPartitions(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 1)
	good := plan[0].TopicPartition
	missing, behind := coldstream.TopicPartition{Topic: "missing"}, coldstream.TopicPartition{Topic: good.Topic, Partition: 1}
	got, err := c.impatient(t).LogOffsets(t.Context(), []coldstream.TopicPartition{missing, good, behind, {Topic: good.Topic, Partition: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || !errors.Is(got[missing].Err, coldstream.ErrUnknownTopic) || !errors.Is(got[behind].Err, coldstream.ErrUnknownTopic) {
		t.Errorf("got %v", got)
	}
	if got[good].Err != nil || got[good].HighWatermark != 10 {
		t.Errorf("the good one: got %+v", got[good])
	}
}

// What is missing in an answer is no end at 0: nothing would be read up to there.
func TestLogOffsetsThatMakeNoSense(t *testing.T) {
	c := startFake(t)
	for what, test := range map[string]struct {
		timestamp int64
		answer    func(*kmsg.ListOffsetsResponseTopicPartition)
	}{
		"no start":           {earliestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.Partition = 7 }},
		"no end":             {latestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.Partition = 7 }},
		"start -1":           {earliestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.Offset = -1 }},
		"end -1":             {latestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.Offset = -1 }},
		"start behind end":   {earliestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.Offset = 21 }},
		"start errs":         {earliestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.ErrorCode = kerr.NotLeaderForPartition.Code }},
		"end errs":           {latestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.ErrorCode = kerr.OffsetNotAvailable.Code }},
		"leader of the past": {latestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.ErrorCode = kerr.FencedLeaderEpoch.Code }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tp := c.filled(t, 1, 2)[0].TopicPartition
			var mend atomic.Bool
			c.answerListOffsets(tp.Topic, test.timestamp, func(p *kmsg.ListOffsetsResponseTopicPartition) {
				if mend.Load() {
					p.Offset = map[int64]int64{earliestOffset: 0, latestOffset: 20}[test.timestamp]
					return
				}
				test.answer(p)
			})
			got, err := c.impatient(t).LogOffsets(t.Context(), []coldstream.TopicPartition{tp})
			if err != nil || got[tp].Err == nil {
				t.Errorf("got %+v, %v, want an error", got[tp], err)
			}
			mend.Store(true)
			if got := c.logEnds(t, tp); got != [2]int64{0, 20} {
				t.Errorf("got log %v, want 0 to 20", got)
			}
		})
	}
}

func TestLogOffsetsWaitsForLeaders(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 2, 2)
	waiting, ready := plan[0].TopicPartition, plan[1].TopicPartition
	var asked atomic.Int32
	c.changeMetadata(t, waiting.Topic, func(topic *kmsg.MetadataResponseTopic) bool {
		for i := range topic.Partitions {
			if p := &topic.Partitions[i]; p.Partition == waiting.Partition {
				p.Leader = -1
			}
		}
		return asked.Add(1) <= 100
	})
	tps := []coldstream.TopicPartition{waiting, ready}
	got, err := c.impatient(t).LogOffsets(t.Context(), tps)
	if err != nil || !errors.Is(got[waiting].Err, errNoLeader) || got[ready] != (coldstream.LogOffsets{HighWatermark: 20}) {
		t.Errorf("got %v, %v, want one without a leader", got, err)
	}
	asked.Store(97)
	if got, err = c.LogOffsets(t.Context(), tps); err != nil || got[waiting] != (coldstream.LogOffsets{HighWatermark: 20}) {
		t.Errorf("once there is a leader: got %v, %v", got, err)
	}
}

// TestConnectToSomethingElse: what takes connections and says nothing, or text, is no
// broker; that is said in time, and costs no memory.
func TestConnectToSomethingElse(t *testing.T) {
	for name, says := range map[string]string{"silent": "", "a web server": "<!DOCTYPE html><html>", "HTTP": "HTTP/1.1 400 Bad Request\r\n"} {
		t.Run(name, func(t *testing.T) {
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close() //nolint:errcheck // the test is over
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					t.Cleanup(func() { _ = conn.Close() })
					_, _ = conn.Write([]byte(says))
				}
			}()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err = Connect(ctx, Config{Bootstrap: []string{l.Addr().String()}, ConnectTimeout: time.Second})
			if !errors.Is(err, coldstream.ErrUnreachable) {
				t.Errorf("error %v, want that the cluster is unreachable within a second", err)
			}
			runtime.ReadMemStats(&after)
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 64 {
				t.Errorf("%d MiB were allocated", got)
			}
		})
	}
}
