package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataOf asks for topics by their names; without names for none, and only for the brokers.
// It never makes a topic.
func metadataOf(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	req.Topics = make([]kmsg.MetadataRequestTopic, len(names)) // nil would be all topics
	for i := range names {
		req.Topics[i] = kmsg.NewMetadataRequestTopic()
		req.Topics[i].Topic = &names[i]
	}
	return req
}

// metadataOfAll asks for all topics.
func metadataOfAll() *kmsg.MetadataRequest {
	req := metadataOf()
	req.Topics = nil
	return req
}

// metadata asks for metadata once: any broker, or one.
func metadata(ctx context.Context, broker kmsg.Requestor, req *kmsg.MetadataRequest) (*kmsg.MetadataResponse, error) {
	resp, err := req.RequestWith(ctx, broker)
	if err != nil {
		return nil, requestError(err)
	}
	return resp, nil
}

// brokers asks which brokers are there, and about no topic.
func (c *Client) brokers(ctx context.Context) (*kmsg.MetadataResponse, error) {
	resp, err := metadata(ctx, c.kgo, metadataOf())
	if err != nil {
		return nil, fmt.Errorf("ask for the brokers: %w", err)
	}
	return resp, nil
}
