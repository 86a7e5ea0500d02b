package main

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/kafka/kafkatest"
)

// rulesJava is a policy as clusters have them. A rule is PREFIX|CONFIG|LEAST|MOST, for topics
// whose names begin so.
const rulesJava = `
import java.util.Map;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.server.policy.AlterConfigPolicy;

public class Rules implements AlterConfigPolicy {
    private String rules = "";

    public void configure(Map<String, ?> configs) { rules = String.valueOf(configs.get("test.rules")); }

    public void validate(RequestMetadata request) {
        for (String rule : rules.split(";")) {
            String[] part = rule.split("\\|");
            String value = request.configs().get(part[1]);
            if (value == null || !request.resource().name().startsWith(part[0])) continue;
            long n = Long.parseLong(value);
            if (n < Long.parseLong(part[2]) || n > Long.parseLong(part[3]))
                throw new PolicyViolationException(part[1] + " must be in [" + part[2] + ", " + part[3] + "]");
        }
    }

    public void close() { }
}
`

// exotic is a cluster of two brokers that differ, whose defaults are not Kafka's, with a
// policy and with rights. All tests of the package share it.
var exotic struct {
	sync.Once
	cluster *kafkatest.Cluster
	err     error
}

const throttled = "leader.replication.throttled.replicas"

const forever = "9223372036854775807"

func exoticCluster(t *testing.T) *kafkatest.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Kafka: run without -short")
	}
	exotic.Do(func() {
		properties := map[string]string{
			"log.cleanup.policy":       "compact",
			"log.retention.ms":         "123456789000",
			"socket.request.max.bytes": "3000000",
			"authorizer.class.name":    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users":              "User:ANONYMOUS",
			"test.rules":               "short.|retention.ms|0|2592000000;fixed.|segment.ms|5|5",
		}
		classes, err := os.MkdirTemp("", "coldstream-classes-")
		if err != nil {
			exotic.err = err
			return
		}
		defer os.RemoveAll(classes) //nolint:errcheck // brokers that run have loaded them
		err = kafkatest.CompileJava(t.Context(), "", classes, map[string]string{"Rules.java": rulesJava})
		if err == nil {
			properties["alter.config.policy.class.name"] = "Rules"
		} else if !errors.Is(err, exec.ErrNotFound) {
			exotic.err = err
			return
		}
		exotic.cluster, exotic.err = kafkatest.StartShared(kafkatest.Config{
			Nodes: 2, Properties: properties, Classes: classes, Users: map[string]string{secureUser: securePassword},
			NodeProperties: map[int]map[string]string{2: {"log.retention.bytes": "77777777"}},
		})
	})
	if exotic.err != nil {
		t.Fatal(exotic.err)
	}
	return exotic.cluster
}

// needsPolicy skips a test where Java has no compiler for the policy.
func needsPolicy(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("needs a Java compiler: apt-get install openjdk-17-jdk-headless")
	}
}

// newExoticWorld is a world of the exotic cluster.
func newExoticWorld(t *testing.T) *world {
	t.Helper()
	x := newWorldOf(t, exoticCluster(t).Addrs())
	topics, groups := x.names()
	t.Cleanup(func() { x.leaveOnly(topics, groups) })
	return x
}

// of is the world for a part of a test, with the vault of another.
func (w *world) of(t *testing.T, vault *world) *world {
	in := *w
	in.T, in.vault = t, vault.vault
	return &in
}

// createAt makes a topic of one partition on one broker, or on several with the leader first.
func (w *world) createAt(topic string, configs map[string]string, brokers ...int32) {
	w.Helper()
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor = topic, -1, -1
	wanted.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: brokers}}
	for name, value := range configs {
		wanted.Configs = append(wanted.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, wanted), 30000
	resp, err := req.RequestWith(w.Context(), w.client)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		w.Fatal(err, resp)
	}
}

// configReport is what a restore says of configs.
type configReport struct {
	Partitions []struct {
		Records int64 `json:"records"`
		Error   string
	} `json:"partitions"`
	RetentionHeld []struct{ Topic, Config, Value, Command string } `json:"retention_held"`
	LeftOut       []struct{ Topic, Config, Value, Reason string }  `json:"configs_left_out"`
	Differ        []configDifference                               `json:"configs_differ"`
	NotChecked    []string                                         `json:"not_checked"`
}

type configDifference struct {
	Config       string `json:"config"`
	SourceValue  string `json:"source_value"`
	SourceSource string `json:"source_source"`
	TargetValue  string `json:"target_value"`
	TargetSource string `json:"target_source"`
	Set          bool   `json:"set"`
}

// restoreConfigs restores one topic into w's cluster under a new name. The dry run before it
// must say the same, and change nothing.
func (w *world) restoreConfigs(code int, topic, as string, args ...string) (configReport, outcome) {
	w.Helper()
	all := append([]string{"restore", "-b", w.bootstrap, "--vault", w.vault, "-t", topic, "--map", topic + "=" + as, "-o", "json"}, args...)
	there := w.exists(as)
	planned := command(w.T, nil, append(all, "--dry-run")...).must(w.T, code)
	if !there && w.exists(as) {
		w.Errorf("a dry run made topic %s", as)
	}
	out := command(w.T, nil, append(all, "--yes")...).must(w.T, code)
	var plan, done configReport
	if code == exitDone {
		planned.into(w.T, &plan)
		out.into(w.T, &done)
		same(w.T, "what the dry run said", plan, done)
	}
	return done, out
}

// What decided over a topic's data comes from the source's brokers, and the target's have it
// otherwise: https://issues.apache.org/jira/browse/KAFKA-10733 is one of many.
func TestWhatBrokersDecidedHoldsAfterARestore(t *testing.T) {
	usual, strange := newWorld(t), newExoticWorld(t)
	t.Run("into exotic defaults", func(t *testing.T) {
		w, x := usual.of(t, usual), strange.of(t, usual)
		w.create("usual", 1)
		w.values("usual", "a")
		w.backup("usual")
		done, _ := x.restoreConfigs(exitDone, "usual", "usual.copy")
		same(t, "configs", x.ownConfigs("usual.copy"), map[string]string{
			"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": "33554432", "message.timestamp.after.max.ms": forever,
		})
		i := slices.IndexFunc(done.Differ, func(d configDifference) bool { return d.Config == "retention.bytes" })
		same(t, "what is said of brokers that differ", done.Differ[i], configDifference{
			"retention.bytes", "-1", "DEFAULT_CONFIG", "-1 on broker 1, 77777777 on broker 2", "DEFAULT_CONFIG, STATIC_BROKER_CONFIG", true,
		})
	})
	t.Run("from exotic defaults", func(t *testing.T) {
		w, x := usual.of(t, strange), strange.of(t, strange)
		x.createAt("strange", map[string]string{throttled: "0:2", "segment.ms": "7777777"}, 2)
		x.values("strange", "a")
		x.backup("strange")
		done, out := w.restoreConfigs(exitDone, "strange", "strange.copy")
		same(t, "configs", w.ownConfigs("strange.copy"), map[string]string{
			"cleanup.policy": "compact", "retention.ms": "123456789000", "retention.bytes": "77777777", "max.message.bytes": "1048588",
			"message.timestamp.after.max.ms": "3600000", "segment.ms": "7777777",
		})
		if len(done.LeftOut) != 1 || done.LeftOut[0].Config != throttled {
			t.Errorf("left out: %+v", done.LeftOut)
		}
		out.says(t, "topic strange.copy: cleanup.policy is set as at the source: it was compact at the source (in a broker's file), and is delete here (Kafka's default)", "it names brokers of the source")

		done, out = w.restoreConfigs(exitDone, "strange", "strange.own", "--configs", "own")
		same(t, "its own configs", w.ownConfigs("strange.own"), map[string]string{"segment.ms": "7777777"})
		out.says(t, "cleanup.policy is left as it is: it was compact at the source (in a broker's file), and is delete here (Kafka's default)")
		if len(done.Differ) != 5 || done.Differ[0].Set {
			t.Errorf("differences: %+v", done.Differ)
		}
		w.restoreConfigs(exitDone, "strange", "strange.none", "--configs", "none", "--config", "retention.ms=5000000000", "--config", "cleanup.policy=")
		same(t, "what was asked for", w.ownConfigs("strange.none"), map[string]string{"retention.ms": "5000000000", "cleanup.policy": ""})
	})
	t.Run("into a topic that is there", func(t *testing.T) {
		w := usual.of(t, strange)
		w.create("made.before", 1, "retention.bytes=1000000")
		_, out := w.restoreConfigs(exitDone, "strange", "made.before", "--config", "segment.ms=555555")
		same(t, "configs", w.ownConfigs("made.before"), map[string]string{"retention.bytes": "1000000", "segment.ms": "555555"})
		out.says(t, "cleanup.policy is left as it is: it was compact at the source (in a broker's file), and is delete here (Kafka's default)",
			"retention.bytes is left as it is: it was 77777777 at the source (in a broker's file), and is 1000000 here (the topic's own)")
	})
}

// What a cluster refuses is found before anything is made.
func TestConfigsThatAClusterRefuses(t *testing.T) {
	needsPolicy(t)
	usual, strange := newWorld(t), newExoticWorld(t)
	w := usual
	w.create("day", 1, "retention.ms=86400000", "segment.ms=7777777", "cleanup.policy=delete")
	w.values("day", "a")
	w.backup("day")
	t.Run("ours", func(t *testing.T) {
		x := strange.of(t, usual)
		_, out := x.restoreConfigs(exitDone, "day", "short.day")
		same(t, "retention", x.ownConfigs("short.day")["retention.ms"], "86400000")
		out.says(t, "the cluster refuses retention.ms=-1 for the time of the restore", "POLICY_VIOLATION")
	})
	t.Run("ours, of a topic that is there", func(t *testing.T) {
		x := strange.of(t, usual)
		x.create("short.made", 1, "retention.ms=86400000", "cleanup.policy=delete")
		x.restoreConfigs(exitDone, "day", "short.made")
		same(t, "configs", x.ownConfigs("short.made"), map[string]string{"retention.ms": "86400000", "cleanup.policy": "delete"})
	})
	t.Run("what data does not depend on", func(t *testing.T) {
		x := strange.of(t, usual)
		done, _ := x.restoreConfigs(exitDone, "day", "fixed.day")
		if len(done.LeftOut) != 1 || done.LeftOut[0].Config != "segment.ms" || !strings.Contains(done.LeftOut[0].Reason, "segment.ms must be in [5, 5]") {
			t.Errorf("left out: %+v", done.LeftOut)
		}
	})
	t.Run("what data depends on", func(t *testing.T) {
		x := strange.of(t, usual)
		w.create("year", 1, "retention.ms=31536000000")
		w.values("year", "a")
		w.backup("year")
		_, out := x.restoreConfigs(exitFailed, "year", "short.year")
		out.says(t, "the cluster refuses retention.ms=31536000000, which decides over its data", "--config retention.ms=VALUE", "--configs none")
		x.restoreConfigs(exitDone, "year", "short.year", "--config", "retention.ms=2592000000")
		same(t, "retention", x.ownConfigs("short.year")["retention.ms"], "2592000000")
	})
	t.Run("of the command line", func(t *testing.T) {
		x := strange.of(t, usual)
		_, out := x.restoreConfigs(exitFailed, "day", "short.asked", "--config", "retention.ms=2592000001")
		out.says(t, "the cluster refuses config retention.ms=2592000001")
		x.create("short.there", 1)
		_, out = x.restoreConfigs(exitFailed, "day", "short.there", "--config", "retention.ms=2592000001")
		out.says(t, "the cluster refuses config retention.ms=2592000001")
		same(t, "configs", x.ownConfigs("short.there"), map[string]string{})
	})
	t.Run("tiered storage that is not there", func(t *testing.T) {
		tiered := newWorldOf(t, kafkatest.StartFake(t, kfake.NumBrokers(1), kfake.ClusterID("tiered")).ListenAddrs())
		createTopic(t, tiered.client, "tiered", 1, "remote.storage.enable=true", "local.retention.ms=1000")
		tiered.values("tiered", "a")
		tiered.backup("tiered")
		x := strange.of(t, tiered)
		done, _ := x.restoreConfigs(exitDone, "tiered", "tiered")
		if len(done.LeftOut) != 1 || done.LeftOut[0].Config != "remote.storage.enable" || !strings.Contains(done.LeftOut[0].Reason, "Tiered Storage") {
			t.Errorf("left out: %+v", done.LeftOut)
		}
		same(t, "configs", x.ownConfigs("tiered")["local.retention.ms"], "1000")
	})
}

// A user without a right is told of it by the plan.
func TestRestoreWithoutTheRightToAlterConfigs(t *testing.T) {
	w := newWorld(t)
	x := newExoticWorld(t).of(t, w)
	w.create("rights", 1, "cleanup.policy=delete", "segment.ms=7777777")
	w.values("rights", "a", "b")
	w.backup("rights")
	cluster := exoticCluster(t)
	alice := "User:" + secureUser
	grant := func(b *kadm.ACLBuilder) {
		t.Helper()
		b = b.Allow(alice).AllowHosts("*").ResourcePatternType(kadm.ACLPatternPrefixed)
		if results, err := x.adm.CreateACLs(t.Context(), b); err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	grant(kadm.NewACLs().Topics("rights.").Operations(kadm.OpCreate, kadm.OpWrite, kadm.OpRead, kadm.OpDescribe, kadm.OpDescribeConfigs, kadm.OpDelete))
	x.bootstrap = strings.Join(cluster.ListenerAddrs(kafkatest.SASLPlaintext), ",")
	login := []string{"--command-config", cluster.WriteClientProperties(t, kafkatest.SASLPlaintext, "SCRAM-SHA-256", secureUser)}
	done, out := x.restoreConfigs(exitDone, "rights", "rights.direct", login...)
	out.says(t, "the right AlterConfigs is missing, so it is made with its own configs at once", "not checked: ", "needs the right DescribeConfigs on the cluster")
	same(t, "records", done.Partitions[0].Records, int64(2))
	same(t, "segment.ms", x.ownConfigs("rights.direct")["segment.ms"], "7777777")

	w.create("compacted", 1, "cleanup.policy=compact")
	w.values("compacted", "a", "b")
	w.backup("compacted")
	_, out = x.restoreConfigs(exitFailed, "compacted", "rights.compacted", login...)
	out.says(t, "needs the right AlterConfigs on it", "cleanup.policy=delete")
	if x.exists("rights.compacted") {
		t.Error("the topic was made")
	}
	x.create("rights.made", 1, "cleanup.policy=compact")
	_, out = x.restoreConfigs(exitFailed, "compacted", "rights.made", login...)
	out.says(t, "configs cannot be changed, and a restore needs cleanup.policy=delete for its time", "TOPIC_AUTHORIZATION_FAILED")
}

// What a restore prints for the case that it is killed does what it says, typed as it is.
func TestPrintedCommandsPutConfigsBack(t *testing.T) {
	w := newWorld(t)
	w.create("typed", 1)
	w.values("typed", "a")
	w.backup("typed")
	w.create("typed.made", 1, "cleanup.policy=compact,delete", "retention.ms=777777777", "compression.type=zstd")
	own := w.ownConfigs("typed.made")
	out := w.restoring("-t", "typed", "--map", "typed=typed.made").must(t, exitDone)
	var lines []string
	for line := range strings.Lines(out.stderr) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "coldstream:   kafka-configs.sh "); ok {
			lines = append(lines, command)
		}
	}
	if len(lines) != 2 {
		t.Fatalf("got %d commands:\n%s", len(lines), out.stderr)
	}
	set := func(name, value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value}
	}
	if _, err := w.adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
		set("cleanup.policy", "delete"), set("retention.ms", "-1"), set("compression.type", "producer"), set("max.message.bytes", "5000000"), set("segment.bytes", "1073741824"),
	}, "typed.made"); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		words, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s\\n' "+line).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, err = realCluster(t).Tool(t.Context(), "org.apache.kafka.tools.ConfigCommand", strings.Fields(string(words))...)
		if err != nil && strings.Contains(err.Error(), "ClassNotFoundException") { // before Kafka 4
			_, err = realCluster(t).Tool(t.Context(), "kafka.admin.ConfigCommand", strings.Fields(string(words))...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.await("the configs are those that it had", func() bool { return cmp.Equal(own, w.ownConfigs("typed.made")) })
}

// A request that is larger than brokers take is hung up on without an answer.
func TestBatchThatIsLargerThanRequestsMayBe(t *testing.T) {
	w := newWorld(t)
	w.create("giant", 2, "max.message.bytes=20000000")
	client := w.newClient(kgo.ProducerBatchCompression(kgo.NoCompression()))
	w.oneBatch(client, []*kgo.Record{{Topic: "giant", Partition: 1, Value: make([]byte, 3_000_000)}})
	w.oneBatch(client, []*kgo.Record{{Topic: "giant", Value: make([]byte, 2_900_000)}})
	w.backup("giant")
	x := newExoticWorld(t).of(t, w)
	_, out := x.restoreConfigs(exitFailed, "giant", "giant")
	out.says(t, "giant-1: a batch of 3000", "in offsets [0, 1) is larger than a request that the target's brokers take (socket.request.max.bytes=3000000)",
		"raise socket.request.max.bytes on all brokers of the target")
	x.restoreConfigs(exitDone, "giant", "giant", "--partitions", "0")
	same(t, "the other partition", len(x.read("giant")), 1)
}
