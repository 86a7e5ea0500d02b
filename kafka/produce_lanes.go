package kafka

import (
	"context"
	"fmt"
	"sync"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducer implements [coldstream.RecordWriter]. Each call gets another ID.
func (c *Client) InitProducer(ctx context.Context) (coldstream.ProducerIdentity, error) {
	var producer coldstream.ProducerIdentity
	err := c.await(ctx, "a producer ID", func(ctx context.Context) error {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.ProducerID, req.ProducerEpoch = -1, -1
		resp, err := req.RequestWith(ctx, c.kgo)
		if err != nil {
			return requestError(err)
		}
		producer = coldstream.ProducerIdentity{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}
		// Whoever may write to any topic may have one; before Kafka 2.8 that took IdempotentWrite.
		return c.lacksOnTopic(brokerError(resp.ErrorCode, nil), "Write", c.writtenTopic())
	})
	if err != nil {
		return coldstream.ProducerIdentity{}, fmt.Errorf("get a producer ID: %w", err)
	}
	return producer, nil
}

// lanes are the clients that Produce uses: each has connections of its own, because a
// broker handles the requests of one connection one after the other, and with acks=all
// each of them waits for the followers.
type lanes struct {
	mu     sync.Mutex
	tables []*leaderTable // nil where the lane was not used yet
	closed bool
}

func newLanes(n int) *lanes { return &lanes{tables: make([]*leaderTable, n)} }

// get returns a lane, which connect connects when it is used for the first time.
func (l *lanes) get(number int, connect func() (*kgo.Client, error)) (*leaderTable, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, kgo.ErrClientClosed
	}
	if l.tables[number] == nil {
		client, err := connect()
		if err != nil {
			return nil, fmt.Errorf("open lane %d: %w", number, err)
		}
		l.tables[number] = newLeaderTable(client)
	}
	return l.tables[number], nil
}

// close ends all connections; a Produce under way then fails.
func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, table := range l.tables {
		if table != nil {
			table.client.Close()
		}
	}
}
