package kafka

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// configsPatience bounds the wait for brokers to show a change of configs. It is short:
// a broker may write a value in other words than it was given.
const configsPatience = 5 * time.Second

// AlterTopicConfigs implements [coldstream.TopicConfigurer]. It waits a few seconds for every
// broker to show the change, so that what is produced next meets the new configs.
func (c *Client) AlterTopicConfigs(ctx context.Context, topic string, change coldstream.ConfigChange) error {
	if len(change.Set) == 0 && len(change.Remove) == 0 {
		return nil
	}
	req := newAlterRequest(topic, change)
	if err := c.await(ctx, "new configs of topic "+topic, func(ctx context.Context) error { return c.alterOnce(ctx, req) }); err != nil {
		return fmt.Errorf("alter configs of topic %s: %w", topic, err)
	}
	return c.awaitConfigs(ctx, topic, change)
}

// CheckTopicConfigs implements [coldstream.TopicConfigurer]. That a topic is not there is an
// answer, and no reason to ask again.
func (c *Client) CheckTopicConfigs(ctx context.Context, topic string, change coldstream.ConfigChange) error {
	if len(change.Set) == 0 && len(change.Remove) == 0 {
		return nil
	}
	req := newAlterRequest(topic, change)
	req.ValidateOnly = true
	if err := c.patiently(ctx, func(ctx context.Context) error { return c.alterOnce(ctx, req) }); err != nil {
		return fmt.Errorf("check whether configs of topic %s can be changed: %w", topic, err)
	}
	return nil
}

func (c *Client) alterOnce(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest) error {
	resp, err := req.RequestWith(ctx, c.kgo)
	if err != nil && strings.Contains(err.Error(), tooOld) {
		return c.alterWhole(ctx, req)
	}
	if err != nil {
		return requestError(err)
	}
	if len(resp.Resources) != 1 {
		return fmt.Errorf("the answer is about %d topics", len(resp.Resources))
	}
	return c.lacksOnTopic(brokerError(resp.Resources[0].ErrorCode, resp.Resources[0].ErrorMessage), "AlterConfigs", req.Resources[0].ResourceName)
}

// requestLimit is the brokers' setting for the size of requests.
const requestLimit = "socket.request.max.bytes"

// RequestLimit implements [coldstream.TopicConfigurer].
func (c *Client) RequestLimit(ctx context.Context) (int64, error) {
	cluster, err := c.brokers(ctx)
	if err != nil {
		return 0, err
	}
	least := int64(math.MaxInt64)
	for _, broker := range cluster.Brokers {
		req := newDescribeBrokerRequest(broker.NodeID)
		req.Resources[0].ConfigNames = []string{requestLimit}
		// A broker that is away for long must not hold up a plan.
		patient, cancel := context.WithTimeout(ctx, min(defaultsPatience, c.patience()))
		settings, err := c.describeAt(patient, broker.NodeID, req)
		cancel()
		if err != nil {
			return 0, untemporary(err)
		}
		for _, s := range settings {
			if n, err := strconv.ParseInt(text(s.Value), 10, 64); err == nil && s.Name == requestLimit {
				least = min(least, n)
			}
		}
	}
	return least, nil
}

func newAlterRequest(topic string, change coldstream.ConfigChange) *kmsg.IncrementalAlterConfigsRequest {
	return newAlterConfigsRequest(kmsg.ConfigResourceTypeTopic, topic, change)
}

// newAlterConfigsRequest changes configs of one thing, and leaves its others alone.
func newAlterConfigsRequest(kind kmsg.ConfigResourceType, name string, change coldstream.ConfigChange) *kmsg.IncrementalAlterConfigsRequest {
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	for _, name := range slices.Sorted(maps.Keys(change.Set)) {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = name, kmsg.StringPtr(change.Set[name])
		config.Op = kmsg.IncrementalAlterConfigOpSet
		resource.Configs = append(resource.Configs, config)
	}
	for _, name := range change.Remove {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Op = name, kmsg.IncrementalAlterConfigOpDelete
		resource.Configs = append(resource.Configs, config)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, resource)
	return req
}

// awaitConfigs returns once every broker shows the change, or cannot be asked, or after
// configsPatience.
func (c *Client) awaitConfigs(ctx context.Context, topic string, change coldstream.ConfigChange) error {
	patient, cancel := context.WithTimeout(ctx, configsPatience)
	defer cancel()
	cluster, err := c.brokers(patient)
	if err != nil {
		return ctx.Err()
	}
	var waiting errgroup.Group
	for _, broker := range cluster.Brokers {
		waiting.Go(func() error {
			for wait := firstRetryWait / 4; !c.showsConfigs(patient, broker.NodeID, topic, change); wait *= 2 {
				if !pause(patient, wait) {
					break
				}
			}
			return nil
		})
	}
	_ = waiting.Wait() // there are no errors
	return ctx.Err()
}

// showsConfigs is true if the broker shows the change, and if it does not want to tell.
func (c *Client) showsConfigs(ctx context.Context, broker int32, topic string, change coldstream.ConfigChange) bool {
	answer, err := c.kgo.Broker(int(broker)).Request(ctx, newDescribeRequest(topic))
	if err != nil {
		return true
	}
	resp, ok := answer.(*kmsg.DescribeConfigsResponse)
	if !ok || len(resp.Resources) != 1 || resp.Resources[0].ErrorCode != 0 {
		return true
	}
	own := make(map[string]string)
	for _, config := range resp.Resources[0].Configs {
		if config.Source == kmsg.ConfigSourceDynamicTopicConfig && config.Value != nil {
			own[config.Name] = *config.Value
		}
	}
	for name, value := range change.Set {
		if shown, ok := own[name]; !ok || shown != value {
			return false
		}
	}
	return !slices.ContainsFunc(change.Remove, func(name string) bool {
		_, ok := own[name]
		return ok
	})
}

func newDescribeRequest(topic string) *kmsg.DescribeConfigsRequest {
	req := newDescribeConfigsRequest(kmsg.ConfigResourceTypeTopic, topic)
	req.IncludeSynonyms = true
	return req
}
