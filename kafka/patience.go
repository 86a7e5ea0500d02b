package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coldstream"
)

var errPatience = errors.New("patience ran out")

const (
	firstRetryWait = 100 * time.Millisecond
	maxRetryWait   = 2 * time.Second
	// unknownTopicPatience bounds the wait for a topic that the brokers do not know, or
	// know under another ID: what one broker knows, all know within seconds.
	unknownTopicPatience = 10 * time.Second
	// tryTimeout ends a try that no broker answers; brokers have been seen to leave
	// requests unanswered for ever.
	tryTimeout = 45 * time.Second
)

// patiently repeats try while its error is temporary, until the patience runs out.
func (c *Client) patiently(ctx context.Context, try func(context.Context) error) error {
	return c.await(ctx, "an answer of the cluster", try)
}

// await is patiently for something that has a name: a noun, for people.
func (c *Client) await(ctx context.Context, what string, try func(context.Context) error) error {
	return c.paced(ctx, pace{firstRetryWait, maxRetryWait, what}, try)
}

// pace is how long tries wait for each other, first and at most, and what they are for.
type pace struct {
	first, most time.Duration
	what        string
}

// paced is patiently at a pace.
func (c *Client) paced(ctx context.Context, p pace, try func(context.Context) error) error {
	patient, cancel := context.WithTimeoutCause(ctx, c.patience(), errPatience)
	defer cancel()
	waiting := c.waits.begin(ctx, p.what, c.patience())
	defer waiting.end()
	var unknown unknownTopic
	for wait := p.first; ; wait = min(2*wait, p.most) {
		err := once(patient, try)
		if err == nil || !errors.Is(err, errTemporary) {
			return err
		}
		if unknown.tooLong(err) {
			return err
		}
		waiting.came(err)
		if !pause(patient, wait) {
			return gaveUp(patient, c.patience(), err)
		}
	}
}

// unknownTopic measures for how long the brokers have not known a topic. A broker that
// restarts may say so for a moment after a long time of other errors, so that only an
// unbroken row of such answers counts.
type unknownTopic struct{ since time.Time }

// tooLong takes what a try came to.
func (u *unknownTopic) tooLong(err error) bool {
	if !errors.Is(err, coldstream.ErrUnknownTopic) {
		u.since = time.Time{}
		return false
	}
	if u.since.IsZero() {
		u.since = time.Now()
	}
	return time.Since(u.since) >= unknownTopicPatience
}

func once(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return try(ctx)
}

// gaveUp says why nothing more is tried, and what the last try came to.
func gaveUp(ctx context.Context, patience time.Duration, last error) error {
	if cause := context.Cause(ctx); !errors.Is(cause, errPatience) {
		return fmt.Errorf("%w (before that: %w)", cause, last)
	}
	return fmt.Errorf("%w after %s: %w", coldstream.ErrGaveUp, patience, last)
}

// pause waits; it is false if ctx ended first.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
