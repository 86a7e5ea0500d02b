package restore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Requests that are larger than what is let through at once take as long as they must.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, limiter := time.Now(), newRate(1_000_000)
		for range 10 {
			if err := awaitTurn(t.Context(), limiter, 900_000); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 8*time.Second || took > 9*time.Second {
			t.Errorf("9 MB at 1 MB/s took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := awaitTurn(ctx, limiter, 100_000_000); err == nil {
			t.Error("a wait outlives its context")
		}
		start = time.Now()
		if err := awaitTurn(t.Context(), newRate(0), 1<<40); err != nil || time.Since(start) > 0 {
			t.Errorf("without a limit somebody waits: %v, %v", time.Since(start), err)
		}
	})
}

// A restore is no faster than it may be, whatever the number of its topics and brokers.
func TestRestoreWithAMaxRate(t *testing.T) {
	w := newWorld(t)
	log := sourceLog{next: 10}
	for i := range 10 {
		log.batches = append(log.batches, batch{firstOffset: int64(i), valueBytes: 20_000})
	}
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{log, log}), topicOf("payments", []sourceLog{log})})
	start := time.Now()
	w.restore(t, Request{MaxRateBytes: 600_000})
	if took := time.Since(start); took < 700*time.Millisecond { // 600 kB less a quarter of a second's
		t.Errorf("600 kB at 600 kB/s took %v", took)
	}
	sameRecords(t, log.records(), w.read(t, "payments"))
}

// An interrupt ends a restore that waits for its rate, and nothing is taken for sent that was not.
func TestInterruptOfARestoreWithAMaxRate(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{logOf(batch{valueBytes: 300_000})})})
	p := w.plan(t, Request{MaxRateBytes: 1000})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	r, err := p.Execute(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || r == nil || r.Partitions[0].Records != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
	if ends := w.ends(t, "orders", 0); ends != [2]int64{} {
		t.Errorf("the log has %v", ends)
	}
}
