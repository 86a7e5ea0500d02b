package object

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// The kinds of damage.
const (
	KindMissing     = "missing"
	KindTruncated   = "truncated"
	KindAltered     = "altered"
	KindUnreadable  = "unreadable"        // the storage lists it, and does not give it
	KindMarked      = "marked as damaged" // by somebody who found it so
	KindUnexpected  = "unexpected"        // an object that nobody of us made
	KindDoesNotJoin = "does_not_join"     // a commit that builds on one that is lost
)

// DamageError says which object is missing or altered and what it costs. It wraps
// [coldstream.ErrCorrupt].
type DamageError struct {
	Object      string
	Kind        string
	Stream      coldstream.Stream
	FirstOffset int64
	NextOffset  int64 // equal to FirstOffset where no offsets are known to be lost
	Cause       error
}

func (e *DamageError) Error() string {
	lost := ""
	if e.NextOffset > e.FirstOffset {
		lost = fmt.Sprintf(", which costs %s offsets [%d, %d)", e.Stream.TopicPartition(), e.FirstOffset, e.NextOffset)
	}
	state := "is " + e.Kind
	if e.Kind == KindDoesNotJoin {
		state = "does not join"
	}
	return fmt.Sprintf("object %s %s%s: %v", e.Object, state, lost, e.Cause)
}

// Unwrap gives the cause and [coldstream.ErrCorrupt].
func (e *DamageError) Unwrap() []error { return []error{coldstream.ErrCorrupt, e.Cause} }

// ID names damage by what is damaged, how, and what it costs: 16 hex digits.
func (e *DamageError) ID() string { return e.Acceptance(time.Time{}).ID().String() }

// Acceptance says that the damage is known and accepted.
func (e *DamageError) Acceptance(now time.Time) *format.Acceptance {
	return &format.Acceptance{
		TimeMs: now.UnixMilli(), Object: e.Object, Kind: e.Kind,
		Incarnation: e.Stream.Incarnation, Partition: e.Stream.Partition,
		FirstOffset: e.FirstOffset, NextOffset: max(e.FirstOffset, e.NextOffset),
	}
}

// AsDamage says what kind of damage an error in reading an object means; an error that is
// none stays what it is.
func AsDamage(key string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &DamageError{Object: key, Kind: KindMissing, Cause: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &DamageError{Object: key, Kind: KindTruncated, Cause: err}
	case errors.Is(err, blob.ErrUnreadable):
		return &DamageError{Object: key, Kind: KindUnreadable, Cause: err}
	case errors.Is(err, coldstream.ErrCorrupt):
		return &DamageError{Object: key, Kind: KindAltered, Cause: err}
	}
	return err
}
