package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"coldstream"
)

// kerrError gives an error that a library made of a code its meaning in this package.
func kerrError(err error) error {
	var e *kerr.Error
	if errors.As(err, &e) {
		return brokerError(e.Code, nil)
	}
	return err
}

// Groups is [coldstream.ClusterReader.Groups]. What cannot be listed within the patience is
// named: a part of the groups must not look like all of them.
func (c *Client) Groups(ctx context.Context) (*coldstream.Groups, error) {
	var survey *groupSurvey
	since := time.Now()
	err := c.await(ctx, "all consumer groups", func(ctx context.Context) error {
		next, err := c.surveyGroups(ctx, since)
		if err != nil {
			return err
		}
		survey = next
		return survey.err()
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if survey == nil {
		return nil, fmt.Errorf("list consumer groups: %w", err)
	}
	groups := survey.list()
	if err := c.fetchGroupOffsets(ctx, groups.List); err != nil {
		return nil, err
	}
	// A group that is gone since it was listed is none.
	groups.List = slices.DeleteFunc(groups.List, func(g coldstream.Group) bool { return errors.Is(g.Err, kerr.GroupIDNotFound) })
	return groups, nil
}

// fetchGroupOffsets fills in the offsets: the last committed ones, also where a
// transaction is about to commit newer ones; of share groups those at which they start.
func (c *Client) fetchGroupOffsets(ctx context.Context, groups []coldstream.Group) error {
	pending := map[string]*coldstream.Group{}
	for i := range groups {
		pending[groups[i].Name] = &groups[i]
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
		for name, g := range pending {
			if g.IsShare() {
				g.Offsets, g.Err = c.shareOffsets(ctx, name)
			}
			g.Err = c.lacksOnGroup(g.Err, "Describe", name)
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
	for name, g := range groups {
		if !g.IsShare() { // OffsetFetch does not answer for those
			names = append(names, name)
		}
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
