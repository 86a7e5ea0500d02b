//go:build long

package restore

import (
	"fmt"
	"testing"
	"time"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/kafka"
	"coldstream/kafka/kafkatest"
	"coldstream/vault"
)

// Compacted topics come back at the pace of the broker, not of round trips: 4 million records of
// 200 bytes with a hole behind each, from memory into a real broker. docs/benchmarks.md has what was measured.
func TestSpeedOfACompactedTopic(t *testing.T) {
	const partitions, batches, records, valueBytes, target = 4, 10_000, 100, 200, 50e6
	broker := kafkatest.Start(t, kafkatest.Config{})
	client, err := kafka.Connect(t.Context(), kafka.Config{Bootstrap: broker.Addrs(), Patience: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	w := &world{store: &breakingStore{Store: mem.New()}, defaults: &coldstream.TopicDefaults{}, target: client}
	if w.vault, err = vault.Init(t.Context(), w.store, vault.InitOptions{Now: func() time.Time { return testNow }}); err != nil {
		t.Fatal(err)
	}
	log := sourceLog{next: 2 * batches * records}
	for i := range batches {
		it := batch{firstOffset: int64(2 * i * records), lastDelta: 2*records - 1, valueBytes: valueBytes}
		for n := range int32(records) {
			it.deltas = append(it.deltas, 2*n)
		}
		log.batches = append(log.batches, it)
	}
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{log, log, log, log}, "cleanup.policy=compact")})
	best := 0.0
	for round := range 3 {
		start := time.Now()
		p := w.plan(t, Request{Maps: mapsOf(t, fmt.Sprint("orders=copy", round))})
		r, err := p.Execute(t.Context())
		if err != nil || r.Incomplete() || r.RecordCount() != partitions*batches*records {
			t.Fatal(err, errorsOf(r))
		}
		speed := partitions * batches * records * valueBytes / time.Since(start).Seconds()
		t.Logf("%d records of %d bytes in %v: %.0f MB/s of values; record 2 names %d pieces", r.RecordCount(), valueBytes,
			time.Since(start).Round(time.Millisecond), speed/1e6, p.writtenPieces(t))
		best = max(best, speed)
	}
	if best < target {
		t.Errorf("the fastest round has %.0f MB/s, want %.0f", best/1e6, target/1e6)
	}
}

// writtenPieces counts the records that have pieces of the offset map.
func (p *Plan) writtenPieces(t *testing.T) int {
	t.Helper()
	var result resultRecord
	if err := readRecord(t.Context(), p.trail, p.ID, recordResult, &result); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, pieces := range result.Pieces {
		n += len(pieces)
	}
	return n
}
