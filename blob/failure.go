package blob

import (
	"errors"
	"strings"
)

// ErrNoBucket is wrapped by errors that say that what holds the objects is not there: a
// bucket, a container. It is never the absence of an object.
var ErrNoBucket = errors.New("no such bucket")

// ErrUnreadable is wrapped by errors that say that a storage has an object and does not
// give it, however often it is asked: the object is damaged there.
var ErrUnreadable = errors.New("unreadable")

// Failure is an error of a storage that a person can do something about.
type Failure struct {
	Err  error
	Next string // what to do, in one sentence
}

// Error is the error without what to do.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Hint is what to do.
func (f *Failure) Hint() string { return f.Next }

// MayBegin says that a key that [CheckKey] accepts may begin with prefix, so that a
// storage need not be asked for what nothing begins with.
func MayBegin(prefix string) bool {
	if prefix == "" {
		return true
	}
	folders, last := "", prefix
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folders, last = prefix[:i], prefix[i+1:]
		if CheckKey(folders) != nil {
			return false
		}
	}
	return len(last) <= maxSegmentBytes && len(prefix) < maxKeyBytes && (last == "" || CheckKey(last+"x") == nil || CheckKey(last) == nil) ||
		len(prefix) == maxKeyBytes && CheckKey(prefix) == nil
}

// ListFrom is where a storage may begin to list so that no key greater than after is left
// out: after, up to what no key has in it and some servers take in no name.
func ListFrom(after string) string {
	for i := range len(after) {
		if c := after[i]; (c < 'a' || c > 'z') && (c < '-' || c > '9') && c != '_' {
			return after[:i]
		}
	}
	return after
}
