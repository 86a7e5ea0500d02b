package restore

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/recordbatch"
)

// produces counts the requests that bring records.
func (w *world) produces() (count func() int) {
	var mu sync.Mutex
	n := 0
	w.fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		n++
		return nil, nil, false
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// Records between holes, and batches of one record, come in few requests.
func TestSmallBatchesAreJoined(t *testing.T) {
	const batches = 500
	for name, distance := range map[string]int64{"with holes": 3, "dense": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			log := sourceLog{next: batches * distance}
			for i := range int64(batches) {
				log.batches = append(log.batches, batch{firstOffset: i * distance, count: 1, lastDelta: int32(distance - 1), timestampMs: 1000 + i})
			}
			w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{log})}, groupOf("g", "orders", 100*distance))
			requests := w.produces()
			r, err := w.plan(t, Request{Groups: true}).Execute(t.Context())
			if err != nil || r.Incomplete() {
				t.Fatal(err, errorsOf(r))
			}
			sameRecords(t, moved(log.records(), 0), w.read(t, "orders"))
			if n := requests(); n > 3 {
				t.Errorf("%d requests for %d small batches", n, batches)
			}
			if got := r.Groups[0].Offsets[0].TargetOffset; got != 100 {
				t.Errorf("the group stands at offset %d, want 100", got)
			}
		})
	}
}

// Two partitions do not decode large batches at once; the one that waits is not waited for.
func TestOneLargeBatchIsDecodedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := make(chan struct{}, 1)
		r := newReady(requestBytes, requestBytes)
		r.begin()
		gate := largeGate{token, r.pause, r.resume}
		leave, err := gate.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		entered := false
		go func() {
			leave, err := gate.enter(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			entered = true
			leave()
		}()
		synctest.Wait()
		if entered || r.live != 0 {
			t.Errorf("a second one decodes: %v; %d partitions are waited for, want none", entered, r.live)
		}
		leave()
		synctest.Wait()
		if !entered || r.live != 1 {
			t.Errorf("nobody went on: %v, %d", entered, r.live)
		}
		leave, err = gate.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := gate.enter(ctx); err == nil {
			t.Error("an interrupt is not seen while the partition waits")
		}
		leave()
	})
}

// What a batch of usual size decodes to is below the limit for many at once.
func TestUsualBatchesAreSmall(t *testing.T) {
	records := make([]recordbatch.Absolute, 1000)
	for i := range records {
		records[i] = recordbatch.Absolute{Offset: int64(i), Value: make([]byte, 1000)}
	}
	b, err := recordbatch.Build(records, recordbatch.CodecZstd, recordbatch.Producer{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recordbatch.NewDecoder().Absolute(b, smallDecoded); err != nil {
		t.Error(err)
	}
}
