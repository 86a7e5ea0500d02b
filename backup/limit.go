package backup

import (
	"context"

	"golang.org/x/time/rate"
)

// limit bounds how many bytes are taken in a second. The zero value bounds nothing.
type limit struct{ limiter *rate.Limiter }

// newLimit makes a limit of so many bytes per second; 0 is none.
func newLimit(bytesPerSecond int64) *limit {
	l := &limit{rate.NewLimiter(rate.Inf, 0)}
	l.set(bytesPerSecond)
	return l
}

// set changes the limit. It is safe for use while others wait.
func (l *limit) set(bytesPerSecond int64) {
	if bytesPerSecond <= 0 {
		l.limiter.SetLimit(rate.Inf)
		return
	}
	l.limiter.SetBurst(int(min(bytesPerSecond, 1<<30)))
	l.limiter.SetLimit(rate.Limit(bytesPerSecond))
}

// wait returns once so many bytes may be taken.
func (l *limit) wait(ctx context.Context, bytes int) error {
	for bytes > 0 && l.limiter.Limit() != rate.Inf {
		n := min(bytes, max(1, l.limiter.Burst()))
		if err := l.limiter.WaitN(ctx, n); err != nil {
			return err
		}
		bytes -= n
	}
	return nil
}
