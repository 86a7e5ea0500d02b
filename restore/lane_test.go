package restore

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/blob/mem"
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
		"small":         {[]vault.Run{{SizeBytes: 300_000, MaxBatchBytes: 9000}, {SizeBytes: 100_000, MaxBatchBytes: 9000}}, 400_000},
		"large":         {[]vault.Run{{SizeBytes: 30 << 20, MaxBatchBytes: 9000}}, frameBytes},
		"a giant batch": {[]vault.Run{{SizeBytes: 30 << 20, MaxBatchBytes: 20 << 20}, {SizeBytes: 1000, MaxBatchBytes: 1000}}, 20 << 20},
		"to be joined":  {[]vault.Run{{SizeBytes: 30 << 20, MaxBatchBytes: joinBelow - 1}}, frameBytes + smallDecoded + joinBytes},
	} {
		part := &partitionPlan{stream: &vault.StreamHistory{Runs: tt.runs}, exact: true}
		if diff := cmp.Diff(tt.want, part.readBytes()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// Batches of a partition that is not exact are decoded, and that takes memory.
func TestReadBytesOfWhatIsDecoded(t *testing.T) {
	part := &partitionPlan{stream: &vault.StreamHistory{Runs: []vault.Run{{SizeBytes: 30 << 20, MaxBatchBytes: 9000}}}}
	if got, want := part.readBytes(), int64(frameBytes+smallDecoded+joinBytes); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}

// TestKeptBytes: what open partitions will not take is for the frames that are read ahead.
func TestKeptBytes(t *testing.T) {
	for partitions, want := range map[int]int64{0: 72 << 20, 8: 64 << 20, 48: 24 << 20, 1000: 24 << 20} {
		topic := &topicPlan{}
		for range partitions {
			topic.partitions = append(topic.partitions, &partitionPlan{stream: &vault.StreamHistory{Runs: []vault.Run{{SizeBytes: 30 << 20, MaxBatchBytes: 9000}}}, exact: true})
		}
		p := &Plan{req: Request{MemoryBytes: DefaultMemory}, topics: []*topicPlan{topic}}
		if got := p.keptBytes(); got != want {
			t.Errorf("with %d partitions %d bytes are kept, want %d", partitions, got, want)
		}
	}
}

// However many partitions are open, storage gets a bounded number of requests at a time.
func TestReadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{store: &breakingStore{Store: mem.New()}}
		var err error
		if w.vault, err = vault.Init(t.Context(), w.store, vault.InitOptions{Now: func() time.Time { return testNow }}); err != nil {
			t.Fatal(err)
		}
		logs := make([]sourceLog, 40)
		for i := range logs {
			logs[i] = logOf(batch{valueBytes: frameBytes}) // a frame of its own
		}
		w.backUp(t, []sourceTopic{topicOf("orders", logs)})
		catalog, err := w.vault.OpenCatalog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		snapshot, _, err := catalog.Choose(t.Context(), &vault.Choice{})
		if err != nil {
			t.Fatal(err)
		}
		views, err := snapshot.Views(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		history, err := catalog.OpenHistory(t.Context(), views, vault.HistoryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		atOnce, most := 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			atOnce += n
			most = max(most, atOnce)
		}
		w.store.reads = func(string) {
			count(1)
			<-time.After(time.Second) // until all have come that can
			count(-1)
		}
		var readers sync.WaitGroup
		for _, s := range history.Streams() {
			readers.Go(func() {
				for _, err := range s.Batches(t.Context(), 0) {
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		readers.Wait()
		if most != 32 {
			t.Errorf("got %d reads at a time, want 32", most)
		}
	})
}
