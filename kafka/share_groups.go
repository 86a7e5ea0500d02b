package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// A share group has no committed offsets: its brokers keep, by record, what was delivered and
// acknowledged. They tell and take one offset of a partition, its start: all records before it
// are done with. Which of those behind it are done too, nobody can read or write.

// shareOffsets reads the start offsets of a share group. A partition that no member has read
// yet has none.
func (c *Client) shareOffsets(ctx context.Context, group string) ([]coldstream.GroupOffset, error) {
	asked := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	asked.GroupID = group // and no topics, which means all
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	req.Groups = append(req.Groups, asked)
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return nil, shareError(requestError(err))
	}
	for i := range resp.Groups {
		if g := &resp.Groups[i]; g.GroupID == group {
			return startOffsets(g)
		}
	}
	return nil, temporary(errNotInAnswer)
}

func startOffsets(g *kmsg.DescribeShareGroupOffsetsResponseGroup) ([]coldstream.GroupOffset, error) {
	if err := shareError(brokerError(g.ErrorCode, g.ErrorMessage)); err != nil {
		return nil, err
	}
	var out []coldstream.GroupOffset
	for _, topic := range g.Topics {
		for _, p := range topic.Partitions {
			tp := coldstream.TopicPartition{Topic: topic.Topic, Partition: p.Partition}
			if err := brokerError(p.ErrorCode, p.ErrorMessage); err != nil {
				return nil, fmt.Errorf("%s: %w", tp, err)
			}
			if p.StartOffset >= 0 {
				out = append(out, coldstream.GroupOffset{TopicPartition: tp, Offset: p.StartOffset, LeaderEpoch: p.LeaderEpoch})
			}
		}
	}
	slices.SortFunc(out, func(a, b coldstream.GroupOffset) int { return a.TopicPartition.Compare(b.TopicPartition) })
	return out, nil
}

// shareError says what an answer means for share groups.
func shareError(err error) error {
	switch {
	case errors.Is(err, coldstream.ErrNotOffered), errors.Is(err, kerr.UnsupportedVersion):
		return fmt.Errorf("where share groups start is told and taken since Kafka 4.1: %w", coldstream.ErrNotOffered)
	case errors.Is(err, kerr.NonEmptyGroup):
		return fmt.Errorf("%w: %w", coldstream.ErrGroupActive, err)
	case errors.Is(err, kerr.GroupIDNotFound): // a group that is not there would have been made
		return fmt.Errorf("a group of this name is there that is no share group: %w: %w", coldstream.ErrUnsupported, err)
	}
	return err
}

// SetShareGroup implements [coldstream.GroupAdmin]. What was set is read back and compared.
func (c *Client) SetShareGroup(ctx context.Context, group string, offsets []coldstream.GroupOffset) error {
	commit := &groupCommit{client: c, group: group, offsets: slices.Clone(offsets)}
	slices.SortFunc(commit.offsets, func(a, b coldstream.GroupOffset) int { return a.TopicPartition.Compare(b.TopicPartition) })
	err := commit.validate()
	for _, step := range []func(context.Context) error{commit.setStarts, commit.readBackStarts} {
		if err == nil && len(offsets) > 0 {
			err = c.await(ctx, "the start offsets of share group "+group, step)
		}
	}
	if err != nil {
		return fmt.Errorf("set start offsets of share group %s: %w", group, err)
	}
	return nil
}

// setStarts sets all offsets in one request: the broker looks for members first, and changes
// nothing if there are any.
func (g *groupCommit) setStarts(ctx context.Context) error {
	req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	req.GroupID = g.group
	for i, offset := range g.offsets {
		if i == 0 || offset.Topic != g.offsets[i-1].Topic {
			topic := kmsg.NewAlterShareGroupOffsetsRequestTopic()
			topic.Topic = offset.Topic
			req.Topics = append(req.Topics, topic)
		}
		p := kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()
		p.Partition, p.StartOffset = offset.Partition, offset.Offset
		topic := &req.Topics[len(req.Topics)-1]
		topic.Partitions = append(topic.Partitions, p)
	}
	resp, err := req.RequestWith(ctx, g.client.kgo)
	if err != nil {
		return g.client.lacksOnGroup(shareError(requestError(err)), "Read", g.group)
	}
	if err := brokerError(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return g.client.lacksOnGroup(shareError(err), "Read", g.group)
	}
	answered := 0
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if err := brokerError(p.ErrorCode, p.ErrorMessage); err != nil {
				return fmt.Errorf("%s-%d: %w", topic.Topic, p.Partition, g.lacks(shareError(err), "Read", topic.Topic))
			}
			answered++
		}
	}
	if answered < len(g.offsets) {
		return fmt.Errorf("the coordinator answered for %d of %d partitions", answered, len(g.offsets))
	}
	return nil
}

// readBackStarts compares what the group has with what was set.
func (g *groupCommit) readBackStarts(ctx context.Context) error {
	got, err := g.client.shareOffsets(ctx, g.group)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	for _, want := range g.offsets {
		i, is := slices.BinarySearchFunc(got, want.TopicPartition, func(o coldstream.GroupOffset, tp coldstream.TopicPartition) int {
			return o.TopicPartition.Compare(tp)
		})
		switch {
		case !is:
			return fmt.Errorf("%s: start offset %d was accepted and is not there", want.TopicPartition, want.Offset)
		case got[i].Offset != want.Offset:
			return fmt.Errorf("%s: start offset %d was accepted, and the group has %d", want.TopicPartition, want.Offset, got[i].Offset)
		}
	}
	return nil
}
