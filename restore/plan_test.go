package restore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/kafka/kafkatest"
	"coldstream/vault"
)

func TestRestoreOfADenseTopicIsExact(t *testing.T) {
	w := newWorld(t)
	orders := topicOf("orders", []sourceLog{dense(0, 10), dense(7, 5), {}}, "cleanup.policy=compact", "retention.ms=60000000")
	w.backUp(t, []sourceTopic{orders})
	r := w.restore(t, Request{Topics: patterns(t, "orders")})
	want := []PartitionResult{
		{Topic: "orders", Partition: 0, TargetTopic: "orders", TargetPartition: 0, Offsets: "exact", Records: 10, NextOffset: 10},
		{Topic: "orders", Partition: 1, TargetTopic: "orders", TargetPartition: 1, Offsets: "exact", Records: 5, LogStartOffset: 7, NextOffset: 12},
		{Topic: "orders", Partition: 2, TargetTopic: "orders", TargetPartition: 2, Offsets: "exact"},
	}
	if diff := cmp.Diff(want, r.Partitions, cmpopts.IgnoreUnexported(PartitionResult{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	ends := [][2]int64{w.ends(t, "orders", 0), w.ends(t, "orders", 1), w.ends(t, "orders", 2)}
	if diff := cmp.Diff([][2]int64{{0, 10}, {7, 12}, {0, 0}}, ends); diff != "" {
		t.Errorf("logs: -want +got:\n%s", diff)
	}
	sameRecords(t, append(orders.logs[0].records(), orders.logs[1].records()...), w.read(t, "orders"))
	if diff := cmp.Diff([]string{"cleanup.policy=compact", "retention.ms=60000000"}, w.configs(t, "orders")); diff != "" {
		t.Errorf("configs: -want +got:\n%s", diff)
	}
}

// Whatever is against a restore is said at once, for all topics, and nothing is changed.
func TestPlanRefuses(t *testing.T) {
	w := newWorld(t)
	hole := logOf(batch{firstOffset: 0, count: 2}, batch{firstOffset: 5})
	w.backUp(t, []sourceTopic{
		topicOf("orders", []sourceLog{dense(0, 3), dense(0, 3)}),
		topicOf("payments", []sourceLog{dense(0, 3)}),
		topicOf("sparse", []sourceLog{hole}),
		topicOf("__consumer_offsets", []sourceLog{dense(0, 3)}),
	})
	w.create(t, "full", 2)
	w.produce(t, "full", 1, 2)
	w.create(t, "small", 1)
	w.create(t, "marked-internal", 2, "kfake.is_internal=true")
	mapTo := func(text ...string) []Map { return mapsOf(t, text...) }
	tests := []struct {
		name string
		req  Request
		want string
	}{
		{"a target that holds records", Request{Topics: patterns(t, "orders"), Maps: mapTo("orders=full")}, "full-1 holds records (offsets [0, 2))"},
		{"too few partitions", Request{Topics: patterns(t, "orders"), Maps: mapTo("orders=small")}, "topic small has 1 partitions, small-1 is needed"},
		{"exact where there are holes", Request{Topics: patterns(t, "sparse"), Offsets: OffsetsExact}, "sparse-0 cannot keep its offsets: compaction left holes in offsets [0, 6)"},
		{"exact behind records", Request{Topics: patterns(t, "payments"), Maps: mapTo("payments=full"), Offsets: OffsetsExact, Append: true}, "full-0 cannot keep its offsets: the records are appended"},
		{"an internal topic by its name", Request{Topics: patterns(t, "__consumer_offsets")}, "topic __consumer_offsets is internal: what is in it is restored through Kafka's own requests"},
		{"an internal topic as the target", Request{Topics: patterns(t, "orders"), Maps: mapTo("orders=__transaction_state")}, "topic __transaction_state is internal"},
		{"what the target calls internal", Request{Topics: patterns(t, "orders"), Maps: mapTo("orders=marked-internal")}, "topic marked-internal is internal in the target"},
		{"a name that is too long", Request{Topics: patterns(t, "orders"), Maps: mapTo("/(.*)/=" + strings.Repeat("$1", 50))}, "is no topic name"},
		{"all of it at once", Request{Topics: patterns(t, "orders,sparse"), Maps: mapTo("orders=full"), Offsets: OffsetsExact},
			"full-1 holds records (offsets [0, 2)); full-1 cannot keep its offsets: the target's log ends at 2 already, the source's began at 0; sparse-0 cannot keep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { w.refused(t, tt.req, tt.want) })
	}
}

func mapsOf(t *testing.T, texts ...string) []Map {
	t.Helper()
	var out []Map
	for _, text := range texts {
		m, err := ParseMap(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func TestPlanThatCannotBeMeant(t *testing.T) {
	w := newWorld(t)
	id := w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3)}), topicOf("payments", []sourceLog{dense(0, 3), dense(0, 1)})}, groupOf("g", "orders", 1))
	tests := []struct {
		name string
		req  Request
		want string
	}{
		{"a topic that is not there", Request{Topics: patterns(t, "order")}, "matches no topic | orders"},
		{"a map of nothing", Request{Topics: patterns(t, "orders"), Maps: mapsOf(t, "payments=x")}, `map to "x" renames none`},
		{"a second map of one topic", Request{Topics: patterns(t, "orders"), Maps: mapsOf(t, "orders=x", "orders=y")}, `map to "y" renames none`},
		{"a map behind one that took all", Request{Topics: patterns(t, "orders"), Maps: mapsOf(t, "/(.*)/=$1-2", "orders=y")}, `map to "y" renames none`},
		{"a partition that no topic has", Request{Topics: patterns(t, "orders,payments"), Partitions: []int32{0, 2}}, "none of the topics has partition 2 in snapshot " + id.String()},
		{"a group that is not there", Request{Topics: patterns(t, "orders"), GroupNames: []string{"h"}}, `no consumer group "h" | did you mean: g`},
		{"two topics into one", Request{Topics: patterns(t, "orders,payments"), Maps: mapsOf(t, "orders=payments")}, "topics orders and payments would both be restored into payments"},
		{"two topics into one by one map", Request{Topics: patterns(t, "orders,payments"), Maps: mapsOf(t, "/.*/=all")}, "would both be restored into all"},
		{"two topics into names that collide", Request{Topics: patterns(t, "orders,payments"), Maps: mapsOf(t, "orders=new.t", "payments=new_t")}, "topics orders and payments would be restored into new.t and new_t, which collide"},
		{"a config that nobody knows", Request{Topics: patterns(t, "orders"), SetConfigs: map[string]string{"retention.m": "1"}}, "config retention.m: the cluster knows no such config of topics | did you mean: retention.ms"},
		{"nothing left", Request{Topics: excluding(t, "orders", "orders")}, "no topic is left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := MakePlan(t.Context(), w.vault, w.target, w.request(tt.req))
			isUsage(t, err, tt.want)
		})
	}
}

func excluding(t *testing.T, include, exclude string) *coldstream.Patterns {
	t.Helper()
	ps, err := coldstream.ParsePatterns([]string{include}, []string{exclude})
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// Who asks for all topics means all that can be written: the snapshot of a backup that
// named __consumer_offsets can still be restored as a whole.
func TestAllTopicsLeavesInternalOnesOut(t *testing.T) {
	w := newWorld(t)
	internal := topicOf("state", []sourceLog{dense(0, 1)})
	internal.Internal = true
	w.backUp(t, []sourceTopic{topicOf("__consumer_offsets", []sourceLog{dense(0, 2)}), topicOf("orders", []sourceLog{dense(0, 3)}), internal})
	p := w.plan(t, Request{})
	want := []Warning{
		{"topic __consumer_offsets is internal and left out", Advice{Remedy: RemedyRename}},
		{"topic state is internal and left out", Advice{Remedy: RemedyRename}},
	}
	if diff := cmp.Diff(want, p.Warnings); diff != "" {
		t.Errorf("warnings: -want +got:\n%s", diff)
	}
	r, err := p.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Partitions) != 1 || r.Partitions[0].Topic != "orders" || r.Incomplete() {
		t.Errorf("got %+v, want orders only", r.Partitions)
	}
	mapped := w.restore(t, Request{Topics: patterns(t, "__consumer_offsets"), Maps: mapsOf(t, "/__(.*)/=copy-of-$1")})
	if mapped.Partitions[0].TargetTopic != "copy-of-consumer_offsets" || mapped.Partitions[0].Records != 2 {
		t.Errorf("mapped to another name: %+v", mapped.Partitions)
	}
	w.refused(t, Request{Topics: patterns(t, "state")}, "topic state is internal")
}

// Users may begin names of topics as Kafka does: these are topics like others.
func TestTopicsWithNamesLikeInternalOnes(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("__consumer_offsets", []sourceLog{dense(0, 1)}), topicOf("__mine", []sourceLog{dense(0, 2)}), topicOf("orders", []sourceLog{dense(0, 3)})})
	without, err := coldstream.ParsePatterns(nil, []string{"orders"})
	if err != nil {
		t.Fatal(err)
	}
	for name, topics := range map[string]*coldstream.Patterns{
		"all": nil, "all but one": without, "by name": patterns(t, "__mine"), "by a glob": patterns(t, "__m*"),
	} {
		r := w.restore(t, Request{Topics: topics, Maps: mapsOf(t, "/__mine|orders/=__"+strings.ReplaceAll(name, " ", "-")+"-$0")})
		if p := r.Partitions[0]; p.Topic != "__mine" || p.Records != 2 {
			t.Errorf("%s: got %+v", name, r.Partitions)
		}
	}
	if _, err := MakePlan(t.Context(), w.vault, w.target, w.request(Request{Topics: patterns(t, "__c*")})); err == nil {
		t.Error("an internal topic is chosen by a glob")
	}
}

func TestOffsetsDecision(t *testing.T) {
	const most = maxLeadingGap
	marker := logOf(batch{firstOffset: 0, count: 2, producer: 9, kind: transactional}, batch{firstOffset: 2, producer: 9, kind: commitMarker})
	far := func(start int64) sourceLog { return sourceLog{start: start, next: start} }
	partly := dense(0, 8) // whose view begins in the middle of a batch
	partly.start = 2
	short := dense(0, 8)
	short.next = 6
	tests := []struct {
		name   string
		log    sourceLog
		at     int64 // the target's log is [at, at)
		req    Request
		exact  bool
		filler int64
		why    string
	}{
		{name: "dense", log: dense(0, 5), exact: true},
		{name: "empty", log: sourceLog{}, exact: true},
		{name: "a leading gap", log: dense(7, 5), exact: true, filler: 7},
		{name: "a leading gap without any records", log: far(7), exact: true, filler: 7},
		{name: "the largest leading gap", log: far(most), exact: true, filler: most},
		{name: "a larger one", log: far(most + 1), why: "the log began at 1000000001, more than 1000000000 offsets from the target's end"},
		{name: "one that the target's log makes smaller", log: far(most + 1), at: 1, exact: true, filler: most},
		{name: "the target is where the source began", log: dense(7, 5), at: 7, exact: true},
		{name: "the target is beyond", log: dense(7, 5), at: 8, why: "the target's log ends at 8 already, the source's began at 7"},
		{name: "a view that begins in a batch", log: partly, exact: true, filler: 2},
		{name: "a view that ends in a batch", log: short, exact: true},
		{name: "holes", log: logOf(batch{firstOffset: 0}, batch{firstOffset: 2}), why: "compaction left holes in offsets [0, 3)"},
		{name: "a hole in a batch", log: logOf(batch{deltas: []int32{0, 2}}), why: "compaction left holes in offsets [0, 3)"},
		{name: "a hole at the end of a batch", log: logOf(batch{deltas: []int32{0, 1}, lastDelta: 4}), why: "compaction left holes in offsets [0, 5)"},
		{name: "a tail that the cleaner took", log: sourceLog{next: 9, batches: dense(0, 4).batches}, why: "compaction left holes in offsets [0, 9)"},
		{name: "nothing that the cleaner left", log: sourceLog{next: 9}, why: "compaction left holes in offsets [0, 9)"},
		{name: "a transaction", log: marker, why: "offsets [0, 3) hold transactions, and no producer can write the offsets of their markers"},
		{name: "an open transaction", log: logOf(batch{count: 2, producer: 9, kind: transactional}), why: "offsets [0, 2) hold transactions, and no producer can write the offsets of their markers"},
		{name: "a gap", log: sourceLog{next: 8, batches: dense(0, 4).batches, gaps: []coldstream.Gap{{FirstOffset: 4, NextOffset: 8, Cause: coldstream.GapTopicDeleted}}}, why: "offsets [4, 8) are missing"},
		{name: "translate asked for", log: dense(0, 5), req: Request{Offsets: OffsetsTranslate}, why: "asked for"},
		{name: "translate with a leading gap", log: dense(7, 5), req: Request{Offsets: OffsetsTranslate}, why: "asked for"},
		{name: "append", log: dense(0, 5), req: Request{Append: true}, why: "the records are appended"},
		{name: "exact asked for and possible", log: dense(7, 5), req: Request{Offsets: OffsetsExact}, exact: true, filler: 7},
	}
	w := newWorld(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := "t" + string(rune('a'+i))
			w.backUp(t, []sourceTopic{topicOf(name, []sourceLog{tt.log})})
			if tt.at > 0 {
				w.createAt(t, name, tt.at)
			}
			tt.req.Topics = patterns(t, name)
			part := w.plan(t, tt.req).topics[0].partitions[0]
			if part.exact != tt.exact || part.filler != tt.filler || part.why != tt.why {
				t.Errorf("exact %v, filler %d, why %q, want %v, %d, %q", part.exact, part.filler, part.why, tt.exact, tt.filler, tt.why)
			}
		})
	}
}

// createAt makes an empty topic whose log begins, and ends, at an offset.
func (w *world) createAt(t *testing.T, topic string, offset int64) {
	t.Helper()
	w.create(t, topic, 1)
	w.produce(t, topic, 0, int(offset))
	tp := coldstream.TopicPartition{Topic: topic}
	if err := w.target.DeleteRecords(t.Context(), map[coldstream.TopicPartition]int64{tp: offset}); err != nil {
		t.Fatal(err)
	}
}

func TestPlanWarns(t *testing.T) {
	w := newWorld(t)
	orders := topicOf("orders", []sourceLog{dense(0, 3), {absent: true}, {next: 8, batches: dense(0, 4).batches,
		gaps: []coldstream.Gap{{FirstOffset: 4, NextOffset: 8, Cause: coldstream.GapTopicDeleted}}}})
	for i := range orders.Partitions {
		orders.Partitions[i].Replicas = []int32{1, 2, 3}
	}
	orders.ConfigsErr = coldstream.ErrDenied
	id := w.backUp(t, []sourceTopic{orders, topicOf("payments", []sourceLog{dense(0, 1)})})
	w.create(t, "payments", 3)
	want := []string{
		"topic orders: its configs were not recorded (denied by the cluster)",
		"orders-1 is not in snapshot " + id.String() + ": the backup could not read it",
		"orders-2: offsets [4, 8) are not in the vault, because they were gone before a backup could save them (topic_deleted)",
		"topic orders gets replication factor 1 instead of 3: the target has no more brokers",
		"topic payments has 3 partitions, 2 more than in the snapshot: producers will spread keys differently",
	}
	var got []string
	for _, warning := range w.plan(t, Request{}).Warnings {
		got = append(got, warning.Text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A partition that the backup could not read is not "empty": the result names it.
func TestPartitionThatTheSnapshotDoesNotHold(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3), {absent: true}, dense(0, 2)})})
	p := w.plan(t, Request{Topics: patterns(t, "orders")})
	for _, result := range []func() (*Result, error){
		func() (*Result, error) { return p.DryRun(), nil },
		func() (*Result, error) { return p.Execute(t.Context()) },
	} {
		r, err := result()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Partitions) != 3 || !strings.Contains(r.Partitions[1].Error, "does not hold it") || !r.Incomplete() || r.Damaged() {
			t.Errorf("got %+v, want orders-1 to be named", r.Partitions)
		}
	}
	if got := w.ends(t, "orders", 2); got != [2]int64{0, 2} {
		t.Errorf("the partition behind it is %v", got)
	}
	// Who does not ask for it is not told.
	if r := w.plan(t, Request{Topics: patterns(t, "orders"), Partitions: []int32{0, 2}, Maps: mapsOf(t, "orders=again")}).DryRun(); r.Incomplete() {
		t.Errorf("got %+v", r.Partitions)
	}
}

func TestTopicsAreMadeAsTheyWere(t *testing.T) {
	w := newWorld(t, kfake.NumBrokers(3))
	orders := topicOf("orders", []sourceLog{dense(0, 2), dense(0, 2), dense(0, 2)}, "segment.ms=70000", "min.insync.replicas=2")
	for i := range orders.Partitions {
		orders.Partitions[i].Replicas = []int32{4, 5}
	}
	w.backUp(t, []sourceTopic{orders})
	w.restore(t, Request{Topics: patterns(t, "orders"), Partitions: []int32{1}})
	cluster, err := w.target.Metadata(t.Context(), []string{"orders"})
	if err != nil {
		t.Fatal(err)
	}
	made := cluster.Topics[0]
	if len(made.Partitions) != 3 || len(made.Partitions[0].Replicas) != 2 {
		t.Errorf("made with %d partitions of %d replicas, want 3 of 2", len(made.Partitions), len(made.Partitions[0].Replicas))
	}
	if diff := cmp.Diff([]string{"min.insync.replicas=2", "segment.ms=70000"}, w.configs(t, "orders")); diff != "" {
		t.Errorf("configs: -want +got:\n%s", diff)
	}
	got := [][2]int64{w.ends(t, "orders", 0), w.ends(t, "orders", 1), w.ends(t, "orders", 2)}
	if diff := cmp.Diff([][2]int64{{}, {0, 2}, {}}, got); diff != "" {
		t.Errorf("only partition 1 was asked for: -want +got:\n%s", diff)
	}
}

// An empty topic that is there is used as it is.
func TestEmptyTargetKeepsItsOwnConfigs(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(3, 4)}, "cleanup.policy=delete", "retention.ms=1000000000", "segment.ms=70000")})
	w.create(t, "orders", 1, "cleanup.policy=compact", "max.message.bytes=2000000")
	w.restore(t, Request{Topics: patterns(t, "orders")})
	if diff := cmp.Diff([]string{"cleanup.policy=compact", "max.message.bytes=2000000"}, w.configs(t, "orders")); diff != "" {
		t.Errorf("configs: -want +got:\n%s", diff)
	}
	if got := w.ends(t, "orders", 0); got != [2]int64{3, 7} {
		t.Errorf("the log is %v, want [3, 7)", got)
	}
}

func TestAppendGoesBehindWhatIsThere(t *testing.T) {
	w := newWorld(t)
	orders := topicOf("orders", []sourceLog{dense(10, 4)})
	w.backUp(t, []sourceTopic{orders}, groupOf("g", "orders", 12))
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 3)
	r := w.restore(t, Request{Topics: patterns(t, "orders"), Append: true, Groups: true})
	if p := r.Partitions[0]; p.Offsets != "translated" || p.Why != "the records are appended" || p.Records != 4 {
		t.Errorf("got %+v", p)
	}
	sameRecords(t, moved(orders.logs[0].records(), 3), w.read(t, "orders")[3:])
	if diff := cmp.Diff(map[string]int64{"orders-0": 5}, w.committed(t, "g")); diff != "" {
		t.Errorf("group: -want +got:\n%s", diff)
	}
}

// MakePlan and DryRun change nothing, neither in the vault nor in the target.
func TestDryRunChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(3, 4)})}, groupOf("g", "orders", 5))
	w.create(t, "empty", 1, "retention.ms=5")
	target, stored := w.state(t), w.keys(t)
	for _, req := range []Request{{Groups: true}, {Maps: mapsOf(t, "orders=empty"), Groups: true}} {
		r := w.plan(t, req).DryRun()
		if len(r.Groups) != 1 || r.Groups[0].Offsets[0].TargetOffset != 5 || r.Partitions[0].Records != 4 {
			t.Errorf("got %+v", r)
		}
	}
	if diff := cmp.Diff(target, w.state(t)); diff != "" {
		t.Errorf("target: -before +after:\n%s", diff)
	}
	if diff := cmp.Diff(stored, w.keys(t)); diff != "" {
		t.Errorf("vault: -before +after:\n%s", diff)
	}
}

func (w *world) keys(t *testing.T) []string {
	t.Helper()
	var out []string
	for e, err := range w.store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Key)
	}
	return out
}

// Each request that a plan makes may fail; then there is no plan, and nothing is changed.
func TestPlanWhoseRequestsFail(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3)})}, groupOf("g", "orders", 1))
	w.create(t, "there", 1)
	before := w.state(t)
	tests := []struct {
		name  string
		fault kfake.Fault
		into  string
		want  string
	}{
		{"the topic cannot be described", kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "there", Err: kerr.TopicAuthorizationFailed}, "there", "topic there: it is not there, or you may not see it: denied"},
		{"its offsets cannot be listed", kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.TopicAuthorizationFailed}, "there", "read log offsets of there-0"},
		{"its configs cannot be described", kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Resource: "there", Err: kerr.TopicAuthorizationFailed}, "there", "configs"},
		{"a topic may not be made", kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: "new", Err: kerr.PolicyViolation}, "new", "topic new cannot be made"},
		{"groups cannot be listed", kfake.Fault{Keys: []kmsg.Key{kmsg.ListGroups}, TopLevel: true, Err: kerr.ClusterAuthorizationFailed}, "new", "read the target's consumer groups"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.fault.Count = -1
			faults := w.fake.Fault(tt.fault)
			_, err := MakePlan(t.Context(), w.vault, w.target, w.request(Request{Topics: patterns(t, "orders"), Maps: mapsOf(t, "orders="+tt.into), Groups: true}))
			faults.Remove()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if diff := cmp.Diff(before, w.state(t)); diff != "" {
		t.Errorf("target: -before +after:\n%s", diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := MakePlan(ctx, w.vault, w.target, w.request(Request{})); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v", err)
	}
}

func TestSnapshotWithoutGroups(t *testing.T) {
	w := newWorld(t)
	writer, err := w.vault.NewWriter(t.Context(), vault.WriterOptions{Now: w.request(Request{}).Now})
	if err != nil {
		t.Fatal(err)
	}
	log := dense(0, 3)
	changes := vault.Changes{Snapshot: &vault.NewSnapshot{Time: testNow, ClusterID: "source", Metadata: vault.Metadata{
		Cluster: coldstream.Cluster{ID: "source"}, Missing: map[string]string{vault.SectionGroups: "denied"},
		Topics: []coldstream.Topic{topicOf("orders", []sourceLog{log}).Topic},
	}}}
	log.addTo(&changes, coldstream.Stream{Incarnation: coldstream.Incarnation{ClusterID: "source", Topic: "orders", TopicID: topicOf("orders", nil).ID}})
	if _, err := writer.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	w.refused(t, Request{Groups: true}, "has no consumer groups: denied")
	w.restore(t, Request{})
}

// Records that the cleaner or a transaction left holes between come back in order, and
// those at the view's ends are not more than the view shows.
func TestTranslatedRecords(t *testing.T) {
	w := newWorld(t)
	log := logOf(
		batch{firstOffset: 0, count: 3},
		batch{firstOffset: 3, deltas: []int32{0, 2, 3, 7}, lastDelta: 9},
		batch{firstOffset: 13, deltas: []int32{}, lastDelta: 4}, // the cleaner emptied it
		batch{firstOffset: 20, count: 4, kind: logAppendTime, timestampMs: recentMs + 77},
		batch{firstOffset: 30, count: 6},
	)
	log.start, log.next = 2, 33
	topic := topicOf("sparse", []sourceLog{log})
	w.backUp(t, []sourceTopic{topic}, groupOf("g", "sparse", 7))
	r := w.restore(t, Request{Groups: true})
	sameRecords(t, moved(log.records(), 0), w.read(t, "sparse"))
	if n := int64(len(log.records())); r.Partitions[0].Records != n {
		t.Errorf("restored %d records, want %d", r.Partitions[0].Records, n)
	}
	if diff := cmp.Diff(map[string]int64{"sparse-0": 4}, w.committed(t, "g")); diff != "" { // 2 3 5 6 10: the next one to read is 10
		t.Errorf("group: -want +got:\n%s", diff)
	}
	if !slices.IsSortedFunc(w.read(t, "sparse"), func(a, b kafkatest.Record) int { return int(a.Offset - b.Offset) }) {
		t.Error("out of order")
	}
}
