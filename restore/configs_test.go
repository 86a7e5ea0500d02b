package restore

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/vault"
)

const dayMs = 24 * 60 * 60 * 1000

// known are some configs of a target and their defaults, as NAME=VALUE.
func known(configs ...string) map[string]string {
	out := map[string]string{
		cfgCleanup: "delete", cfgRetentionMs: "604800000", cfgRetentionBytes: "-1", cfgMaxMessage: "1048588",
		"compression.type": "producer", "message.timestamp.type": "CreateTime", "segment.bytes": "1073741824",
		"message.timestamp.before.max.ms": "9223372036854775807", "message.timestamp.after.max.ms": "3600000",
		"min.insync.replicas": "1",
	}
	for _, c := range configs {
		name, value, _ := strings.Cut(c, "=")
		out[name] = value
	}
	return out
}

func own(configs ...string) []coldstream.Config {
	return topicOf("t", nil, configs...).Configs
}

func TestConfigsDuringAndAfterARestore(t *testing.T) {
	p := planConfigs(own("cleanup.policy=compact", "compression.type=zstd", "min.insync.replicas=2", "segment.bytes=1048576", "unknown.to.target=1"), known(), 1000)
	want := map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "compression.type": "producer",
		"message.timestamp.type": "CreateTime", "max.message.bytes": "1048588", "segment.bytes": "1073741824",
		"message.timestamp.before.max.ms": "9223372036854775807", "message.timestamp.after.max.ms": "9223372036854775807",
	}
	if diff := cmp.Diff(want, p.during); diff != "" {
		t.Errorf("during: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(want, p.create()); diff != "" {
		t.Errorf("a topic is made with: -want +got:\n%s", diff)
	}
	back := coldstream.ConfigChange{
		Set: map[string]string{"cleanup.policy": "compact", "compression.type": "zstd", "min.insync.replicas": "2", "segment.bytes": "1048576"},
		Remove: []string{
			"max.message.bytes", "message.timestamp.after.max.ms", "message.timestamp.before.max.ms", "message.timestamp.type",
			"retention.bytes", "retention.ms",
		},
	}
	if diff := cmp.Diff(back, p.putBack()); diff != "" {
		t.Errorf("put back: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]leftOutConfig{{"unknown.to.target", "1", whyUnknown}}, p.leftOut, cmp.AllowUnexported(leftOutConfig{})); diff != "" {
		t.Errorf("left out: -want +got:\n%s", diff)
	}
}

func TestSensitiveConfigsAreLeftOut(t *testing.T) {
	p := planConfigs([]coldstream.Config{{Name: "compression.type", Sensitive: true}}, known(), 1)
	if diff := cmp.Diff([]leftOutConfig{{"compression.type", "", "brokers do not tell its value"}}, p.leftOut, cmp.AllowUnexported(leftOutConfig{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A stored batch must pass whatever the target's limit is, and a topic's own limit is
// never lowered.
func TestMaxMessageBytesDuringARestore(t *testing.T) {
	tests := []struct {
		name  string
		own   []string
		known []string
		batch int64
		want  string
	}{
		{"small batches: the target's limit", nil, nil, 1000, "1048588"},
		{"the topic's own limit is larger", []string{"max.message.bytes=9000000"}, nil, 1000, "9000000"},
		{"a batch as large as the limit may grow", nil, nil, 1048588, "1245197"},
		{"a large batch", nil, nil, 64 << 20, "75563008"},
		{"a batch as large as can be", nil, nil, 1<<31 - 1, "2147483647"},
		{"a limit that cannot be read", nil, []string{"max.message.bytes="}, 1000, "66661"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := planConfigs(own(tt.own...), known(tt.known...), tt.batch).during[cfgMaxMessage]; got != tt.want {
				t.Errorf("max.message.bytes=%s, want %s", got, tt.want)
			}
		})
	}
}

// retention.ms=7d put back on 10-day-old data: everything was gone 3.8 s later.
func TestRetentionIsHeldWhereItWouldDelete(t *testing.T) {
	at := func(days int64) int64 { return testNow.UnixMilli() - days*dayMs }
	tests := []struct {
		name  string
		own   []string
		known []string
		r     retained
		want  []heldConfig
	}{
		{"recent records", nil, nil, retained{oldestMs: at(6), sizeBytes: 1}, nil},
		{"records older than the default", nil, nil, retained{oldestMs: at(8)}, []heldConfig{{cfgRetentionMs, "604800000", false}}},
		{"records older than the topic's own", []string{"retention.ms=86400000"}, nil, retained{oldestMs: at(2)}, []heldConfig{{cfgRetentionMs, "86400000", true}}},
		{"the topic keeps them longer", []string{"retention.ms=2592000000"}, nil, retained{oldestMs: at(10)}, nil},
		{"for ever", []string{"retention.ms=-1"}, nil, retained{oldestMs: at(10000)}, nil},
		{"no timestamps", nil, nil, retained{oldestMs: -1}, nil},
		{"compacted", []string{"cleanup.policy=compact"}, nil, retained{oldestMs: at(100), sizeBytes: 1 << 40}, nil},
		{"compacted by default", nil, []string{"cleanup.policy=compact"}, retained{oldestMs: at(100)}, nil},
		{"compacted and deleted", []string{"cleanup.policy=compact,delete"}, nil, retained{oldestMs: at(100)}, []heldConfig{{cfgRetentionMs, "604800000", false}}},
		{"too large", []string{"retention.bytes=1000"}, nil, retained{oldestMs: at(0), sizeBytes: 1001}, []heldConfig{{cfgRetentionBytes, "1000", true}}},
		{"just not too large", []string{"retention.bytes=1000"}, nil, retained{oldestMs: at(0), sizeBytes: 1000}, nil},
		{"an empty policy", []string{"cleanup.policy="}, nil, retained{oldestMs: at(100), sizeBytes: 1 << 40}, nil},
		{"an empty policy by default", nil, []string{"cleanup.policy="}, retained{oldestMs: at(100), sizeBytes: 1 << 40}, nil},
		{"both", []string{"retention.bytes=1000"}, nil, retained{oldestMs: at(100), sizeBytes: 1001}, []heldConfig{{cfgRetentionMs, "604800000", false}, {cfgRetentionBytes, "1000", true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := known(tt.known...)
			p := planConfigs(own(tt.own...), k, 1)
			new(Plan).hold(&topicPlan{configs: p, known: k}, tt.r, testNow)
			if diff := cmp.Diff(tt.want, p.held, cmp.AllowUnexported(heldConfig{})); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
			back := p.putBack()
			for _, h := range p.held {
				if _, set := back.Set[h.name]; set || slices.Contains(back.Remove, h.name) {
					t.Errorf("%s is held and put back: %+v", h.name, back)
				}
			}
		})
	}
}

// Of the runs of a partition the one whose newest record is oldest goes first; records
// without a time do not count.
func TestWhatRetentionLooksAt(t *testing.T) {
	part := func(runs ...vault.Run) *partitionPlan {
		return &partitionPlan{stream: &vault.StreamHistory{Runs: runs}}
	}
	topic := topicPlan{partitions: []*partitionPlan{
		part(vault.Run{Records: 1, MaxTimestampMs: 500, SizeBytes: 10}, vault.Run{Records: 1, MaxTimestampMs: 300, SizeBytes: 10}),
		part(vault.Run{Records: 1, MaxTimestampMs: -1, SizeBytes: 15}, vault.Run{Records: 0, MaxTimestampMs: 5, SizeBytes: 1}),
	}}
	want := retained{oldestMs: 300, sizeBytes: 20}
	if got := topic.retained(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := (&topicPlan{}).retained(); got.oldestMs != -1 {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestRetentionOfOldRecords(t *testing.T) {
	old := sourceLog{next: 2, batches: []batch{{count: 2, timestampMs: testNow.Add(-10 * 24 * time.Hour).UnixMilli()}}}
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{old}, "retention.ms=604800000", "retention.bytes=5", "segment.ms=70000")})
	r := w.restore(t, Request{})
	want := []HeldConfig{
		{"orders", "retention.ms", "604800000", "kafka-configs.sh --alter --topic orders --add-config retention.ms=604800000"},
		{"orders", "retention.bytes", "5", "kafka-configs.sh --alter --topic orders --add-config retention.bytes=5"},
	}
	if diff := cmp.Diff(want, r.RetentionHeld); diff != "" {
		t.Errorf("held: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"retention.bytes=-1", "retention.ms=-1", "segment.ms=70000"}, w.configs(t, "orders")); diff != "" {
		t.Errorf("configs: -want +got:\n%s", diff)
	}
	told := w.restore(t, Request{Maps: mapsOf(t, "orders=told"), PutBackRetention: true})
	if len(told.RetentionHeld) > 0 {
		t.Errorf("held although told to put it back: %+v", told.RetentionHeld)
	}
	if diff := cmp.Diff([]string{"retention.bytes=5", "retention.ms=604800000", "segment.ms=70000"}, w.configs(t, "told")); diff != "" {
		t.Errorf("configs put back: -want +got:\n%s", diff)
	}
}

func TestConfigsThatTheTargetDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 1)}, "confluent.tier.enable=true", "retention.ms=-1")})
	r := w.restore(t, Request{})
	var got []string
	for _, c := range r.ConfigsLeftOut {
		got = append(got, c.Topic+" "+c.Config)
	}
	if diff := cmp.Diff([]string{"orders confluent.tier.enable"}, got); diff != "" {
		t.Errorf("left out: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"retention.ms=-1"}, w.configs(t, "orders")); diff != "" {
		t.Errorf("configs: -want +got:\n%s", diff)
	}
}

func TestSmallIndexesDuringARestore(t *testing.T) {
	k := known("segment.index.bytes=10485760")
	p := planConfigs(own("segment.index.bytes=1000000"), k, 1)
	p.takeSmallIndexes(k)
	if got := p.create()[cfgIndexBytes]; got != "65536" {
		t.Errorf("a topic is made with %s", got)
	}
	if got := p.putBack().Set[cfgIndexBytes]; got != "1000000" {
		t.Errorf("%s is put back", got)
	}
	p = planConfigs(nil, k, 1)
	p.takeSmallIndexes(k)
	if got := p.putBack().Remove; !slices.Contains(got, cfgIndexBytes) {
		t.Errorf("removed at the end: %v", got)
	}
	p = planConfigs(nil, known(), 1)
	p.takeSmallIndexes(known())
	if got, set := p.during[cfgIndexBytes]; set {
		t.Errorf("a cluster that does not know the config gets %s", got)
	}
}

func TestTopicUnderRestoreIsKnownByItsConfigs(t *testing.T) {
	p := planConfigs(nil, known(), 1)
	var during []coldstream.Config
	for name, value := range p.create() {
		during = append(during, coldstream.Config{Name: name, Value: value})
	}
	if !isBeingRestored(during) {
		t.Errorf("not known: %v", during)
	}
	for _, configs := range [][]coldstream.Config{nil, own("retention.ms=-1", "cleanup.policy=delete"), own("retention.ms=-1", "retention.bytes=-1", "cleanup.policy=compact", "compression.type=producer", "message.timestamp.type=CreateTime")} {
		if isBeingRestored(configs) {
			t.Errorf("taken for one: %v", configs)
		}
	}
}
