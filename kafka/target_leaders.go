package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// leadersMaxAge bounds how long a lane sends by metadata it has seen: so long a topic
// made again under the same name may go unnoticed on brokers that take no topic IDs
// with a produce request.
const leadersMaxAge = 5 * time.Second

// leaderTable is what one client has seen of topics and the leaders of their
// partitions. It is used by one goroutine at a time.
type leaderTable struct {
	client *kgo.Client
	topics map[string]topicLeaders
}

func newLeaderTable(client *kgo.Client) *leaderTable {
	return &leaderTable{client: client, topics: make(map[string]topicLeaders)}
}

// topicLeaders is the metadata of a topic as far as requests to leaders need it.
type topicLeaders struct {
	id      coldstream.TopicID
	err     error
	leaders map[int32]int32 // by partition; -1 while there is none
	seen    time.Time
}

// forget makes the next learn ask again.
func (l *leaderTable) forget() { clear(l.topics) }

// learn asks for metadata of those topics of which it is missing or old. The request
// also tells the client where the brokers are now.
func (l *leaderTable) learn(ctx context.Context, topics []string) error {
	now := time.Now()
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		if known, ok := l.topics[name]; ok && now.Sub(known.seen) < leadersMaxAge {
			continue
		}
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
	}
	if len(req.Topics) == 0 {
		return nil
	}
	resp, err := req.RequestWith(ctx, l.client)
	if err != nil {
		return fmt.Errorf("ask for the leaders: %w", requestError(err))
	}
	for _, topic := range resp.Topics {
		if topic.Topic != nil {
			l.topics[*topic.Topic] = newTopicLeaders(topic, now)
		}
	}
	return nil
}

func newTopicLeaders(topic kmsg.MetadataResponseTopic, now time.Time) topicLeaders {
	known := topicLeaders{
		id:      topic.TopicID,
		err:     expected(brokerError(topic.ErrorCode, nil)),
		leaders: make(map[int32]int32, len(topic.Partitions)),
		seen:    now,
	}
	for _, partition := range topic.Partitions {
		known.leaders[partition.Partition] = partition.Leader
	}
	return known
}

var errNoLeader = errors.New("the partition has no leader")

// leader returns the broker that leads the partition. The error is temporary where
// waiting may help.
func (l *leaderTable) leader(tp coldstream.TopicPartition) (int32, error) {
	topic, ok := l.topics[tp.Topic]
	if !ok {
		return -1, temporary(errors.New("the brokers' metadata does not mention the topic"))
	}
	if topic.err != nil {
		return -1, topic.err
	}
	leader, ok := topic.leaders[tp.Partition]
	if !ok {
		return -1, temporary(fmt.Errorf("topic has %d partitions: %w", len(topic.leaders), coldstream.ErrUnknownTopic))
	}
	if leader < 0 {
		return -1, temporary(errNoLeader)
	}
	return leader, nil
}

// sameTopic refuses a batch that is meant for another incarnation of the topic. The
// error is temporary, because a broker that lags behind may still show the one before.
func (l *leaderTable) sameTopic(batch coldstream.ProduceBatch) error {
	id := l.topics[batch.Topic].id
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
		return l.topics[batch.Topic].id
	}
	return batch.TopicID
}
