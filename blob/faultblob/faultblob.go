// Package faultblob is a store that fails, forgets and dies on request: around another
// store, it counts operations and does to each what a plan says. It is for tests.
package faultblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"coldstream/blob"
)

var (
	// ErrFault is what a fault fails with if it names no other error.
	ErrFault = errors.New("injected fault")
	// ErrDead is what the operation in which the process died, and all later ones, fail
	// with. Another [Store] around the same inner one is the next process.
	ErrDead = errors.New("the process died")
)

// Kind is a method of [blob.Store].
type Kind string

// The kinds of operations.
const (
	Create Kind = "create"
	Read   Kind = "read"
	Open   Kind = "open"
	List   Kind = "list"
	Delete Kind = "delete"
)

// Op is an operation that was begun.
type Op struct {
	Kind Kind
	Key  string // of List, the prefix
}

// Action is what a fault does.
type Action int

// The actions.
const (
	// Fail fails the operation, which is not done.
	Fail Action = iota + 1
	// FailForGood fails the operation and all later ones.
	FailForGood
	// LoseAnswer does the operation and fails all the same: Create and Delete are done,
	// Read is for nothing, and what Open and List give breaks off half-way.
	LoseAnswer
	// DieBefore kills the process before the operation is done.
	DieBefore
	// DieAfter kills the process when the operation is done, before its answer.
	DieAfter
)

// Fault is one thing that goes wrong.
type Fault struct {
	At  int // the number of the operation, counted from 1
	Do  Action
	Err error // what it fails with: [ErrFault] if nil; those that die have [ErrDead]
}

// Store is a [blob.Store] with faults. Operations are counted in the order in which they
// begin; a listing begins when it is first asked for an entry.
type Store struct {
	inner blob.Store
	plan  []Fault

	mu   sync.Mutex
	ops  []Op
	dead bool
}

var _ blob.Store = (*Store)(nil)

// New makes a store around another one. Without faults it only records.
func New(inner blob.Store, plan ...Fault) *Store {
	return &Store{inner: inner, plan: slices.Clone(plan)}
}

// Ops returns the operations that were begun, the first first. Those of a process that
// is dead are none.
func (s *Store) Ops() []Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ops)
}

// verdict is what is to become of one operation.
type verdict struct {
	do  Action // 0: nothing
	err error
}

func (v verdict) isBefore() bool { return v.do == Fail || v.do == FailForGood || v.do == DieBefore }

// begin counts an operation.
func (s *Store) begin(op Op) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return verdict{DieBefore, fmt.Errorf("%s %s: %w", op.Kind, op.Key, ErrDead)}
	}
	s.ops = append(s.ops, op)
	for _, f := range s.plan {
		if f.At != len(s.ops) && (f.Do != FailForGood || f.At > len(s.ops)) {
			continue
		}
		cause := f.Err
		switch {
		case f.Do == DieBefore || f.Do == DieAfter:
			cause = ErrDead
			s.dead = f.Do == DieBefore
		case cause == nil:
			cause = ErrFault
		}
		return verdict{f.Do, fmt.Errorf("%s %s: operation %d: %w", op.Kind, op.Key, len(s.ops), cause)}
	}
	return verdict{}
}

// end gives the answer of an operation that was done, unless it is lost.
func (s *Store) end(v verdict, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Another goroutine's operation may have killed the process meanwhile: a dead one
	// gets no answers.
	if s.dead = s.dead || v.do == DieAfter; s.dead && v.err == nil {
		return ErrDead
	}
	if v.err != nil {
		return v.err
	}
	return err
}

// Create is [blob.Store.Create].
func (s *Store) Create(ctx context.Context, key string, body []byte) error {
	v := s.begin(Op{Create, key})
	if v.isBefore() {
		return v.err
	}
	return s.end(v, s.inner.Create(ctx, key, body))
}

// Read is [blob.Store.Read].
func (s *Store) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	v := s.begin(Op{Read, key})
	if v.isBefore() {
		return nil, v.err
	}
	out, err := s.inner.Read(ctx, key, offset, length)
	if err = s.end(v, err); err != nil {
		return nil, err
	}
	return out, nil
}

// Open is [blob.Store.Open].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	v := s.begin(Op{Open, key})
	if v.isBefore() {
		return nil, 0, v.err
	}
	r, size, err := s.inner.Open(ctx, key)
	if err == nil && v.do == LoseAnswer {
		return &reader{r, s, size / 2, v.err}, size, nil
	}
	if endErr := s.end(v, err); endErr != nil {
		if err == nil {
			_ = r.Close() // nobody will
		}
		return nil, 0, endErr
	}
	return &reader{r, s, size, nil}, size, nil
}

// reader breaks off when the process dies, and after so many bytes if it has an error.
type reader struct {
	io.ReadCloser
	store *Store
	left  int64
	err   error
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.store.end(verdict{}, nil); err != nil {
		return 0, err
	}
	if r.err != nil {
		if r.left == 0 {
			return 0, r.err
		}
		p = p[:min(int64(len(p)), r.left)]
	}
	n, err := r.ReadCloser.Read(p)
	r.left -= int64(n)
	return n, err
}

// List is [blob.Store.List].
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		v := s.begin(Op{List, prefix})
		if v.do == DieAfter {
			v.err = s.end(v, nil)
		}
		if v.isBefore() || v.do == DieAfter {
			yield(blob.Entry{}, v.err)
			return
		}
		entries := s.inner.List(ctx, prefix, after)
		if v.do == LoseAnswer {
			entries = half(entries, v.err)
		}
		for e, err := range entries {
			if deadErr := s.end(verdict{}, nil); deadErr != nil {
				yield(blob.Entry{}, deadErr)
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// half yields every entry of the first half, then the error.
func half(entries iter.Seq2[blob.Entry, error], end error) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		var all []blob.Entry
		for e, err := range entries {
			if err != nil {
				break
			}
			all = append(all, e)
		}
		for _, e := range all[:len(all)/2] {
			if !yield(e, nil) {
				return
			}
		}
		yield(blob.Entry{}, end)
	}
}

// Delete is [blob.Store.Delete].
func (s *Store) Delete(ctx context.Context, key string) error {
	v := s.begin(Op{Delete, key})
	if v.isBefore() {
		return v.err
	}
	return s.end(v, s.inner.Delete(ctx, key))
}
