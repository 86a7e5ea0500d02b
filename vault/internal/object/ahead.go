package object

import (
	"bytes"
	"context"
	"io"
	"sync"

	"coldstream/blob"
)

// How much of a catalog is read before it is needed: so many requests at once that storage
// which takes 30 ms for each gives four thousand small commits in a second, and no more bytes
// than that much memory is worth: of objects of a MiB these are 32 at once.
const (
	aheadRequests = 128
	aheadBytes    = 32 << 20
)

// Ahead is the same objects, of which the next ones are read before they are asked for. What
// is asked for is the same, and so is its order: only what is read as a whole of the objects
// named here is answered from what was read. Each is given once; after a failure, and a second
// time, the storage itself is asked. Until stop returns, objects are read. Storage that is near
// is not read ahead: there it saves nothing.
func (s *Store) Ahead(ctx context.Context, objects []blob.Entry) (fast *Store, stop func()) {
	if !s.IsFar() || len(objects) < 2 {
		return s, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	a := &aheadStore{Store: s.blobs, objects: map[string]*aheadObject{}}
	a.changed.L = &a.mu
	for i := range objects {
		o := &aheadObject{Entry: objects[i], done: make(chan struct{})}
		a.objects[o.Key] = o
		a.waiting = append(a.waiting, o)
	}
	var reading sync.WaitGroup
	for range min(aheadRequests, len(objects)) {
		reading.Go(func() { a.work(ctx) })
	}
	fast = new(*s)
	fast.blobs = a
	return fast, func() {
		cancel()
		a.mu.Lock()
		a.waiting = nil
		a.changed.Broadcast()
		a.mu.Unlock()
		reading.Wait()
	}
}

// aheadStore is the storage with some objects read already.
type aheadStore struct {
	blob.Store

	mu      sync.Mutex
	changed sync.Cond
	objects map[string]*aheadObject // that nobody has asked for yet
	waiting []*aheadObject          // not begun, in the order in which they will be asked for
	held    int64                   // bytes of objects begun and not given
}

type aheadObject struct {
	blob.Entry
	begun, given bool
	done         chan struct{}
	body         []byte
	err          error
}

// work reads objects until there are none.
func (a *aheadStore) work(ctx context.Context) {
	for o := a.next(); o != nil; o = a.next() {
		o.body, o.err = blob.ReadAll(ctx, a.Store, o.Key, maxObject)
		close(o.done)
	}
}

// next takes the next object that there is room for. What was asked for before its turn is
// passed over: who needs it reads it without waiting for room.
func (a *aheadStore) next() *aheadObject {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		for len(a.waiting) > 0 && a.waiting[0].given {
			a.waiting = a.waiting[1:]
		}
		if len(a.waiting) == 0 {
			return nil
		}
		if o := a.waiting[0]; a.held == 0 || a.held+o.SizeBytes <= aheadBytes {
			a.waiting = a.waiting[1:]
			a.held += o.SizeBytes
			o.begun = true
			return o
		}
		a.changed.Wait()
	}
}

// Open is [blob.Store.Open].
func (a *aheadStore) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	if o := a.take(key); o != nil {
		select {
		case <-o.done:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		a.release(o)
		if o.err == nil {
			return io.NopCloser(bytes.NewReader(o.body)), int64(len(o.body)), nil
		}
	}
	return a.Store.Open(ctx, key)
}

// take gives an object that is being read, once.
func (a *aheadStore) take(key string) *aheadObject {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.objects[key]
	if o == nil {
		return nil
	}
	delete(a.objects, key)
	o.given = true
	if !o.begun {
		return nil
	}
	return o
}

func (a *aheadStore) release(o *aheadObject) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= o.SizeBytes
	a.changed.Broadcast()
}
