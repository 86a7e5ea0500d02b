package sim

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// OpKind is one of the things that can be asked of a store.
type OpKind uint8

// The operations.
const (
	// OpCreate stores an object; on a conditional store a taken key is an error, on
	// another one the object is replaced.
	OpCreate OpKind = iota
	// OpPut replaces whatever is there, on any store: what must never be done.
	OpPut
	OpRead
	OpList
	OpDelete
	// OpIdle asks for nothing: a process that thinks.
	OpIdle
)

func (k OpKind) changes() bool { return k == OpCreate || k == OpPut || k == OpDelete }

// Op is one operation. It happens at once: the store is linearizable.
type Op struct {
	Kind OpKind
	Key  string // or a prefix, to list
	Body any
	// Of a listing: keys greater than After only, at most Limit of them if that is not 0.
	After string
	Limit int
}

// String is a line of a trace.
func (o Op) String() string {
	names := [...]string{"create", "put", "read", "list", "delete", "idle"}
	switch {
	case o.Kind == OpList && o.After != "":
		return fmt.Sprintf("list %s after %s", o.Key, o.After)
	case o.Kind.changes() && o.Body != nil:
		if text, ok := o.Body.(fmt.Stringer); ok {
			return fmt.Sprintf("%s %s %v", names[o.Kind], o.Key, text)
		}
	}
	return names[o.Kind] + " " + o.Key
}

// Object is what lies under a key. Bodies are never changed once they are stored.
type Object struct {
	Key  string
	Body any
}

// Answer is what an operation gave.
type Answer struct {
	Err     error
	Body    any
	Objects []Object
	Lost    bool // it took effect, and Err hides it
}

// String is the end of a line of a trace.
func (a Answer) String() string {
	switch {
	case a.Lost:
		return "done, but answered: " + a.Err.Error()
	case a.Err != nil:
		return a.Err.Error()
	case a.Objects != nil:
		keys := make([]string, len(a.Objects))
		for i, o := range a.Objects {
			keys[i] = o.Key
		}
		return "[" + strings.Join(keys, " ") + "]"
	}
	return "ok"
}

// Store is the model of a store: objects in the order of their keys.
type Store struct {
	// Conditional says that creating what is there fails, as it should.
	Conditional bool
	// PageLimit is how many objects a [Client] asks for at a time when it lists: few, so
	// that much happens between two pages.
	PageLimit int
	// Changed is told of each change after it happened; replaced is what was there.
	Changed func(op *Op, replaced any)

	keys    []string
	objects map[string]any
}

// NewStore makes an empty store.
func NewStore() *Store {
	return &Store{Conditional: true, PageLimit: 3, objects: map[string]any{}}
}

// Get looks without being a step of anybody: for judges.
func (s *Store) Get(key string) (any, bool) {
	body, ok := s.objects[key]
	return body, ok
}

// Has looks whether an object is there, without being a step of anybody.
func (s *Store) Has(key string) bool {
	_, ok := s.objects[key]
	return ok
}

// Keys lists without being a step of anybody. The slice is the store's.
func (s *Store) Keys(prefix string) []string {
	from := s.search(prefix)
	to := from
	for to < len(s.keys) && strings.HasPrefix(s.keys[to], prefix) {
		to++
	}
	return s.keys[from:to]
}

// Remove deletes without being a step of a process: what an operator does.
func (s *Store) Remove(key string) { s.do(&Op{Kind: OpDelete, Key: key}) }

// Add stores without being a step of a process: what was there before all began.
func (s *Store) Add(key string, body any) { s.do(&Op{Kind: OpCreate, Key: key, Body: body}) }

func (s *Store) search(key string) int {
	i, _ := slices.BinarySearch(s.keys, key)
	return i
}

func (s *Store) do(op *Op) Answer {
	switch op.Kind {
	case OpCreate:
		if s.Conditional && s.Has(op.Key) {
			return Answer{Err: fs.ErrExist}
		}
		s.put(op)
	case OpPut:
		s.put(op)
	case OpRead:
		body, ok := s.objects[op.Key]
		if !ok {
			return Answer{Err: fs.ErrNotExist}
		}
		return Answer{Body: body}
	case OpList:
		return Answer{Objects: s.list(op)}
	case OpDelete:
		s.remove(op)
	}
	return Answer{}
}

func (s *Store) put(op *Op) {
	replaced, there := s.objects[op.Key]
	if !there {
		s.keys = slices.Insert(s.keys, s.search(op.Key), op.Key)
	}
	s.objects[op.Key] = op.Body
	if s.Changed != nil {
		s.Changed(op, replaced)
	}
}

func (s *Store) remove(op *Op) {
	replaced, there := s.objects[op.Key]
	if !there {
		return
	}
	i := s.search(op.Key)
	s.keys = slices.Delete(s.keys, i, i+1)
	delete(s.objects, op.Key)
	if s.Changed != nil {
		s.Changed(op, replaced)
	}
}

func (s *Store) list(op *Op) []Object {
	out := []Object{}
	i := s.search(max(op.Key, op.After))
	for ; i < len(s.keys) && (op.Limit == 0 || len(out) < op.Limit); i++ {
		key := s.keys[i]
		if key <= op.After {
			continue
		}
		if !strings.HasPrefix(key, op.Key) {
			break
		}
		out = append(out, Object{Key: key, Body: s.objects[key]})
	}
	return out
}
