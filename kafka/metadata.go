package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// describeChunk bounds the topics of one DescribeConfigs request.
const describeChunk = 200

// Metadata is [coldstream.ClusterReader.Metadata]. A topic that stays unavailable longer
// than patience has that as its Err.
func (c *Client) Metadata(ctx context.Context, names []string) (*coldstream.Cluster, error) {
	var cluster *coldstream.Cluster
	err := c.await(ctx, "the description of the topics", func(ctx context.Context) error {
		var err error
		if cluster, err = c.describeCluster(ctx, names); err != nil {
			return err
		}
		for i := range cluster.Topics {
			if t := &cluster.Topics[i]; isTemporary(t.Err) {
				return fmt.Errorf("topic %s: %w", t.Name, t.Err)
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if cluster == nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	for i := range cluster.Topics {
		cluster.Topics[i].Err = untemporary(cluster.Topics[i].Err)
	}
	return cluster, nil
}

func (c *Client) describeCluster(ctx context.Context, names []string) (*coldstream.Cluster, error) {
	req := metadataOfAll()
	if names != nil {
		req = metadataOf(names...)
	}
	resp, err := metadata(ctx, c.kgo, req)
	if err != nil {
		return nil, err
	}
	cluster := &coldstream.Cluster{ControllerID: resp.ControllerID}
	if resp.ClusterID != nil {
		cluster.ID = *resp.ClusterID
	}
	cluster.Brokers = brokersOf(resp)
	c.waits.see(cluster.Brokers)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.Topic != nil {
			topic := topicOf(t)
			if errors.Is(topic.Err, coldstream.ErrDenied) { // said of topics that are not there, too
				topic.Err = fmt.Errorf("it is not there, or you may not see it: %w", c.lacksOnTopic(topic.Err, "Describe", topic.Name))
			}
			cluster.Topics = append(cluster.Topics, topic)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(resp.Topics, func(t kmsg.MetadataResponseTopic) bool { return t.Topic != nil && *t.Topic == name }) {
			cluster.Topics = append(cluster.Topics, coldstream.Topic{Name: name, Err: temporary(errNotInAnswer)})
		}
	}
	slices.SortFunc(cluster.Topics, func(a, b coldstream.Topic) int { return cmp.Compare(a.Name, b.Name) })
	return cluster, nil
}

// errNotInAnswer is for answers that leave out what was asked for. That never means that
// it is not there.
var errNotInAnswer = errors.New("the broker's answer leaves it out")

// topicOf reads one topic of an answer. Its Err is temporary where another try may better
// it.
func topicOf(t *kmsg.MetadataResponseTopic) coldstream.Topic {
	topic := coldstream.Topic{Name: *t.Topic, ID: t.TopicID, Internal: t.IsInternal}
	if topic.Err = brokerError(t.ErrorCode, nil); topic.Err != nil {
		return topic
	}
	for _, p := range t.Partitions {
		topic.Partitions = append(topic.Partitions, coldstream.Partition{
			ID: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas,
		})
	}
	slices.SortFunc(topic.Partitions, func(a, b coldstream.Partition) int { return cmp.Compare(a.ID, b.ID) })
	for i, p := range topic.Partitions {
		if p.ID != int32(i) {
			topic.Partitions, topic.Err = nil, temporary(fmt.Errorf("the metadata lacks partition %d", i))
			break
		}
	}
	return topic
}

// TopicConfigs is [coldstream.ConfigReader.TopicConfigs]. What stays unanswered while others are
// answered is kept in the topic, too.
func (c *Client) TopicConfigs(ctx context.Context, topics []coldstream.Topic) error {
	if err := c.describeConfigs(ctx, topics); err != nil {
		return fmt.Errorf("read topic configs: %w", err)
	}
	return nil
}

func (c *Client) describeConfigs(ctx context.Context, topics []coldstream.Topic) error {
	var rest []*coldstream.Topic
	for i := range topics {
		if t := &topics[i]; t.Err == nil {
			rest = append(rest, t)
		}
	}
	for chunk := range slices.Chunk(rest, describeChunk) {
		answered := false
		err := c.await(ctx, "the configs of the topics", func(ctx context.Context) error {
			err := c.describeSome(ctx, chunk)
			answered = err == nil
			for _, t := range chunk {
				if answered && isTemporary(t.ConfigsErr) {
					return fmt.Errorf("topic %s: %w", t.Name, t.ConfigsErr)
				}
			}
			return err
		})
		if errors.Is(err, coldstream.ErrNotOffered) {
			for _, t := range chunk {
				t.ConfigsErr = err
			}
			continue
		}
		if err != nil && (!answered || ctx.Err() != nil) {
			return err
		}
		for _, t := range chunk {
			t.ConfigsErr = untemporary(t.ConfigsErr)
		}
	}
	return nil
}

// describeSome asks for the configs of topics once.
func (c *Client) describeSome(ctx context.Context, topics []*coldstream.Topic) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	byName := map[string]*coldstream.Topic{}
	for _, t := range topics {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, t.Name
		req.Resources = append(req.Resources, r)
		byName[t.Name] = t
		t.Configs, t.ConfigsErr = nil, temporary(errNotInAnswer)
	}
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return requestError(err)
	}
	for i := range resp.Resources {
		if t := byName[resp.Resources[i].ResourceName]; t != nil {
			setConfigs(t, &resp.Resources[i])
			t.ConfigsErr = c.lacksOnTopic(t.ConfigsErr, "DescribeConfigs", t.Name)
		}
	}
	return nil
}

func setConfigs(t *coldstream.Topic, r *kmsg.DescribeConfigsResponseResource) {
	t.Configs, t.CleanupPolicy, t.ConfigsErr = nil, "", brokerError(r.ErrorCode, r.ErrorMessage)
	t.DeleteRetention, t.Retention, t.RetentionBytes = 0, 0, 0
	for _, cfg := range r.Configs {
		if cfg.Value != nil {
			setEffective(t, cfg.Name, *cfg.Value)
		}
		if cfg.Source != kmsg.ConfigSourceDynamicTopicConfig {
			continue
		}
		config := coldstream.Config{Name: cfg.Name, Source: cfg.Source.String(), Sensitive: cfg.IsSensitive}
		if cfg.Value != nil {
			config.Value = *cfg.Value
		}
		t.Configs = append(t.Configs, config)
	}
	slices.SortFunc(t.Configs, func(a, b coldstream.Config) int { return cmp.Compare(a.Name, b.Name) })
}

// setEffective keeps what a config says, wherever it is set.
func setEffective(t *coldstream.Topic, name, value string) {
	switch name {
	case "cleanup.policy":
		t.CleanupPolicy = value
	case "delete.retention.ms":
		t.DeleteRetention = retentionOf(value)
	case "retention.ms":
		t.Retention = retentionOf(value)
	case "retention.bytes":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
			t.RetentionBytes = n
		}
	}
}

// retentionOf reads a config of milliseconds; what is too long to count is the longest.
func retentionOf(value string) time.Duration {
	ms, err := strconv.ParseInt(value, 10, 64)
	if err != nil || ms < 0 {
		return 0
	}
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// listOffsetsChunk bounds the partitions of one ListOffsets request to a broker.
const listOffsetsChunk = 2000

// LogOffsets is [coldstream.ClusterReader.LogOffsets].
func (c *Client) LogOffsets(ctx context.Context, partitions []coldstream.TopicPartition) (map[coldstream.TopicPartition]coldstream.LogOffsets, error) {
	return c.LogOffsetsWithin(ctx, partitions, c.patience())
}

// LogOffsetsWithin is [coldstream.Follower.LogOffsetsWithin].
func (c *Client) LogOffsetsWithin(ctx context.Context, partitions []coldstream.TopicPartition, patience time.Duration) (map[coldstream.TopicPartition]coldstream.LogOffsets, error) {
	out := make(map[coldstream.TopicPartition]coldstream.LogOffsets, len(partitions))
	start := time.Now()
	pending := slices.Clone(partitions)
	waiting := c.waits.begin(ctx, "the ends of the logs", patience)
	defer waiting.end()
	for wait := firstRetryWait; len(pending) > 0; wait = min(2*wait, maxRetryWait) {
		leaders, err := c.leadersOf(ctx, pending)
		if err != nil {
			return nil, err
		}
		next := c.listRound(ctx, pending, leaders, out)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		waited := time.Since(start)
		pending = slices.DeleteFunc(next, func(tp coldstream.TopicPartition) bool {
			return isUnknownTopic(out[tp].Err) && waited >= unknownTopicPatience
		})
		if len(pending) == 0 || waited >= patience {
			break // the last errors stand in out
		}
		waiting.came(failuresOf(pending, func(tp coldstream.TopicPartition) error { return fmt.Errorf("%s: %w", tp, out[tp].Err) }))
		if !pause(ctx, wait) {
			return nil, ctx.Err()
		}
	}
	return out, nil
}
