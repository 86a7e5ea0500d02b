package restore

import (
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func sized(n int) outgoing { return outgoing{batch: make([]byte, n)} }

// opened are n partitions that are begun.
func opened(r *ready, n int) []*openPartition {
	out := make([]*openPartition, n)
	for i := range out {
		out[i] = &openPartition{}
		r.begin()
	}
	return out
}

// Each partition's batches are taken in order, and never two at a time; requests are as
// large as may be where there are enough partitions, and what waits stays within its
// bound.
func TestReadyKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, batches, largest = 40, 50, 1000
		random := random(t)
		r := newReady(10*largest, 100*largest)
		open := opened(r, partitions)
		total := 0
		for _, o := range open {
			sizes := make([]int, batches)
			for i := range sizes {
				sizes[i] = 4 + random.IntN(largest-4)
				total += sizes[i]
			}
			go func() {
				for n, size := range sizes {
					b := sized(size)
					binary.BigEndian.PutUint32(b.batch, uint32(n))
					if !r.put(o, b) {
						t.Error("a batch that nobody wants")
					}
				}
				r.end(o, nil)
			}()
		}
		next := map[*openPartition]uint32{}
		requests, ended, most := 0, 0, 0
		for ended < partitions {
			synctest.Wait()
			most = max(most, r.bytes)
			sending, finished := r.take()
			ended += len(finished)
			size := 0
			for _, o := range sending {
				size += len(o.held.batch)
				if got := binary.BigEndian.Uint32(o.held.batch); got != next[o] {
					t.Fatalf("batch %d, want %d", got, next[o])
				}
				next[o]++
			}
			if size > 10*largest {
				t.Errorf("a request of %d bytes, want at most %d", size, 10*largest)
			}
			for _, o := range sending {
				r.settled(o)
			}
			if len(sending) > 0 {
				requests++
			}
		}
		for _, o := range open {
			if next[o] != batches {
				t.Errorf("%d batches were taken, want %d", next[o], batches)
			}
		}
		if limit := 2 * total / (10 * largest); requests > limit {
			t.Errorf("%d requests, want at most %d", requests, limit)
		}
		if limit := 100*largest + partitions*largest; most > limit {
			t.Errorf("%d bytes waited, want at most %d", most, limit)
		}
	})
}

// taking is what take returned, or that it waits.
type taking struct {
	done              bool
	sending, finished []*openPartition
}

// take calls take where it may wait.
func take(r *ready) *taking {
	got := &taking{}
	go func() {
		got.sending, got.finished = r.take()
		got.done = true
	}()
	synctest.Wait()
	return got
}

// A partition's next batch waits for the answer to the one before.
func TestReadyWaitsForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReady(10, 100)
		o := opened(r, 1)[0]
		r.put(o, sized(20))
		first := take(r)
		r.put(o, sized(20))
		second := take(r)
		if len(first.sending) != 1 || second.done {
			t.Errorf("took %d and, before an answer, %d, want 1 and none", len(first.sending), len(second.sending))
		}
		r.settled(o)
		synctest.Wait()
		if len(second.sending) != 1 {
			t.Errorf("took %d after the answer, want 1", len(second.sending))
		}
	})
}

// A request that is full is sent, and the next waits until it is full as well.
func TestReadyFillsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReady(20, 1000)
		open := opened(r, 4)
		r.put(open[0], sized(10))
		r.put(open[1], sized(10))
		if got := take(r); len(got.sending) != 2 {
			t.Fatalf("sent %d batches of a full request, want 2", len(got.sending))
		}
		r.put(open[2], sized(10))
		second := take(r)
		if second.done {
			t.Fatalf("sent %d batches, and more could come", len(second.sending))
		}
		r.settled(open[0])
		r.settled(open[1])
		r.put(open[1], sized(10))
		synctest.Wait()
		if len(second.sending) != 2 {
			t.Errorf("sent %d batches in the second request, want 2", len(second.sending))
		}
	})
}

// A partition is finished when its last batch is settled, not when it is read.
func TestReadyFinishesWithTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReady(10, 100)
		o := opened(r, 1)[0]
		r.put(o, sized(10))
		take(r)
		r.end(o, errors.New("damage behind it"))
		got := take(r)
		if got.done {
			t.Fatal("finished with a batch under way")
		}
		r.settled(o)
		synctest.Wait()
		if len(got.finished) != 1 || got.finished[0].line.err == nil {
			t.Errorf("finished with %+v, want the partition with its error", got.finished)
		}
	})
}

// No partition takes the room of the others.
func TestReadyShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReady(10, 100)
		open := opened(r, 4)
		go func() {
			for r.put(open[0], sized(5)) {
			}
		}()
		synctest.Wait()
		if got, want := open[0].line.bytes, 100/4; got != want {
			t.Errorf("one of four partitions has %d bytes waiting, want its share of %d", got, want)
		}
		r.stop()
	})
}

// A request waits for partitions that may yet have something, but not for one that keeps
// all others waiting.
func TestReadyWaitsForASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReady(100, 60)
		open := opened(r, 3)
		r.put(open[0], sized(10))
		r.put(open[1], sized(10))
		got := take(r)
		if got.done {
			t.Fatalf("sent %d batches, and more could come", len(got.sending))
		}
		r.put(open[0], sized(9)) // half of what may wait does
		r.put(open[1], sized(1))
		synctest.Wait()
		if diff := cmp.Diff(2, len(got.sending)); diff != "" {
			t.Errorf("sent with one partition behind: -want +got:\n%s", diff)
		}
	})
}

// A reader does not read what there is no room for, and goes on when there is.
func TestReadyKeepsReadersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReady(10, 100)
		giant, small := opened(r, 1)[0], opened(r, 1)[0]
		put := make([]int, 2)
		reader := func(o *openPartition, n *int, size int) {
			for r.put(o, sized(size)) {
				*n++
			}
		}
		go reader(giant, &put[0], 1000)
		synctest.Wait()
		go reader(small, &put[1], 10)
		synctest.Wait()
		if diff := cmp.Diff([]int{0, 0}, put); diff != "" {
			t.Errorf("readers went on beside a batch that takes all the room: -want +got:\n%s", diff)
		}
		if got := take(r); len(got.sending) != 1 || got.sending[0] != giant {
			t.Fatalf("sent %d batches, want the giant one alone", len(got.sending))
		}
		r.drop(giant)
		synctest.Wait()
		if diff := cmp.Diff([]int{1, 9}, put); diff != "" {
			t.Errorf("readers with one giant batch under way, and room for ten small ones: -want +got:\n%s", diff)
		}
		r.stop()
	})
}

// A partition whose batch could not be sent ends, and nobody waits for it.
func TestReadyDropsAPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReady(100, 1000)
		open := opened(r, 2)
		r.put(open[0], sized(10))
		r.put(open[1], sized(10))
		take(r)
		r.put(open[0], sized(10))
		r.drop(open[0])
		r.settled(open[1])
		if r.put(open[0], sized(10)) {
			t.Error("its reader is told to go on")
		}
		r.put(open[1], sized(10))
		if got := take(r); len(got.sending) != 1 || got.sending[0] != open[1] {
			t.Errorf("sent %d batches, want that of the other partition", len(got.sending))
		}
		r.settled(open[1])
		r.end(open[0], nil)
		if got := take(r); len(got.finished) != 1 || got.finished[0] != open[0] {
			t.Errorf("%d partitions are finished, want the one that was dropped", len(got.finished))
		}
		r.end(open[1], nil)
		if got := take(r); len(got.finished) != 1 || got.finished[0] != open[1] {
			t.Errorf("%d partitions are finished, want the other one", len(got.finished))
		}
		if diff := cmp.Diff([]int{0, 0}, []int{r.bytes, r.live}); diff != "" {
			t.Errorf("bytes and partitions left: -want +got:\n%s", diff)
		}
	})
}

func TestReadyStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReady(100, 10)
		o := opened(r, 1)[0]
		r.put(o, sized(5))
		put := true
		go func() { put = r.put(o, sized(10)) }()
		synctest.Wait()
		r.stop()
		synctest.Wait()
		if got := take(r); put || !got.done || len(got.sending)+len(got.finished) > 0 {
			t.Errorf("after stop: put %v, take %+v", put, got)
		}
	})
}
