package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// deleteTimeout is how long a leader may wait until its followers have deleted.
const deleteTimeout = 30 * time.Second

// DeleteRecords implements [coldstream.TopicAdmin]. It goes on after a partition was
// refused; the error names the first one and counts the others.
func (c *Client) DeleteRecords(ctx context.Context, logStartOffsets map[coldstream.TopicPartition]int64) error {
	d := &deletion{
		lacks:   c.lacksOnTopic,
		leaders: newLeaderTable(c.kgo),
		offsets: logStartOffsets,
		pending: slices.SortedFunc(maps.Keys(logStartOffsets), coldstream.TopicPartition.Compare),
	}
	if err := c.await(ctx, "the deletion of records", d.try); err != nil {
		d.refused = append(d.refused, err)
	}
	switch len(d.refused) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("delete records of %w", d.refused[0])
	}
	return fmt.Errorf("delete records of %w (and %d more such errors)", d.refused[0], len(d.refused)-1)
}

// deletion is one call of DeleteRecords.
type deletion struct {
	lacks   func(err error, operation, topic string) error
	leaders *leaderTable
	offsets map[coldstream.TopicPartition]int64
	pending []coldstream.TopicPartition
	refused []error
}

// try asks the leader of each pending partition once. The error is that of the first
// partition that has to be tried again.
func (d *deletion) try(ctx context.Context) error {
	d.leaders.forget()
	if err := d.leaders.learn(ctx, d.topics()); err != nil {
		return err
	}
	errs := make([]error, len(d.pending)) // by place in pending
	routes := make(map[int32][]int)
	for i, tp := range d.pending {
		leader, err := d.leaders.leader(tp)
		if err != nil {
			errs[i] = err
			continue
		}
		routes[leader] = append(routes[leader], i)
	}
	var asking errgroup.Group
	for leader, some := range routes {
		asking.Go(func() error {
			d.ask(ctx, leader, some, errs)
			return nil
		})
	}
	_ = asking.Wait() // errors are in errs
	return d.settle(errs)
}

func (d *deletion) topics() []string {
	var names []string
	for _, tp := range d.pending { // sorted
		if len(names) == 0 || names[len(names)-1] != tp.Topic {
			names = append(names, tp.Topic)
		}
	}
	return names
}

// settle sorts out what is done, what is refused, and what is tried again.
func (d *deletion) settle(errs []error) error {
	var again []coldstream.TopicPartition
	var first error
	for i, tp := range d.pending {
		switch err := errs[i]; {
		case err == nil:
		case errors.Is(err, errTemporary):
			again = append(again, tp)
			if first == nil {
				first = fmt.Errorf("%s before offset %d: %w", tp, d.offsets[tp], err)
			}
		default:
			d.refused = append(d.refused, fmt.Errorf("%s before offset %d: %w", tp, d.offsets[tp], err))
		}
	}
	d.pending = again
	return first
}

// ask sends one request to a leader and notes each partition's answer.
func (d *deletion) ask(ctx context.Context, leader int32, some []int, errs []error) {
	answer, err := d.leaders.client.Broker(int(leader)).Request(ctx, d.newRequest(some))
	resp, ok := answer.(*kmsg.DeleteRecordsResponse)
	switch {
	case err != nil:
		err = fmt.Errorf("broker %d: %w", leader, requestError(err))
	case !ok:
		err = fmt.Errorf("broker %d answered with a %T", leader, answer)
	default:
		err = temporary(fmt.Errorf("broker %d did not answer for the partition", leader))
	}
	for _, i := range some {
		errs[i] = err
	}
	if !ok {
		return
	}
	places := make(map[coldstream.TopicPartition]int, len(some))
	for _, i := range some {
		places[d.pending[i]] = i
	}
	for _, topic := range resp.Topics {
		for _, partition := range topic.Partitions {
			tp := coldstream.TopicPartition{Topic: topic.Topic, Partition: partition.Partition}
			if i, ok := places[tp]; ok {
				errs[i] = d.lacks(expected(brokerError(partition.ErrorCode, nil)), "Delete", tp.Topic)
			}
		}
	}
}

func (d *deletion) newRequest(some []int) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = int32(deleteTimeout.Milliseconds())
	for _, i := range some {
		tp := d.pending[i]
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != tp.Topic { // pending is sorted
			topic := kmsg.NewDeleteRecordsRequestTopic()
			topic.Topic = tp.Topic
			req.Topics = append(req.Topics, topic)
		}
		partition := kmsg.NewDeleteRecordsRequestTopicPartition()
		partition.Partition, partition.Offset = tp.Partition, d.offsets[tp]
		topic := &req.Topics[len(req.Topics)-1]
		topic.Partitions = append(topic.Partitions, partition)
	}
	return req
}
