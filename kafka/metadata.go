package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// describeChunk bounds the topics of one DescribeConfigs request.
const describeChunk = 200

// Metadata is [coldstream.ClusterReader.Metadata].
func (c *Client) Metadata(ctx context.Context, names []string) (*coldstream.Cluster, error) {
	var cluster *coldstream.Cluster
	err := c.patiently(ctx, func(ctx context.Context) error {
		var err error
		cluster, err = c.describeCluster(ctx, names)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	if err := c.describeConfigs(ctx, cluster.Topics); err != nil {
		return nil, fmt.Errorf("read topic configs: %w", err)
	}
	return cluster, nil
}

func (c *Client) describeCluster(ctx context.Context, names []string) (*coldstream.Cluster, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	if names != nil {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return nil, requestError(err)
	}
	cluster := &coldstream.Cluster{ControllerID: resp.ControllerID}
	if resp.ClusterID != nil {
		cluster.ID = *resp.ClusterID
	}
	for _, b := range resp.Brokers {
		broker := coldstream.Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		cluster.Brokers = append(cluster.Brokers, broker)
	}
	slices.SortFunc(cluster.Brokers, func(a, b coldstream.Broker) int { return cmp.Compare(a.ID, b.ID) })
	for i := range resp.Topics {
		topic, err := topicOf(&resp.Topics[i])
		if err != nil {
			return nil, err
		}
		cluster.Topics = append(cluster.Topics, topic)
	}
	slices.SortFunc(cluster.Topics, func(a, b coldstream.Topic) int { return cmp.Compare(a.Name, b.Name) })
	return cluster, nil
}

// topicOf reads one topic of an answer. Its error is for answers that cannot be, or that
// another try may better; what the broker refuses is in the topic.
func topicOf(t *kmsg.MetadataResponseTopic) (coldstream.Topic, error) {
	topic := coldstream.Topic{ID: t.TopicID, Internal: t.IsInternal}
	if t.Topic != nil {
		topic.Name = *t.Topic
	}
	if topic.Err = brokerError(t.ErrorCode, nil); topic.Err != nil {
		if errors.Is(topic.Err, errTemporary) {
			return topic, fmt.Errorf("topic %s: %w", topic.Name, topic.Err)
		}
		return topic, nil
	}
	for _, p := range t.Partitions {
		topic.Partitions = append(topic.Partitions, coldstream.Partition{
			ID: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas,
		})
	}
	slices.SortFunc(topic.Partitions, func(a, b coldstream.Partition) int { return cmp.Compare(a.ID, b.ID) })
	for i, p := range topic.Partitions {
		if p.ID != int32(i) {
			return topic, temporary(fmt.Errorf("topic %s: metadata lacks partition %d", topic.Name, i))
		}
	}
	return topic, nil
}

// describeConfigs fills in the configs that topics carry themselves. A refusal is kept in
// the topic.
func (c *Client) describeConfigs(ctx context.Context, topics []coldstream.Topic) error {
	byName := map[string]*coldstream.Topic{}
	var names []string
	for i := range topics {
		if topics[i].Err == nil {
			byName[topics[i].Name] = &topics[i]
			names = append(names, topics[i].Name)
		}
	}
	for chunk := range slices.Chunk(names, describeChunk) {
		err := c.patiently(ctx, func(ctx context.Context) error {
			configs, err := c.adm.DescribeTopicConfigs(ctx, chunk...)
			if err != nil {
				return requestError(err)
			}
			for _, rc := range configs {
				if t := byName[rc.Name]; t != nil {
					setConfigs(t, rc)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func setConfigs(t *coldstream.Topic, rc kadm.ResourceConfig) {
	t.Configs, t.ConfigsErr = nil, nil
	if rc.Err != nil {
		t.ConfigsErr = kerrError(rc.Err)
		return
	}
	for _, cfg := range rc.Configs {
		if cfg.Source != kmsg.ConfigSourceDynamicTopicConfig {
			continue
		}
		t.Configs = append(t.Configs, coldstream.Config{
			Name: cfg.Key, Value: cfg.MaybeValue(), Source: cfg.Source.String(), Sensitive: cfg.Sensitive,
		})
	}
	slices.SortFunc(t.Configs, func(a, b coldstream.Config) int { return cmp.Compare(a.Name, b.Name) })
}

// listOffsetsChunk bounds the partitions of one ListOffsets request to a broker.
const listOffsetsChunk = 2000

// LogOffsets is [coldstream.ClusterReader.LogOffsets].
func (c *Client) LogOffsets(ctx context.Context, partitions []coldstream.TopicPartition) (map[coldstream.TopicPartition]coldstream.LogOffsets, error) {
	out := make(map[coldstream.TopicPartition]coldstream.LogOffsets, len(partitions))
	deadline := time.Now().Add(c.patience())
	pending := slices.Clone(partitions)
	for wait := firstRetryWait; len(pending) > 0; wait = min(2*wait, maxRetryWait) {
		leaders, err := c.leadersOf(ctx, pending)
		if err != nil {
			return nil, err
		}
		next := c.listRound(ctx, pending, leaders, out)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if pending = next; len(pending) == 0 {
			break
		}
		if time.Now().After(deadline) {
			break // the last errors stand in out
		}
		if !pause(ctx, wait) {
			return nil, ctx.Err()
		}
	}
	return out, nil
}

// partitionLeader is who leads a partition, or why nobody is known to.
type partitionLeader struct {
	id      int32
	epoch   int32
	topicID coldstream.TopicID
	err     error
}

// leadersOf asks for the leaders of partitions, in one metadata request.
func (c *Client) leadersOf(ctx context.Context, partitions []coldstream.TopicPartition) (map[coldstream.TopicPartition]partitionLeader, error) {
	var names []string
	for _, tp := range partitions {
		names = append(names, tp.Topic)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var cluster *coldstream.Cluster
	err := c.patiently(ctx, func(ctx context.Context) error {
		var err error
		cluster, err = c.describeCluster(ctx, names)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	topics := map[string]*coldstream.Topic{}
	for i := range cluster.Topics {
		topics[cluster.Topics[i].Name] = &cluster.Topics[i]
	}
	out := make(map[coldstream.TopicPartition]partitionLeader, len(partitions))
	for _, tp := range partitions {
		out[tp] = leaderIn(topics[tp.Topic], tp)
	}
	return out, nil
}

func leaderIn(t *coldstream.Topic, tp coldstream.TopicPartition) partitionLeader {
	none := partitionLeader{id: -1, epoch: -1}
	switch {
	case t == nil:
		none.err = fmt.Errorf("%w: the brokers do not mention it", coldstream.ErrUnknownTopic)
	case t.Err != nil:
		none.err = t.Err
	case int(tp.Partition) >= len(t.Partitions) || tp.Partition < 0:
		none.topicID = t.ID
		none.err = fmt.Errorf("%w: the topic has %d partitions", coldstream.ErrUnknownTopic, len(t.Partitions))
	default:
		p := t.Partitions[tp.Partition]
		none.topicID, none.epoch = t.ID, p.LeaderEpoch
		if p.Leader < 0 {
			none.err = temporary(errNoLeader)
			return none
		}
		none.id = p.Leader
	}
	return none
}
