// Package embedded hides that a Kafka-compatible broker can run inside this process:
// the cluster of the demo command and of tests that need no real broker. It listens on
// the loopback interface only, keeps one copy of everything in memory, and answers
// within milliseconds of its start. It is lenient where Apache Kafka is strict, so it
// never proves that a real broker accepts something.
package embedded

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Options says what cluster to start. The zero value is one broker without topics.
type Options struct {
	// Brokers is the number of brokers; 0 means 1.
	Brokers int
	// ClusterID is what the brokers call their cluster; empty means a random one.
	ClusterID string
	// Topics are created before Start returns.
	Topics []Topic
	// DataDir is a folder that keeps the cluster's data across a Close and a later
	// Start; empty means memory only. Topics that it holds already are left alone.
	DataDir string
}

// Topic is a topic to create.
type Topic struct {
	Name       string
	Partitions int32 // 0 means 1
	Configs    map[string]string
}

// Cluster is a running embedded cluster.
type Cluster struct {
	fake *kfake.Cluster
}

// Start starts a cluster. It serves until [Cluster.Close].
func Start(opts Options) (*Cluster, error) {
	id := opts.ClusterID
	if id == "" {
		id = randomClusterID()
	}
	settings := []kfake.Opt{kfake.NumBrokers(max(opts.Brokers, 1)), kfake.ClusterID(id)}
	if opts.DataDir != "" {
		settings = append(settings, kfake.DataDir(opts.DataDir))
	}
	fake, err := kfake.NewCluster(settings...)
	if err != nil {
		return nil, fmt.Errorf("start embedded cluster: %w", err)
	}
	c := &Cluster{fake: fake}
	for _, topic := range opts.Topics {
		if err := c.createTopic(topic); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

func (c *Cluster) createTopic(topic Topic) error {
	if c.fake.LeaderFor(topic.Name, 0) >= 0 { // kept from an earlier run
		return nil
	}
	if err := c.fake.CreateTopic(topic.Name, max(topic.Partitions, 1), topic.Configs); err != nil {
		return fmt.Errorf("create topic %s in embedded cluster: %w", topic.Name, err)
	}
	return nil
}

// Addrs returns the host:port of each broker, as for --bootstrap-server.
func (c *Cluster) Addrs() []string { return c.fake.ListenAddrs() }

// Compact cleans all topics with cleanup.policy=compact at once, but for the newest batch of
// each partition. By itself the cluster does it every hour.
func (c *Cluster) Compact() { c.fake.Compact() }

// Close ends all connections and, with a DataDir, writes what is in memory. Calling it
// again does nothing.
func (c *Cluster) Close() { c.fake.Close() }

// randomClusterID makes an ID as Kafka does: 16 bytes as base64url.
func randomClusterID() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
