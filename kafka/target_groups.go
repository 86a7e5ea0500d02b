package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// A commit becomes one record batch in __consumer_offsets, and must not become
	// larger than that topic allows: by default 1 MiB.
	maxCommitOffsets = 2000
	maxCommitBytes   = 256 << 10
	// The generation and leader epoch of a commit from outside the group.
	noGeneration  = -1
	noLeaderEpoch = -1
)

// CommitGroup implements [coldstream.GroupAdmin]. What was committed is read back and
// compared. A broker checks neither that an offset exists nor that it is positive; a
// negative one is refused here. A group that consumers join in the middle of the call
// may keep some of the offsets; the error then wraps [coldstream.ErrGroupActive].
func (c *Client) CommitGroup(ctx context.Context, group string, offsets []coldstream.GroupOffset) error {
	commit := &groupCommit{client: c, group: group, offsets: slices.Clone(offsets)}
	slices.SortFunc(commit.offsets, func(a, b coldstream.GroupOffset) int {
		return a.TopicPartition.Compare(b.TopicPartition)
	})
	if err := commit.run(ctx); err != nil {
		return fmt.Errorf("commit offsets of group %s: %w", group, err)
	}
	return nil
}

// groupCommit is one call of CommitGroup.
type groupCommit struct {
	client  *Client
	group   string
	offsets []coldstream.GroupOffset // sorted
	ids     map[string]coldstream.TopicID
}

func (g *groupCommit) run(ctx context.Context) error {
	if len(g.offsets) == 0 {
		return nil
	}
	if err := g.validate(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{g.findTopics, g.checkMembers, g.commitAll, g.readBack} {
		if err := g.client.await(ctx, "the commit of group "+g.group, step); err != nil {
			return err
		}
	}
	return nil
}

func (g *groupCommit) validate() error {
	for i, offset := range g.offsets {
		if offset.Offset < 0 {
			return fmt.Errorf("%s: offset %d is negative", offset.TopicPartition, offset.Offset)
		}
		if i > 0 && offset.TopicPartition == g.offsets[i-1].TopicPartition {
			return fmt.Errorf("%s: two offsets for one partition", offset.TopicPartition)
		}
	}
	return nil
}

// findTopics looks up the topics' IDs: since Kafka 4.1, commits name topics by them.
func (g *groupCommit) findTopics(ctx context.Context) error {
	var names []string
	for i, offset := range g.offsets {
		if i == 0 || offset.Topic != g.offsets[i-1].Topic {
			names = append(names, offset.Topic)
		}
	}
	resp, err := metadata(ctx, g.client.kgo, metadataOf(names...))
	if err != nil {
		return err
	}
	g.ids = make(map[string]coldstream.TopicID, len(resp.Topics))
	for _, topic := range resp.Topics {
		if err := brokerError(topic.ErrorCode, nil); err != nil {
			return fmt.Errorf("topic %s: %w", text(topic.Topic), g.client.lacksOnTopic(err, "Describe", text(topic.Topic)))
		}
		g.ids[text(topic.Topic)] = topic.TopicID
	}
	return nil
}

// checkMembers asks whether the group has members. The commit would be refused anyhow;
// this refuses it before anything is changed, and says in which state the group is.
func (g *groupCommit) checkMembers(ctx context.Context) error {
	state, err := g.client.groupState(ctx, g.group)
	if err != nil {
		return err
	}
	switch state {
	case "", "Empty", "Dead":
		return nil
	}
	return fmt.Errorf("%w: it is in state %s", coldstream.ErrGroupActive, state)
}

// groupState is the group's state as Kafka names it, or "" if there is no such group or
// it is a share group. Since Kafka 4.0 a broker describes a
// group by the request of its own kind only.
func (c *Client) groupState(ctx context.Context, group string) (string, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return "", c.lacksOnGroup(requestError(err), "Read", group)
	}
	for _, described := range resp.Groups {
		switch err := brokerError(described.ErrorCode, described.ErrorMessage); {
		case errors.Is(err, kerr.GroupIDNotFound):
		case err != nil:
			return "", fmt.Errorf("describe the group: %w", c.lacksOnGroup(err, "Describe", group))
		case described.State != "Dead": // older brokers say so of a group they do not know
			return described.State, nil
		}
	}
	return c.newGroupState(ctx, group)
}

// newGroupState is groupState for groups of the protocols that came after the classic one: KIP-848's,
// and that of Kafka Streams. Older brokers do not know the requests, and have no such groups.
func (c *Client) newGroupState(ctx context.Context, group string) (string, error) {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{group}
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return "", nil //nolint:nilerr // older brokers do not know the request, and have no such groups
	}
	for _, described := range resp.Groups {
		if state, err := stateOf(described.State, brokerError(described.ErrorCode, described.ErrorMessage)); state != "" || err != nil {
			return state, err
		}
	}
	return c.streamsGroupState(ctx, group)
}

// streamsGroupState asks the group's coordinator by itself: franz-go does not know whom to ask.
func (c *Client) streamsGroupState(ctx context.Context, group string) (string, error) {
	coordinator, err := c.coordinatorOf(ctx, group)
	if err != nil {
		return "", err
	}
	req := kmsg.NewPtrStreamsGroupDescribeRequest()
	req.Groups = []string{group}
	kresp, err := c.kgo.Broker(int(coordinator)).Request(ctx, req)
	if err != nil {
		return "", nil //nolint:nilerr // as above
	}
	for _, described := range kresp.(*kmsg.StreamsGroupDescribeResponse).Groups {
		return stateOf(described.State, brokerError(described.ErrorCode, described.ErrorMessage))
	}
	return "", nil
}

// coordinatorOf asks which broker coordinates a group.
func (c *Client) coordinatorOf(ctx context.Context, group string) (int32, error) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = group, []string{group}
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return -1, requestError(err)
	}
	for _, found := range resp.Coordinators {
		return found.NodeID, brokerError(found.ErrorCode, found.ErrorMessage)
	}
	return resp.NodeID, brokerError(resp.ErrorCode, resp.ErrorMessage)
}

// stateOf is the state that an answer tells, or "" if the group is not of the kind that was asked for.
func stateOf(state string, err error) (string, error) {
	switch {
	case errors.Is(err, kerr.GroupIDNotFound), errors.Is(err, kerr.UnsupportedVersion):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("describe the group: %w", err)
	}
	return state, nil
}

// commitAll commits in requests that __consumer_offsets can take. To commit the same
// again changes nothing, so that a step tried again begins anew.
func (g *groupCommit) commitAll(ctx context.Context) error {
	for rest := g.offsets; len(rest) > 0; {
		n := commitSize(rest)
		if err := g.commitSome(ctx, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// commitSize is how many of the offsets go into the next request: one at least.
func commitSize(offsets []coldstream.GroupOffset) int {
	sizeBytes := 0
	for i, offset := range offsets[:min(len(offsets), maxCommitOffsets)] {
		sizeBytes += len(offset.Topic) + len(offset.Metadata)
		if i > 0 && sizeBytes > maxCommitBytes {
			return i
		}
	}
	return min(len(offsets), maxCommitOffsets)
}

func (g *groupCommit) commitSome(ctx context.Context, offsets []coldstream.GroupOffset) error {
	resp, err := g.newRequest(offsets).RequestWith(ctx, g.client.kgo)
	if err != nil {
		return g.client.lacksOnGroup(requestError(err), "Read", g.group)
	}
	names := make(map[coldstream.TopicID]string, len(g.ids))
	for name, id := range g.ids {
		names[id] = name
	}
	errs := make(map[coldstream.TopicPartition]error, len(offsets))
	for _, topic := range resp.Topics {
		name := cmp.Or(topic.Topic, names[topic.TopicID])
		for _, partition := range topic.Partitions {
			tp := coldstream.TopicPartition{Topic: name, Partition: partition.Partition}
			errs[tp] = g.lacks(commitError(partition.ErrorCode), "Read", name)
		}
	}
	for _, offset := range offsets {
		err, answered := errs[offset.TopicPartition]
		if !answered {
			err = errors.New("the coordinator did not answer for the partition")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", offset.TopicPartition, err)
		}
	}
	return nil
}

func (g *groupCommit) newRequest(offsets []coldstream.GroupOffset) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = g.group
	req.Generation = noGeneration
	for i, offset := range offsets {
		if i == 0 || offset.Topic != offsets[i-1].Topic {
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic, topic.TopicID = offset.Topic, g.ids[offset.Topic]
			req.Topics = append(req.Topics, topic)
		}
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		partition.Partition, partition.Offset = offset.Partition, offset.Offset
		partition.LeaderEpoch = noLeaderEpoch
		partition.Metadata = &offset.Metadata
		topic := &req.Topics[len(req.Topics)-1]
		topic.Partitions = append(topic.Partitions, partition)
	}
	return req
}

// commitError says why an offset was not committed: a commit from outside is refused
// with the words for a wrong member while the group has members.
func commitError(code int16) error {
	err := brokerError(code, nil)
	switch {
	case errors.Is(err, kerr.UnknownMemberID),
		errors.Is(err, kerr.IllegalGeneration),
		errors.Is(err, kerr.FencedInstanceID),
		errors.Is(err, kerr.FencedMemberEpoch),
		errors.Is(err, kerr.StaleMemberEpoch),
		errors.Is(err, kerr.RebalanceInProgress):
		return fmt.Errorf("%w: %w", coldstream.ErrGroupActive, kerr.ErrorForCode(code))
	case errors.Is(err, kerr.GroupIDNotFound): // a commit would have made a group that is not there
		return fmt.Errorf("a group of this name is there that takes no committed offsets, such as a share group: %w: %w", coldstream.ErrUnsupported, err)
	}
	return err
}

// lacks names the right whose lack an error for an offset of a topic tells of.
func (g *groupCommit) lacks(err error, operation, topic string) error {
	if errors.Is(err, kerr.GroupAuthorizationFailed) {
		return g.client.lacksOnGroup(err, operation, g.group)
	}
	return g.client.lacksOnTopic(err, operation, topic)
}

// readBack compares what the coordinator has with what was committed.
func (g *groupCommit) readBack(ctx context.Context) error {
	got, err := g.fetch(ctx)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	for _, want := range g.offsets {
		have, ok := got[want.TopicPartition]
		switch {
		case !ok || have.Offset < 0:
			return fmt.Errorf("%s: offset %d was accepted and is not there", want.TopicPartition, want.Offset)
		case have.Offset != want.Offset:
			return fmt.Errorf("%s: offset %d was accepted, and the group has %d", want.TopicPartition, want.Offset, have.Offset)
		case have.Metadata != want.Metadata:
			return fmt.Errorf("%s: metadata %q was accepted, and the group has %q", want.TopicPartition, want.Metadata, have.Metadata)
		}
	}
	return nil
}

func (g *groupCommit) fetch(ctx context.Context) (map[coldstream.TopicPartition]coldstream.GroupOffset, error) {
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = g.group
	for i, offset := range g.offsets {
		if i == 0 || offset.Topic != g.offsets[i-1].Topic {
			topic := kmsg.NewOffsetFetchRequestGroupTopic()
			topic.Topic, topic.TopicID = offset.Topic, g.ids[offset.Topic]
			asked.Topics = append(asked.Topics, topic)
		}
		topic := &asked.Topics[len(asked.Topics)-1]
		topic.Partitions = append(topic.Partitions, offset.Partition)
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Groups = append(req.Groups, asked)
	resp, err := req.RequestWith(ctx, g.client.kgo)
	if err != nil {
		return nil, requestError(err)
	}
	got := make(map[coldstream.TopicPartition]coldstream.GroupOffset, len(g.offsets))
	for _, group := range resp.Groups {
		if err := brokerError(group.ErrorCode, nil); err != nil {
			return nil, g.client.lacksOnGroup(err, "Describe", g.group)
		}
		for _, topic := range group.Topics {
			for _, partition := range topic.Partitions {
				tp := coldstream.TopicPartition{Topic: topic.Topic, Partition: partition.Partition}
				if err := brokerError(partition.ErrorCode, nil); err != nil {
					return nil, fmt.Errorf("%s: %w", tp, err)
				}
				got[tp] = coldstream.GroupOffset{
					TopicPartition: tp, Offset: partition.Offset, LeaderEpoch: partition.LeaderEpoch, Metadata: text(partition.Metadata),
				}
			}
		}
	}
	return got, nil
}
