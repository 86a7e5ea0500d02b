package faultblob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob"
	"coldstream/blob/blobtest"
	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
)

// Without faults it is a store like any other.
func TestContract(t *testing.T) {
	for _, check := range blobtest.Checks(blobtest.Shared) {
		t.Run(check.Name, func(t *testing.T) {
			inner := mem.New()
			if err := check.Run(t.Context(), func() (blob.Store, error) { return faultblob.New(inner), nil }); err != nil {
				t.Error(err)
			}
		})
	}
}

// world is a store with objects "a/0" to "a/3" of eight bytes.
func world(t *testing.T) *mem.Store {
	t.Helper()
	s := mem.New()
	for i := range 4 {
		if err := s.Create(t.Context(), fmt.Sprintf("a/%d", i), fmt.Appendf(nil, "object %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// call is one operation, with what the caller got of it.
type call struct {
	op  faultblob.Op
	run func(ctx context.Context, s blob.Store) (got string, err error)
}

func calls() []call {
	return []call{
		{faultblob.Op{Kind: faultblob.Create, Key: "new"}, func(ctx context.Context, s blob.Store) (string, error) {
			return "", s.Create(ctx, "new", []byte("new"))
		}},
		{faultblob.Op{Kind: faultblob.Read, Key: "a/1"}, func(ctx context.Context, s blob.Store) (string, error) {
			b, err := s.Read(ctx, "a/1", 1, 5)
			return string(b), err
		}},
		{faultblob.Op{Kind: faultblob.Open, Key: "a/2"}, func(ctx context.Context, s blob.Store) (string, error) {
			r, _, err := s.Open(ctx, "a/2")
			if err != nil {
				return "", err
			}
			b, err := io.ReadAll(r)
			return string(b), errors.Join(err, r.Close())
		}},
		{faultblob.Op{Kind: faultblob.List, Key: "a/"}, func(ctx context.Context, s blob.Store) (string, error) {
			return listing(ctx, s, "a/")
		}},
		{faultblob.Op{Kind: faultblob.Delete, Key: "a/0"}, func(ctx context.Context, s blob.Store) (string, error) {
			return "", s.Delete(ctx, "a/0")
		}},
	}
}

func listing(ctx context.Context, s blob.Store, prefix string) (got string, err error) {
	for e, err := range s.List(ctx, prefix, "") {
		if err != nil {
			return got, err
		}
		got += e.Key + " "
	}
	return got, nil
}

const (
	before = "a/0 a/1 a/2 a/3 "
	done   = "done" // what a call leaves when it is done
)

// after is what each kind of call leaves when it is done.
func after(kind faultblob.Kind) string {
	switch kind {
	case faultblob.Create:
		return before + "new "
	case faultblob.Delete:
		return "a/1 a/2 a/3 "
	}
	return before
}

// Each action on each kind of operation: what the caller gets, what is in the store
// then, and whether the next operation succeeds.
func TestActions(t *testing.T) {
	answers := map[faultblob.Kind]string{faultblob.Read: "bject", faultblob.Open: "object 2", faultblob.List: before}
	halves := map[faultblob.Kind]string{faultblob.Open: "obje", faultblob.List: "a/0 a/1 "}
	other := errors.New("another error")
	for name, c := range map[string]struct {
		fault faultblob.Fault
		err   error // of the operation
		next  error // of the one after it
		left  string
		got   map[faultblob.Kind]string
	}{
		"nothing":         {faultblob.Fault{At: 3, Do: faultblob.Fail}, nil, faultblob.ErrFault, done, answers},
		"fail once":       {faultblob.Fault{At: 2, Do: faultblob.Fail, Err: blob.ErrTemporary}, blob.ErrTemporary, nil, before, nil},
		"fail with other": {faultblob.Fault{At: 2, Do: faultblob.Fail, Err: other}, other, nil, before, nil},
		"fail for good":   {faultblob.Fault{At: 2, Do: faultblob.FailForGood}, faultblob.ErrFault, faultblob.ErrFault, before, nil},
		"failing before":  {faultblob.Fault{At: 1, Do: faultblob.FailForGood}, faultblob.ErrFault, faultblob.ErrFault, before, nil},
		"lose answer":     {faultblob.Fault{At: 2, Do: faultblob.LoseAnswer, Err: blob.ErrTemporary}, blob.ErrTemporary, nil, done, halves},
		"die before":      {faultblob.Fault{At: 2, Do: faultblob.DieBefore}, faultblob.ErrDead, faultblob.ErrDead, before, nil},
		"die after":       {faultblob.Fault{At: 2, Do: faultblob.DieAfter}, faultblob.ErrDead, faultblob.ErrDead, done, nil},
	} {
		for _, call := range calls() {
			t.Run(name+" "+string(call.op.Kind), func(t *testing.T) {
				inner := world(t)
				s := faultblob.New(inner, c.fault)
				_, firstErr := s.Read(t.Context(), "a/3", 0, 1) // operation 1
				if first := c.fault.At == 1; (firstErr != nil) != first {
					t.Errorf("operation 1: %v", firstErr)
				}
				got, err := call.run(t.Context(), s)
				if (c.err == nil) != (err == nil) || !errors.Is(err, c.err) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if got != c.got[call.op.Kind] {
					t.Errorf("the caller gets %q, want %q", got, c.got[call.op.Kind])
				}
				want := before
				if c.left == done {
					want = after(call.op.Kind)
				}
				if left, err := listing(t.Context(), inner, ""); left != want || err != nil {
					t.Errorf("the store has %q, %v, want %q", left, err, want)
				}
				_, err = s.Read(t.Context(), "a/3", 0, 1) // operation 3
				if (c.next == nil) != (err == nil) || !errors.Is(err, c.next) {
					t.Errorf("the next operation: %v, want %v", err, c.next)
				}
				wantOps := []faultblob.Op{{Kind: faultblob.Read, Key: "a/3"}, call.op, {Kind: faultblob.Read, Key: "a/3"}}
				if errors.Is(c.next, faultblob.ErrDead) {
					wantOps = wantOps[:2] // the dead begin nothing
				}
				if diff := cmp.Diff(wantOps, s.Ops()); diff != "" {
					t.Errorf("operations (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// What was opened or is being listed when the process dies gives nothing any more.
func TestDeadMidway(t *testing.T) {
	s := faultblob.New(world(t), faultblob.Fault{At: 3, Do: faultblob.DieBefore})
	r, _, err := s.Open(t.Context(), "a/0")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil {
			if !errors.Is(err, faultblob.ErrDead) {
				t.Errorf("the listing ends with %v", err)
			}
			break
		}
		keys = append(keys, e.Key)
		if err := s.Delete(t.Context(), "a/3"); !errors.Is(err, faultblob.ErrDead) {
			t.Errorf("Delete: %v", err)
		}
	}
	if !slices.Equal(keys, []string{"a/0"}) {
		t.Errorf("listed: %q", keys)
	}
	if b, err := io.ReadAll(r); len(b) > 0 || !errors.Is(err, faultblob.ErrDead) {
		t.Errorf("read: %q, %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// A sweep meets every operation once, and ends.
func TestSweep(t *testing.T) {
	n := 1
	for ; ; n++ {
		s := faultblob.New(world(t), faultblob.Fault{At: n, Do: faultblob.Fail})
		failed := 0
		for _, call := range calls() {
			if _, err := call.run(t.Context(), s); err != nil {
				failed++
			}
		}
		if len(s.Ops()) < n {
			break
		}
		if failed != 1 {
			t.Errorf("fault at %d: %d operations failed", n, failed)
		}
	}
	if n != len(calls())+1 {
		t.Errorf("the sweep ended at %d", n)
	}
}

func TestSeveralFaults(t *testing.T) {
	s := faultblob.New(world(t),
		faultblob.Fault{At: 1, Do: faultblob.Fail, Err: blob.ErrTemporary}, faultblob.Fault{At: 3, Do: faultblob.DieAfter})
	for i, want := range []error{blob.ErrTemporary, nil, faultblob.ErrDead, faultblob.ErrDead} {
		if err := s.Create(t.Context(), fmt.Sprintf("b/%d", i+1), nil); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("operation %d: %v, want %v", i+1, err, want)
		}
	}
}

// A Create whose answer was lost finds itself when it is tried again.
func TestLostCreate(t *testing.T) {
	s := faultblob.New(mem.New(), faultblob.Fault{At: 1, Do: faultblob.LoseAnswer, Err: blob.ErrTemporary})
	if err := s.Create(t.Context(), "a", nil); !errors.Is(err, blob.ErrTemporary) {
		t.Error(err)
	}
	if err := s.Create(t.Context(), "a", nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("once more: %v, want fs.ErrExist", err)
	}
}

func TestDamage(t *testing.T) {
	const untouched = "object 0,object 1,object 2,object 3,"
	for name, c := range map[string]struct {
		damage func(ctx context.Context, s blob.Store) error
		want   string // untouched: refused
	}{
		"flip the first bit": {func(ctx context.Context, s blob.Store) error { return faultblob.FlipBit(ctx, s, "a/1", 0) },
			"object 0,nbject 1,object 2,object 3,"},
		"flip the last bit": {func(ctx context.Context, s blob.Store) error { return faultblob.FlipBit(ctx, s, "a/1", 63) },
			"object 0,object \xb1,object 2,object 3,"},
		"flip past the end":    {func(ctx context.Context, s blob.Store) error { return faultblob.FlipBit(ctx, s, "a/1", 64) }, untouched},
		"flip before":          {func(ctx context.Context, s blob.Store) error { return faultblob.FlipBit(ctx, s, "a/1", -1) }, untouched},
		"truncate":             {func(ctx context.Context, s blob.Store) error { return faultblob.Truncate(ctx, s, "a/0", 3) }, "obj,object 1,object 2,object 3,"},
		"truncate to nothing":  {func(ctx context.Context, s blob.Store) error { return faultblob.Truncate(ctx, s, "a/0", 0) }, ",object 1,object 2,object 3,"},
		"truncate to the same": {func(ctx context.Context, s blob.Store) error { return faultblob.Truncate(ctx, s, "a/0", 8) }, untouched},
		"forget":               {func(ctx context.Context, s blob.Store) error { return faultblob.Forget(ctx, s, "a/2") }, "object 0,object 1,object 3,"},
		"swap":                 {func(ctx context.Context, s blob.Store) error { return faultblob.Swap(ctx, s, "a/0", "a/3") }, "object 3,object 1,object 2,object 0,"},
		"replace": {func(ctx context.Context, s blob.Store) error {
			return faultblob.Replace(ctx, s, "a/0", []byte("older"))
		}, "older,object 1,object 2,object 3,"},
		"replace by the same": {func(ctx context.Context, s blob.Store) error {
			return faultblob.Replace(ctx, s, "a/0", []byte("object 0"))
		}, untouched},
		"swap with itself":  {func(ctx context.Context, s blob.Store) error { return faultblob.Swap(ctx, s, "a/0", "a/0") }, untouched},
		"forget the absent": {func(ctx context.Context, s blob.Store) error { return faultblob.Forget(ctx, s, "x") }, untouched},
		"swap with absent":  {func(ctx context.Context, s blob.Store) error { return faultblob.Swap(ctx, s, "a/0", "x") }, untouched},
	} {
		t.Run(name, func(t *testing.T) {
			s := world(t)
			if err := c.damage(t.Context(), s); (err != nil) != (c.want == untouched) {
				t.Errorf("error: %v", err)
			}
			got := ""
			for e, err := range s.List(t.Context(), "", "") {
				if err != nil {
					t.Fatal(err)
				}
				body, err := blob.ReadAll(t.Context(), s, e.Key, 100)
				if err != nil {
					t.Fatal(err)
				}
				got += string(body) + ","
			}
			if got != c.want {
				t.Errorf("it left %q, want %q", got, c.want)
			}
		})
	}
}
