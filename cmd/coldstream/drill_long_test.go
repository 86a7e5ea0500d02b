//go:build long

package main

import (
	"os/exec"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRestoreTestMemory: what a restore test brings back lies on the disk, and not in memory.
func TestRestoreTestMemory(t *testing.T) {
	const (
		partitions = 4
		records    = 10_000 // of 40 kB in each
	)
	w := newWorld(t)
	binary := buildProgram(t)
	random := newRandom(t)
	w.create("large", partitions)
	client := w.newClient(kgo.ProducerBatchMaxBytes(1 << 20))
	for n := range records / 100 {
		for p := range int32(partitions) {
			some := someRecords(random, "large", p, 100)
			for i, r := range some {
				r.Value = make([]byte, 40_000)
				for at := range r.Value {
					r.Value[at] = byte(random.Uint32() + uint32(n+i))
				}
			}
			produce(t, client, some...)
		}
	}
	w.backup("large")
	peak := w.peakOf(w.start(exec.Command(binary, "verify", "--vault", w.vault, "--restore-test")))
	t.Logf("%d MiB of memory for a restore test of %d MiB", peak>>20, partitions*records*40_000>>20)
	if runtime.GOOS == "linux" && (peak > 1<<30 || peak == 0) {
		t.Errorf("a restore test took %d MiB", peak>>20)
	}
}
