package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	// errTemporary marks errors after which another try may succeed.
	errTemporary = errors.New("temporary")
	// errUnanswered marks requests of which it is not known whether the broker has done
	// what they ask for.
	errUnanswered = errors.New("no answer")
	errPatience   = errors.New("patience ran out")
)

type temporaryError struct{ error }

func (e temporaryError) Unwrap() error        { return e.error }
func (e temporaryError) Is(target error) bool { return target == errTemporary }

func temporary(err error) error { return temporaryError{err} }

// brokerError turns an error code of a broker and the text it may have sent with it
// into an error; it is nil for code 0. The error is temporary where another try may
// succeed, and wraps [coldstream.ErrDenied] or [coldstream.ErrUnknownTopic] where it
// means that.
func brokerError(code int16, message *string) error {
	cause := kerr.ErrorForCode(code)
	if cause == nil {
		return nil
	}
	err := cause
	if message != nil && *message != "" {
		err = fmt.Errorf("%w (%s)", cause, *message)
	}
	switch {
	case errors.Is(cause, kerr.TopicAuthorizationFailed),
		errors.Is(cause, kerr.ClusterAuthorizationFailed),
		errors.Is(cause, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("%w: %w", coldstream.ErrDenied, err)
	case errors.Is(cause, kerr.UnknownTopicOrPartition), errors.Is(cause, kerr.UnknownTopicID):
		return fmt.Errorf("%w: %w", coldstream.ErrUnknownTopic, err)
	case errors.Is(cause, kerr.CorruptMessage):
		return err // retriable by the protocol's word, but the bytes will not change
	case kerr.IsRetriable(cause):
		return temporary(err)
	}
	return err
}

// expected makes the error that a topic is unknown a temporary one, for topics that
// should be there: what one broker knows, all know within seconds.
func expected(err error) error {
	if errors.Is(err, coldstream.ErrUnknownTopic) {
		return temporary(err)
	}
	return err
}

// tooOld is in the text of franz-go's error, which has no name outside of it, for requests
// that the brokers do not know.
const tooOld = "broker is too old"

// requestError says whether a request without an answer is worth another try. All of a
// network's ways to fail are; whether the broker has done what was asked is not known.
func requestError(err error) error {
	var code *kerr.Error
	switch {
	case errors.As(err, &code) && errors.Is(brokerError(code.Code, nil), coldstream.ErrDenied):
		return brokerError(code.Code, nil) // of who was asked for the coordinator, say
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("%w: %w", coldstream.ErrUnreachable, err)
	case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed), errors.Is(err, coldstream.ErrNotOffered):
		return err
	case strings.Contains(err.Error(), tooOld):
		return fmt.Errorf("%w: %w", coldstream.ErrNotOffered, err)
	}
	return temporary(fmt.Errorf("%w: %w", errUnanswered, err))
}

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
