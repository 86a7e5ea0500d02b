package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// isTemporary says that another try may succeed.
func isTemporary(err error) bool { return errors.Is(err, errTemporary) }

func isUnknownTopic(err error) bool { return errors.Is(err, coldstream.ErrUnknownTopic) }

// kerrError gives an error that a library made of a code its meaning in this package.
func kerrError(err error) error {
	var e *kerr.Error
	if errors.As(err, &e) {
		return brokerError(e.Code, nil)
	}
	return err
}

// errNoOffsets marks groups whose offsets no protocol of consumer groups can tell.
var errNoOffsets = fmt.Errorf("groups of this type have no committed offsets that can be read: %w", coldstream.ErrUnsupported)

// Groups is [coldstream.ClusterReader.Groups]. Every broker must answer: a part of the
// groups must not look like all of them.
func (c *Client) Groups(ctx context.Context) ([]coldstream.Group, error) {
	var groups []coldstream.Group
	err := c.await(ctx, "the list of consumer groups", func(ctx context.Context) error {
		var err error
		groups, err = c.listGroups(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list consumer groups: %w", err)
	}
	if err := c.fetchGroupOffsets(ctx, groups); err != nil {
		return nil, err
	}
	// A group that is gone since it was listed is none.
	return slices.DeleteFunc(groups, func(g coldstream.Group) bool { return errors.Is(g.Err, kerr.GroupIDNotFound) }), nil
}

func (c *Client) listGroups(ctx context.Context) ([]coldstream.Group, error) {
	byName := map[string]coldstream.Group{}
	for _, shard := range c.kgo.RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		if shard.Err != nil {
			return nil, fmt.Errorf("broker %d: %w", shard.Meta.NodeID, requestError(shard.Err))
		}
		resp := shard.Resp.(*kmsg.ListGroupsResponse)
		if err := brokerError(resp.ErrorCode, nil); err != nil {
			return nil, fmt.Errorf("broker %d: %w", shard.Meta.NodeID, err)
		}
		for _, g := range resp.Groups {
			byName[g.Group] = coldstream.Group{
				Name: g.Group, Type: strings.ToLower(g.GroupType), State: g.GroupState, ProtocolType: g.ProtocolType,
			}
		}
	}
	out := make([]coldstream.Group, 0, len(byName))
	for _, g := range byName {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b coldstream.Group) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// shareGroup is the type of groups that OffsetFetch does not answer for. Brokers that
// give no type have consumer groups only.
const shareGroup = "share"

// fetchGroupOffsets fills in the offsets: the last committed ones, also where a
// transaction is about to commit newer ones.
func (c *Client) fetchGroupOffsets(ctx context.Context, groups []coldstream.Group) error {
	pending := map[string]*coldstream.Group{}
	for i := range groups {
		g := &groups[i]
		if g.Type == shareGroup {
			g.Err = errNoOffsets
			continue
		}
		pending[g.Name] = g
	}
	err := c.await(ctx, "the offsets of consumer groups", func(ctx context.Context) error {
		for _, g := range pending {
			g.Err = temporary(errNotInAnswer)
		}
		for name, resp := range c.fetchMany(ctx, pending) {
			if g := pending[name]; g != nil {
				g.Offsets, g.Err = offsetsOf(resp)
			}
		}
		var last error
		for name, g := range pending {
			if isTemporary(g.Err) {
				last = fmt.Errorf("group %s: %w", name, g.Err)
				continue
			}
			delete(pending, name)
		}
		return last
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, g := range pending { // what no coordinator answered for stands in the group
		g.Err = untemporary(err)
	}
	return nil
}

func (c *Client) fetchMany(ctx context.Context, groups map[string]*coldstream.Group) kadm.FetchOffsetsResponses {
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return c.adm.FetchManyOffsets(ctx, names...)
}

func offsetsOf(resp kadm.FetchOffsetsResponse) ([]coldstream.GroupOffset, error) {
	if resp.Err != nil {
		return nil, groupError(resp.Err)
	}
	var out []coldstream.GroupOffset
	for topic, partitions := range resp.Fetched {
		for id, o := range partitions {
			if err := kerrError(o.Err); err != nil {
				return nil, fmt.Errorf("%s-%d: %w", topic, id, err)
			}
			if o.At < 0 {
				continue
			}
			out = append(out, coldstream.GroupOffset{
				TopicPartition: coldstream.TopicPartition{Topic: topic, Partition: id},
				Offset:         o.At, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata,
			})
		}
	}
	slices.SortFunc(out, func(a, b coldstream.GroupOffset) int { return a.TopicPartition.Compare(b.TopicPartition) })
	return out, nil
}

// groupError is a coordinator's refusal, or its silence.
func groupError(err error) error {
	var e *kerr.Error
	if errors.As(err, &e) {
		return brokerError(e.Code, nil)
	}
	return requestError(err)
}
