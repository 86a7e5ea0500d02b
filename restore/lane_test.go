package restore

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/vault"
)

// Storage may take long for each read: the next frames are read while the broker has a
// request. Here it does not answer the first before a second frame is asked for.
func TestReadsWhileItProduces(t *testing.T) {
	w := newWorld(t)
	log := sourceLog{}
	for i := range 24 {
		log.batches = append(log.batches, batch{firstOffset: int64(i), valueBytes: 300_000})
	}
	log.next = 24
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{log})})
	p := w.plan(t, Request{})
	reads := make(chan struct{}, 100)
	w.store.reads = func(string) { reads <- struct{}{} }
	var once sync.Once
	w.fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		once.Do(func() { w.fake.SleepControl(func() { waitForReads(t, reads, 2) }) })
		return nil, nil, false
	})
	r, err := p.Execute(t.Context())
	if err != nil || r.Incomplete() {
		t.Fatal(err, errorsOf(r))
	}
	sameRecords(t, log.records(), w.read(t, "orders"))
}

func waitForReads(t *testing.T, reads <-chan struct{}, n int) {
	patience := time.After(10 * time.Second)
	for range n {
		select {
		case <-reads:
		case <-patience:
			t.Error("nothing is read while a request is under way")
			return
		}
	}
}

// What reading a partition takes is known before it is begun.
func TestReadBytes(t *testing.T) {
	for name, tt := range map[string]struct {
		runs []vault.Run
		want int64
	}{
		"empty":         {nil, readerBytes},
		"small":         {[]vault.Run{{SizeBytes: 300_000, MaxBatchBytes: 1000}, {SizeBytes: 100_000, MaxBatchBytes: 1000}}, 400_000},
		"large":         {[]vault.Run{{SizeBytes: 30 << 20, MaxBatchBytes: 1000}}, frameBytes},
		"a giant batch": {[]vault.Run{{SizeBytes: 30 << 20, MaxBatchBytes: 20 << 20}, {SizeBytes: 1000, MaxBatchBytes: 1000}}, 20 << 20},
	} {
		part := &partitionPlan{stream: &vault.StreamHistory{Runs: tt.runs}}
		if diff := cmp.Diff(tt.want, part.readBytes()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}
