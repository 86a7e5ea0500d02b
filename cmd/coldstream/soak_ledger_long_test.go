//go:build long

package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream"
	"coldstream/kafka/kafkatest"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// The topics of a soak. Records of the short one are deleted all the time, soon after they came.
const (
	soakKept    = "weather-kept"
	soakShort   = "weather-short"
	soakCompact = "weather-compact"
	soakDeals   = "weather-deals"
	soakAgain   = "weather-again"
	soakRecords = 20 // in a tenth of a second
	keptLeast   = 30 // records of the short topic that are not deleted yet
	compactKeys = 50
)

// ledger is what brokers acknowledged to an ordinary producer, by partition and offset.
type ledger struct {
	mu    sync.Mutex
	acked map[string]map[int64]int64 // numbers of records
	count int64
}

func soakValue(number int64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d ", number*7919), 20)
}

// write writes until it is told to stop, and deletes behind itself.
func (s *soak) write() (stop func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	var writers sync.WaitGroup
	writers.Go(func() { s.writeLoop(ctx) })
	writers.Go(func() { s.deleteLoop(ctx) })
	stopped := sync.OnceFunc(func() { cancel(); writers.Wait() })
	s.Cleanup(stopped)
	return stopped
}

func (s *soak) writeLoop(ctx context.Context) {
	client := s.newClient()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for number := int64(0); ctx.Err() == nil; <-tick.C {
		var records []*kgo.Record
		for range soakRecords {
			r := &kgo.Record{Topic: soakKept, Partition: int32(number % 3), Key: fmt.Append(nil, number), Value: soakValue(number)}
			if number%4 == 3 {
				r.Topic, r.Partition = soakShort, 0
			}
			records = append(records, r)
			number++
		}
		change := &kgo.Record{Topic: soakCompact, Key: fmt.Append(nil, number/soakRecords%compactKeys), Value: fmt.Append(nil, number)}
		if number/soakRecords%6 == 0 {
			change.Value = nil
		}
		results := client.ProduceSync(s.Context(), append(records, change)...) // what was begun is brought to its end
		if err := results.FirstErr(); err != nil {
			s.Errorf("produce: %v", err)
			return
		}
		s.ledger.note(records)
	}
}

func (l *ledger) note(records []*kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		var number int64
		_, _ = fmt.Sscan(string(r.Key), &number) // it was printed
		in := fmt.Sprintf("%s-%d", r.Topic, r.Partition)
		if l.acked[in] == nil {
			l.acked[in] = map[int64]int64{}
		}
		l.acked[in][r.Offset] = number
		l.count++
	}
}

// deleteLoop moves the log start of the short topic, with no regard to who has read what.
func (s *soak) deleteLoop(ctx context.Context) {
	adm := kadm.NewClient(s.newClient())
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		ends, err := adm.ListEndOffsets(ctx, soakShort)
		if end, known := ends.Lookup(soakShort, 0); err == nil && known && end.Err == nil && end.Offset > keptLeast {
			offsets := kadm.Offsets{}
			offsets.AddOffset(soakShort, 0, end.Offset-keptLeast, -1)
			_, _ = adm.DeleteRecords(ctx, offsets) // a broker may be away; the next time then
		}
		<-tick.C
	}
}

// judged is what the vault holds of a partition.
type judged struct{ captured, lost int64 }

// judge holds all that the vault has of a partition against what was acknowledged: each offset is
// in the vault, as it was written, or in a gap that was told, never in both, and only offsets that the
// cluster deleted are in gaps.
func (s *soak) judge(topic string, partition int32) (j judged) {
	s.Helper()
	ranges := s.logRanges(topic)[partition]
	history := s.history(topic, partition, ranges.Next)
	where := make([]byte, ranges.Next)
	for _, gap := range history.Gaps {
		for at := gap.FirstOffset; at < gap.NextOffset; at++ {
			where[at] = 'g'
			j.lost++
		}
		if gap.NextOffset > ranges.Start {
			s.Errorf("%s-%d: the gap [%d, %d) is of offsets that the cluster still has, from %d on", topic, partition, gap.FirstOffset, gap.NextOffset, ranges.Start)
		}
	}
	acked := s.ledger.acked[fmt.Sprintf("%s-%d", topic, partition)]
	decoder := recordbatch.NewDecoder()
	for batch, err := range history.Batches(s.Context(), 0) {
		if err != nil {
			s.Fatal(err)
		}
		records, err := decoder.Absolute(batch, 1<<30)
		if err != nil {
			s.Fatal(err)
		}
		for _, r := range records {
			number, known := acked[r.Offset]
			if !known || string(r.Key) != fmt.Sprint(number) || !bytes.Equal(r.Value, soakValue(number)) {
				s.Fatalf("%s-%d: offset %d is %q in the vault, %d was acknowledged (%v)", topic, partition, r.Offset, r.Key, number, known)
			}
			if where[r.Offset] == 0 { // a batch is stored as a whole, also where its first records were deleted
				where[r.Offset] = 'c'
				j.captured++
			}
		}
	}
	for at, is := range where {
		if is == 0 {
			s.Fatalf("%s-%d: offset %d is neither in the vault nor in a gap; the log is [%d, %d)", topic, partition, at, ranges.Start, ranges.Next)
		}
	}
	if len(acked) != len(where) {
		s.Errorf("%s-%d has %d offsets, %d were acknowledged", topic, partition, len(where), len(acked))
	}
	return j
}

// history is all that the vault has of a partition, from offset 0 on, whatever snapshots show.
func (s *soak) history(topic string, partition int32, nextOffset int64) *vault.StreamHistory {
	s.Helper()
	v, err := vault.Open(s.Context(), s.store())
	if err != nil {
		s.Fatal(err)
	}
	listed, err := s.adm.ListTopics(s.Context(), topic)
	if err != nil {
		s.Fatal(err)
	}
	metadata, err := s.adm.BrokerMetadata(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	catalog, err := v.OpenCatalog(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	stream := coldstream.Stream{Partition: partition, Incarnation: coldstream.Incarnation{
		ClusterID: metadata.Cluster, Topic: topic, TopicID: coldstream.TopicID(listed[topic].ID),
	}}
	head, known := catalog.Head(stream)
	if !known || head.NextOffset != nextOffset {
		s.Fatalf("%s is in the vault up to %d, the log ends at %d", stream.TopicPartition(), head.NextOffset, nextOffset)
	}
	view := vault.View{Stream: stream, Scan: head.Scan, NextOffset: nextOffset, LastEpoch: head.Epochs[len(head.Epochs)-1].Epoch}
	h, err := catalog.OpenHistory(s.Context(), []vault.View{view}, vault.HistoryOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return h.Streams()[0]
}

// newestOf is what is left when a compacted topic is read to its end.
func newestOf(records []kafkatest.Record) map[string]string {
	out := map[string]string{}
	for _, r := range records {
		if delete(out, string(r.Key)); r.Value != nil {
			out[string(r.Key)] = string(r.Value)
		}
	}
	return out
}

// judgeAll ends a soak: nothing was lost, and all is told.
func (s *soak) judgeAll() {
	s.Helper()
	var sum judged
	for p := range int32(3) {
		j := s.judge(soakKept, p)
		if j.lost > 0 {
			s.Errorf("%s-%d: %d offsets are lost, and nobody deleted any", soakKept, p, j.lost)
		}
		sum.captured += j.captured
	}
	short := s.judge(soakShort, 0)
	sameContent(s.T, s.cat(soakKept), s.read(soakKept))
	same(s.T, "table of the compacted topic", newestOf(s.cat(soakCompact)), newestOf(s.read(soakCompact)))
	committed, err := kafkatest.ReadAll(s.Context(), s.addrs, soakDeals, kgo.ReadCommitted())
	if err != nil {
		s.Fatal(err)
	}
	sameContent(s.T, s.cat(soakDeals), committed)
	sameContent(s.T, s.cat(soakAgain), s.read(soakAgain))
	s.verify()
	s.Logf("%d records were acknowledged; of %d that nobody deleted 0 are lost; of %d that were deleted soon after, %d are in the vault and %d in gaps",
		s.ledger.count, sum.captured, short.captured+short.lost, short.captured, short.lost)
}

func TestTableOfACompactedTopic(t *testing.T) {
	same(t, "table", newestOf([]kafkatest.Record{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("2")}, {Key: []byte("a")}}), map[string]string{"b": "2"})
}
