package kafka

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is a cluster of brokers under test, with a client.
type cluster struct {
	*Client
	addrs []string
	fake  *kfake.Cluster // nil if the brokers are real
	wire  *wire          // of fake
}

// onEach runs a test against an embedded cluster and against a real broker.
func onEach(t *testing.T, test func(t *testing.T, c *cluster)) {
	t.Run("embedded", func(t *testing.T) { test(t, startFake(t)) })
	t.Run("Kafka", func(t *testing.T) { test(t, startReal(t)) })
}

// startReal connects to the real broker that all tests of the package share.
func startReal(t *testing.T) *cluster {
	t.Helper()
	addrs := realCluster(t).Addrs()
	return &cluster{Client: connect(t, addrs, time.Minute), addrs: addrs}
}

// startFake starts an embedded cluster of three brokers.
func startFake(t *testing.T, opts ...kfake.Opt) *cluster {
	t.Helper()
	w := newWire()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.ListenFn(w.listen)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	addrs := fake.ListenAddrs()
	return &cluster{Client: connect(t, addrs, time.Minute), addrs: addrs, fake: fake, wire: w}
}

func connect(t *testing.T, brokers []string, patience time.Duration) *Client {
	t.Helper()
	c, err := Connect(t.Context(), Config{Bootstrap: brokers, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// impatient returns a client of the same cluster that soon gives up.
func (c *cluster) impatient(t *testing.T) *Client {
	t.Helper()
	return connect(t, c.addrs, 2*time.Second) // a busy machine takes a while to dial
}

// create creates a topic with a name of its own and returns its name and ID.
func (c *cluster) create(t *testing.T, partitions int32, configs ...string) (string, coldstream.TopicID) {
	t.Helper()
	topic := coldstream.NewTopic{
		Name:              "t-" + strings.ToLower(rand.Text()[:8]),
		Partitions:        partitions,
		ReplicationFactor: 1,
		Configs:           make(map[string]string),
	}
	for i := 0; i < len(configs); i += 2 {
		topic.Configs[configs[i]] = configs[i+1]
	}
	if err := c.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	return topic.Name, c.topicID(t, topic.Name)
}

func (c *cluster) topicID(t *testing.T, name string) coldstream.TopicID {
	t.Helper()
	described, err := c.describe(t.Context(), []string{name})
	if err != nil || described.Topics[0].Err != nil {
		t.Fatal(err, described)
	}
	return described.Topics[0].ID
}

func (c *cluster) delete(t *testing.T, name string) {
	t.Helper()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Topics, req.TopicNames = append(req.Topics, topic), []string{name}
	req.TimeoutMillis = 10000
	resp, err := req.RequestWith(t.Context(), c.kgo)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatal(err, resp)
	}
}

// logEnds returns the log start offset and the high watermark of a partition.
func (c *cluster) logEnds(t *testing.T, tp coldstream.TopicPartition) [2]int64 {
	t.Helper()
	ends, err := c.LogOffsets(t.Context(), []coldstream.TopicPartition{tp})
	if err != nil || ends[tp].Err != nil {
		t.Fatal(err, ends)
	}
	return [2]int64{ends[tp].LogStartOffset, ends[tp].HighWatermark}
}

func (c *cluster) producer(t *testing.T) coldstream.ProducerIdentity {
	t.Helper()
	producer, err := c.InitProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return producer
}

// partitionsOf names the first n partitions of a topic.
func partitionsOf(topic string, n int32) []coldstream.TopicPartition {
	tps := make([]coldstream.TopicPartition, n)
	for i := range tps {
		tps[i] = coldstream.TopicPartition{Topic: topic, Partition: int32(i)}
	}
	return tps
}

// testBatch says what batch to build: records with the given values and no key.
type testBatch struct {
	producer   coldstream.ProducerIdentity
	sequence   int32
	attributes int16
	timestamp  time.Time
	values     []string
}

// build encodes the batch as a producer does.
func (b testBatch) build() []byte {
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1,
		Magic:                2,
		Attributes:           b.attributes,
		LastOffsetDelta:      int32(len(b.values) - 1),
		FirstTimestamp:       b.timestamp.UnixMilli(),
		MaxTimestamp:         b.timestamp.UnixMilli(),
		ProducerID:           b.producer.ID,
		ProducerEpoch:        b.producer.Epoch,
		FirstSequence:        b.sequence,
		NumRecords:           int32(len(b.values)),
	}
	for i, value := range b.values {
		record := kmsg.Record{OffsetDelta: int32(i), Value: []byte(value)}
		body := record.AppendTo(nil)[1:] // without the length, which is one byte while it is 0
		batch.Records = binary.AppendVarint(batch.Records, int64(len(body)))
		batch.Records = append(batch.Records, body...)
	}
	const lengthAndBefore, crcAndBefore = 12, 21
	batch.Length = int32(len(batch.AppendTo(nil)) - lengthAndBefore)
	encoded := batch.AppendTo(nil)
	crc := crc32.Checksum(encoded[crcAndBefore:], crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(encoded[crcAndBefore-4:], crc)
	return encoded
}

// batchOf builds a batch of n small records.
func batchOf(producer coldstream.ProducerIdentity, sequence int32, n int) []byte {
	b := testBatch{producer: producer, sequence: sequence, timestamp: time.Now()}
	for i := range n {
		b.values = append(b.values, fmt.Sprint("value ", i))
	}
	return b.build()
}

// produceOne produces one batch on lane 0.
func produceOne(ctx context.Context, c *Client, tp coldstream.TopicPartition, id coldstream.TopicID, batch []byte) coldstream.ProduceResult {
	return c.Produce(ctx, 0, []coldstream.ProduceBatch{{TopicPartition: tp, TopicID: id, Batch: batch}})[0]
}
