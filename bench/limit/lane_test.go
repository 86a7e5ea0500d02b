package main

import (
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"

	"coldstream/bench/wire"
)

// TestLaneKeepsOrder holds that each partition's batches are sent in order, never two at
// a time, and in requests as large as asked for where there are enough partitions.
func TestLaneKeepsOrder(t *testing.T) {
	const partitions, batches, batchBytes = 40, 25, 1000
	l := newLane(&options{requestBytes: 10 * batchBytes, lookAheadBytes: 200 * batchBytes, requestsAtOnceInLane: 3})
	go func() {
		for n := range batches {
			for p := range int32(partitions) {
				b := make([]byte, batchBytes)
				binary.BigEndian.PutUint32(b, uint32(n))
				l.push(wire.Batch{Partition: p, Bytes: b})
			}
		}
		l.end()
	}()
	var mu sync.Mutex
	next := map[int32]uint32{}
	busy := map[int32]bool{}
	requests := 0
	err := l.run(t.Context(), func(sent []wire.Batch) error {
		mu.Lock()
		requests++
		for _, b := range sent {
			if busy[b.Partition] {
				t.Errorf("two batches of partition %d at a time", b.Partition)
			}
			busy[b.Partition] = true
			if got := binary.BigEndian.Uint32(b.Bytes); got != next[b.Partition] {
				t.Errorf("partition %d: batch %d, want %d", b.Partition, got, next[b.Partition])
			}
			next[b.Partition]++
		}
		mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		for _, b := range sent {
			busy[b.Partition] = false
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		if next[p] != batches {
			t.Errorf("partition %d: sent %d batches, want %d", p, next[p], batches)
		}
	}
	if most := 2 * partitions * batches / 10; requests > most {
		t.Errorf("%d requests, want at most %d", requests, most)
	}
}

// TestLaneWaitsForItsPartition holds that a partition's next batch waits for the answer,
// also if it comes while nothing else of the partition waits.
func TestLaneWaitsForItsPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(&options{requestBytes: 10, lookAheadBytes: 100, requestsAtOnceInLane: 2})
		batch := wire.Batch{Partition: 7, Bytes: make([]byte, 20)}
		l.push(batch)
		first := l.take()
		l.push(batch)
		var second []wire.Batch
		go func() { second = l.take() }()
		synctest.Wait()
		if len(first) != 1 || len(second) != 0 {
			t.Errorf("took %d and, before an answer, %d batches of a partition, want 1 and 0", len(first), len(second))
		}
		l.sent(first)
		synctest.Wait()
		if len(second) != 1 {
			t.Errorf("took %d batches after the answer, want 1", len(second))
		}
	})
}
