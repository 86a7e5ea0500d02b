package coldstream

import (
	"errors"
	"fmt"
)

// The errors that a caller may tell apart with [errors.Is].
var (
	// ErrCorrupt means that stored or received bytes are not what they must be.
	ErrCorrupt = errors.New("corrupt")
	// ErrUnsupported means a version, flag or feature that this program does not know.
	ErrUnsupported = errors.New("not supported by this version of coldstream")
	// ErrForgotten means that a snapshot was dropped on purpose.
	ErrForgotten = errors.New("forgotten")
	// ErrUnreachable means that no broker of the cluster answered in time, or that the
	// login was refused.
	ErrUnreachable = errors.New("cluster unreachable")
	// ErrDenied means that the cluster refused a request for lack of rights.
	ErrDenied = errors.New("denied by the cluster")
	// ErrNotOffered means that brokers do not know a request: they are old, or no Apache Kafka.
	ErrNotOffered = errors.New("not offered by these brokers")
	// ErrUnknownTopic means that the cluster has no such topic.
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrGaveUp means that something stayed unavailable for all of the patience: nobody said
	// no.
	ErrGaveUp = errors.New("gave up")
	// ErrGroupActive means that a consumer group has members, so that its offsets
	// cannot be set from outside.
	ErrGroupActive = errors.New("consumer group has active members")
)

// BaseOffsetError means that a broker appended a batch at another offset than the
// restore had planned: somebody else writes to the partition.
type BaseOffsetError struct {
	TopicPartition
	Want, Got int64
}

func (e *BaseOffsetError) Error() string {
	return fmt.Sprintf("produce to %s: the broker appended at offset %d, where %d was expected: another producer writes to this partition",
		e.TopicPartition, e.Got, e.Want)
}
