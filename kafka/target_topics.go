package kafka

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// createTimeout is how long the controller may take for a topic.
const createTimeout = 30 * time.Second

// CreateTopic implements [coldstream.TopicAdmin]. When it returns nil, every broker that
// is there knows the topic, and the leader of each of its partitions answers. If the
// answer to an earlier try was lost, a topic that is there with the right number of
// partitions and no records is taken to be the one that the try created.
func (c *Client) CreateTopic(ctx context.Context, topic coldstream.NewTopic) error {
	unsure := false
	err := c.await(ctx, "the new topic "+topic.Name, func(ctx context.Context) error {
		err := c.createTopic(ctx, topic, create)
		if unsure && errors.Is(err, fs.ErrExist) {
			return c.checkCreated(ctx, topic, err)
		}
		unsure = unsure || errors.Is(err, errUnanswered)
		return err
	})
	if err == nil {
		// Brokers are busy with the partitions, and are done at any moment.
		err = c.paced(ctx, pace{firstRetryWait / 4, firstRetryWait, "the leaders of the new topic " + topic.Name}, func(ctx context.Context) error { return expected(c.checkLeaders(ctx, topic)) })
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic.Name, err)
	}
	return nil
}

// DeleteTopics deletes topics and all that is in them. One that is not there is no error.
func (c *Client) DeleteTopics(ctx context.Context, names []string) error {
	return c.await(ctx, "the deletion of topics", func(ctx context.Context) error {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = int32(createTimeout.Milliseconds())
		req.TopicNames = names // of the older versions
		for _, name := range names {
			topic := kmsg.NewDeleteTopicsRequestTopic()
			topic.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, topic)
		}
		resp, err := req.RequestWith(ctx, c.kgo)
		if err != nil {
			return fmt.Errorf("delete topics: %w", requestError(err))
		}
		for _, topic := range resp.Topics {
			err := c.lacksOnTopic(brokerError(topic.ErrorCode, topic.ErrorMessage), "Delete", text(topic.Topic))
			if err != nil && !errors.Is(err, coldstream.ErrUnknownTopic) {
				return fmt.Errorf("delete topic %s: %w", text(topic.Topic), err)
			}
		}
		return nil
	})
}

// CheckTopic implements [coldstream.TopicAdmin]. Its errors are those that CreateTopic
// would return.
func (c *Client) CheckTopic(ctx context.Context, topic coldstream.NewTopic) error {
	c.written.Store(&topic.Name)
	err := c.await(ctx, "a check of the new topic "+topic.Name, func(ctx context.Context) error {
		return c.createTopic(ctx, topic, validateOnly)
	})
	if err != nil {
		return fmt.Errorf("check whether topic %s can be created: %w", topic.Name, err)
	}
	return nil
}

// createMode says what a CreateTopics request is for.
type createMode int

const (
	create createMode = iota
	validateOnly
)

func (c *Client) createTopic(ctx context.Context, topic coldstream.NewTopic, mode createMode) error {
	_, err := c.requestTopic(ctx, topic, mode)
	return err
}

// requestTopic asks the controller once. franz-go would repeat the request by itself
// after a lost answer, and hide that it did.
func (c *Client) requestTopic(ctx context.Context, topic coldstream.NewTopic, mode createMode) (kmsg.CreateTopicsResponseTopic, error) {
	var none kmsg.CreateTopicsResponseTopic
	controller, err := c.controller(ctx)
	if err != nil {
		return none, err
	}
	answer, err := c.kgo.Broker(int(controller)).Request(ctx, newCreateRequest(topic, mode))
	if err != nil {
		return none, requestError(err)
	}
	resp, ok := answer.(*kmsg.CreateTopicsResponse)
	if !ok || len(resp.Topics) != 1 {
		return none, fmt.Errorf("broker %d answered with a %T of other topics", controller, answer)
	}
	created := resp.Topics[0]
	err = c.lacksOnTopic(brokerError(created.ErrorCode, created.ErrorMessage), "Create", topic.Name)
	switch created.ErrorCode {
	case kerr.TopicAlreadyExists.Code:
		err = fmt.Errorf("%w: %w", fs.ErrExist, err)
	case kerr.RequestTimedOut.Code: // and may yet create it
		err = fmt.Errorf("%w: %w", errUnanswered, err)
	}
	return created, err
}

func newCreateRequest(topic coldstream.NewTopic, mode createMode) *kmsg.CreateTopicsRequest {
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic = topic.Name
	wanted.NumPartitions, wanted.ReplicationFactor = topic.Partitions, topic.ReplicationFactor
	for _, name := range slices.Sorted(maps.Keys(topic.Configs)) {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, kmsg.StringPtr(topic.Configs[name])
		wanted.Configs = append(wanted.Configs, config)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, wanted)
	req.TimeoutMillis = int32(createTimeout.Milliseconds())
	req.ValidateOnly = mode == validateOnly
	return req
}

// controller returns the broker that takes requests for the controller.
func (c *Client) controller(ctx context.Context) (int32, error) {
	resp, err := c.brokers(ctx)
	if err != nil {
		return -1, err
	}
	if resp.ControllerID < 0 {
		return -1, temporary(errors.New("the cluster has no controller"))
	}
	return resp.ControllerID, nil
}

// checkCreated tells a topic that an earlier try created from one that was there: exists
// is the error that tells of it.
func (c *Client) checkCreated(ctx context.Context, topic coldstream.NewTopic, exists error) error {
	if err := expected(c.checkLeaders(ctx, topic)); err != nil {
		if errors.Is(err, errTemporary) {
			return err
		}
		return exists
	}
	partitions := make([]coldstream.TopicPartition, topic.Partitions)
	for i := range partitions {
		partitions[i] = coldstream.TopicPartition{Topic: topic.Name, Partition: int32(i)}
	}
	offsets, err := c.LogOffsets(ctx, partitions)
	if err != nil {
		return err
	}
	for _, log := range offsets {
		if log.Err != nil || log.HighWatermark != 0 {
			return exists
		}
	}
	return nil
}

// errOtherPartitions means that a topic is not the one that was to be created.
var errOtherPartitions = errors.New("topic has another number of partitions")

// checkLeaders asks every broker for the topic, and every leader for its partitions. A
// broker that does not answer is passed over, unless it leads a partition.
func (c *Client) checkLeaders(ctx context.Context, topic coldstream.NewTopic) error {
	cluster, err := c.brokers(ctx)
	if err != nil {
		return err
	}
	views := make([]map[int32]int32, len(cluster.Brokers))
	var asking errgroup.Group
	for i, broker := range cluster.Brokers {
		asking.Go(func() (err error) {
			views[i], err = c.leadersSeenBy(ctx, broker.NodeID, topic)
			if errors.Is(err, errUnanswered) {
				return nil
			}
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return err
	}
	views = slices.DeleteFunc(views, func(view map[int32]int32) bool { return view == nil })
	if len(views) == 0 {
		return temporary(errors.New("no broker answers"))
	}
	led := make(map[int32][]int32)
	for partition, leader := range views[0] {
		led[leader] = append(led[leader], partition)
	}
	for leader, partitions := range led {
		asking.Go(func() error { return c.probeLeader(ctx, leader, topic.Name, partitions) })
	}
	return asking.Wait()
}

// leadersSeenBy asks one broker for the leaders of the topic's partitions. It is an
// error if the broker does not know all of them.
func (c *Client) leadersSeenBy(ctx context.Context, broker int32, topic coldstream.NewTopic) (map[int32]int32, error) {
	resp, err := metadata(ctx, c.kgo.Broker(int(broker)), metadataOf(topic.Name))
	if err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 {
		return nil, fmt.Errorf("broker %d answered with %d topics in place of %s", broker, len(resp.Topics), topic.Name)
	}
	if err := brokerError(resp.Topics[0].ErrorCode, nil); err != nil {
		return nil, c.lacksOnTopic(err, "Describe", topic.Name)
	}
	leaders := make(map[int32]int32)
	for _, partition := range resp.Topics[0].Partitions {
		if partition.Leader < 0 {
			return nil, temporary(fmt.Errorf("partition %d has no leader", partition.Partition))
		}
		leaders[partition.Partition] = partition.Leader
	}
	if len(leaders) != int(topic.Partitions) {
		return nil, fmt.Errorf("%w: %d, not %d", errOtherPartitions, len(leaders), topic.Partitions)
	}
	return leaders, nil
}

// latestOffset asks ListOffsets for the end of a log.
const latestOffset = -1

// probeLeader asks a leader for the ends of its partitions, which it does not answer
// before it has become their leader.
func (c *Client) probeLeader(ctx context.Context, leader int32, topic string, partitions []int32) error {
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = topic
	for _, id := range partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = id, latestOffset
		asked.Partitions = append(asked.Partitions, partition)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, asked)
	answer, err := c.kgo.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		return requestError(err)
	}
	resp, ok := answer.(*kmsg.ListOffsetsResponse)
	if !ok || len(resp.Topics) != 1 {
		return fmt.Errorf("broker %d answered with a %T of other topics", leader, answer)
	}
	for _, partition := range resp.Topics[0].Partitions {
		if err := brokerError(partition.ErrorCode, nil); err != nil {
			return fmt.Errorf("partition %d: %w", partition.Partition, err)
		}
	}
	return nil
}
