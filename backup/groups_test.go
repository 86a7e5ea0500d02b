package backup

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// Brokers before Kafka 4.1 do not tell where share groups start. That a cluster has some is no
// reason to call each of its backups incomplete.
func TestShareGroupsAreNoFailure(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 2)
	w.fake.ControlKey(kmsg.ListGroups.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.ListGroupsResponse)
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.GroupType, g.GroupState = "sharers", "Share", "Empty"
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	w.fake.ControlKey(kmsg.DescribeShareGroupOffsets.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.DescribeShareGroupOffsetsResponse)
		g := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
		g.GroupID, g.ErrorCode = "sharers", kerr.UnsupportedVersion.Code
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	r := w.run(t, Options{})
	if r.Incomplete() {
		t.Errorf("failed %v, denied %v", r.Failed, r.Denied)
	}
	m, err := w.vault.Metadata(t.Context(), w.snapshot(t, r.Snapshot))
	if err != nil || len(m.Groups) != 1 || m.Groups[0].Type != "share" || m.Groups[0].Err == nil {
		t.Errorf("groups %+v, %v", m.Groups, err)
	}
}

// An effective policy compacts wherever it is set.
func TestIsCompacted(t *testing.T) {
	for _, tt := range []struct {
		topic coldstream.Topic
		want  bool
	}{
		{coldstream.Topic{CleanupPolicy: "delete"}, false},
		{coldstream.Topic{CleanupPolicy: "compact"}, true},
		{coldstream.Topic{CleanupPolicy: "delete, compact"}, true},
		{coldstream.Topic{CleanupPolicy: "delete", Internal: true}, true},
		{coldstream.Topic{ConfigsErr: coldstream.ErrDenied}, true},
	} {
		if got := isCompacted(&tt.topic); got != tt.want {
			t.Errorf("%+v: got %v, want %v", tt.topic, got, tt.want)
		}
	}
}
