package kafka

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// Where a share group starts is told and taken; with members it is refused, and nothing changes.
func TestShareGroups(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		name, _ := c.create(t, 3)
		group, tps := groupName(), partitionsOf(name, 3)
		starts := []coldstream.GroupOffset{{TopicPartition: tps[2], Offset: 1 << 40}, {TopicPartition: tps[0], Offset: 7, LeaderEpoch: 99, Metadata: "none of share groups"}}
		if err := c.SetShareGroup(t.Context(), group, starts); err != nil {
			t.Fatal(err)
		}
		want := coldstream.Group{Name: group, Type: "share", State: "Empty", ProtocolType: "share", Offsets: []coldstream.GroupOffset{
			{TopicPartition: tps[0], Offset: 7}, {TopicPartition: tps[2], Offset: 1 << 40},
		}}
		got, _ := c.groupNamed(t, group)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		c.joinShare(t, group, name)
		err := c.SetShareGroup(t.Context(), group, []coldstream.GroupOffset{{TopicPartition: tps[0], Offset: 9}})
		if !errors.Is(err, coldstream.ErrGroupActive) {
			t.Errorf("with a member: %v, want ErrGroupActive", err)
		}
		if after, _ := c.groupNamed(t, group); after.Offsets[0].Offset != 7 {
			t.Errorf("a group with a member was changed: %+v", after)
		}
		if err := c.CommitGroup(t.Context(), "classic-"+group, []coldstream.GroupOffset{{TopicPartition: tps[0], Offset: 1}}); err != nil {
			t.Fatal(err)
		}
		err = c.SetShareGroup(t.Context(), "classic-"+group, starts)
		if !errors.Is(err, coldstream.ErrUnsupported) {
			t.Errorf("another kind of group: %v, want ErrUnsupported", err)
		}
		err = c.SetShareGroup(t.Context(), groupName(), []coldstream.GroupOffset{{TopicPartition: coldstream.TopicPartition{Topic: "absent"}, Offset: 1}})
		wantError(t, err, "absent-0: unknown topic")
	})
}

// joinShare makes a share group active.
func (c *cluster) joinShare(t *testing.T, group, topic string) {
	t.Helper()
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.SubscribedTopicNames = group, "AAAAAAAAAAAAAAAAAAAAAA", []string{topic}
	c.heartbeat(t, func(ctx context.Context) (int16, *string, error) {
		resp, err := req.RequestWith(ctx, c.kgo)
		if err != nil {
			return 0, nil, err
		}
		return resp.ErrorCode, resp.ErrorMessage, nil
	})
}

// heartbeat sends one until it is taken: the coordinator may be starting.
func (c *cluster) heartbeat(t *testing.T, send func(context.Context) (int16, *string, error)) {
	t.Helper()
	err := c.patiently(t.Context(), func(ctx context.Context) error {
		code, message, err := send(ctx)
		if err != nil {
			return requestError(err)
		}
		return brokerError(code, message)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An answer of success is not believed.
func TestShareGroupIsReadBack(t *testing.T) {
	for what, swallow := range map[string]func(*kmsg.AlterShareGroupOffsetsRequestTopicPartition){
		"start offset 5 was accepted, and the group has 4":       func(p *kmsg.AlterShareGroupOffsetsRequestTopicPartition) { p.StartOffset-- },
		"orders-0: start offset 5 was accepted and is not there": func(p *kmsg.AlterShareGroupOffsetsRequestTopicPartition) { p.StartOffset = -1 },
	} {
		t.Run(what, func(t *testing.T) {
			c := startFake(t, kfake.SeedTopics(1, "orders"))
			c.fake.ControlKey(int16(kmsg.AlterShareGroupOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
				swallow(&req.(*kmsg.AlterShareGroupOffsetsRequest).Topics[0].Partitions[0])
				return nil, nil, false
			})
			wantError(t, c.SetShareGroup(t.Context(), "g", []coldstream.GroupOffset{{TopicPartition: coldstream.TopicPartition{Topic: "orders"}, Offset: 5}}), what)
		})
	}
}

// Groups of Kafka Streams have committed offsets as others have. One that was made by a restore
// is an empty group without a type of its own, and the first member of an application takes it over.
func TestStreamsGroups(t *testing.T) {
	c := startReal(t)
	name, _ := c.create(t, 1)
	group, tp := groupName(), partitionsOf(name, 1)[0]
	offsets := []coldstream.GroupOffset{{TopicPartition: tp, Offset: 7, LeaderEpoch: noLeaderEpoch, Metadata: "AgAAAYe"}}
	if err := c.CommitGroup(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
	c.streams(t, group, name, 0)
	got, _ := c.groupNamed(t, group)
	if diff := cmp.Diff(offsets, got.Offsets); diff != "" || got.Type != "streams" || got.Err != nil {
		t.Errorf("%+v\n%s", got, diff)
	}
	err := c.CommitGroup(t.Context(), group, []coldstream.GroupOffset{{TopicPartition: tp, Offset: 9}})
	if !errors.Is(err, coldstream.ErrGroupActive) {
		t.Errorf("with a member: %v, want ErrGroupActive", err)
	}
	c.streams(t, group, name, -1) // the member leaves
	offsets[0].Offset = 9
	if err := c.CommitGroup(t.Context(), group, offsets); err != nil {
		t.Errorf("without members: %v", err)
	}
	got, _ = c.groupNamed(t, group)
	if diff := cmp.Diff(offsets, got.Offsets); diff != "" || got.Type != "streams" {
		t.Errorf("%+v\n%s", got, diff)
	}
}

// streams sends a heartbeat of a member of an application: 0 joins, -1 leaves. It returns the member's epoch.
func (c *cluster) streams(t *testing.T, group, topic string, epoch int32) (member int32) {
	t.Helper()
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = group, "AAAAAAAAAAAAAAAAAAAAAA", epoch
	if epoch == 0 {
		process := "BBBBBBBBBBBBBBBBBBBBBA"
		sub := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
		sub.SubtopologyID, sub.SourceTopics = "0", []string{topic}
		topology := kmsg.NewStreamsGroupHeartbeatRequestTopology()
		topology.Subtopologies = append(topology.Subtopologies, sub)
		req.Topology, req.ProcessID, req.RebalanceTimeoutMillis = &topology, &process, 60000
		req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
		req.ClientTags = []kmsg.StreamsGroupHeartbeatRequestClientTag{}
	}
	c.heartbeat(t, func(ctx context.Context) (int16, *string, error) {
		coordinator, err := c.coordinatorOf(ctx, group)
		if err != nil {
			return 0, nil, err
		}
		answer, err := c.kgo.Broker(int(coordinator)).Request(ctx, req)
		if err != nil {
			return 0, nil, err
		}
		resp := answer.(*kmsg.StreamsGroupHeartbeatResponse)
		member = resp.MemberEpoch
		return resp.ErrorCode, resp.ErrorMessage, nil
	})
	return member
}
