package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"coldstream"
)

// A broker lists the groups that it coordinates, which are those of the partitions of
// __consumer_offsets that it leads. Groups of a partition that nobody leads are in no list, and
// neither are those of one whose leader changes while the lists are made. So a list counts for
// a partition only if the leader was the same before and after, and knew meanwhile that it
// coordinates the partition's groups.

// groupSurvey is what one round of questions brought.
type groupSurvey struct {
	groups map[string]coldstream.Group
	// unproven are the partitions whose groups may be missing.
	unproven map[int32]error
	// denied are rights without which groups may be missing.
	denied []error
}

// err says that another round may bring more.
func (s *groupSurvey) err() error {
	for _, id := range slices.Sorted(maps.Keys(s.unproven)) {
		if errors.Is(s.unproven[id], coldstream.ErrDenied) {
			continue
		}
		return temporary(fmt.Errorf("%s-%d: %w", coldstream.OffsetsTopic, id, s.unproven[id]))
	}
	return nil
}

// list gives the survey's groups in order, and what they may lack.
func (s *groupSurvey) list() *coldstream.Groups {
	out := &coldstream.Groups{}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		out.List = append(out.List, s.groups[name])
	}
	for _, err := range s.denied {
		out.Missing = append(out.Missing, coldstream.MissingGroups{Err: err})
	}
	for _, id := range slices.Sorted(maps.Keys(s.unproven)) {
		out.Missing = append(out.Missing, coldstream.MissingGroups{CoordinatorPartition: &id, Err: untemporary(s.unproven[id])})
	}
	return out
}

// surveyGroups asks all coordinators once. Since says when the first round began.
func (c *Client) surveyGroups(ctx context.Context, since time.Time) (*groupSurvey, error) {
	s := &groupSurvey{groups: map[string]coldstream.Group{}, unproven: map[int32]error{}}
	if err := c.checkClusterRight(ctx); errors.Is(err, coldstream.ErrDenied) {
		s.denied = append(s.denied, err)
	} else if err != nil {
		return nil, err
	}
	cluster, before, err := c.coordinators(ctx)
	switch {
	case errors.Is(err, coldstream.ErrDenied):
		s.denied = append(s.denied, err)
	case err != nil:
		return nil, err
	}
	if len(before) == 0 { // then only a list of each broker is all
		return s, s.askAll(ctx, c, cluster.Brokers)
	}
	s.askLeaders(ctx, c, before, since)
	_, after, err := c.coordinators(ctx)
	if err != nil {
		return nil, err
	}
	for id, leader := range before {
		if now, ok := after[id]; s.unproven[id] == nil && (!ok || now != leader) {
			s.unproven[id] = errors.New("its leader changed while the groups were listed")
		}
	}
	for id := range after {
		if _, ok := before[id]; !ok {
			s.unproven[id] = errors.New("it was made while the groups were listed")
		}
	}
	return s, nil
}

// coordinator leads a partition of __consumer_offsets.
type coordinator struct {
	broker int32 // -1 while there is none
	epoch  int32
}

// coordinators asks who leads which partition of __consumer_offsets. There is no such topic
// before the first group, and on brokers that only look like Kafka.
func (c *Client) coordinators(ctx context.Context) (*coldstream.Cluster, map[int32]coordinator, error) {
	cluster, err := c.describeCluster(ctx, []string{coldstream.OffsetsTopic})
	if err != nil {
		return nil, nil, err
	}
	t := &cluster.Topics[0]
	switch {
	case isUnknownTopic(t.Err):
		return cluster, nil, nil
	case errors.Is(t.Err, coldstream.ErrDenied):
		return cluster, nil, fmt.Errorf("describe topic %s: without this right groups that are out of reach are not noticed: %w", t.Name, t.Err)
	case t.Err != nil:
		return nil, nil, fmt.Errorf("topic %s: %w", t.Name, t.Err)
	}
	out := make(map[int32]coordinator, len(t.Partitions))
	for _, p := range t.Partitions {
		out[p.ID] = coordinator{p.Leader, p.LeaderEpoch}
	}
	return cluster, out, nil
}

// describeRight is the bit of the right to describe in a set of authorized operations.
const describeRight = 1 << kmsg.ACLOperationDescribe

// rightsNotTold is what stands in place of a set of operations that nobody asked for.
const rightsNotTold = -1 << 31

// checkClusterRight asks whether the user may describe the cluster: to others brokers list only
// groups that these may describe one by one, and do not say that they left any out.
func (c *Client) checkClusterRight(ctx context.Context) error {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeClusterAuthorizedOperations = true
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		if err = requestError(err); !isTemporary(err) && strings.Contains(err.Error(), tooOld) {
			return nil // brokers before 2.8 do not tell
		}
		return err
	}
	err = brokerError(resp.ErrorCode, resp.ErrorMessage)
	if err == nil && resp.ClusterAuthorizedOperations != rightsNotTold && resp.ClusterAuthorizedOperations&describeRight == 0 {
		err = coldstream.ErrDenied
	}
	if errors.Is(err, coldstream.ErrDenied) {
		return fmt.Errorf("describe the cluster: without this right brokers leave consumer groups out and do not say so: %w", c.lacksOnCluster(err, "Describe"))
	}
	return err
}

// askAll makes the list where nobody says which broker coordinates what: all must answer.
func (s *groupSurvey) askAll(ctx context.Context, c *Client, brokers []coldstream.Broker) error {
	for _, b := range brokers {
		groups, err := c.listGroups(ctx, b.ID)
		if err != nil {
			return fmt.Errorf("broker %d: %w", b.ID, err)
		}
		s.add(groups)
	}
	return nil
}

func (s *groupSurvey) add(groups []coldstream.Group) {
	for _, g := range groups {
		s.groups[g.Name] = g
	}
}

// askLeaders makes the list of the groups of all partitions that have a leader.
func (s *groupSurvey) askLeaders(ctx context.Context, c *Client, leaders map[int32]coordinator, since time.Time) {
	names := namesByPartition(len(leaders))
	byBroker := map[int32][]int32{}
	for id, leader := range leaders {
		if leader.broker < 0 {
			s.unproven[id] = errNoLeader
			continue
		}
		byBroker[leader.broker] = append(byBroker[leader.broker], id)
	}
	type answer struct {
		groups   []coldstream.Group
		unproven map[int32]error
	}
	answers := make([]answer, len(byBroker))
	var asking errgroup.Group
	for i, broker := range slices.Sorted(maps.Keys(byBroker)) {
		asking.Go(func() error {
			ask := &coordinatorAsked{client: c, broker: broker, names: map[string]int32{}, unproven: map[int32]error{}}
			ask.tolerant = time.Since(since) >= min(unknownTopicPatience, c.patience()/2)
			for _, id := range byBroker[broker] {
				ask.names[names[id]] = id
			}
			answers[i] = answer{ask.list(ctx), ask.unproven}
			return nil
		})
	}
	_ = asking.Wait() // they return none
	for _, a := range answers {
		s.add(a.groups)
		maps.Copy(s.unproven, a.unproven)
	}
}

// coordinatorAsked is one broker that is asked for its groups.
type coordinatorAsked struct {
	client *Client
	broker int32
	// names are names of groups, which need not be there, of each partition that it leads.
	names    map[string]int32
	tolerant bool
	unproven map[int32]error
}

// list proves that the broker coordinates its partitions, and lists its groups.
func (a *coordinatorAsked) list(ctx context.Context) []coldstream.Group {
	err := a.prove(ctx)
	var groups []coldstream.Group
	if err == nil {
		groups, err = a.client.listGroups(ctx, a.broker)
	}
	if err != nil {
		for _, id := range a.names {
			a.unproven[id] = fmt.Errorf("broker %d: %w", a.broker, err)
		}
	}
	return groups
}

// prove asks the broker for a group of each partition. A broker that has just become the
// leader is named in the metadata before it knows of the groups, and until then lists none of
// them.
func (a *coordinatorAsked) prove(ctx context.Context) error {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = slices.Collect(maps.Keys(a.names))
	resp, err := a.client.kgo.Broker(int(a.broker)).Request(ctx, req)
	if err != nil {
		return requestError(err)
	}
	answered := map[string]bool{}
	for _, g := range resp.(*kmsg.DescribeGroupsResponse).Groups {
		answered[g.Group] = true
		err := kerr.ErrorForCode(g.ErrorCode)
		id, asked := a.names[g.Group]
		switch {
		case !asked || !kerr.IsRetriable(err): // that there is no such group, say, only its coordinator knows
		case errors.Is(err, kerr.NotCoordinator) && a.tolerant && !a.client.isCoordinator(ctx, g.Group, a.broker):
			// Whoever spreads groups over partitions otherwise than Kafka is no Kafka.
		default:
			a.unproven[id] = fmt.Errorf("broker %d: %w", a.broker, err)
		}
	}
	if len(answered) < len(a.names) {
		return errNotInAnswer
	}
	return nil
}

// isCoordinator asks the cluster whether a broker coordinates a group.
func (c *Client) isCoordinator(ctx context.Context, group string, broker int32) bool {
	coordinator, err := c.coordinatorOf(ctx, group)
	return err != nil || coordinator == broker
}

// listGroups asks one broker for the groups that it coordinates.
func (c *Client) listGroups(ctx context.Context, broker int32) ([]coldstream.Group, error) {
	kresp, err := c.kgo.Broker(int(broker)).Request(ctx, kmsg.NewPtrListGroupsRequest())
	if err != nil {
		return nil, requestError(err)
	}
	resp := kresp.(*kmsg.ListGroupsResponse)
	if err := brokerError(resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	var out []coldstream.Group
	for _, g := range resp.Groups {
		out = append(out, coldstream.Group{
			Name: g.Group, Type: strings.ToLower(g.GroupType), State: g.GroupState, ProtocolType: g.ProtocolType,
		})
	}
	return out, nil
}

// namesByPartition finds a name of a group for each of n partitions of __consumer_offsets.
func namesByPartition(n int) []string {
	out := make([]string, n)
	for i, found := 0, 0; found < n; i++ {
		name := "coldstream-" + strconv.Itoa(i)
		if id := coordinatorPartition(name, n); out[id] == "" {
			out[id] = name
			found++
		}
	}
	return out
}

// coordinatorPartition is the partition of __consumer_offsets, of n, that keeps a group: by
// the hash that Java has for strings.
func coordinatorPartition(group string, n int) int {
	var hash int32
	for _, unit := range utf16.Encode([]rune(group)) {
		hash = 31*hash + int32(unit)
	}
	if hash == -1<<31 {
		return 0
	}
	return int(max(hash, -hash)) % n
}
