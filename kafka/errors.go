package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
)

type temporaryError struct{ error }

func (e temporaryError) Unwrap() error        { return e.error }
func (e temporaryError) Is(target error) bool { return target == errTemporary }

func temporary(err error) error { return temporaryError{err} }

// isTemporary says that another try may succeed.
func isTemporary(err error) bool { return errors.Is(err, errTemporary) }

func isUnknownTopic(err error) bool { return errors.Is(err, coldstream.ErrUnknownTopic) }

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
