package kafka

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// The amounts of the values that Java gives.
func TestCoordinatorPartition(t *testing.T) {
	for group, hash := range map[string]int{
		"": 0, "a": 97, "hello": 99162322, "Hello, World": 505841268, "orders-reader": 664356011, "\u00fc\U0001F600": 2015071,
	} {
		const n = 1 << 31
		if got := coordinatorPartition(group, n-1); got != hash {
			t.Errorf("%q: got %d, want %d", group, got, hash)
		}
	}
	if got := coordinatorPartition("polygenelubricants", 50); got != 0 { // the hash whose amount is no int
		t.Errorf("got %d, want 0", got)
	}
	for id, name := range namesByPartition(50) {
		if got := coordinatorPartition(name, 50); got != id {
			t.Errorf("the name for partition %d is of partition %d", id, got)
		}
	}
}

// startFakeCoordinators starts an embedded cluster with a topic __consumer_offsets, which it does
// not use, and three groups. Its brokers coordinate by a hash of their own; what they say when
// they are asked for a group of each partition is up to the test.
func startFakeCoordinators(t *testing.T, describe func(group string, broker int32) *kerr.Error) (*cluster, []string) {
	t.Helper()
	c := startFake(t)
	topic := coldstream.NewTopic{Name: coldstream.OffsetsTopic, Partitions: 3, ReplicationFactor: 1}
	if err := c.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	for id := range int32(3) {
		if err := c.fake.MoveTopicPartition(topic.Name, id, id); err != nil {
			t.Fatal(err)
		}
	}
	groups := c.threeGroups(t)
	slices.Sort(groups)
	c.fake.ControlKey(kmsg.DescribeGroups.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.DescribeGroupsResponse)
		for _, name := range kreq.(*kmsg.DescribeGroupsRequest).Groups {
			g := kmsg.NewDescribeGroupsResponseGroup()
			g.Group = name
			if err := describe(name, c.fake.CurrentNode()); err != nil {
				g.ErrorCode = err.Code
			}
			resp.Groups = append(resp.Groups, g)
		}
		return resp, nil, true
	})
	return c, groups
}

func noSuchGroup(string, int32) *kerr.Error { return kerr.GroupIDNotFound }

func names(groups []coldstream.Group) []string {
	var out []string
	for _, g := range groups {
		out = append(out, g.Name)
	}
	return out
}

func TestGroupsWaitForTheirCoordinators(t *testing.T) {
	t.Run("that move", func(t *testing.T) {
		c, groups := startFakeCoordinators(t, noSuchGroup)
		var asked atomic.Int32
		c.changeMetadata(t, coldstream.OffsetsTopic, func(topic *kmsg.MetadataResponseTopic) bool {
			topic.Partitions[1].LeaderEpoch = min(asked.Add(1), 6) // another one each time
			return true
		})
		c.wantGroups(t, groups)
		if n := asked.Load(); n < 8 { // three rounds that end otherwise than they began, and one that does not
			t.Errorf("the leaders were asked for %d times", n)
		}
	})
	for what, err := range map[string]*kerr.Error{"that load": kerr.CoordinatorLoadInProgress, "that do not know it": kerr.NotCoordinator} {
		t.Run(what, func(t *testing.T) {
			var asked atomic.Int32
			c, groups := startFakeCoordinators(t, func(string, int32) *kerr.Error {
				if asked.Add(1) <= 9 {
					return err
				}
				return nil
			})
			c.wantGroups(t, groups)
			if n := asked.Load(); n != 12 {
				t.Errorf("the coordinators were asked for %d groups, want 12", n)
			}
		})
	}
}

// wantGroups fails the test unless these are all groups, and none may be missing.
func (c *cluster) wantGroups(t *testing.T, want []string) {
	t.Helper()
	got, err := c.Groups(t.Context())
	if err != nil || len(got.Missing) > 0 {
		t.Fatal(err, got)
	}
	if diff := cmp.Diff(want, names(got.List)); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestGroupsOfPartitionsWithoutALeader(t *testing.T) {
	c, groups := startFakeCoordinators(t, noSuchGroup)
	c.changeMetadata(t, coldstream.OffsetsTopic, func(topic *kmsg.MetadataResponseTopic) bool {
		for i := range topic.Partitions { // in no order
			if topic.Partitions[i].Partition == 2 {
				topic.Partitions[i].Leader = -1
			}
		}
		return true
	})
	got, err := c.impatient(t).Groups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Missing) != 1 || got.Missing[0].CoordinatorPartition == nil || *got.Missing[0].CoordinatorPartition != 2 || !errors.Is(got.Missing[0].Err, errNoLeader) {
		t.Fatalf("got %v, want that partition 2 is missing", got.Missing)
	}
	for _, name := range names(got.List) { // broker 2 was not asked: nobody says that it leads anything
		if !slices.Contains(groups, name) {
			t.Errorf("unexpected group %s", name)
		}
	}
}

// Whoever spreads groups over partitions otherwise than Kafka is not waited for.
func TestGroupsOfOtherCoordinators(t *testing.T) {
	c, groups := startFakeCoordinators(t, func(string, int32) *kerr.Error { return kerr.NotCoordinator })
	c.fake.ControlKey(kmsg.FindCoordinator.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		req := kreq.(*kmsg.FindCoordinatorRequest)
		if len(req.CoordinatorKeys) != 1 || !strings.HasPrefix(req.CoordinatorKeys[0], "coldstream-") {
			return nil, nil, false
		}
		resp := kreq.ResponseKind().(*kmsg.FindCoordinatorResponse)
		found := kmsg.NewFindCoordinatorResponseCoordinator()
		found.Key, found.NodeID = req.CoordinatorKeys[0], 77
		resp.Coordinators = append(resp.Coordinators, found)
		return resp, nil, true
	})
	c.Client = c.impatient(t)
	c.wantGroups(t, groups)
}

func TestGroupsSayWhichRightIsMissing(t *testing.T) {
	c, groups := startFakeCoordinators(t, noSuchGroup)
	c.fake.ControlKey(kmsg.DescribeCluster.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.DescribeClusterResponse)
		resp.ClusterAuthorizedOperations = 1 << kmsg.ACLOperationCreate
		return resp, nil, true
	})
	c.changeMetadata(t, coldstream.OffsetsTopic, func(topic *kmsg.MetadataResponseTopic) bool {
		topic.ErrorCode = kerr.TopicAuthorizationFailed.Code
		return true
	})
	got, err := c.Groups(t.Context())
	if err != nil || len(got.Missing) != 2 {
		t.Fatal(err, got)
	}
	for i, want := range []string{"describe the cluster", "describe topic __consumer_offsets"} {
		if err := got.Missing[i].Err; !errors.Is(err, coldstream.ErrDenied) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want that %s is denied", err, want)
		}
	}
	if diff := cmp.Diff(groups, names(got.List)); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}
