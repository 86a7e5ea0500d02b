package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"testing"
	"time"

	"coldstream"
	"coldstream/recordbatch"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// recorder is a sink that keeps what it is given, by partition.
type recorder struct {
	onTake func(coldstream.FetchEvent) error // may be nil

	mu     sync.Mutex
	events map[coldstream.TopicPartition][]coldstream.FetchEvent
}

func (r *recorder) Take(_ context.Context, event coldstream.FetchEvent) error {
	r.mu.Lock()
	if r.events == nil {
		r.events = make(map[coldstream.TopicPartition][]coldstream.FetchEvent)
	}
	tp := partitionOf(event)
	r.events[tp] = append(r.events[tp], event)
	r.mu.Unlock()
	if r.onTake != nil {
		return r.onTake(event)
	}
	return nil
}

func partitionOf(event coldstream.FetchEvent) coldstream.TopicPartition {
	switch e := event.(type) {
	case *coldstream.Fetched:
		return e.TopicPartition
	case *coldstream.FetchGap:
		return e.TopicPartition
	case *coldstream.Truncated:
		return e.TopicPartition
	case *coldstream.PartitionDone:
		return e.TopicPartition
	case *coldstream.PartitionFailed:
		return e.TopicPartition
	}
	panic(fmt.Sprintf("event of type %T", event))
}

// story tells a partition's events in a few words each. Runs of data that join are one.
func (r *recorder) story(tp coldstream.TopicPartition) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	from, joined := int64(0), false
	for i, event := range r.events[tp] {
		switch e := event.(type) {
		case *coldstream.Fetched:
			word := "data"
			if len(e.Batches) == 0 {
				word = "empty"
			}
			before, ok := event, i > 0
			if ok {
				before = r.events[tp][i-1]
			}
			last, isData := before.(*coldstream.Fetched)
			joined = ok && isData && (len(last.Batches) == 0) == (len(e.Batches) == 0) && last.NextOffset == e.FirstOffset
			if !joined {
				from = e.FirstOffset
			}
			text := fmt.Sprintf("%s [%d,%d)", word, from, e.NextOffset)
			if joined {
				out[len(out)-1] = text
				continue
			}
			out = append(out, text)
		case *coldstream.FetchGap:
			out = append(out, fmt.Sprintf("gap [%d,%d) %s", e.FirstOffset, e.NextOffset, e.Cause))
		case *coldstream.Truncated:
			out = append(out, fmt.Sprintf("truncated %d from %d epoch %d", e.NextOffset, e.WasOffset, e.Epoch))
		case *coldstream.PartitionDone:
			out = append(out, fmt.Sprintf("done %d", e.NextOffset))
		case *coldstream.PartitionFailed:
			out = append(out, "failed")
		}
	}
	return out
}

// failure is the error that a partition failed with.
func (r *recorder) failure(tp coldstream.TopicPartition) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.events[tp] {
		if failed, ok := event.(*coldstream.PartitionFailed); ok {
			return failed.Err
		}
	}
	return nil
}

// bytes are all batches of a partition, one behind the other.
func (r *recorder) bytes(tp coldstream.TopicPartition) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []byte
	for _, event := range r.events[tp] {
		if fetched, ok := event.(*coldstream.Fetched); ok {
			out = append(out, fetched.Batches...)
		}
	}
	return out
}

// fetch runs a plan to its end.
func fetch(t *testing.T, c *Client, plan ...coldstream.FetchPosition) *recorder {
	t.Helper()
	r := &recorder{}
	if err := c.Fetch(t.Context(), plan, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// wantStory compares what became of a partition.
func (r *recorder) wantStory(t *testing.T, tp coldstream.TopicPartition, want ...string) {
	t.Helper()
	if got := r.story(tp); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q (%v)", tp, got, want, r.failure(tp))
	}
}

// filling is held by the test that fills a topic: a produce lane is for one goroutine.
var filling sync.Mutex

// filled creates a topic of some partitions with n batches of ten records in each, and
// returns the plan to read it.
func (c *cluster) filled(t *testing.T, partitions int32, n int, configs ...string) []coldstream.FetchPosition {
	t.Helper()
	name, id := c.create(t, partitions, configs...)
	producer := c.producer(t)
	filling.Lock()
	defer filling.Unlock()
	var plan []coldstream.FetchPosition
	for _, tp := range partitionsOf(name, partitions) {
		for i := range n {
			wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, int32(10*i), 10)).Err, "")
		}
		plan = append(plan, coldstream.FetchPosition{TopicPartition: tp, TopicID: id, StopOffset: int64(10 * n)})
	}
	return plan
}

// placed puts a batch, as a producer built it, where a broker would.
func placed(batch []byte, base int64, epoch int32) []byte {
	out := slices.Clone(batch)
	binary.BigEndian.PutUint64(out, uint64(base))
	binary.BigEndian.PutUint32(out[12:], uint32(epoch))
	return out
}

// plainTime is when scripted records were made.
var plainTime = time.UnixMilli(1700000000000)

// ten is a batch of ten records at an offset, as brokers have it.
func ten(base int64) []byte {
	b := testBatch{producer: coldstream.ProducerIdentity{ID: -1, Epoch: -1}, sequence: -1, timestamp: plainTime}
	for i := range 10 {
		b.values = append(b.values, fmt.Sprint("value ", base+int64(i)))
	}
	return placed(b.build(), base, 0)
}

// resealed changes a batch and makes its checksum right again.
func resealed(batch []byte, change func([]byte)) []byte {
	out := slices.Clone(batch)
	change(out)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// fetchAnswerer says what a broker answers for one partition of a fetch; nil leaves the
// whole request to the fake.
type fetchAnswerer func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition

// answerFetches answers all fetches that ask for a partition. Other partitions in the
// same request are empty and at their ends.
func (c *cluster) answerFetches(tp coldstream.TopicPartition, id coldstream.TopicID, answer fetchAnswerer) {
	c.fake.ControlKey(kmsg.Fetch.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		for i := range req.Topics {
			topic := &req.Topics[i]
			if topic.Topic != tp.Topic && topic.TopicID != id {
				continue
			}
			for _, asked := range topic.Partitions {
				if asked.Partition != tp.Partition {
					continue
				}
				if p := answer(asked); p != nil {
					return fetchResponse(req, topic, *p), nil, true
				}
			}
		}
		return nil, nil, false
	})
}

func fetchResponse(req *kmsg.FetchRequest, topic *kmsg.FetchRequestTopic, p kmsg.FetchResponseTopicPartition) *kmsg.FetchResponse {
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	for i := range req.Topics {
		of := &req.Topics[i]
		answered := kmsg.NewFetchResponseTopic()
		answered.Topic, answered.TopicID = of.Topic, of.TopicID
		for _, asked := range of.Partitions {
			other := kmsg.NewFetchResponseTopicPartition()
			other.Partition, other.HighWatermark = asked.Partition, asked.FetchOffset
			if of == topic && asked.Partition == p.Partition {
				other = p
			}
			answered.Partitions = append(answered.Partitions, other)
		}
		resp.Topics = append(resp.Topics, answered)
	}
	return resp
}

// answerOf builds an answer for partition 0 with a high watermark and batches.
func answerOf(highWatermark int64, batches ...[]byte) *kmsg.FetchResponseTopicPartition {
	p := kmsg.NewFetchResponseTopicPartition()
	p.HighWatermark, p.RecordBatches = highWatermark, slices.Concat(batches...)
	return &p
}

// refusal is an answer for partition 0 that is an error.
func refusal(code int16) *kmsg.FetchResponseTopicPartition {
	p := kmsg.NewFetchResponseTopicPartition()
	p.ErrorCode, p.HighWatermark = code, -1
	return &p
}

// first gives scripted answers, and leaves the rest to the fake.
func first(answers ...*kmsg.FetchResponseTopicPartition) fetchAnswerer {
	return func(kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
		if len(answers) == 0 {
			return nil
		}
		answer := answers[0]
		answers = answers[1:]
		return answer
	}
}

// always gives the same answer again and again.
func always(answer *kmsg.FetchResponseTopicPartition) fetchAnswerer {
	return func(kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition { return answer }
}

// checkRun checks what every fetched run must be: whole batches with good checksums that
// follow each other and cover the range that it names.
func (r *recorder) checkRuns(t *testing.T, tp coldstream.TopicPartition) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.events[tp] {
		run, ok := event.(*coldstream.Fetched)
		if !ok || len(run.Batches) == 0 {
			continue
		}
		next := run.FirstOffset
		for rest := run.Batches; len(rest) > 0; {
			batch, after, err := recordbatch.Next(rest)
			if err == nil {
				err = batch.Check()
			}
			if err != nil {
				t.Fatalf("%s: batch behind offset %d: %v", tp, next, err)
			}
			if batch.NextOffset() <= next || batch.BaseOffset() < next && next != run.FirstOffset {
				t.Fatalf("%s: batch from %d up to %d, wanted from %d on", tp, batch.BaseOffset(), batch.NextOffset(), next)
			}
			rest, next = after, batch.NextOffset()
		}
		if next != run.NextOffset {
			t.Errorf("%s: a run up to %d is said to end at %d", tp, next, run.NextOffset)
		}
	}
}

// patient returns a client of the same cluster with a patience.
func (c *cluster) patient(t *testing.T, patience time.Duration) *Client {
	t.Helper()
	return connect(t, c.addrs, patience)
}
