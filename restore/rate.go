package restore

import (
	"context"

	"golang.org/x/time/rate"
)

// newRate lets through so many bytes in a second; 0 is no limit. What was not used before counts
// for a quarter of a second at most: a restore that waited for storage does not make up for it.
func newRate(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(max(bytesPerSecond/4, 1), requestBytes)))
}

// awaitTurn waits until so many bytes may be sent. They may be more than the limiter lets
// through at once: a batch is never split.
func awaitTurn(ctx context.Context, limiter *rate.Limiter, sizeBytes int) error {
	if limiter.Limit() == rate.Inf {
		return nil
	}
	for sizeBytes > 0 {
		n := min(sizeBytes, limiter.Burst())
		if err := limiter.WaitN(ctx, n); err != nil {
			<-ctx.Done() // it says beforehand that a deadline will pass
			return ctx.Err()
		}
		sizeBytes -= n
	}
	return nil
}
