package kafka

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"coldstream"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// wantError checks what an error says; want == "" means no error.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("got error %v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Fatalf("got error %v, want one that says %q", err, want)
	}
}

func TestProduceTellsWhereEachBatchIs(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 7)
	producer := c.producer(t)
	tps := partitionsOf(name, 7)
	for _, tp := range tps {
		if err := c.fake.MoveTopicPartition(name, tp.Partition, tp.Partition%3); err != nil {
			t.Fatal(err)
		}
	}
	for call := range 3 {
		var batches []coldstream.ProduceBatch
		var want []coldstream.ProduceResult
		for i, tp := range tps {
			records := i + 1
			batches = append(batches, coldstream.ProduceBatch{
				TopicPartition: tp, TopicID: id, Batch: batchOf(producer, int32(call*records), records),
			})
			want = append(want, coldstream.ProduceResult{TopicPartition: tp, BaseOffset: int64(call * records)})
		}
		got := c.Produce(t.Context(), call, batches) // each call on another lane
		if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
			t.Fatalf("call %d (-want +got):\n%s", call, diff)
		}
	}
	if got, want := c.wire.connections(kmsg.Produce), 3*3; got != want {
		t.Errorf("got %d connections with produce requests, want %d: one to each broker for each lane", got, want)
	}
}

// The broker has appended the batch, and nobody learned of it.
func TestProduceAfterALostAnswerAppendsOnce(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 1)
	tp, producer := partitionsOf(name, 1)[0], c.producer(t)
	wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 0, 3)).Err, "")

	c.wire.loseAnswers(kmsg.Produce, 2)
	got := produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 3, 4))
	want := coldstream.ProduceResult{TopicPartition: tp, BaseOffset: 3}
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("after lost answers (-want +got):\n%s", diff)
	}
	if got := c.wire.left(kmsg.Produce); got != 0 {
		t.Errorf("%d answers were not lost, the test proves nothing", got)
	}
	if got, want := c.logEnds(t, tp), [2]int64{0, 7}; got != want {
		t.Errorf("got log %v, want %v", got, want)
	}
}

func TestProduceFollowsTheLeader(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 1)
	tp, producer := partitionsOf(name, 1)[0], c.producer(t)
	for i := range int32(6) {
		if err := c.fake.MoveTopicPartition(name, 0, i%3); err != nil {
			t.Fatal(err)
		}
		got := produceOne(t.Context(), c.Client, tp, id, batchOf(producer, i, 1))
		want := coldstream.ProduceResult{TopicPartition: tp, BaseOffset: int64(i)}
		if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
			t.Fatalf("leader %d (-want +got):\n%s", i%3, diff)
		}
	}
}

func TestProduceRetriesWhatIsTemporary(t *testing.T) {
	for _, fault := range []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut,
		kerr.KafkaStorageError, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.LeaderNotAvailable,
		kerr.FencedLeaderEpoch, kerr.NetworkException,
	} {
		t.Run(fault.Message, func(t *testing.T) {
			c := startFake(t)
			name, id := c.create(t, 2)
			tps, producer := partitionsOf(name, 2), c.producer(t)
			faults := c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{1}, Err: fault, Count: 2})
			got := c.Produce(t.Context(), 0, []coldstream.ProduceBatch{
				{TopicPartition: tps[0], TopicID: id, Batch: batchOf(producer, 0, 5)},
				{TopicPartition: tps[1], TopicID: id, Batch: batchOf(producer, 0, 5)},
			})
			want := []coldstream.ProduceResult{{TopicPartition: tps[0]}, {TopicPartition: tps[1]}}
			if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			if got, want := faults.Hits(), 2; got != want {
				t.Errorf("got %d faults, want %d", got, want)
			}
			for _, tp := range tps {
				if got, want := c.logEnds(t, tp), [2]int64{0, 5}; got != want {
					t.Errorf("got log %v of %s, want %v", got, tp, want)
				}
			}
		})
	}
}

func TestProduceGivesUpWhenPatienceRunsOut(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 2)
	tps, producer := partitionsOf(name, 2), c.producer(t)
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	got := c.impatient(t).Produce(t.Context(), 0, []coldstream.ProduceBatch{
		{TopicPartition: tps[0], TopicID: id, Batch: batchOf(producer, 0, 1)},
		{TopicPartition: tps[1], TopicID: id, Batch: batchOf(producer, 0, 1)},
	})
	wantError(t, got[0].Err, "produce to "+name+"-0: gave up after 2s: NOT_ENOUGH_REPLICAS")
	wantError(t, got[1].Err, "")
}

func TestProduceDoesNotRepeatWhatIsRefused(t *testing.T) {
	for _, test := range []struct {
		fault *kerr.Error
		want  string
		is    error
	}{
		{kerr.MessageTooLarge, "MESSAGE_TOO_LARGE", nil},
		{kerr.InvalidRecord, "INVALID_RECORD", nil},
		{kerr.InvalidTimestamp, "INVALID_TIMESTAMP", nil},
		{kerr.CorruptMessage, "CORRUPT_MESSAGE", nil},
		{kerr.OutOfOrderSequenceNumber, "OUT_OF_ORDER_SEQUENCE_NUMBER", nil},
		{kerr.InvalidProducerEpoch, "INVALID_PRODUCER_EPOCH", nil},
		{kerr.UnknownServerError, "UNKNOWN_SERVER_ERROR", nil},
		{kerr.TopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED", coldstream.ErrDenied},
		{kerr.ClusterAuthorizationFailed, "CLUSTER_AUTHORIZATION_FAILED", coldstream.ErrDenied},
		{kerr.TransactionalIDAuthorizationFailed, "transactional or control batch outside a transaction", nil},
	} {
		t.Run(test.fault.Message, func(t *testing.T) {
			c := startFake(t)
			name, id := c.create(t, 1)
			tp := partitionsOf(name, 1)[0]
			faults := c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: test.fault, Count: -1})
			got := produceOne(t.Context(), c.Client, tp, id, batchOf(c.producer(t), 0, 1))
			wantError(t, got.Err, test.want)
			if test.is != nil && !errors.Is(got.Err, test.is) {
				t.Errorf("error %v is not %v", got.Err, test.is)
			}
			if got.BaseOffset != -1 {
				t.Errorf("got base offset %d with an error, want -1", got.BaseOffset)
			}
			if got, want := faults.Hits(), 1; got != want {
				t.Errorf("got %d requests, want %d", got, want)
			}
		})
	}
}

func TestProduceOfAForgottenDuplicateSucceedsWithoutOffset(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 1)
	tp := partitionsOf(name, 1)[0]
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.DuplicateSequenceNumber})
	got := produceOne(t.Context(), c.Client, tp, id, batchOf(c.producer(t), 0, 1))
	want := coldstream.ProduceResult{TopicPartition: tp, BaseOffset: -1}
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

// A sequence that leaves something out must not be appended, however often.
func TestProduceOutOfOrderIsRefused(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 1)
	tp, producer := partitionsOf(name, 1)[0], c.producer(t)
	wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 0, 3)).Err, "")
	wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 10, 3)).Err, "OUT_OF_ORDER_SEQUENCE_NUMBER")
	if got, want := c.logEnds(t, tp), [2]int64{0, 3}; got != want {
		t.Errorf("got log %v, want %v", got, want)
	}
}

func TestProduceNeverWritesIntoAnotherIncarnation(t *testing.T) {
	for name, versions := range map[string]*kversion.Versions{"by topic ID": kversion.Stable(), "by name": kversion.V3_6_0()} {
		t.Run(name, func(t *testing.T) {
			c := startFake(t, kfake.MaxVersions(versions))
			topic, before := c.create(t, 1)
			c.delete(t, topic)
			if err := c.CreateTopic(t.Context(), coldstream.NewTopic{Name: topic, Partitions: 1, ReplicationFactor: 1}); err != nil {
				t.Fatal(err)
			}
			if c.topicID(t, topic) == before {
				t.Fatal("the topic has its old ID")
			}
			tp, producer := partitionsOf(topic, 1)[0], c.producer(t)
			got := produceOne(t.Context(), c.impatient(t), tp, before, batchOf(producer, 0, 1))
			wantError(t, got.Err, "topic was deleted and made again")
			if !errors.Is(got.Err, coldstream.ErrUnknownTopic) {
				t.Errorf("error %v is not ErrUnknownTopic", got.Err)
			}
			if got, want := c.logEnds(t, tp), [2]int64{0, 0}; got != want {
				t.Errorf("got log %v, want %v", got, want)
			}
			wantError(t, produceOne(t.Context(), c.Client, tp, coldstream.TopicID{}, batchOf(producer, 0, 1)).Err, "")
		})
	}
}

func TestProduceSplitsRequestsBySize(t *testing.T) {
	c := startFake(t, kfake.NumBrokers(1))
	name, id := c.create(t, 8, "max.message.bytes", "20000000")
	producer := c.producer(t)
	large := func(sizeBytes int) []byte {
		return testBatch{producer: producer, timestamp: time.Now(), values: []string{strings.Repeat("x", sizeBytes)}}.build()
	}
	var batches []coldstream.ProduceBatch
	for i, sizeBytes := range []int{400_000, 400_000, 400_000, 10_000_000, 10, 10, 1_048_000, 600_000} {
		batches = append(batches, coldstream.ProduceBatch{
			TopicPartition: coldstream.TopicPartition{Topic: name, Partition: int32(i)}, TopicID: id, Batch: large(sizeBytes),
		})
	}
	var mu sync.Mutex
	requests := make(map[int32][]int32) // partitions by the first one
	c.fake.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		var partitions []int32
		for _, partition := range req.(*kmsg.ProduceRequest).Topics[0].Partitions {
			partitions = append(partitions, partition.Partition)
		}
		requests[partitions[0]] = partitions
		return nil, nil, false
	})
	for _, result := range c.Produce(t.Context(), 0, batches) {
		if result.Err != nil || result.BaseOffset != 0 {
			t.Errorf("got %+v, want base offset 0", result)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	want := map[int32][]int32{0: {0, 1}, 2: {2}, 3: {3}, 4: {4, 5, 6}, 7: {7}}
	if diff := cmp.Diff(want, requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestProduceRefusesTwoBatchesForOnePartition(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 1)
	tp, producer := partitionsOf(name, 1)[0], c.producer(t)
	got := c.Produce(t.Context(), 0, []coldstream.ProduceBatch{
		{TopicPartition: tp, TopicID: id, Batch: batchOf(producer, 0, 1)},
		{TopicPartition: tp, TopicID: id, Batch: batchOf(producer, 1, 1)},
	})
	wantError(t, got[0].Err, "")
	wantError(t, got[1].Err, "a second batch for the same partition")
}

// A batch belongs to the caller again as soon as Produce returns, also when it returns
// early: the race detector sees a read that comes later.
func TestProduceReadsNoBatchAfterItReturned(t *testing.T) {
	c := startFake(t, kfake.NumBrokers(1))
	name, id := c.create(t, 1, "max.message.bytes", "20000000")
	tp := partitionsOf(name, 1)[0]
	batch := testBatch{producer: c.producer(t), timestamp: time.Now(), values: []string{strings.Repeat("x", 1<<20)}}.build()
	original := bytes.Clone(batch)
	wantError(t, produceOne(t.Context(), c.Client, tp, id, batch).Err, "") // connects
	canceled := 0
	for i := range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Microsecond)
		if produceOne(ctx, c.Client, tp, id, batch).Err != nil {
			canceled++
		}
		cancel()
		clear(batch)
		copy(batch, original)
	}
	if canceled == 0 {
		t.Error("no call returned early, the test proves nothing")
	}
	wantError(t, produceOne(t.Context(), c.Client, tp, id, batch).Err, "")
	if got, want := c.logEnds(t, tp), [2]int64{0, 1}; got != want {
		t.Errorf("got log %v, want %v: all calls had the same batch", got, want)
	}
}

func TestProduceEndsWithItsContext(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1,
		When: func(kmsg.Request) bool { cancel(); return true }})
	got := produceOne(ctx, c.Client, partitionsOf(name, 1)[0], id, batchOf(c.producer(t), 0, 1))
	if !errors.Is(got.Err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", got.Err)
	}
}

func TestProduceAfterCloseFails(t *testing.T) {
	c := startFake(t)
	name, id := c.create(t, 1)
	batch := batchOf(c.producer(t), 0, 1)
	c.Close()
	wantError(t, produceOne(t.Context(), c.Client, partitionsOf(name, 1)[0], id, batch).Err, "client closed")
}
