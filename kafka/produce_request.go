package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxProduceBytes bounds the batches of one request: larger requests hold a
	// connection and the broker's memory for longer and move no more.
	maxProduceBytes = 1 << 20
	// produceTimeout is how long a leader may wait for its followers.
	produceTimeout = 30 * time.Second
	acksAll        = -1
)

// produceRequest lends batches to franz-go until release. A request whose ctx has ended
// may still be on its way to a connection in franz-go's goroutine, while our caller
// writes something else into the batches' memory: after release, nothing of them is
// read any more.
type produceRequest struct {
	*kmsg.ProduceRequest
	mu sync.Mutex
}

// AppendTo is called by franz-go when it writes the request. A released request is one
// without topics, which a broker answers with nothing.
func (r *produceRequest) AppendTo(dst []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ProduceRequest.AppendTo(dst)
}

func (r *produceRequest) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Topics = nil
}

// newRequest makes the request for batches of one leader. Both the topic's name and its
// ID are set: the version that the broker speaks decides which of them is sent.
func (p *production) newRequest(indexes []int) *produceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks = acksAll
	req.TimeoutMillis = int32(produceTimeout.Milliseconds())
	topics := make(map[string]int)
	for _, i := range indexes {
		batch := p.batches[i]
		at, ok := topics[batch.Topic]
		if !ok {
			at = len(req.Topics)
			topics[batch.Topic] = at
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic, topic.TopicID = batch.Topic, p.leaders.topicID(batch)
			req.Topics = append(req.Topics, topic)
		}
		partition := kmsg.NewProduceRequestTopicPartition()
		partition.Partition, partition.Records = batch.Partition, batch.Batch
		req.Topics[at].Partitions = append(req.Topics[at].Partitions, partition)
	}
	return &produceRequest{ProduceRequest: req}
}

// send sends one request and notes what became of its batches.
func (p *production) send(ctx context.Context, leader int32, indexes []int) {
	req := p.newRequest(indexes)
	answer, err := p.leaders.client.Broker(int(leader)).Request(ctx, req)
	req.release()
	if err != nil {
		p.settleLost(indexes, fmt.Errorf("broker %d: %w", leader, requestError(err)))
		return
	}
	resp, ok := answer.(*kmsg.ProduceResponse)
	if !ok {
		p.fail(indexes, fmt.Errorf("broker %d answered a produce request with %T", leader, answer))
		return
	}
	answers := p.answers(resp, indexes)
	for _, i := range indexes {
		answer, ok := answers[p.batches[i].TopicPartition]
		if !ok {
			p.suspend([]int{i}, temporary(fmt.Errorf("broker %d did not answer for the partition", leader)))
			continue
		}
		p.settle(i, answer)
	}
}

// settleLost notes that a request got no answer.
func (p *production) settleLost(indexes []int, err error) {
	if errors.Is(err, errTemporary) {
		p.suspend(indexes, err)
		return
	}
	p.fail(indexes, err)
}

// answers finds each partition's part of the response, which names topics by name or by
// ID.
func (p *production) answers(resp *kmsg.ProduceResponse, indexes []int) map[coldstream.TopicPartition]kmsg.ProduceResponseTopicPartition {
	names := make(map[[16]byte]string)
	for _, i := range indexes {
		names[p.leaders.topicID(p.batches[i])] = p.batches[i].Topic
	}
	answers := make(map[coldstream.TopicPartition]kmsg.ProduceResponseTopicPartition, len(indexes))
	for _, topic := range resp.Topics {
		name := topic.Topic
		if name == "" {
			name = names[topic.TopicID]
		}
		for _, partition := range topic.Partitions {
			answers[coldstream.TopicPartition{Topic: name, Partition: partition.Partition}] = partition
		}
	}
	return answers
}

// settle notes what the broker said of one batch.
func (p *production) settle(i int, answer kmsg.ProduceResponseTopicPartition) {
	if answer.ErrorCode == kerr.DuplicateSequenceNumber.Code {
		// Appended earlier, and the broker has forgotten where.
		p.outcomes[i] = outcome{baseOffset: -1, done: true}
		return
	}
	err := p.lacks(produceError(answer), "Write", p.batches[i].Topic)
	switch {
	case err == nil:
		p.outcomes[i] = outcome{baseOffset: answer.BaseOffset, done: true}
	case errors.Is(err, errTemporary):
		p.suspend([]int{i}, err)
	default:
		p.fail([]int{i}, err)
	}
}

// namedRecords bounds how many refused records of a batch an error names.
const namedRecords = 3

// produceError says why the broker did not append a batch, with its words for each
// record that it refused. It is nil if it did.
func produceError(answer kmsg.ProduceResponseTopicPartition) error {
	err := expected(brokerError(answer.ErrorCode, answer.ErrorMessage))
	if err == nil {
		return nil
	}
	if answer.ErrorCode == kerr.TransactionalIDAuthorizationFailed.Code {
		return fmt.Errorf("%w: brokers say so of a transactional or control batch outside a transaction, whatever the rights", err)
	}
	if len(answer.ErrorRecords) == 0 {
		return err
	}
	var words []string
	for i, record := range answer.ErrorRecords {
		if i == namedRecords {
			words = append(words, fmt.Sprintf("and %d more", len(answer.ErrorRecords)-i))
			break
		}
		said := "refused"
		if record.ErrorMessage != nil {
			said = *record.ErrorMessage
		}
		words = append(words, fmt.Sprintf("record %d of the batch: %s", record.RelativeOffset, said))
	}
	return fmt.Errorf("%w: %s", err, strings.Join(words, "; "))
}
