//go:build long

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

const (
	idlePartitions = 1000
	idleSettle     = 20 * time.Second
	idleFor        = 30 * time.Second
	clockTicks     = 100 // in a second, as Linux counts processor time
)

// TestIdleCost prints what a broker spends on a backup of 1,000 partitions to which nobody writes, and on
// Kafka's own consumer of the same (docs/benchmarks.md).
func TestIdleCost(t *testing.T) {
	brokers := kafkatest.Start(t, kafkatest.Config{Version: os.Getenv(kafkaVersionVariable), HeapMB: 1024})
	w, binary := newWorldOf(t, brokers.Addrs()), buildProgram(t)
	w.create("idle", idlePartitions)
	for p := range int32(idlePartitions) {
		w.produce(&kgo.Record{Topic: "idle", Partition: p, Value: []byte("x")})
	}
	broker := brokers.PID(1)
	spent := func(pid int) float64 {
		w.pause(idleSettle)
		before := w.cpuSeconds(pid)
		w.pause(idleFor)
		return w.cpuSeconds(pid) - before
	}
	alone := spent(broker)

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = brokers.Tool(ctx, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", w.bootstrap, "--topic", "idle", "--from-beginning") // it is killed
	}()
	consumer := spent(broker) - alone
	stop()
	<-ended

	p := w.startProcess(binary, "run", "-t", "idle", "--listen", "none")
	w.protected("idle")
	own := w.cpuSeconds(p.Process.Pid)
	backup := spent(broker) - alone
	own = (w.cpuSeconds(p.Process.Pid) - own) / (idleFor + idleSettle).Seconds()
	w.terminated(p)
	t.Logf("in %s with %d idle partitions the broker spends %.2f s for itself, %.2f s more for Kafka's own consumer, %.2f s more for the backup; the backup itself takes %.1f %% of a core",
		idleFor, idlePartitions, alone, consumer, backup, 100*own)
	if backup > 3*max(consumer, 0.3) {
		t.Error("the broker has too much to do with the backup")
	}
}

// cpuSeconds is what a process has used of processors so far.
func (w *world) cpuSeconds(pid int) float64 {
	w.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		w.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	sum := 0.0
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			w.Fatal(err)
		}
		sum += ticks / clockTicks
	}
	return sum
}
