package coldstream

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cluster is what the brokers say of themselves and of their topics at one moment.
type Cluster struct {
	ID           string
	ControllerID int32
	Brokers      []Broker
	Topics       []Topic // sorted by name
}

// Broker is one node of the cluster.
type Broker struct {
	ID   int32
	Host string
	Port int32
	Rack string
}

// Topic is one incarnation of a topic with its configuration.
type Topic struct {
	Name string
	ID   TopicID
	// Internal is what the broker's Metadata answer says.
	Internal   bool
	Partitions []Partition // sorted by ID, without holes
	// Configs are those the topic itself carries (source DYNAMIC_TOPIC_CONFIG), sorted
	// by name; defaults are not among them.
	Configs []Config
	// CleanupPolicy is the effective cleanup.policy, wherever it is set; empty where
	// ConfigsErr is set.
	CleanupPolicy string
	// DeleteRetention is the effective delete.retention.ms: how long a cleaner keeps
	// tombstones. It is 0 where the broker does not say.
	DeleteRetention time.Duration
	// Retention and RetentionBytes are the effective retention.ms and retention.bytes, beyond
	// which a cleaner with the policy delete deletes the oldest records. 0 is no bound, or one
	// that the broker does not say.
	Retention      time.Duration
	RetentionBytes int64
	// Err is set when the broker refused to describe the topic: [ErrDenied],
	// [ErrUnknownTopic] or what else it said. ConfigsErr likewise for its configs.
	Err        error
	ConfigsErr error
}

// Config returns the value of a config that the topic carries itself.
func (t *Topic) Config(name string) (string, bool) {
	for _, c := range t.Configs {
		if c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

// HasPolicy says whether a value of the config cleanup.policy, a list with commas, names
// the policy.
func HasPolicy(value, policy string) bool {
	for name := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(name) == policy {
			return true
		}
	}
	return false
}

// Partition is one partition of a topic.
type Partition struct {
	ID          int32
	Leader      int32 // -1 while there is none
	LeaderEpoch int32 // -1 where the broker gives none
	Replicas    []int32
}

// Config is one configuration entry.
type Config struct {
	Name  string
	Value string
	// Source is Kafka's name of where the value comes from, as DYNAMIC_TOPIC_CONFIG.
	Source string
	// Sensitive values are never returned by a broker; Value is then empty.
	Sensitive bool
}

// TopicDefaults are the configs of topics that carry none of their own. A broker knows only
// its own settings, so each of them is asked.
type TopicDefaults struct {
	Configs []DefaultConfig // sorted by name, value and source
	// Unanswered are the brokers that did not tell, sorted.
	Unanswered []UnansweredBroker
}

// DefaultConfig is a config as some brokers have it.
type DefaultConfig struct {
	Config
	// Brokers have it so, sorted; it is empty where all that answered do.
	Brokers []int32
}

// UnansweredBroker is one that was asked for its defaults and did not tell.
type UnansweredBroker struct {
	ID  int32
	Err error
}

// Of returns the values of a config, one if brokers agree, none if it is not known.
func (d *TopicDefaults) Of(name string) []DefaultConfig {
	if d == nil {
		return nil
	}
	first, _ := slices.BinarySearchFunc(d.Configs, name, func(c DefaultConfig, name string) int { return strings.Compare(c.Name, name) })
	next := first
	for next < len(d.Configs) && d.Configs[next].Name == name {
		next++
	}
	return d.Configs[first:next]
}

// Group is a consumer group with its committed offsets.
type Group struct {
	Name         string
	Type         string // classic, consumer, share, streams; "" where the broker does not say
	State        string // as Kafka names it: Empty, Stable, …
	ProtocolType string
	// Offsets are sorted by topic and partition. Those of a share group are where it starts: it is done
	// with all records before.
	Offsets []GroupOffset
	// Err is set when the group's coordinator did not answer or refused: the group is
	// then recorded as missing, never as a group without offsets. It wraps
	// [ErrNotOffered] where the brokers do not tell offsets of such groups.
	Err error
}

// IsShare says that it is a share group. Brokers before Kafka 3.8 give no type, and have none.
func (g *Group) IsShare() bool { return strings.EqualFold(g.Type, "share") }

// Groups are all consumer groups of a cluster, as far as it told of them.
type Groups struct {
	List []Group // sorted by name
	// Missing says which groups the list may lack. A group that is in the list, and whose
	// offsets are not known, is not among them: its Err says so.
	Missing []MissingGroups
}

// MissingGroups says which groups are not known: one by its name, or all whose offsets are in
// one partition of __consumer_offsets. Where it has neither, any group may be missing.
type MissingGroups struct {
	Group                *string
	CoordinatorPartition *int32
	// Err says why. It wraps [ErrDenied] where a right is missing.
	Err error
}

func (m *MissingGroups) String() string {
	switch {
	case m.Group != nil:
		return fmt.Sprintf("consumer group %q: %v", *m.Group, m.Err)
	case m.CoordinatorPartition != nil:
		return fmt.Sprintf("all consumer groups of partition %d of %s: %v", *m.CoordinatorPartition, OffsetsTopic, m.Err)
	}
	return fmt.Sprintf("consumer groups: %v", m.Err)
}

// MissingGroupsTexts tells people what is missing, partitions with one reason together.
func MissingGroupsTexts(missing []MissingGroups) []string {
	var out []string
	byReason := map[string][]string{}
	for i := range missing {
		if p := missing[i].CoordinatorPartition; p != nil {
			reason := missing[i].Err.Error()
			byReason[reason] = append(byReason[reason], strconv.Itoa(int(*p)))
		}
	}
	for i := range missing {
		partitions := byReason[missing[i].Err.Error()]
		switch {
		case missing[i].CoordinatorPartition == nil || len(partitions) == 1:
			out = append(out, missing[i].String())
		case len(partitions) > 1:
			out = append(out, fmt.Sprintf("all consumer groups of partitions %s of %s: %v", strings.Join(partitions, ", "), OffsetsTopic, missing[i].Err))
			delete(byReason, missing[i].Err.Error())
		}
	}
	return out
}

// OffsetsTopic is where brokers keep the offsets of consumer groups.
const OffsetsTopic = "__consumer_offsets"

// GroupOffset is the position a group committed in one partition: the offset of the
// next record to read.
type GroupOffset struct {
	TopicPartition
	Offset      int64
	LeaderEpoch int32 // -1 where there is none
	Metadata    string
}

// LogOffsets are the ends of one partition's log.
type LogOffsets struct {
	LogStartOffset int64
	// HighWatermark is the offset after the last record that consumers may see.
	HighWatermark int64
	// Err is set when the partition has no answer for these offsets.
	Err error
}

// ClusterReader answers questions about a cluster. All methods wait for brokers that
// are away for as long as the implementation's patience says, and are safe for use by
// several goroutines.
type ClusterReader interface {
	// Metadata describes the named topics, or all topics if names is nil: their IDs and
	// partitions, and not their configs. A topic that is not there is returned with Err
	// wrapping [ErrUnknownTopic].
	Metadata(ctx context.Context, names []string) (*Cluster, error)
	// LogOffsets returns an entry for each partition asked for.
	LogOffsets(ctx context.Context, partitions []TopicPartition) (map[TopicPartition]LogOffsets, error)
	// Groups lists all consumer groups with all their committed offsets, and says what the
	// list may lack.
	Groups(ctx context.Context) (*Groups, error)
	ConfigReader
	// Close ends all connections.
	Close()
}

// ConfigReader asks for what is set of topics, which takes brokers longer than to name them.
type ConfigReader interface {
	// TopicConfigs fills in what topics carry themselves, where they have no Err. That it
	// cannot be told of one is the topic's ConfigsErr.
	TopicConfigs(ctx context.Context, topics []Topic) error
	// TopicDefaults asks every broker what topics have that carry no configs of their own.
	// The topics, any that are there, are those to ask about. It is an error if no broker
	// tells.
	TopicDefaults(ctx context.Context, topics []string) (*TopicDefaults, error)
}
