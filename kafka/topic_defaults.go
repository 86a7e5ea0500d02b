package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"coldstream"
)

const (
	// defaultsPatience bounds the wait for one broker: what the others tell is worth having.
	defaultsPatience = 10 * time.Second
	brokersAtOnce    = 16
)

// TopicDefaults implements [coldstream.ConfigReader]. A broker's answer about any topic
// tells its own settings as synonyms of the topic's configs. Where no topic can be described,
// the brokers describe themselves, which takes a right on the cluster.
func (c *Client) TopicDefaults(ctx context.Context, topics []string) (*coldstream.TopicDefaults, error) {
	var cluster *kmsg.MetadataResponse
	err := c.patiently(ctx, func(ctx context.Context) (err error) {
		cluster, err = c.brokers(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	topics = topics[:min(len(topics), describedTopics)]
	var mu sync.Mutex
	answers := map[int32]map[string]coldstream.Config{}
	defaults := &coldstream.TopicDefaults{}
	var asking errgroup.Group
	asking.SetLimit(brokersAtOnce)
	for _, broker := range cluster.Brokers {
		asking.Go(func() error {
			answer, err := c.defaultsOf(ctx, broker.NodeID, topics)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				defaults.Unanswered = append(defaults.Unanswered, coldstream.UnansweredBroker{ID: broker.NodeID, Err: untemporary(err)})
				return nil
			}
			answers[broker.NodeID] = answer
			return nil
		})
	}
	_ = asking.Wait() // there are no errors
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(defaults.Unanswered, func(a, b coldstream.UnansweredBroker) int { return cmp.Compare(a.ID, b.ID) })
	if len(answers) == 0 {
		err := errors.New("the cluster names no brokers")
		if len(defaults.Unanswered) > 0 {
			err = defaults.Unanswered[0].Err
		}
		return nil, fmt.Errorf("ask the brokers for the defaults of topics: %w", err)
	}
	defaults.Configs = mergeDefaults(answers)
	return defaults, nil
}

// mergeDefaults joins what brokers have alike.
func mergeDefaults(answers map[int32]map[string]coldstream.Config) []coldstream.DefaultConfig {
	holders := map[coldstream.Config][]int32{}
	for broker, answer := range answers {
		for _, config := range answer {
			holders[config] = append(holders[config], broker)
		}
	}
	out := make([]coldstream.DefaultConfig, 0, len(holders))
	for config, brokers := range holders {
		slices.Sort(brokers)
		if len(brokers) == len(answers) {
			brokers = nil
		}
		out = append(out, coldstream.DefaultConfig{Config: config, Brokers: brokers})
	}
	slices.SortFunc(out, func(a, b coldstream.DefaultConfig) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Source, b.Source), slices.Compare(a.Brokers, b.Brokers))
	})
	return out
}

// defaultsOf asks one broker.
func (c *Client) defaultsOf(ctx context.Context, broker int32, topics []string) (map[string]coldstream.Config, error) {
	patient, cancel := context.WithTimeout(ctx, min(defaultsPatience, c.patience()))
	defer cancel()
	var answer map[string]coldstream.Config
	err := untilAnswered(patient, func(ctx context.Context) (err error) {
		answer, err = c.askDefaults(ctx, broker, topics)
		return err
	})
	return answer, err
}

// askDefaults asks about topics until one of them tells all, and then for the broker's own
// settings: they tell what a topic's own config hides, and from where it really comes.
func (c *Client) askDefaults(ctx context.Context, broker int32, topics []string) (map[string]coldstream.Config, error) {
	out, refused := map[string]coldstream.Config{}, error(nil)
	for _, topic := range topics {
		described, err := c.describeAt(ctx, broker, newDescribeRequest(topic))
		if errors.Is(err, errTemporary) {
			return nil, err
		}
		if refused = cmp.Or(refused, err); err == nil && takeDefaults(out, described) {
			break
		}
	}
	settings, err := c.describeAt(ctx, broker, newDescribeBrokerRequest(broker))
	if errors.Is(err, errTemporary) || err != nil && len(out) == 0 {
		return nil, cmp.Or(refused, err)
	}
	for name, config := range fromSettings(settings) {
		// For retention.ms a broker says "default" whatever its hours are set to.
		if told, ok := out[name]; !ok || told.Value == config.Value {
			out[name] = config
		}
	}
	return out, nil
}

// takeDefaults adds what a topic's configs tell, and says whether they tell all.
func takeDefaults(out map[string]coldstream.Config, described []kmsg.DescribeConfigsResponseResourceConfig) bool {
	all := true
	for _, entry := range described {
		config, ok := defaultConfig(entry)
		if all = all && ok; ok {
			out[config.Name] = config
		}
	}
	return all
}

// describeAt asks one broker for the configs of one thing.
func (c *Client) describeAt(ctx context.Context, broker int32, req *kmsg.DescribeConfigsRequest) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	answer, err := c.kgo.Broker(int(broker)).Request(ctx, req)
	if err != nil {
		return nil, requestError(err)
	}
	resp, ok := answer.(*kmsg.DescribeConfigsResponse)
	if !ok || len(resp.Resources) != 1 {
		return nil, fmt.Errorf("broker %d answered with a %T of other things", broker, answer)
	}
	if err := brokerError(resp.Resources[0].ErrorCode, resp.Resources[0].ErrorMessage); err != nil {
		return nil, fmt.Errorf("broker %d: describe configs of %s: %w", broker, req.Resources[0].ResourceName, err)
	}
	return resp.Resources[0].Configs, nil
}

func newDescribeBrokerRequest(broker int32) *kmsg.DescribeConfigsRequest {
	return newDescribeConfigsRequest(kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(broker)))
}

// newDescribeConfigsRequest asks for the configs of one thing.
func newDescribeConfigsRequest(kind kmsg.ConfigResourceType, name string) *kmsg.DescribeConfigsRequest {
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = append(req.Resources, resource)
	return req
}

// defaultConfig is a config of a topic as it would be without the topic's own. A broker
// lists it as a synonym, where it has a setting of its own for it.
func defaultConfig(entry kmsg.DescribeConfigsResponseResourceConfig) (coldstream.Config, bool) {
	config := coldstream.Config{Name: entry.Name, Value: text(entry.Value), Source: entry.Source.String(), Sensitive: entry.IsSensitive}
	if entry.Source != kmsg.ConfigSourceDynamicTopicConfig {
		return config, true
	}
	for _, synonym := range entry.ConfigSynonyms {
		if synonym.Source != kmsg.ConfigSourceDynamicTopicConfig {
			config.Source = synonym.Source.String()
			config.Value = inMilliseconds(synonym.Name, text(synonym.Value))
			return config, true
		}
	}
	return config, false
}

// inMilliseconds converts settings of hours and minutes: topics have milliseconds only.
// What is below zero is without limit.
func inMilliseconds(setting, value string) string {
	var unit int64
	switch {
	case strings.HasSuffix(setting, ".hours"):
		unit = time.Hour.Milliseconds()
	case strings.HasSuffix(setting, ".minutes"):
		unit = time.Minute.Milliseconds()
	default:
		return value
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return value
	}
	return strconv.FormatInt(max(-1, n*unit), 10)
}

// settingsOf are the brokers' settings for configs of topics, the one that wins first.
func settingsOf() map[string][]string {
	return map[string][]string{
		"cleanup.policy":                      {"log.cleanup.policy"},
		"compression.type":                    {"compression.type"},
		"delete.retention.ms":                 {"log.cleaner.delete.retention.ms"},
		"max.compaction.lag.ms":               {"log.cleaner.max.compaction.lag.ms"},
		"max.message.bytes":                   {"message.max.bytes"},
		"message.timestamp.after.max.ms":      {"log.message.timestamp.after.max.ms"},
		"message.timestamp.before.max.ms":     {"log.message.timestamp.before.max.ms"},
		"message.timestamp.difference.max.ms": {"log.message.timestamp.difference.max.ms"},
		"message.timestamp.type":              {"log.message.timestamp.type"},
		"min.compaction.lag.ms":               {"log.cleaner.min.compaction.lag.ms"},
		"min.insync.replicas":                 {"min.insync.replicas"},
		"retention.bytes":                     {"log.retention.bytes"},
		"retention.ms":                        {"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
		"segment.bytes":                       {"log.segment.bytes"},
		"segment.ms":                          {"log.roll.ms", "log.roll.hours"},
		"unclean.leader.election.enable":      {"unclean.leader.election.enable"},
	}
}

// fromSettings reads the defaults of topics from a broker's own settings.
func fromSettings(settings []kmsg.DescribeConfigsResponseResourceConfig) map[string]coldstream.Config {
	byName := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, s := range settings {
		byName[s.Name] = s
	}
	out := map[string]coldstream.Config{}
	for name, candidates := range settingsOf() {
		for _, setting := range candidates {
			if s, ok := byName[setting]; ok && s.Value != nil {
				out[name] = coldstream.Config{Name: name, Value: inMilliseconds(setting, *s.Value), Source: s.Source.String(), Sensitive: s.IsSensitive}
				break
			}
		}
	}
	return out
}
