package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kadm"

	"coldstream"
)

// LogSizes asks the brokers how many bytes the logs of topics take, one replica of each
// partition. Partitions that no broker tells of are not in the answer: who asks lacks the right
// for it (Describe on the cluster), or a broker is away.
func (c *Client) LogSizes(ctx context.Context, topics []coldstream.Topic) (map[coldstream.TopicPartition]int64, error) {
	set := kadm.TopicsSet{}
	for i := range topics {
		for _, p := range topics[i].Partitions {
			set.Add(topics[i].Name, p.ID)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	dirs, err := c.adm.DescribeAllLogDirs(ctx, set)
	out := map[coldstream.TopicPartition]int64{}
	dirs.Each(func(d kadm.DescribedLogDir) {
		for topic, partitions := range d.Topics {
			for partition, p := range partitions {
				if tp := (coldstream.TopicPartition{Topic: topic, Partition: partition}); !p.IsFuture {
					out[tp] = max(out[tp], p.Size)
				}
			}
		}
	})
	if len(out) > 0 || err == nil {
		return out, nil
	}
	return nil, requestError(err)
}
