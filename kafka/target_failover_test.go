package kafka

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coldstream"
	"coldstream/kafka/kafkatest"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// steadyProducer produces ten records to each of its partitions, again and again.
type steadyProducer struct {
	lane     int
	tps      []coldstream.TopicPartition
	id       coldstream.TopicID
	producer coldstream.ProducerIdentity
	calls    atomic.Int64
}

// run produces until ctx ends. Every answer must be the offset that follows from what
// was produced before: nothing is lost, and nothing comes twice.
func (p *steadyProducer) run(ctx context.Context, t *testing.T, c *cluster) {
	for ; ctx.Err() == nil; p.calls.Add(1) {
		first := 10 * p.calls.Load()
		var batches []coldstream.ProduceBatch
		for _, tp := range p.tps {
			batches = append(batches, coldstream.ProduceBatch{
				TopicPartition: tp, TopicID: p.id, Batch: batchOf(p.producer, int32(first), 10),
			})
		}
		for _, result := range c.Produce(t.Context(), p.lane, batches) { // not ctx: the last call is finished
			if result.Err != nil || result.BaseOffset != first {
				t.Errorf("lane %d: got %+v, want base offset %d", p.lane, result, first)
				return
			}
		}
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// awaitCalls waits until each producer has made n more calls.
func awaitCalls(t *testing.T, producers []*steadyProducer, n int64) {
	t.Helper()
	for _, p := range producers {
		enough := p.calls.Load() + n
		await(t, "all producers go on", func() bool { return t.Failed() || p.calls.Load() >= enough })
	}
	if t.Failed() {
		t.FailNow()
	}
}

// inSync is true if each partition of a topic has n replicas in sync.
func (c *cluster) inSync(t *testing.T, topic string, n int) bool {
	t.Helper()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = append(req.Topics, asked)
	resp, err := req.RequestWith(t.Context(), c.kgo)
	if err != nil {
		return false
	}
	for _, partition := range resp.Topics[0].Partitions {
		if len(partition.ISR) < n {
			return false
		}
	}
	return true
}

func TestRealClusterLosesAndRepeatsNothingWhileBrokersDie(t *testing.T) {
	if testing.Short() {
		t.Skip("needs three real brokers: run without -short")
	}
	const lanes, partitionsPerLane, nodes = 2, 3, 3
	brokers := kafkatest.Start(t, kafkatest.Config{Nodes: nodes, HeapMB: 384, Properties: map[string]string{
		"broker.session.timeout.ms": "3000", "replica.lag.time.max.ms": "3000", "min.insync.replicas": "2",
	}})
	c := &cluster{Client: connect(t, brokers.Addrs(), 2*time.Minute), addrs: brokers.Addrs()}
	topic := coldstream.NewTopic{Name: "steady", Partitions: lanes * partitionsPerLane, ReplicationFactor: nodes}
	if err := c.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	tps := partitionsOf(topic.Name, topic.Partitions)
	id, producer := c.topicID(t, topic.Name), c.producer(t)

	ctx, stop := context.WithCancel(t.Context())
	var producers []*steadyProducer
	var running sync.WaitGroup
	for lane := range lanes {
		p := &steadyProducer{lane: lane, id: id, producer: producer, tps: tps[lane*partitionsPerLane:][:partitionsPerLane]}
		producers = append(producers, p)
		running.Go(func() { p.run(ctx, t, c) })
	}
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	for node := 1; node <= nodes; node++ {
		awaitCalls(t, producers, 20)
		if err := brokers.Kill(node); err != nil { // kill -9: answers under way are lost
			t.Fatal(err)
		}
		awaitCalls(t, producers, 20)
		if err := brokers.StartNode(node); err != nil {
			t.Fatal(err)
		}
		await(t, "all replicas are in sync", func() bool { return c.inSync(t, topic.Name, nodes) })
	}
	awaitCalls(t, producers, 20)
	stop()
	running.Wait()
	for i, tp := range tps {
		got := c.logEnds(t, tp)
		if want := [2]int64{0, 10 * producers[i/partitionsPerLane].calls.Load()}; got != want {
			t.Errorf("%s: got log %v, want %v", tp, got, want)
		}
	}
}
