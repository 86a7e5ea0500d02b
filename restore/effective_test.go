package restore

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// Kafka 3.6 split the bound of timestamps in two, and Kafka 4 dropped the one.
func TestBoundsOfTimestampsBetweenVersions(t *testing.T) {
	const unlimited = "9223372036854775807"
	one, two, three := []string{cfgDifference}, []string{cfgBefore, cfgAfter}, []string{cfgDifference, cfgBefore, cfgAfter}
	for _, test := range []struct {
		name               string
		source, target     []string
		values, wantValues []string
	}{
		{"3.5 to 4", one, two, []string{"5"}, []string{"5", "5"}},
		{"3.9 to 4, the older one holds", three, two, []string{"5", unlimited, unlimited}, []string{"5", "5"}},
		{"3.9 to 4, the newer ones hold", three, two, []string{unlimited, "6", "7"}, []string{"6", "7"}},
		{"4 to 3.5", two, one, []string{"6", "7"}, []string{"7"}},
		{"4 to 3.5, without a limit", two, one, []string{unlimited, "7"}, []string{unlimited}},
		{"4 to 3.9", two, three, []string{"6", "7"}, []string{"", "6", "7"}},
		{"3.5 to 3.9", one, three, []string{"5"}, []string{"5", "", ""}},
		{"4 to 4", two, two, []string{"6", "7"}, []string{"6", "7"}},
	} {
		configs, known := map[string]effective{}, map[string]string{}
		for i, name := range test.source {
			configs[name] = effective{test.values[i], "DEFAULT_CONFIG"}
		}
		for _, name := range test.target {
			known[name] = ""
		}
		translateBounds(configs, known)
		got := make([]string, len(test.target))
		for i, name := range test.target {
			got[i] = configs[name].value
			delete(configs, name)
		}
		if diff := cmp.Diff(test.wantValues, got); diff != "" || len(configs) > 0 {
			t.Errorf("%s: -want +got:\n%s and %v", test.name, diff, configs)
		}
	}
}

func defaultsOf(texts ...string) *coldstream.TopicDefaults {
	d := &coldstream.TopicDefaults{}
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		d.Configs = append(d.Configs, coldstream.DefaultConfig{Config: coldstream.Config{Name: name, Value: value, Source: "STATIC_BROKER_CONFIG"}})
	}
	return d
}

// Where the source's brokers differ, those count that led most partitions.
func TestSourceWhoseBrokersDiffer(t *testing.T) {
	d := defaultsOf("retention.ms=1", "retention.ms=2")
	d.Configs[0].Brokers, d.Configs[1].Brokers = []int32{1, 2}, []int32{3}
	topic := func(leaders ...int32) *coldstream.Topic {
		out := &coldstream.Topic{}
		for _, id := range leaders {
			out.Partitions = append(out.Partitions, coldstream.Partition{Replicas: []int32{id, 9}})
		}
		return out
	}
	for want, of := range map[string]*coldstream.Topic{"1": topic(1, 2, 3), "2": topic(3, 3, 1)} {
		if got := sourceConfigs(of, d, known())[cfgRetentionMs].value; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWhatBrokersOfTheSourceDecided(t *testing.T) {
	w := newWorld(t)
	w.defaults = defaultsOf("cleanup.policy=compact,delete", "max.message.bytes=999", "min.insync.replicas=1", "retention.ms=604800000")
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3)}, "max.message.bytes=1000", throttledLeaders+"=0:1")})
	for mode, want := range map[ConfigsMode][]string{
		ConfigsEffective: {"cleanup.policy=compact,delete", "max.message.bytes=1000"},
		ConfigsOwn:       {"max.message.bytes=1000"},
		ConfigsNone:      {},
	} {
		r := w.restore(t, Request{Configs: mode, Maps: mapsOf(t, "orders=o-"+string(mode))})
		if diff := cmp.Diff(want, w.configs(t, "o-"+string(mode))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", mode, diff)
		}
		if len(r.ConfigsDiffer) == 0 || r.ConfigsDiffer[0].Set != (mode == ConfigsEffective) {
			t.Errorf("%s: differences %+v", mode, r.ConfigsDiffer)
		}
	}
}

// A snapshot of an earlier version tells what topics carried themselves, and no more: that is
// said, and restored.
func TestSnapshotThatKnowsNoDefaults(t *testing.T) {
	w := newWorld(t)
	w.defaults = nil
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3)}, "cleanup.policy=compact")})
	p := w.plan(t, Request{})
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0].Text, "does not tell which configs topics had from their brokers (an earlier version of coldstream made it)") {
		t.Errorf("warnings: %v", p.Warnings)
	}
	if p := w.plan(t, Request{Configs: ConfigsOwn}); len(p.Warnings) != 0 {
		t.Errorf("who wants own configs only is warned: %v", p.Warnings)
	}
	w.restore(t, Request{})
	if diff := cmp.Diff([]string{"cleanup.policy=compact"}, w.configs(t, "orders")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What a plan cannot find out it names, and goes on.
func TestTargetThatDoesNotTell(t *testing.T) {
	w := newWorld(t)
	large := logOf(batch{firstOffset: 0, count: 1, valueBytes: 2 << 20})
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{large})})
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	p := w.plan(t, Request{})
	for i, want := range []string{
		"whether the target's brokers differ in what topics have from them: needs the right DescribeConfigs on the cluster",
		"whether the target's brokers take requests of 2097", // and more digits
	} {
		if i >= len(p.NotChecked) || !strings.HasPrefix(p.NotChecked[i], want) {
			t.Errorf("not checked: %q, want %q", p.NotChecked, want)
		}
	}
}

// A cluster that does not answer is not asked again for each config.
func TestTargetThatGivesNoAnswerIsAskedOnce(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3)}, "cleanup.policy=compact", "segment.ms=5000000")})
	w.target = w.connect(t, time.Second)
	asked := 0
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.NotController, Count: -1, When: func(req kmsg.Request) bool {
		topics := req.(*kmsg.CreateTopicsRequest).Topics
		if len(topics[0].Configs) == 1 {
			asked++ // for one config alone
		}
		return len(topics[0].Configs) > 0
	}})
	w.refused(t, Request{}, "gave up after 1s")
	if asked > 0 {
		t.Errorf("asked %d times about one config", asked)
	}
}
