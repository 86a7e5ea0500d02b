package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"coldstream"
)

// TopicConfigNames implements [coldstream.TopicConfigurer]; topic may be empty, and need not
// be there. Where the cluster does not tell the default of a config that the topic has
// set, its value is empty.
//
// The controller tells all names and defaults when it is asked whether it would create a
// topic. Where it does not (no right to create one, a creation policy, Kafka before
// 2.4), any topic is described. A cluster that is empty as well is taken to know what
// every Kafka since 2.8 knows.
func (c *Client) TopicConfigNames(ctx context.Context, topic string) (map[string]string, error) {
	var known map[string]string
	err := c.await(ctx, "the names of topic configs", func(ctx context.Context) (err error) {
		known, err = c.topicConfigNames(ctx, topic)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask which topic configs the cluster knows: %w", err)
	}
	return known, nil
}

func (c *Client) topicConfigNames(ctx context.Context, topic string) (map[string]string, error) {
	described, err := c.describeDefaults(ctx, topic)
	if err != nil && !errors.Is(err, coldstream.ErrUnknownTopic) && !errors.Is(err, coldstream.ErrDenied) {
		return nil, err
	}
	if err == nil && len(described.missing) == 0 {
		return described.known, nil
	}
	probe := topic
	if err == nil || topic == "" {
		probe = probeName(topic)
	}
	probed, probeErr := c.probeDefaults(ctx, probe)
	if errors.Is(probeErr, errTemporary) {
		return nil, probeErr
	}
	if err == nil {
		for _, name := range described.missing {
			described.known[name] = probed[name]
		}
		return described.known, nil
	}
	if len(probed) > 0 {
		return probed, nil
	}
	described, err = c.describeAny(ctx)
	switch {
	case err == nil:
		return described.known, nil
	case !errors.Is(err, coldstream.ErrUnknownTopic):
		return nil, err
	case probeErr != nil:
		return nil, probeErr
	}
	return commonTopicConfigs(), nil
}

// topicDefaults are what topics without configs of their own have, as far as the
// description of one topic tells.
type topicDefaults struct {
	known map[string]string
	// missing are names whose default is hidden behind the topic's own value; they are
	// in known with an empty value.
	missing []string
}

// describeDefaults reads the defaults from the description of a topic.
func (c *Client) describeDefaults(ctx context.Context, topic string) (topicDefaults, error) {
	if topic == "" {
		return topicDefaults{}, coldstream.ErrUnknownTopic
	}
	resp, err := newDescribeRequest(topic).RequestWith(ctx, c.kgo)
	if err != nil {
		return topicDefaults{}, requestError(err)
	}
	if len(resp.Resources) != 1 {
		return topicDefaults{}, fmt.Errorf("the answer is about %d topics", len(resp.Resources))
	}
	resource := resp.Resources[0]
	if err := brokerError(resource.ErrorCode, resource.ErrorMessage); err != nil {
		return topicDefaults{}, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	defaults := topicDefaults{known: make(map[string]string, len(resource.Configs))}
	for _, config := range resource.Configs {
		asDefault, ok := defaultConfig(config)
		if !ok {
			defaults.missing = append(defaults.missing, config.Name)
			asDefault.Value = ""
		}
		defaults.known[config.Name] = asDefault.Value
	}
	return defaults, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// useDefault asks CreateTopics for the cluster's own number of partitions or replicas.
const useDefault = -1

// maxTopicName is the length that Kafka allows.
const maxTopicName = 249

// probeName is a name that no topic has. It begins as the given one, because rights may
// go by the beginning of names.
func probeName(topic string) string {
	suffix := "coldstream-probe-" + rand.Text()
	return topic[:min(len(topic), maxTopicName-len(suffix))] + suffix
}

// probeDefaults asks the controller whether it would create a topic without configs,
// which its answer then tells. Nothing is created.
func (c *Client) probeDefaults(ctx context.Context, topic string) (map[string]string, error) {
	probe := coldstream.NewTopic{Name: topic, Partitions: useDefault, ReplicationFactor: useDefault}
	answer, err := c.requestTopic(ctx, probe, validateOnly)
	if err != nil {
		return nil, err
	}
	if err := brokerError(answer.ConfigErrorCode, nil); err != nil {
		return nil, err
	}
	known := make(map[string]string, len(answer.Configs))
	for _, config := range answer.Configs {
		known[config.Name] = text(config.Value)
	}
	return known, nil
}

// describedTopics bounds how many topics are asked for before none of them will tell.
const describedTopics = 10

// describeAny describes the first topic that lets itself be described; internal ones
// come last, because they have many configs of their own.
func (c *Client) describeAny(ctx context.Context) (topicDefaults, error) {
	resp, err := metadata(ctx, c.kgo, metadataOfAll())
	if err != nil {
		return topicDefaults{}, err
	}
	var names, internal []string
	for _, topic := range resp.Topics {
		if topic.ErrorCode != 0 || topic.Topic == nil {
			continue
		}
		if topic.IsInternal {
			internal = append(internal, *topic.Topic)
		} else {
			names = append(names, *topic.Topic)
		}
	}
	names = append(names, internal...)
	err = coldstream.ErrUnknownTopic
	for _, name := range names[:min(len(names), describedTopics)] {
		var defaults topicDefaults
		if defaults, err = c.describeDefaults(ctx, name); err == nil {
			return defaults, nil
		}
	}
	return topicDefaults{}, err
}

// commonTopicConfigs are the configs, with Kafka's defaults, that every Kafka since 2.8
// knows.
func commonTopicConfigs() map[string]string {
	return map[string]string{
		"cleanup.policy":                          "delete",
		"compression.type":                        "producer",
		"delete.retention.ms":                     "86400000",
		"file.delete.delay.ms":                    "60000",
		"flush.messages":                          "9223372036854775807",
		"flush.ms":                                "9223372036854775807",
		"follower.replication.throttled.replicas": "",
		"index.interval.bytes":                    "4096",
		"leader.replication.throttled.replicas":   "",
		"max.compaction.lag.ms":                   "9223372036854775807",
		"max.message.bytes":                       "1048588",
		"message.timestamp.type":                  "CreateTime",
		"min.cleanable.dirty.ratio":               "0.5",
		"min.compaction.lag.ms":                   "0",
		"min.insync.replicas":                     "1",
		"preallocate":                             "false",
		"retention.bytes":                         "-1",
		"retention.ms":                            "604800000",
		"segment.bytes":                           "1073741824",
		"segment.index.bytes":                     "10485760",
		"segment.jitter.ms":                       "0",
		"segment.ms":                              "604800000",
		"unclean.leader.election.enable":          "false",
	}
}
