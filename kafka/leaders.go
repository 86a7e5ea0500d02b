package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// leadersMaxAge bounds how long a lane sends by metadata it has seen: so long a topic
// made again under the same name may go unnoticed on brokers that take no topic IDs
// with a produce request.
const leadersMaxAge = 5 * time.Second

// leaderTable is what one client has seen of topics and the leaders of their
// partitions. It is used by one goroutine at a time.
type leaderTable struct {
	client *kgo.Client
	topics map[string]seenTopic
}

func newLeaderTable(client *kgo.Client) *leaderTable {
	return &leaderTable{client: client, topics: make(map[string]seenTopic)}
}

// seenTopic is what an answer said of a topic, and when.
type seenTopic struct {
	coldstream.Topic
	at time.Time
}

// forget makes the next learn ask again.
func (l *leaderTable) forget() { clear(l.topics) }

// learn asks for metadata of those topics of which it is missing or old. The request
// also tells the client where the brokers are now.
func (l *leaderTable) learn(ctx context.Context, topics []string) error {
	now := time.Now()
	topics = slices.DeleteFunc(slices.Clone(topics), func(name string) bool {
		known, ok := l.topics[name]
		return ok && now.Sub(known.at) < leadersMaxAge
	})
	if len(topics) == 0 {
		return nil
	}
	resp, err := metadata(ctx, l.client, metadataOf(topics...))
	if err != nil {
		return fmt.Errorf("ask for the leaders: %w", err)
	}
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.Topic != nil {
			l.topics[*t.Topic] = seenTopic{topicOf(t), now}
		}
	}
	return nil
}

// leader returns the broker that leads the partition. The error is temporary where
// waiting may help.
func (l *leaderTable) leader(tp coldstream.TopicPartition) (int32, error) {
	var topic *coldstream.Topic
	if seen, ok := l.topics[tp.Topic]; ok {
		topic = &seen.Topic
	}
	leader := leaderIn(topic, tp)
	return leader.id, expected(leader.err)
}

// sameTopic refuses a batch that is meant for another incarnation of the topic. The
// error is temporary, because a broker that lags behind may still show the one before.
func (l *leaderTable) sameTopic(batch coldstream.ProduceBatch) error {
	id := l.topics[batch.Topic].ID
	if id.IsZero() || batch.TopicID.IsZero() || id == batch.TopicID {
		return nil
	}
	return temporary(fmt.Errorf("topic was deleted and made again, its ID is %s and not %s: %w",
		id, batch.TopicID, coldstream.ErrUnknownTopic))
}

// topicID returns the ID to send with a batch: a caller that does not know it writes to
// whatever has the name.
func (l *leaderTable) topicID(batch coldstream.ProduceBatch) [16]byte {
	if batch.TopicID.IsZero() {
		return l.topics[batch.Topic].ID
	}
	return batch.TopicID
}

var errNoLeader = errors.New("the partition has no leader")

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
	err := c.await(ctx, "the leaders of the partitions", func(ctx context.Context) error {
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
		none.err = temporary(errNotInAnswer)
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
