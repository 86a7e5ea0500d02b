package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"coldstream"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// committed returns what a group has in a topic's partitions, -1 where it has nothing.
func (c *cluster) committed(t *testing.T, group, topic string, partitions int32) []coldstream.GroupOffset {
	t.Helper()
	read := &groupCommit{client: c.Client, group: group}
	for _, tp := range partitionsOf(topic, partitions) {
		read.offsets = append(read.offsets, coldstream.GroupOffset{TopicPartition: tp})
	}
	if err := read.findTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := read.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var offsets []coldstream.GroupOffset
	for _, tp := range partitionsOf(topic, partitions) {
		offsets = append(offsets, got[tp])
	}
	return offsets
}

func groupName() string { return "g-" + strings.ToLower(rand.Text()[:8]) }

// joinClassic makes the group active with a member of the classic protocol.
func (c *cluster) joinClassic(t *testing.T, group, topic string) {
	t.Helper()
	assigned := make(chan struct{}, 1)
	member, err := kgo.NewClient(
		kgo.SeedBrokers(c.addrs...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- struct{}{} }),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(member.Close)
	select {
	case <-assigned:
	case <-time.After(time.Minute):
		t.Fatal("the consumer did not join its group")
	}
}

// joinNext makes the group active with a member of KIP-848's protocol.
func (c *cluster) joinNext(t *testing.T, group, topic string) {
	t.Helper()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = group, "AAAAAAAAAAAAAAAAAAAAAA", 0
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 60000, []string{topic}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	err := c.patiently(t.Context(), func(ctx context.Context) error { // the coordinator may be starting
		resp, err := req.RequestWith(ctx, c.kgo)
		if err != nil {
			return requestError(err)
		}
		return brokerError(resp.ErrorCode, resp.ErrorMessage)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCommitGroupMakesTheGroup(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		name, _ := c.create(t, 3)
		other, _ := c.create(t, 1)
		group, tps := groupName(), partitionsOf(name, 3)
		offsets := []coldstream.GroupOffset{
			{TopicPartition: tps[2], Offset: 1 << 40, LeaderEpoch: 99, Metadata: "streams: \x00 ü"},
			{TopicPartition: coldstream.TopicPartition{Topic: other}, Offset: 7},
			{TopicPartition: tps[0], Offset: 0, LeaderEpoch: 3},
		}
		if err := c.CommitGroup(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
		want := []coldstream.GroupOffset{
			{TopicPartition: tps[0], LeaderEpoch: noLeaderEpoch},
			{TopicPartition: tps[1], Offset: -1, LeaderEpoch: noLeaderEpoch},
			{TopicPartition: tps[2], Offset: 1 << 40, LeaderEpoch: noLeaderEpoch, Metadata: "streams: \x00 ü"},
		}
		if diff := cmp.Diff(want, c.committed(t, group, name, 3)); diff != "" {
			t.Errorf("offsets (-want +got):\n%s", diff)
		}
		if err := c.CommitGroup(t.Context(), group, offsets[1:2]); err != nil { // the group is there and empty
			t.Fatal(err)
		}
		if got, want := c.committed(t, group, other, 1)[0].Offset, int64(7); got != want {
			t.Errorf("got offset %d, want %d", got, want)
		}
	})
}

func TestCommitGroupIntoAnActiveGroupIsRefused(t *testing.T) {
	for protocol, join := range map[string]func(*cluster, *testing.T, string, string){
		"classic": (*cluster).joinClassic, "KIP-848": (*cluster).joinNext,
	} {
		t.Run(protocol, func(t *testing.T) {
			onEach(t, func(t *testing.T, c *cluster) {
				name, _ := c.create(t, 1)
				group := groupName()
				tp := partitionsOf(name, 1)[0]
				if err := c.CommitGroup(t.Context(), group, []coldstream.GroupOffset{{TopicPartition: tp, Offset: 5}}); err != nil {
					t.Fatal(err)
				}
				join(c, t, group, name)
				before := c.committed(t, group, name, 1)
				commit := &groupCommit{client: c.Client, group: group,
					offsets: []coldstream.GroupOffset{{TopicPartition: tp, Offset: 42}}}
				err := c.CommitGroup(t.Context(), group, commit.offsets)
				wantError(t, err, "commit offsets of group "+group+": consumer group has active members: it is in state ")
				if !errors.Is(err, coldstream.ErrGroupActive) {
					t.Errorf("error %v is not ErrGroupActive", err)
				}
				// Nor if the member joins behind the check.
				if err := commit.findTopics(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := commit.commitAll(t.Context()); !errors.Is(err, coldstream.ErrGroupActive) {
					t.Errorf("the commit itself: got error %v, want ErrGroupActive", err)
				}
				if diff := cmp.Diff(before, c.committed(t, group, name, 1)); diff != "" {
					t.Errorf("offsets changed (-before +after):\n%s", diff)
				}
			})
		})
	}
}

func TestCommitGroupOfUnknownPartitionsFails(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		name, _ := c.create(t, 1)
		group := groupName()
		tps := partitionsOf(name, 6)
		err := c.CommitGroup(t.Context(), group, []coldstream.GroupOffset{{TopicPartition: tps[0], Offset: 1}, {TopicPartition: tps[5], Offset: 1}})
		wantError(t, err, "commit offsets of group "+group+": "+name+"-5: unknown topic: UNKNOWN_TOPIC_OR_PARTITION")
		absent := coldstream.TopicPartition{Topic: "absent"}
		err = c.CommitGroup(t.Context(), group, []coldstream.GroupOffset{{TopicPartition: tps[0], Offset: 1}, {TopicPartition: absent, Offset: 1}})
		wantError(t, err, "commit offsets of group "+group+": topic absent: unknown topic")
		if !errors.Is(err, coldstream.ErrUnknownTopic) {
			t.Errorf("error %v is not ErrUnknownTopic", err)
		}
	})
}

func TestCommitGroupRefusesOffsetsThatCannotBe(t *testing.T) {
	c := startFake(t)
	tp := coldstream.TopicPartition{Topic: "orders", Partition: 3}
	err := c.CommitGroup(t.Context(), "g", []coldstream.GroupOffset{{TopicPartition: tp, Offset: -1}})
	wantError(t, err, "commit offsets of group g: orders-3: offset -1 is negative")
	err = c.CommitGroup(t.Context(), "g", []coldstream.GroupOffset{{TopicPartition: tp, Offset: 1}, {TopicPartition: tp, Offset: 2}})
	wantError(t, err, "commit offsets of group g: orders-3: two offsets for one partition")
	wantError(t, c.CommitGroup(t.Context(), "g", nil), "")
}

// A share group holds the name: that is said, and not that the group is unknown.
func TestCommitGroupIntoAShareGroup(t *testing.T) {
	c := startReal(t)
	name, _ := c.create(t, 1)
	group := groupName()
	starts := kadm.Offsets{}
	starts.AddOffset(name, 0, 0, -1)
	err := c.patiently(t.Context(), func(ctx context.Context) error { // the coordinator may be starting
		altered, err := c.adm.AlterShareGroupOffsets(ctx, group, starts)
		if err == nil {
			err = altered.Error()
		}
		if err != nil {
			return temporary(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = c.CommitGroup(t.Context(), group, []coldstream.GroupOffset{{TopicPartition: partitionsOf(name, 1)[0], Offset: 1}})
	if !errors.Is(err, coldstream.ErrUnsupported) || !strings.Contains(err.Error(), "share group") {
		t.Errorf("got error %v, want ErrUnsupported", err)
	}
}

func TestCommitGroupNamesThePartitionThatWasRefused(t *testing.T) {
	onEach(t, func(t *testing.T, c *cluster) {
		if c.fake != nil {
			c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Partitions: []int32{1}, Err: kerr.OffsetMetadataTooLarge})
		}
		name, _ := c.create(t, 2)
		tps := partitionsOf(name, 2)
		err := c.CommitGroup(t.Context(), groupName(), []coldstream.GroupOffset{
			{TopicPartition: tps[0], Offset: 1}, {TopicPartition: tps[1], Offset: 1, Metadata: strings.Repeat("m", 5000)},
		})
		wantError(t, err, name+"-1: OFFSET_METADATA_TOO_LARGE")
	})
}

func TestCommitGroupWaitsForTheCoordinator(t *testing.T) {
	c := startFake(t)
	name, _ := c.create(t, 1)
	faults := c.fake.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator, Count: 1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: 1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 2},
		kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.NotCoordinator, Count: 1},
	)
	offsets := []coldstream.GroupOffset{{TopicPartition: partitionsOf(name, 1)[0], Offset: 5}}
	if err := c.CommitGroup(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	if got, want := faults.Hits(), 5; got != want {
		t.Errorf("got %d of the faults, want %d", got, want)
	}
}

// An answer of success is not believed.
func TestCommitGroupReadsBack(t *testing.T) {
	for what, swallow := range map[string]func(*kmsg.OffsetCommitRequestTopicPartition){
		"offset 5 was accepted, and the group has 4":         func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Offset-- },
		`metadata "kept" was accepted, and the group has ""`: func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Metadata = nil },
		"orders-0: offset 5 was accepted and is not there":   func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Offset = -1 },
	} {
		t.Run(what, func(t *testing.T) {
			c := startFake(t, kfake.SeedTopics(1, "orders"))
			c.fake.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
				swallow(&req.(*kmsg.OffsetCommitRequest).Topics[0].Partitions[0])
				return nil, nil, false
			})
			offsets := []coldstream.GroupOffset{{TopicPartition: coldstream.TopicPartition{Topic: "orders"}, Offset: 5, Metadata: "kept"}}
			wantError(t, c.CommitGroup(t.Context(), "g", offsets), what)
		})
	}
}

func TestCommitGroupOfManyOffsets(t *testing.T) {
	c := startFake(t, kfake.SeedTopics(5000, "many"))
	var offsets []coldstream.GroupOffset
	for i, tp := range partitionsOf("many", 5000) {
		offsets = append(offsets, coldstream.GroupOffset{TopicPartition: tp, Offset: int64(i), LeaderEpoch: noLeaderEpoch, Metadata: fmt.Sprint("m", i)})
	}
	requests := c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Observe: true, Count: -1})
	if err := c.CommitGroup(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(offsets, c.committed(t, "g", "many", 5000)); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
	if got, want := requests.Hits(), 3; got != want {
		t.Errorf("got %d requests, want %d", got, want)
	}
}

func TestCommitSizeBoundsBytes(t *testing.T) {
	offsets := make([]coldstream.GroupOffset, 100)
	for i := range offsets {
		offsets[i].Metadata = strings.Repeat("m", 4096)
	}
	offsets[99].Metadata = strings.Repeat("m", 2*maxCommitBytes)
	if got, want := commitSize(offsets), 64; got != want {
		t.Errorf("got %d offsets in a request, want %d", got, want)
	}
	if got, want := commitSize(offsets[99:]), 1; got != want {
		t.Errorf("got %d large offsets in a request, want %d", got, want)
	}
}

// Brokers before KIP-848 do not know the request for its groups.
func TestCommitGroupOnOlderBrokers(t *testing.T) {
	c := startFake(t, kfake.MaxVersions(kversion.V2_8_0()))
	name, _ := c.create(t, 1)
	offsets := []coldstream.GroupOffset{{TopicPartition: partitionsOf(name, 1)[0], Offset: 5, LeaderEpoch: noLeaderEpoch, Metadata: "m"}}
	if err := c.CommitGroup(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(offsets, c.committed(t, "g", name, 1)); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
	c.joinClassic(t, "g", name)
	if err := c.CommitGroup(t.Context(), "g", offsets); !errors.Is(err, coldstream.ErrGroupActive) {
		t.Errorf("got error %v, want ErrGroupActive", err)
	}
}
