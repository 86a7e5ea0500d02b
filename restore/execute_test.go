package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// watcher keeps warnings, and calls back at each progress.
type watcher struct {
	mu       sync.Mutex
	warnings []string
	progress func(*coldstream.Progress)
}

func (w *watcher) Observe(e coldstream.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := e.(type) {
	case *coldstream.Warning:
		w.warnings = append(w.warnings, e.Text)
	case *coldstream.Progress:
		if w.progress != nil {
			w.progress(e)
		}
	}
}

// errorsOf are the errors of a result's partitions and groups.
func errorsOf(r *Result) []string {
	out := []string{}
	for _, p := range r.Partitions {
		if p.Error != "" {
			out = append(out, fmt.Sprintf("%s-%d: %s", p.TargetTopic, p.TargetPartition, p.Error))
		}
	}
	for _, g := range r.Groups {
		if g.Status != GroupCommitted {
			out = append(out, fmt.Sprintf("%s: %s: %s", g.Group, g.Status, g.Error))
		}
	}
	return out
}

// hasErrors compares a result's errors by their beginnings.
func hasErrors(t *testing.T, r *Result, want ...string) {
	t.Helper()
	got := errorsOf(r)
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("errors are %q, want %q", got, want)
	}
	if r.Incomplete() != (len(want) > 0) {
		t.Errorf("Incomplete is %v with errors %q", r.Incomplete(), got)
	}
}

// Before anything is written a restore may fail as a whole; then it leaves the target as
// it was, or with empty topics that have the configs that the snapshot says.
func TestRestoreThatFailsBeforeItWrites(t *testing.T) {
	refused := errors.New("no room")
	made := map[string][]string{"new": {"cleanup.policy=compact"}, "other": {"cleanup.policy=compact", "segment.ms=70000"}}
	doesCreate := func(r kmsg.Request) bool {
		c, ok := r.(*kmsg.CreateTopicsRequest)
		return ok && !c.ValidateOnly
	}
	tests := []struct {
		name  string
		fault *kfake.Fault
		store string // the record that cannot be stored
		want  string
	}{
		{name: "the hold cannot be stored", store: "/0000000000", want: "keep the restore's record in the vault"},
		{name: "no producer ID", fault: &kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed}, want: "get a producer ID"},
		{name: "the plan cannot be stored", store: "/0000000001", want: "keep the restore's record in the vault"},
		{name: "the topics there cannot be looked at again", fault: &kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "there", Err: kerr.TopicAuthorizationFailed}, want: "read log offsets of there-0"},
		{name: "a topic cannot be made", fault: &kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: "new", When: doesCreate, Err: kerr.PolicyViolation}, want: "make topic new"},
		{name: "a topic was made meanwhile", fault: &kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: "new", When: doesCreate, Err: kerr.TopicAlreadyExists}, want: "somebody else made topic new"},
		{name: "configs cannot be set", fault: &kfake.Fault{Keys: []kmsg.Key{kmsg.IncrementalAlterConfigs}, Resource: "there", Err: kerr.PolicyViolation}, want: "prepare topic there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.backUp(t, []sourceTopic{
				topicOf("new", []sourceLog{dense(0, 3)}, "cleanup.policy=compact"),
				topicOf("other", []sourceLog{dense(0, 3)}, "cleanup.policy=compact", "segment.ms=70000"),
				topicOf("there", []sourceLog{dense(0, 3)}),
			})
			w.create(t, "there", 1, "cleanup.policy=compact", "retention.ms=77")
			p := w.plan(t, Request{})
			if tt.fault != nil {
				tt.fault.Count = 1
				w.fake.Fault(*tt.fault)
			}
			w.store.breaks = func(_, key string) error {
				if tt.store != "" && strings.HasPrefix(key, "restores/") && strings.HasSuffix(key, tt.store) {
					return refused
				}
				return nil
			}
			if _, err := p.Execute(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff([]string{"cleanup.policy=compact", "retention.ms=77"}, w.configs(t, "there")); diff != "" {
				t.Errorf("configs of the topic that is there: -before +after:\n%s", diff)
			}
			for name := range w.state(t) {
				if want, made := made[name]; made {
					if diff := cmp.Diff(want, w.configs(t, name)); diff != "" {
						t.Errorf("configs of topic %s, which was made: -want +got:\n%s", name, diff)
					}
				}
			}
			// What is left is empty: the next restore goes through, with the right configs.
			w.store.breaks = nil
			w.restore(t, Request{})
			for name, want := range made {
				if diff := cmp.Diff(want, w.configs(t, name)); diff != "" {
					t.Errorf("configs of topic %s after the next restore: -want +got:\n%s", name, diff)
				}
			}
		})
	}
}

// Interrupted while it waits for an answer, a restore does not know whether the topic has
// its configs. It has the user's own afterwards.
func TestRestoreThatIsInterruptedBeforeItWrites(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.CreateTopics, kmsg.IncrementalAlterConfigs} {
		w := newWorld(t)
		w.backUp(t, []sourceTopic{topicOf("new", []sourceLog{dense(0, 3)}, "cleanup.policy=compact"), topicOf("there", []sourceLog{dense(0, 3)})})
		w.create(t, "there", 1, "cleanup.policy=compact", "retention.ms=77")
		p := w.plan(t, Request{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Count: 1, Observe: true, When: func(kmsg.Request) bool { cancel(); return true }})
		if _, err := p.Execute(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the interruption", key.Name(), err)
		}
		if diff := cmp.Diff([]string{"cleanup.policy=compact", "retention.ms=77"}, w.configs(t, "there")); diff != "" {
			t.Errorf("%s: configs of the topic that is there: -before +after:\n%s", key.Name(), diff)
		}
		if _, made := w.state(t)["new"]; made {
			if diff := cmp.Diff([]string{"cleanup.policy=compact"}, w.configs(t, "new")); diff != "" {
				t.Errorf("%s: configs of the topic that was made: -want +got:\n%s", key.Name(), diff)
			}
		}
	}
}

// The plan may have waited for somebody's yes.
func TestTargetThatChangedSinceThePlan(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3)})})
	tests := map[string]struct {
		change func()
		want   string
	}{
		"grown":    {func() { w.produce(t, "grown", 0, 1) }, "grown-0 ends at offset 1, and ended at 0 when the plan was made"},
		"replaced": {func() { w.replace(t, "replaced") }, "topic replaced was deleted and made again since the plan"},
		"deleted":  {func() { w.delete(t, "deleted") }, "topic deleted: unknown topic"},
	}
	for name, tt := range tests {
		w.create(t, name, 1, "retention.ms=77")
		p := w.plan(t, Request{Maps: mapsOf(t, "orders="+name)})
		tt.change()
		before := w.state(t)
		if _, err := p.Execute(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if diff := cmp.Diff(before, w.state(t)); diff != "" {
			t.Errorf("%s was changed: -before +after:\n%s", name, diff)
		}
	}
	p := w.plan(t, Request{Maps: mapsOf(t, "orders=made")})
	w.create(t, "made", 1)
	if _, err := p.Execute(t.Context()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a topic that was made since the plan: %v", err)
	}
}

func (w *world) delete(t *testing.T, topic string) {
	t.Helper()
	if err := w.fake.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
}

func (w *world) replace(t *testing.T, topic string) {
	t.Helper()
	w.delete(t, topic)
	w.create(t, topic, 1)
}

// One partition that fails is named, and keeps its topic from looking whole; the others
// come through.
func TestPartitionThatFails(t *testing.T) {
	produced := &atomic.Bool{}
	tests := []struct {
		name    string
		fault   kfake.Fault
		want    []string
		records int // of the partition that fails
		configs []string
	}{
		{
			name: "its records are refused", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord},
			want: []string{"orders-1: produce to orders-1", "both: failed: partition orders-1 was not restored", "second: failed: partition orders-1"},
		},
		{
			name: "the broker says it has them, and has not", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.DuplicateSequenceNumber},
			want: []string{"orders-1: produce to orders-1: the broker appended at offset 0, where 100 was expected", "both: failed", "second: failed"},
		},
		{
			name: "its leading gap cannot be cut", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.DeleteRecords}, Err: kerr.TopicAuthorizationFailed},
			want: []string{"orders-1: delete the filler below offset 100", "both: failed", "second: failed"}, records: 4,
		},
		{
			name: "its end cannot be proved", fault: kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, When: func(kmsg.Request) bool { return produced.Load() }, Err: kerr.TopicAuthorizationFailed},
			want: []string{"orders-1: prove the log's end: denied", "both: failed", "second: failed"}, records: 4,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			produced.Store(false)
			w := newWorld(t)
			orders := topicOf("orders", []sourceLog{dense(0, 3), dense(100, 4)}, "cleanup.policy=compact")
			w.backUp(t, []sourceTopic{orders, topicOf("payments", []sourceLog{dense(0, 2)}, "cleanup.policy=compact")},
				groupOf("both", "orders", 1, 101), groupOf("first", "orders", 2), groupOf("second", "orders", -1, 103), groupOf("third", "payments", 1))
			tt.fault.Count, tt.fault.Topic, tt.fault.Partitions = -1, "orders", []int32{1}
			w.fake.Fault(tt.fault)
			watch := &watcher{progress: func(p *coldstream.Progress) { produced.Store(true) }}
			r, err := w.plan(t, Request{Groups: true, Observer: watch}).Execute(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			hasErrors(t, r, tt.want...)
			if r.Damaged() {
				t.Error("a refusal is taken for damage")
			}
			if got := int(r.Partitions[1].Records); got != tt.records {
				t.Errorf("the partition that failed has %d records, want %d", got, tt.records)
			}
			if got := w.ends(t, "orders", 0); got != [2]int64{0, 3} {
				t.Errorf("the partition beside it is %v", got)
			}
			if got := append(w.configs(t, "payments"), w.configs(t, "orders")[0]); got[0] != "cleanup.policy=compact" || got[1] != "cleanup.policy=delete" {
				t.Errorf("cleanup policies are %q: the whole topic has its own, the other that of the restore", got)
			}
			if diff := cmp.Diff([]string{"topic orders is incomplete, and keeps the configs of the restore (no retention, no compaction)"}, watch.warnings); diff != "" {
				t.Errorf("warnings: -want +got:\n%s", diff)
			}
			if w.committed(t, "first")["orders-0"] != 2 || w.committed(t, "third")["payments-0"] != 1 || len(w.committed(t, "both")) > 0 {
				t.Errorf("groups: first %v, third %v, both %v", w.committed(t, "first"), w.committed(t, "third"), w.committed(t, "both"))
			}
		})
	}
}

// The records are there; that the configs are not must not cost the groups.
func TestConfigsThatCannotBePutBack(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3), dense(0, 1)}, "cleanup.policy=compact")}, groupOf("g", "orders", 1))
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.IncrementalAlterConfigs}, Resource: "orders", Count: -1, Err: kerr.PolicyViolation})
	r, err := w.plan(t, Request{Groups: true}).Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hasErrors(t, r, "orders-0: put back the configs of topic orders", "orders-1: put back the configs of topic orders")
	if diff := cmp.Diff(map[string]int64{"orders-0": 1}, w.committed(t, "g")); diff != "" {
		t.Errorf("group: -want +got:\n%s", diff)
	}
}

func TestGroupsThatCannotBeCommitted(t *testing.T) {
	w := newWorld(t)
	lost := groupOf("lost", "orders")
	lost.Err = errors.New("the coordinator did not answer")
	shared := coldstream.Group{Name: "shared", Type: "share", Err: coldstream.ErrUnsupported}
	other := groupOf("other", "payments", 1)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 9)})},
		groupOf("active", "orders", 5), groupOf("denied", "orders", 5), groupOf("good", "orders", 5), lost, other, shared)
	w.create(t, "elsewhere", 1)
	member := w.join(t, "active", "elsewhere")
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "denied", Count: -1, Err: kerr.GroupAuthorizationFailed})
	r, err := w.plan(t, Request{Topics: patterns(t, "orders"), Groups: true}).Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hasErrors(t, r, "active: refused_active: ", "denied: failed: ", "lost: failed: its offsets were not recorded", "shared: unsupported: ")
	if diff := cmp.Diff(map[string]int64{"orders-0": 5}, w.committed(t, "good")); diff != "" {
		t.Errorf("the group beside them: -want +got:\n%s", diff)
	}
	member.Close()
}

// join makes a member of a group that stays until it is closed.
func (w *world) join(t *testing.T, group, topic string) *kgo.Client {
	t.Helper()
	joined := make(chan struct{})
	var once sync.Once
	client, err := kgo.NewClient(kgo.SeedBrokers(w.fake.ListenAddrs()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { once.Do(func() { close(joined) }) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go client.PollFetches(ctx)
	select {
	case <-joined:
	case <-ctx.Done():
		t.Fatal("nobody joined")
	}
	return client
}

// An empty group's offsets are overwritten, and what they were is in the record.
func TestGroupThatIsThere(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 9), dense(0, 9)}), topicOf("payments", []sourceLog{dense(0, 1)})},
		groupOf("g", "orders", 5), groupOf("h", "payments", 1), groupOf("none", "orders"), groupOf("unset", "orders", -1, 3))
	w.create(t, "copy", 2)
	old := []coldstream.GroupOffset{
		{TopicPartition: coldstream.TopicPartition{Topic: "copy", Partition: 0}, Offset: 77, LeaderEpoch: -1, Metadata: "was"},
		{TopicPartition: coldstream.TopicPartition{Topic: "copy", Partition: 1}, Offset: 78, LeaderEpoch: -1},
	}
	if err := w.target.CommitGroup(t.Context(), "g", old); err != nil {
		t.Fatal(err)
	}
	p := w.plan(t, Request{Topics: patterns(t, "orders"), Maps: mapsOf(t, "orders=copy"), Groups: true})
	r, err := p.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []GroupResult{{Group: "g", Status: "committed", Offsets: []GroupOffsetResult{
		{Topic: "copy", Partition: 0, SourceOffset: 5, TargetOffset: 5, Metadata: "m5"},
	}}, {Group: "unset", Status: "committed", Offsets: []GroupOffsetResult{
		{Topic: "copy", Partition: 1, SourceOffset: 3, TargetOffset: 3, Metadata: "m3"},
	}}}
	if diff := cmp.Diff(want, r.Groups); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"copy-0": 5, "copy-1": 78}, w.committed(t, "g")); diff != "" {
		t.Errorf("group: -want +got:\n%s", diff)
	}
	var record struct {
		Before map[string][]groupOffsetDocument `json:"group_offsets_before"`
	}
	w.record(t, p, recordResult, &record)
	if diff := cmp.Diff(map[string][]groupOffsetDocument{"g": {
		{Topic: "copy", SourceOffset: 77, TargetOffset: 77, Metadata: "was"}, {Topic: "copy", Partition: 1, SourceOffset: 78, TargetOffset: 78},
	}}, record.Before); diff != "" {
		t.Errorf("before: -want +got:\n%s", diff)
	}
}

func (w *world) record(t *testing.T, p *Plan, n uint32, v any) {
	t.Helper()
	b, err := w.vault.RestoreRecord(t.Context(), p.ID, n)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("record %d: %v: %s", n, err, b)
	}
}

// A restore whose last record cannot be stored did what it did: topics are whole, with their
// configs, and groups are committed. The error says so, and how its hold ends.
func TestLastRecordThatCannotBeStored(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3)}, "cleanup.policy=compact")}, groupOf("g", "orders", 2))
	observer := &watcher{}
	p := w.plan(t, Request{Groups: true, Observer: observer})
	w.store.breaks = func(_, key string) error {
		if strings.HasPrefix(key, "restores/") && strings.HasSuffix(key, "/0000000002") {
			return errors.New("no room")
		}
		return nil
	}
	r, err := p.Execute(t.Context())
	var unrecorded *UnrecordedError
	if !errors.As(err, &unrecorded) || !strings.Contains(err.Error(), "came to its end") || !unrecorded.Held || unrecorded.Restore != p.ID {
		t.Errorf("got %v", err)
	}
	hasErrors(t, r)
	if len(observer.warnings) > 0 {
		t.Errorf("warnings %q", observer.warnings)
	}
	if got := w.configs(t, "orders"); !slices.Equal(got, []string{"cleanup.policy=compact"}) {
		t.Errorf("configs %q", got)
	}
	if got := w.committed(t, "g"); got["orders-0"] != 2 {
		t.Errorf("group %v", got)
	}
	w.store.breaks = nil
	if err := w.vault.EndRestore(t.Context(), p.ID); err != nil {
		t.Error(err)
	}
}
