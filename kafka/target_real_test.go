package kafka

import (
	"errors"
	"strings"
	"testing"
	"time"

	"coldstream"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What only a real broker decides.

func TestRealBrokerAnswersARepetitionWithTheFirstOffset(t *testing.T) {
	c := startReal(t)
	name, id := c.create(t, 1)
	tp, producer := partitionsOf(name, 1)[0], c.producer(t)
	const count, remembered = 7, 5
	var batches [][]byte
	for i := range int32(count) {
		batches = append(batches, batchOf(producer, 10*i, 10))
		wantError(t, produceOne(t.Context(), c.Client, tp, id, batches[i]).Err, "")
	}
	for i := count - remembered; i < count; i++ {
		got := produceOne(t.Context(), c.Client, tp, id, batches[i])
		want := coldstream.ProduceResult{TopicPartition: tp, BaseOffset: int64(10 * i)}
		if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
			t.Errorf("repetition of batch %d (-want +got):\n%s", i, diff)
		}
	}
	wantError(t, produceOne(t.Context(), c.Client, tp, id, batches[1]).Err, "OUT_OF_ORDER_SEQUENCE_NUMBER")
	wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 1000, 1)).Err, "OUT_OF_ORDER_SEQUENCE_NUMBER")
	if got, want := c.logEnds(t, tp), [2]int64{0, 10 * count}; got != want {
		t.Errorf("got log %v, want %v", got, want)
	}
}

func TestRealBrokerSaysWhyItRefusesABatch(t *testing.T) {
	c := startReal(t)
	now := time.Now()
	for what, test := range map[string]struct {
		configs []string
		batch   func(coldstream.ProducerIdentity) []byte
		want    string
	}{
		"null key where it is the identity": {
			[]string{"cleanup.policy", "compact"},
			func(p coldstream.ProducerIdentity) []byte { return batchOf(p, 0, 5) },
			"record 0 of the batch: Compacted topic cannot accept message without key",
		},
		"far future": {
			[]string{"message.timestamp.after.max.ms", "3600000"},
			func(p coldstream.ProducerIdentity) []byte {
				return testBatch{producer: p, timestamp: now.Add(48 * time.Hour), values: []string{"v"}}.build()
			},
			"INVALID_TIMESTAMP",
		},
		"transactional bit": {
			nil,
			func(p coldstream.ProducerIdentity) []byte {
				return testBatch{producer: p, timestamp: now, attributes: 0x10, values: []string{"v"}}.build()
			},
			"transactional or control batch outside a transaction",
		},
		"wrong checksum": {
			nil,
			func(p coldstream.ProducerIdentity) []byte {
				b := batchOf(p, 0, 1)
				b[len(b)-1] ^= 1
				return b
			},
			"CORRUPT_MESSAGE",
		},
		"too large": {
			[]string{"max.message.bytes", "1000"},
			func(p coldstream.ProducerIdentity) []byte {
				return testBatch{producer: p, timestamp: now, values: []string{strings.Repeat("x", 2000)}}.build()
			},
			"MESSAGE_TOO_LARGE",
		},
	} {
		t.Run(what, func(t *testing.T) {
			name, id := c.create(t, 1, test.configs...)
			tp := partitionsOf(name, 1)[0]
			got := produceOne(t.Context(), c.Client, tp, id, test.batch(c.producer(t)))
			wantError(t, got.Err, test.want)
			if got, want := c.logEnds(t, tp), [2]int64{0, 0}; got != want {
				t.Errorf("got log %v, want %v", got, want)
			}
		})
	}
}

func TestRealBrokerTakesLargeBatches(t *testing.T) {
	c := startReal(t)
	name, id := c.create(t, 3, "max.message.bytes", "104857600")
	producer := c.producer(t)
	large := testBatch{producer: producer, timestamp: time.Now(), values: []string{strings.Repeat("x", 10<<20)}}.build()
	var batches []coldstream.ProduceBatch
	var want []coldstream.ProduceResult
	for i, tp := range partitionsOf(name, 3) {
		batch := large
		if i == 1 {
			batch = batchOf(producer, 0, 10)
		}
		batches = append(batches, coldstream.ProduceBatch{TopicPartition: tp, TopicID: id, Batch: batch})
		want = append(want, coldstream.ProduceResult{TopicPartition: tp})
	}
	got := c.Produce(t.Context(), 1, batches)
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestRealBrokerRefusesConfigs(t *testing.T) {
	c := startReal(t)
	topic := coldstream.NewTopic{Name: "refused", Partitions: 1, ReplicationFactor: 1,
		Configs: map[string]string{"confluent.tier.enable": "true", "retention.ms": "5"}}
	wantError(t, c.CheckTopic(t.Context(), topic), "INVALID_CONFIG: Configuration is invalid. (Unknown topic config name: confluent.tier.enable)")
	wantError(t, c.CreateTopic(t.Context(), topic), "create topic refused: INVALID_CONFIG")
	delete(topic.Configs, "confluent.tier.enable")
	wantError(t, c.CheckTopic(t.Context(), topic), "")

	name, _ := c.create(t, 1, "retention.ms", "777")
	err := c.AlterTopicConfigs(t.Context(), name, coldstream.ConfigChange{
		Set: map[string]string{"segment.ms": "100000", "max.message.bytes": "-7"}, Remove: []string{"retention.ms"},
	})
	wantError(t, err, "alter configs of topic "+name+": INVALID_CONFIG")
	if diff := cmp.Diff(map[string]string{"retention.ms": "777"}, c.configsOf(t, name)); diff != "" {
		t.Errorf("a refused change was made in part (-want +got):\n%s", diff)
	}
}

// The test broker has no config of its own for topics, so the defaults are Kafka's; that
// of retention.ms is hidden by the topic's own value.
func TestRealBrokerTellsItsTopicConfigs(t *testing.T) {
	c := startReal(t)
	name, _ := c.create(t, 1, "retention.ms", "777", "cleanup.policy", "compact")
	var first map[string]string
	for _, topic := range []string{"", "absent", name} {
		got, err := c.TopicConfigNames(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		want := commonTopicConfigs()
		for config, value := range got {
			if _, ok := want[config]; !ok {
				want[config] = value // more than every Kafka knows
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("topic %q (-want +got):\n%s", topic, diff)
		}
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("topic %q (-of no topic +of it):\n%s", topic, diff)
		}
	}
	described, err := c.describe(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range described.Topics {
		if strings.Contains(topic.Name, "probe") || topic.Name == "absent" {
			t.Errorf("topic %s was created", topic.Name)
		}
	}
}

func TestRealBrokerDeletesRecords(t *testing.T) {
	c := startReal(t)
	name, id := c.create(t, 2)
	tps, producer := partitionsOf(name, 2), c.producer(t)
	for _, tp := range tps {
		wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 0, 10)).Err, "")
	}
	if err := c.DeleteRecords(t.Context(), map[coldstream.TopicPartition]int64{tps[0]: 4, tps[1]: 10}); err != nil {
		t.Fatal(err)
	}
	if got, want := c.logEnds(t, tps[0]), [2]int64{4, 10}; got != want {
		t.Errorf("got log %v, want %v", got, want)
	}
	if got, want := c.logEnds(t, tps[1]), [2]int64{10, 10}; got != want {
		t.Errorf("got log %v, want %v", got, want)
	}
	err := c.DeleteRecords(t.Context(), map[coldstream.TopicPartition]int64{tps[0]: 11})
	wantError(t, err, "delete records of "+name+"-0 before offset 11: OFFSET_OUT_OF_RANGE")
	compacted, _ := c.create(t, 1, "cleanup.policy", "compact")
	err = c.DeleteRecords(t.Context(), map[coldstream.TopicPartition]int64{{Topic: compacted}: 0})
	wantError(t, err, "delete records of "+compacted+"-0 before offset 0: POLICY_VIOLATION")
}

// A new topic is ready for produce at once: nothing of this is tried twice.
func TestRealBrokerIsReadyWhenCreateTopicReturns(t *testing.T) {
	c := startReal(t)
	for range 5 {
		name, id := c.create(t, 10)
		producer := c.producer(t)
		var batches []coldstream.ProduceBatch
		for _, tp := range partitionsOf(name, 10) {
			batches = append(batches, coldstream.ProduceBatch{TopicPartition: tp, TopicID: id, Batch: batchOf(producer, 0, 1)})
		}
		l, err := c.lane(0)
		if err != nil {
			t.Fatal(err)
		}
		p := &production{lacks: c.lacksOnTopic, leaders: l, batches: batches, outcomes: make([]outcome, len(batches))}
		if again := p.try(t.Context(), p.accept()); len(again) != 0 {
			t.Errorf("%d of 10 partitions were not ready: %v", len(again), p.results())
		}
	}
}

func TestRealBrokerRefusesAnotherIncarnation(t *testing.T) {
	c := startReal(t)
	name, before := c.create(t, 1)
	c.delete(t, name)
	topic := coldstream.NewTopic{Name: name, Partitions: 1, ReplicationFactor: 1}
	if err := c.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	tp := partitionsOf(name, 1)[0]
	got := produceOne(t.Context(), c.impatient(t), tp, before, batchOf(c.producer(t), 0, 1))
	if !errors.Is(got.Err, coldstream.ErrUnknownTopic) {
		t.Errorf("got error %v, want ErrUnknownTopic", got.Err)
	}
	if got, want := c.logEnds(t, tp), [2]int64{0, 0}; got != want {
		t.Errorf("got log %v, want %v", got, want)
	}
}
