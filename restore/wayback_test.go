package restore

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// notices keeps what a restore says for later.
type notices struct{ all []coldstream.Event }

func (n *notices) Observe(e coldstream.Event) {
	switch e.(type) {
	case *coldstream.Notice, *coldstream.Warning:
		n.all = append(n.all, e)
	}
}

// Others live with a topic that is restored into behind its records: it has its own configs
// again also where the restore failed, and the way back is known before the first change.
func TestFailedAppendHarmsNobody(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3), dense(0, 4)})})
	w.create(t, "live", 2, "cleanup.policy=compact,delete", "retention.ms=777777777")
	w.produce(t, "live", 0, 1)
	own := w.configs(t, "live")
	want := []string{
		"kafka-configs.sh --bootstrap-server b:1 --alter --topic live --add-config 'cleanup.policy=[compact,delete],retention.ms=777777777'",
		"kafka-configs.sh --bootstrap-server b:1 --alter --topic live --delete-config compression.type,max.message.bytes,message.timestamp.type,retention.bytes,segment.bytes",
	}
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "live", Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	p := w.plan(t, Request{Append: true, Maps: mapsOf(t, "orders=live"), Observer: &notices{}, Bootstrap: "b:1"})
	said := p.req.Observer.(*notices)
	changes := 0
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.IncrementalAlterConfigs}, Count: -1, Observe: true, When: func(req kmsg.Request) bool {
		if req.(*kmsg.IncrementalAlterConfigsRequest).ValidateOnly {
			return true
		}
		if changes++; changes == 1 {
			record, err := w.vault.RestoreRecord(t.Context(), p.ID, recordPlan)
			if err != nil || !strings.Contains(string(record), "retention.ms=777777777") {
				t.Errorf("the record does not tell the way back before the first change: %s, %v", record, err)
			}
			if len(said.all) != 1 {
				t.Errorf("said before the first change: %v", said.all)
			}
		}
		return true
	}})
	r, err := p.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hasErrors(t, r, "live-1: produce to live-1: denied")
	if diff := cmp.Diff(own, w.configs(t, "live")); diff != "" {
		t.Errorf("configs: -before +after:\n%s", diff)
	}
	if diff := cmp.Diff([]coldstream.Event{
		&coldstream.Notice{Text: "topic live has other configs for the time of the restore; if that is killed, put its own back with:", Lines: want},
		&coldstream.Warning{Text: "topic live was there before: it has its own configs again, and 3 records of the restore are in it"},
	}, said.all); diff != "" {
		t.Errorf("said: -want +got:\n%s", diff)
	}
	if changes != 2 {
		t.Errorf("configs were changed %d times, want there and back", changes)
	}
}

// What cannot be put back is told with the lines that do it.
func TestAppendWhoseConfigsCannotBePutBack(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(0, 3)})})
	w.create(t, "live", 1, "cleanup.policy=compact")
	p := w.plan(t, Request{Append: true, Maps: mapsOf(t, "orders=live"), Observer: &notices{}})
	changes := 0
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.IncrementalAlterConfigs}, Resource: "live", Count: -1, Err: kerr.PolicyViolation, When: func(kmsg.Request) bool {
		changes++
		return changes > 1
	}})
	r, err := p.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hasErrors(t, r, "live-0: put back the configs of topic live")
	said := p.req.Observer.(*notices).all
	last, ok := said[len(said)-1].(*coldstream.Notice)
	if !ok || !strings.HasSuffix(last.Lines[0], "--add-config cleanup.policy=compact") {
		t.Errorf("said: %v", said)
	}
	// The restore is over, and the topic is still as it left it.
	w.refused(t, Request{Append: true, Maps: mapsOf(t, "orders=live")}, "topic live has the configs of restore "+p.ID.String()+", which was cut off, and not its own")
}

// A restore that was killed is known by its record, also where it did without some configs.
func TestTopicAsARestoreLeftIt(t *testing.T) {
	c := changedTopic{Topic: "a", TopicID: coldstream.TopicID{1}.String(), During: map[string]string{"retention.ms": "-1", "cleanup.policy": "delete"}}
	topic := coldstream.Topic{Name: "a", ID: coldstream.TopicID{1}, Configs: own("cleanup.policy=delete", "retention.ms=-1", "segment.ms=5")}
	other, changed := topic, topic
	other.ID = coldstream.TopicID{2}
	changed.Configs = own("cleanup.policy=delete", "retention.ms=5")
	made := c
	made.Made, made.TopicID = true, ""
	for _, test := range []struct {
		name  string
		c     changedTopic
		topic coldstream.Topic
		want  bool
	}{
		{"it is", c, topic, true}, {"another of that name", c, other, false}, {"put back in part", c, changed, false},
		{"made by the restore", made, other, true}, {"nothing was changed", changedTopic{Topic: "a", Made: true}, topic, false},
	} {
		if got := test.c.isAsLeft(&test.topic); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

func TestCommandsThatChangeConfigs(t *testing.T) {
	got := alterCommands("", "a b", coldstream.ConfigChange{Set: map[string]string{"x": "", "y": "1,2", "z": "it's"}, Remove: []string{"v", "w"}})
	want := []string{
		`kafka-configs.sh --alter --topic 'a b' --add-config 'x=[],y=[1,2],z=it'\''s'`,
		`kafka-configs.sh --alter --topic 'a b' --delete-config v,w`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
