//go:build long

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/internal/protection"
	"coldstream/kafka/kafkatest"
)

const (
	freshTopics     = 10
	freshPartitions = 100 // of each
	freshRecord     = 1 << 10
	freshInterval   = 5 * time.Second
	freshFor        = time.Minute
)

var freshRate = flag.Int("rate", 20, "of TestFreshness, in MiB/s")

// TestFreshness prints for how long acknowledged records are not saved, with 1,000 partitions and 20 MB/s, and how
// long it takes from the start after a kill to the first commit (docs/benchmarks.md). What it holds
// to are bounds that a busy machine keeps; the page has what a quiet one does.
func TestFreshness(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Kafka: run without -short")
	}
	brokers := kafkatest.Start(t, kafkatest.Config{Version: os.Getenv(kafkaVersionVariable), HeapMB: 1024})
	w, binary := newWorldOf(t, brokers.Addrs()), buildProgram(t)
	for i := range freshTopics {
		w.create(fmt.Sprint("fresh-", i), freshPartitions)
	}
	args := []string{"-t", "fresh-*", "--interval", freshInterval.String(), "--listen", "127.0.0.1:0"}
	p := w.startProcess(binary, "run", args...)
	at := w.served(p)
	writer := w.writeFast()
	var waits []float64
	settled := time.Now().Add(4 * freshInterval)
	for end := settled.Add(freshFor); time.Now().Before(end); w.pause(250 * time.Millisecond) {
		code, body := w.get(at + "/api/v1/status?partitions=true")
		var d protection.Document
		if now := time.Now(); code == http.StatusOK && now.After(settled) && json.Unmarshal([]byte(body), &d) == nil {
			waits = append(waits, writer.waits(&d, now)...)
		}
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	began := time.Now()
	p = w.startProcess(binary, "run", args...)
	w.await("the first commit after the kill", func() bool { return strings.Contains(p.stderr.String(), `"msg":"saved"`) })
	first := w.saidAt(p, "saved").Sub(began)
	rate := writer.stop()
	w.terminated(p)
	if len(waits) < 100 {
		t.Fatalf("%d samples", len(waits))
	}
	t.Logf("1,000 partitions, %.1f MB/s, --interval %s, %d samples: a record waits to be saved, as the oldest of its partition, p50 %.1f s, p99 %.1f s; first commit %.1f s after the start after a kill",
		rate/1e6, freshInterval, len(waits), percentile(waits, 50), percentile(waits, 99), first.Seconds())
	if percentile(waits, 99) > 3*freshInterval.Seconds() || first > 3*freshInterval {
		t.Error("records wait too long, also for a busy machine")
	}
}

// pause lets time pass.
func (w *world) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-w.Context().Done():
	}
}

// saidAt is when a process first logged a message.
func (w *world) saidAt(p *process, message string) time.Time {
	w.Helper()
	for line := range strings.Lines(p.stderr.String()) {
		var said struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == message {
			return said.Time
		}
	}
	w.Fatalf("nobody said %q", message)
	return time.Time{}
}

func percentile(values []float64, n int) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, len(sorted)*n/100)]
}

// fastWriter writes to all partitions of all topics at a rate, and knows when each record was acknowledged.
type fastWriter struct {
	mu    sync.Mutex
	acked map[string][]time.Time // by topic and partition, in the order of offsets
	stop  func() float64         // says how many bytes were written in a second
}

// waits says of each partition how long ago the oldest record was acknowledged that is not saved.
func (f *fastWriter) waits(d *protection.Document, now time.Time) (seconds []float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range d.Topics {
		for _, p := range d.Topics[i].Partitions {
			wait := 0.0
			if acked := f.acked[fmt.Sprintf("%s-%d", d.Topics[i].Topic, p.Partition)]; p.NextOffset < int64(len(acked)) {
				wait = max(0, now.Sub(acked[p.NextOffset]).Seconds())
			}
			seconds = append(seconds, wait)
		}
	}
	return seconds
}

func (f *fastWriter) note(r *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if in := fmt.Sprintf("%s-%d", r.Topic, r.Partition); err == nil && r.Offset == int64(len(f.acked[in])) {
		f.acked[in] = append(f.acked[in], time.Now())
	}
}

func (w *world) writeFast() *fastWriter {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	client := w.newClient(kgo.ProducerLinger(200*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(60_000))
	random, began := newRandom(w.T), time.Now()
	f := &fastWriter{acked: map[string][]time.Time{}}
	var bytes int64
	var writer sync.WaitGroup
	writer.Go(func() {
		const times = 20 // in a second
		tick := time.NewTicker(time.Second / times)
		defer tick.Stop()
		value := make([]byte, freshRecord)
		for i := range value {
			value[i] = byte(random.Uint32()) // it does not compress
		}
		for n := 0; ctx.Err() == nil; <-tick.C {
			for range *freshRate << 20 / freshRecord / times {
				n++
				r := &kgo.Record{Topic: fmt.Sprint("fresh-", n%freshTopics), Partition: int32(n / freshTopics % freshPartitions), Value: value}
				client.Produce(ctx, r, f.note)
				bytes += freshRecord
			}
		}
	})
	f.stop = func() float64 {
		cancel()
		writer.Wait()
		return float64(bytes) / time.Since(began).Seconds()
	}
	return f
}
