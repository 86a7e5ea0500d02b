package restore

import (
	"context"
	"fmt"

	"coldstream/vault"
)

const (
	// requestOverhead is more than a request takes besides one batch.
	requestOverhead = 1 << 10
	// usualBatch is about the largest batch that brokers take unless a config says more, and
	// a hundredth of the requests that they take by default.
	usualBatch = 1 << 20
)

// checkRequests finds batches that the target's brokers would hang up on: a request that is
// too large they do not answer, and a restore would try again for all of its patience.
func (p *Plan) checkRequests(ctx context.Context, refused *RefusedError) error {
	limit, err := p.target.RequestLimit(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var largest int64
	for _, t := range p.topics {
		for _, part := range t.partitions {
			run := largestBatch(part.stream.Runs)
			if run == nil {
				continue
			}
			largest = max(largest, run.MaxBatchBytes)
			if err == nil && run.MaxBatchBytes+requestOverhead > limit {
				refused.Reasons = append(refused.Reasons, fmt.Sprintf(
					"%s: a batch of %d bytes in offsets [%d, %d) is larger than a request that the target's brokers take (socket.request.max.bytes=%d)",
					part.target, run.MaxBatchBytes, run.FirstOffset, run.NextOffset, limit))
				refused.Advice.Text = "raise socket.request.max.bytes on all brokers of the target, or leave the topic or the partition out"
			}
		}
	}
	if err != nil && largest > usualBatch {
		p.notCheck("whether the target's brokers take requests of %d bytes, for the largest batch: needs the right DescribeConfigs on the cluster (%v)", largest, err)
	}
	if err == nil {
		p.requestBytes = int(min(requestBytes, max(requestOverhead, limit-requestOverhead)))
	}
	return nil
}

func largestBatch(runs []vault.Run) *vault.Run {
	var largest *vault.Run
	for i := range runs {
		if largest == nil || runs[i].MaxBatchBytes > largest.MaxBatchBytes {
			largest = &runs[i]
		}
	}
	return largest
}
