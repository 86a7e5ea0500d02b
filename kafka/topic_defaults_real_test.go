package kafka

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/kafka/kafkatest"
)

// Of brokers that differ each is asked: what a broker's file says, what was set at run time
// for one and for all, and what lies hidden behind a topic's own config.
func TestRealBrokersTellWhatTopicsHaveFromThem(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Kafka: run without -short")
	}
	cluster := kafkatest.Start(t, kafkatest.Config{Nodes: 2, Properties: map[string]string{
		"log.cleanup.policy": "compact", "log.retention.hours": "24",
	}, NodeProperties: map[int]map[string]string{2: {"log.retention.ms": "-1", "message.max.bytes": "2000000"}}})
	c := connect(t, cluster.Addrs(), time.Minute)
	set := func(name, value string, brokers ...int32) {
		t.Helper()
		if _, err := c.adm.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, brokers...); err != nil {
			t.Fatal(err)
		}
	}
	set("log.cleaner.delete.retention.ms", "777")
	set("log.cleaner.min.compaction.lag.ms", "55", 1)
	want := map[string][]coldstream.DefaultConfig{}
	put := func(name, value, source string, brokers ...int32) {
		want[name] = append(want[name], coldstream.DefaultConfig{Config: coldstream.Config{Name: name, Value: value, Source: source}, Brokers: brokers})
	}
	put("cleanup.policy", "compact", "STATIC_BROKER_CONFIG")
	put("delete.retention.ms", "777", "DYNAMIC_DEFAULT_BROKER_CONFIG")
	put("max.message.bytes", "1048588", "DEFAULT_CONFIG", 1)
	put("max.message.bytes", "2000000", "STATIC_BROKER_CONFIG", 2)
	put("min.compaction.lag.ms", "0", "DEFAULT_CONFIG", 2)
	put("min.compaction.lag.ms", "55", "DYNAMIC_BROKER_CONFIG", 1)
	put("retention.bytes", "-1", "DEFAULT_CONFIG")
	put("retention.ms", "-1", "STATIC_BROKER_CONFIG", 2)
	put("retention.ms", "86400000", "STATIC_BROKER_CONFIG", 1)
	tell := func(what string, topics ...string) {
		t.Helper()
		diff := "nothing was told"
		// A setting of all brokers reaches each of them in its own time.
		for deadline := time.Now().Add(time.Minute); diff != "" && time.Now().Before(deadline); {
			got, err := c.TopicDefaults(t.Context(), topics)
			if err != nil || len(got.Unanswered) > 0 {
				t.Fatal(what, err, got)
			}
			found := map[string][]coldstream.DefaultConfig{}
			for name := range want {
				found[name] = got.Of(name)
			}
			diff = cmp.Diff(want, found)
		}
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	tell("no topic is there")
	for name, configs := range map[string]map[string]*string{"plain": nil, "own": {
		"retention.ms": new("5000"), "cleanup.policy": new("delete"), "max.message.bytes": new("999"), "delete.retention.ms": new("1"), "min.compaction.lag.ms": new("2"),
	}} {
		if _, err := c.adm.CreateTopic(t.Context(), 1, 1, configs, name); err != nil {
			t.Fatal(err)
		}
	}
	tell("a topic without configs", "plain")
	tell("a topic with configs of its own", "own")
	tell("a topic that is not there", "absent")
}

func TestDefaultsOfABrokerThatDoesNotTell(t *testing.T) {
	c := startFake(t)
	name, _ := c.create(t, 1)
	all, err := c.TopicDefaults(t.Context(), []string{name})
	if err != nil || len(all.Of("retention.ms")) != 1 || len(all.Unanswered) > 0 {
		t.Fatal(all, err)
	}
	if got := all.Of("no.such.config"); len(got) > 0 {
		t.Errorf("got %v of a config that is not there", got)
	}
	var none *coldstream.TopicDefaults
	if got := none.Of("retention.ms"); len(got) > 0 {
		t.Errorf("got %v where nobody asked", got)
	}
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	if _, err := c.TopicDefaults(t.Context(), []string{name}); err == nil || !strings.Contains(err.Error(), "AUTHORIZATION_FAILED") {
		t.Errorf("got %v, want the brokers' refusal", err)
	}
}

func TestSettingsInOtherUnits(t *testing.T) {
	for _, test := range []struct{ setting, value, want string }{
		{"log.retention.hours", "168", "604800000"}, {"log.retention.minutes", "10", "600000"}, {"log.retention.hours", "-1", "-1"},
		{"log.retention.ms", "168", "168"}, {"log.roll.hours", "odd", "odd"},
	} {
		if got := inMilliseconds(test.setting, test.value); got != test.want {
			t.Errorf("%s=%s: got %s, want %s", test.setting, test.value, got, test.want)
		}
	}
}
