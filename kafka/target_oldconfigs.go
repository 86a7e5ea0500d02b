package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// alterWhole changes configs of a topic on brokers that cannot change single ones (before
// Kafka 2.3): all that the topic is to carry itself is sent, with the changes made. Somebody
// else's change between our question and our answer is lost, which these brokers cannot
// prevent.
func (c *Client) alterWhole(ctx context.Context, change *kmsg.IncrementalAlterConfigsRequest) error {
	topic := change.Resources[0].ResourceName
	described, err := newDescribeRequest(topic).RequestWith(ctx, c.kgo)
	if err != nil {
		return requestError(err)
	}
	if len(described.Resources) != 1 {
		return fmt.Errorf("the answer is about %d topics", len(described.Resources))
	}
	err = brokerError(described.Resources[0].ErrorCode, described.Resources[0].ErrorMessage)
	if err != nil && !errors.Is(err, coldstream.ErrUnknownTopic) { // of a topic that is not there, only the check is asked for
		return c.lacksOnTopic(err, "DescribeConfigs", topic)
	}
	own := map[string]*string{}
	for _, config := range described.Resources[0].Configs {
		if config.Source == kmsg.ConfigSourceDynamicTopicConfig {
			own[config.Name] = config.Value
		}
	}
	for _, config := range change.Resources[0].Configs {
		delete(own, config.Name)
		if config.Op == kmsg.IncrementalAlterConfigOpSet {
			own[config.Name] = config.Value
		}
	}
	resource := kmsg.NewAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	for _, name := range slices.Sorted(maps.Keys(own)) {
		config := kmsg.NewAlterConfigsRequestResourceConfig()
		config.Name, config.Value = name, own[name]
		resource.Configs = append(resource.Configs, config)
	}
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Resources, req.ValidateOnly = append(req.Resources, resource), change.ValidateOnly
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil {
		return requestError(err)
	}
	if len(resp.Resources) != 1 {
		return fmt.Errorf("the answer is about %d topics", len(resp.Resources))
	}
	return c.lacksOnTopic(brokerError(resp.Resources[0].ErrorCode, resp.Resources[0].ErrorMessage), "AlterConfigs", topic)
}
