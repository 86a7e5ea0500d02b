package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coldstream"

	"golang.org/x/sync/errgroup"
)

// requestsInFlight bounds the produce requests that one lane has under way to one
// broker. They are for different partitions, so their order does not matter.
const requestsInFlight = 5

// Produce implements [coldstream.RecordWriter]. A result without error has the offset
// at which the broker has the batch, also if the batch had been appended by an earlier
// try or an earlier call: a real broker remembers the last five batches of a producer
// and partition, and answers a repetition with the first answer. Its BaseOffset is -1
// only if a broker recognized a repetition without remembering where it was: the
// partition's high watermark tells.
//
// A batch whose TopicID is not that of the topic of this name is never written; its
// error wraps [coldstream.ErrUnknownTopic]. Before Kafka 4.0 a request cannot carry the
// ID, and it is compared with the broker's metadata before each try, metadata that is
// at most a few seconds old.
//
// When ctx ends, batches without an answer fail with its error and may yet be appended.
func (c *Client) Produce(ctx context.Context, lane int, batches []coldstream.ProduceBatch) []coldstream.ProduceResult {
	p := &production{batches: batches, outcomes: make([]outcome, len(batches)), patience: c.patience(), waits: c.waits, lacks: c.lacksOnTopic}
	pending := p.accept()
	l, err := c.lane(lane)
	if err != nil {
		p.fail(pending, err)
	} else {
		p.leaders = l
		p.run(ctx, pending)
	}
	return p.results()
}

// production is one call of Produce. Batches are known by their index.
type production struct {
	leaders  *leaderTable
	waits    *waits
	lacks    func(err error, operation, topic string) error
	patience time.Duration
	batches  []coldstream.ProduceBatch
	// outcomes has one entry for each batch; requests under way at the same time write
	// different ones.
	outcomes []outcome
}

// outcome is what became of a batch so far.
type outcome struct {
	baseOffset int64
	err        error
	done       bool
	unknown    unknownTopic
}

var errRepeatedPartition = errors.New("a second batch for the same partition in one call")

// accept returns the indexes of all batches but those that break the rule of one batch
// for each partition, which would be appended in any order.
func (p *production) accept() []int {
	seen := make(map[coldstream.TopicPartition]bool, len(p.batches))
	pending := make([]int, 0, len(p.batches))
	for i, batch := range p.batches {
		if seen[batch.TopicPartition] {
			p.fail([]int{i}, errRepeatedPartition)
			continue
		}
		seen[batch.TopicPartition] = true
		pending = append(pending, i)
	}
	return pending
}

func (p *production) fail(indexes []int, err error) {
	for _, i := range indexes {
		p.outcomes[i] = outcome{err: err, done: true}
	}
}

// suspend notes why the batches have to be tried again, unless their topic has been
// unknown for too long.
func (p *production) suspend(indexes []int, err error) {
	for _, i := range indexes {
		out := &p.outcomes[i]
		out.err = err
		out.done = out.unknown.tooLong(err)
	}
}

func (p *production) results() []coldstream.ProduceResult {
	results := make([]coldstream.ProduceResult, len(p.batches))
	for i, batch := range p.batches {
		out := p.outcomes[i]
		results[i] = coldstream.ProduceResult{TopicPartition: batch.TopicPartition, BaseOffset: out.baseOffset}
		if out.err != nil {
			results[i].BaseOffset = -1
			results[i].Err = fmt.Errorf("produce to %s: %w", batch.TopicPartition, out.err)
		}
	}
	return results
}

// run tries until each pending batch has ended. The patience begins with the first try
// that leaves something over, so that a long but successful call is not cut short.
func (p *production) run(ctx context.Context, pending []int) {
	waiting := p.waits.begin(ctx, "the acknowledgment of records", p.patience)
	defer waiting.end()
	pending = p.try(ctx, pending)
	if len(pending) == 0 {
		return
	}
	patient, cancel := context.WithTimeoutCause(ctx, p.patience, errPatience)
	defer cancel()
	for wait := firstRetryWait; len(pending) > 0; wait = min(2*wait, maxRetryWait) {
		waiting.came(failuresOf(pending, func(i int) error { return fmt.Errorf("%s: %w", p.batches[i].TopicPartition, p.outcomes[i].err) }))
		if !pause(patient, wait) {
			p.giveUp(patient, pending)
			return
		}
		p.leaders.forget()
		pending = p.try(patient, pending)
	}
}

func (p *production) giveUp(ctx context.Context, pending []int) {
	for _, i := range pending {
		p.fail([]int{i}, gaveUp(ctx, p.patience, p.outcomes[i].err))
	}
}

// try sends each pending batch once and returns those that have to be tried again.
func (p *production) try(ctx context.Context, pending []int) []int {
	if err := p.leaders.learn(ctx, p.topics(pending)); err != nil {
		p.settleLost(pending, err)
		return p.unsettled(pending)
	}
	var leaders errgroup.Group
	for leader, indexes := range p.route(pending) {
		leaders.Go(func() error {
			p.sendAll(ctx, leader, indexes)
			return nil
		})
	}
	_ = leaders.Wait() // errors are in the outcomes
	return p.unsettled(pending)
}

func (p *production) unsettled(indexes []int) []int {
	var again []int
	for _, i := range indexes {
		if !p.outcomes[i].done {
			again = append(again, i)
		}
	}
	return again
}

func (p *production) topics(indexes []int) []string {
	seen := make(map[string]bool)
	var names []string
	for _, i := range indexes {
		if name := p.batches[i].Topic; !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// route groups batches by the broker that leads their partition. What cannot be sent
// now, or ever, is noted.
func (p *production) route(pending []int) map[int32][]int {
	routes := make(map[int32][]int)
	for _, i := range pending {
		leader, err := p.leaders.leader(p.batches[i].TopicPartition)
		if err == nil {
			err = p.leaders.sameTopic(p.batches[i])
		}
		switch {
		case errors.Is(err, errTemporary):
			p.suspend([]int{i}, err)
		case err != nil:
			p.fail([]int{i}, err)
		default:
			routes[leader] = append(routes[leader], i)
		}
	}
	return routes
}

// sendAll sends batches to one leader, in as many requests as their size asks for.
func (p *production) sendAll(ctx context.Context, leader int32, indexes []int) {
	var requests errgroup.Group
	requests.SetLimit(requestsInFlight)
	for _, some := range p.split(indexes) {
		requests.Go(func() error {
			p.send(ctx, leader, some)
			return nil
		})
	}
	_ = requests.Wait() // errors are in the outcomes
}

// split cuts indexes into requests of at most maxProduceBytes; a larger batch goes
// alone.
func (p *production) split(indexes []int) [][]int {
	var requests [][]int
	sizeBytes := 0
	for _, i := range indexes {
		batchBytes := len(p.batches[i].Batch)
		if len(requests) == 0 || sizeBytes+batchBytes > maxProduceBytes {
			requests, sizeBytes = append(requests, nil), 0
		}
		last := len(requests) - 1
		requests[last] = append(requests[last], i)
		sizeBytes += batchBytes
	}
	return requests
}
