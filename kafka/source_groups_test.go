package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"coldstream"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// commitRaw commits an offset as a client of the group does, with its leader epoch.
func (c *cluster) commitRaw(t *testing.T, group string, tp coldstream.TopicPartition, offset int64, epoch int32, metadata string) {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = tp.Topic, c.topicID(t, tp.Topic)
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = tp.Partition, offset, epoch, &metadata
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	err := c.patiently(t.Context(), func(ctx context.Context) error { // the coordinator may be starting
		resp, err := req.RequestWith(ctx, c.kgo)
		if err != nil {
			return requestError(err)
		}
		return brokerError(resp.Topics[0].Partitions[0].ErrorCode, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// groupNamed finds a group among all; ok is false if it is not listed.
func (c *cluster) groupNamed(t *testing.T, name string) (g coldstream.Group, ok bool) {
	t.Helper()
	all, err := c.Groups(t.Context())
	if err != nil || len(all.Missing) > 0 {
		t.Fatal(err, all.Missing)
	}
	groups := all.List
	if !slices.IsSortedFunc(groups, func(a, b coldstream.Group) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("groups are not sorted")
	}
	i := slices.IndexFunc(groups, func(g coldstream.Group) bool { return g.Name == name })
	if i < 0 {
		return g, false
	}
	return groups[i], true
}

func TestGroupsHaveAllTheirOffsets(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		name, _ := c.create(t, 3)
		other, _ := c.create(t, 1)
		group, tps := groupName(), partitionsOf(name, 3)
		odd := coldstream.TopicPartition{Topic: other}
		c.commitRaw(t, group, tps[2], 7, 0, "streams: \x00 ü")
		c.commitRaw(t, group, tps[0], 1<<40, -1, "")
		c.commitRaw(t, group, odd, 0, -1, "")
		got, _ := c.groupNamed(t, group)
		want := coldstream.Group{Name: group, Type: "classic", State: "Empty", Offsets: []coldstream.GroupOffset{
			{TopicPartition: tps[0], Offset: 1 << 40, LeaderEpoch: -1},
			{TopicPartition: tps[2], Offset: 7, LeaderEpoch: 0, Metadata: "streams: \x00 ü"},
			{TopicPartition: odd, Offset: 0, LeaderEpoch: -1},
		}}
		slices.SortFunc(want.Offsets, func(a, b coldstream.GroupOffset) int { return a.TopicPartition.Compare(b.TopicPartition) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestGroupsWithMembers(t *testing.T) {
	for kind, join := range map[string]func(*cluster, *testing.T, string, string){
		"classic": (*cluster).joinClassic, "consumer": (*cluster).joinNext,
	} {
		t.Run(kind, func(t *testing.T) {
			onEach(t, func(t *testing.T, c *cluster) {
				name, _ := c.create(t, 1)
				group, tp := groupName(), partitionsOf(name, 1)[0]
				c.commitRaw(t, group, tp, 5, 0, "meta")
				join(c, t, group, name)
				got, _ := c.groupNamed(t, group)
				want := coldstream.Group{Name: group, Type: kind,
					Offsets: []coldstream.GroupOffset{{TopicPartition: tp, Offset: 5, LeaderEpoch: 0, Metadata: "meta"}}}
				if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(coldstream.Group{}, "State", "ProtocolType")); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if got.State == "Empty" || got.State == "" {
					t.Errorf("got state %q of a group with a member", got.State)
				}
			})
		})
	}
}

// threeGroups makes groups with an offset each. Their coordinators are any brokers.
func (c *cluster) threeGroups(t *testing.T) []string {
	t.Helper()
	name, _ := c.create(t, 1)
	var groups []string
	for i := range 3 {
		group := fmt.Sprintf("%s-%d", groupName(), i)
		c.commitRaw(t, group, partitionsOf(name, 1)[0], int64(i), -1, "")
		groups = append(groups, group)
	}
	return groups
}

// A part of the groups must not look like all of them.
func TestGroupsNeedsEveryBroker(t *testing.T) {
	c := startFake(t)
	c.threeGroups(t)
	c.fake.ControlKey(kmsg.ListGroups.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		if c.fake.CurrentNode() != 1 {
			return nil, nil, false
		}
		resp := kreq.ResponseKind().(*kmsg.ListGroupsResponse)
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return resp, nil, true
	})
	if groups, err := c.impatient(t).Groups(t.Context()); err == nil || !strings.Contains(err.Error(), "broker 1") || groups != nil {
		t.Errorf("got %v, %v, want an error that names the broker", groups, err)
	}
}

func TestGroupsDenied(t *testing.T) {
	c := startFake(t)
	c.fake.ControlKey(kmsg.ListGroups.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.ListGroupsResponse)
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return resp, nil, true
	})
	if _, err := c.Groups(t.Context()); !errors.Is(err, coldstream.ErrDenied) {
		t.Errorf("got error %v, want ErrDenied", err)
	}
}

func TestGroupsWhoseOffsetsAreNotAnswered(t *testing.T) {
	onGroup := func(name string, change func(*kmsg.OffsetFetchResponseGroup)) func(*kmsg.OffsetFetchResponse) {
		return func(resp *kmsg.OffsetFetchResponse) {
			for i := range resp.Groups {
				if resp.Groups[i].Group == name {
					change(&resp.Groups[i])
				}
			}
		}
	}
	fails := func(code int16) func(*kmsg.OffsetFetchResponseGroup) {
		return func(g *kmsg.OffsetFetchResponseGroup) { g.ErrorCode = code }
	}
	for what, test := range map[string]struct {
		change func(*kmsg.OffsetFetchResponseGroup)
		check  func(coldstream.Group, bool) bool
	}{
		"denied":           {fails(kerr.GroupAuthorizationFailed.Code), func(g coldstream.Group, _ bool) bool { return errors.Is(g.Err, coldstream.ErrDenied) }},
		"never loaded":     {fails(kerr.CoordinatorLoadInProgress.Code), func(g coldstream.Group, _ bool) bool { return g.Err != nil && len(g.Offsets) == 0 }},
		"gone":             {fails(kerr.GroupIDNotFound.Code), func(_ coldstream.Group, listed bool) bool { return !listed }},
		"left out":         {func(g *kmsg.OffsetFetchResponseGroup) { g.Group = "nobody" }, func(g coldstream.Group, _ bool) bool { return g.Err != nil }},
		"partition denied": {func(g *kmsg.OffsetFetchResponseGroup) { addPartition(g, kerr.TopicAuthorizationFailed.Code, -1) }, func(g coldstream.Group, _ bool) bool { return errors.Is(g.Err, coldstream.ErrDenied) }},
		"no offset":        {func(g *kmsg.OffsetFetchResponseGroup) { addPartition(g, 0, -1) }, func(g coldstream.Group, _ bool) bool { return g.Err == nil && len(g.Offsets) == 0 }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := startFake(t)
			groups := c.threeGroups(t)
			c.fake.ControlKey(kmsg.OffsetFetch.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				c.fake.KeepControl()
				resp := kreq.ResponseKind().(*kmsg.OffsetFetchResponse)
				for _, asked := range kreq.(*kmsg.OffsetFetchRequest).Groups {
					g := kmsg.NewOffsetFetchResponseGroup()
					g.Group = asked.Group
					resp.Groups = append(resp.Groups, g)
				}
				onGroup(groups[1], test.change)(resp)
				return resp, nil, true
			})
			c.Client = c.impatient(t)
			got, listed := c.groupNamed(t, groups[1])
			if !test.check(got, listed) {
				t.Errorf("got %+v, listed: %t", got, listed)
			}
			if other, ok := c.groupNamed(t, groups[2]); !ok || other.Err != nil {
				t.Errorf("another group: got %+v, listed: %t", other, ok)
			}
		})
	}
}

func addPartition(g *kmsg.OffsetFetchResponseGroup, code int16, offset int64) {
	topic := kmsg.NewOffsetFetchResponseGroupTopic()
	topic.Topic = "t"
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.ErrorCode, p.Offset = code, offset
	topic.Partitions = append(topic.Partitions, p)
	g.Topics = append(g.Topics, topic)
}

// Brokers before Kafka 4.1 do not tell where share groups start: they are listed, with the reason.
func TestShareGroupsOfOlderBrokers(t *testing.T) {
	c := startFake(t, kfake.MaxVersions(kversion.V3_9_0()))
	group := groupName()
	c.fake.ControlKey(kmsg.ListGroups.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.ListGroupsResponse)
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.GroupType, g.GroupState = group, "Share", "Empty"
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	got, _ := c.groupNamed(t, group)
	if got.Type != "share" || !errors.Is(got.Err, coldstream.ErrNotOffered) {
		t.Errorf("got %+v, want a share group without offsets", got)
	}
}
