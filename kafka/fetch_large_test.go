package kafka

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream"
)

// patientSink gives a partition that waits time to ask again before the others go on.
type patientSink struct {
	bytes  map[int32]int
	failed []error
}

func (s *patientSink) Take(ctx context.Context, event coldstream.FetchEvent) error {
	switch e := event.(type) {
	case *coldstream.Fetched:
		s.bytes[e.Partition] += len(e.Batches)
		select {
		case <-time.After(fetchRetryWait + 20*time.Millisecond):
		case <-ctx.Done():
		}
	case *coldstream.PartitionFailed:
		s.failed = append(s.failed, e.Err)
	}
	return nil
}

// Brokers send a batch that is larger than what was asked for only of the first partition
// in a request; of the others they send nothing, as if there were nothing.
func TestFetchOfBatchesLargerThanWhatIsAskedFor(t *testing.T) {
	cluster := realCluster(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(6<<20), kgo.BrokerMaxWriteBytes(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	limit := "8388608"
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 2, 1, map[string]*string{"max.message.bytes": &limit}, "large-behind"); err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("x"), 5<<20)
	for i := range 6 { // the first partition goes on for longer than an empty answer is doubted
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "large-behind", Partition: int32(i / 5), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	source := connect(t, cluster.Addrs(), time.Minute)
	metadata, err := source.Metadata(t.Context(), []string{"large-behind"})
	if err != nil {
		t.Fatal(err)
	}
	position := func(partition int32, stop int64) coldstream.FetchPosition {
		return coldstream.FetchPosition{
			TopicPartition: coldstream.TopicPartition{Topic: "large-behind", Partition: partition},
			TopicID:        metadata.Topics[0].ID, StopOffset: stop,
		}
	}
	sink := &patientSink{bytes: map[int32]int{}}
	// The one in the middle has nothing to read; it puts the other two on one connection.
	plan := []coldstream.FetchPosition{position(0, 5), {TopicPartition: coldstream.TopicPartition{Topic: "large-behind", Partition: 9}}, position(1, 1)}
	if err := source.Fetch(t.Context(), plan, sink); err != nil {
		t.Fatal(err)
	}
	if len(sink.failed) > 0 || sink.bytes[0] < 25<<20 || sink.bytes[1] < 5<<20 {
		t.Errorf("read %v, failed %v", sink.bytes, sink.failed)
	}
}
