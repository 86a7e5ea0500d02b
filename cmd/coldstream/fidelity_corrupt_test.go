package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coldstream/kafka/kafkatest"
)

// spoil changes a batch of one record in the first segment of partition 0, as a bad disk would
// do behind the broker's back.
func (w *world) spoil(c *kafkatest.Cluster, node int, topic string, offset int64, change func(batch []byte)) {
	w.Helper()
	path := filepath.Join(c.LogDir(node), topic+"-0", "00000000000000000000.log")
	log, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	for at := 0; at+12 < len(log); {
		size := 12 + int(binary.BigEndian.Uint32(log[at+8:]))
		if int64(binary.BigEndian.Uint64(log[at:])) < offset {
			at += size
			continue
		}
		change(log[at : at+size])
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			w.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // the write is what counts
		if _, err := f.WriteAt(log[at:at+size], int64(at)); err != nil {
			w.Fatal(err)
		}
		return
	}
	w.Fatalf("%s has no batch at offset %d", path, offset)
}

func numbered(first, next int) (out []string) {
	for n := first; n < next; n++ {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

// One batch on the broker's disk is bad: what is before and behind it is saved, now and later.
func TestCorruptBatchOnABrokersDisk(t *testing.T) {
	length := func(n uint32) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[8:], n) }
	}
	w := newWorld(t)
	for topic, change := range map[string]func([]byte){
		"payload":                func(b []byte) { b[len(b)-2] ^= 1 },
		"length-0":               length(0),
		"length-of-a-giant":      length(1<<31 - 1),
		"length-of-two":          length(150), // what a broker finds there it sends
		"compacted-of-a-giant":   length(1<<31 - 1),
		"compacted-and-negative": length(1<<32 - 1),
	} {
		policy := "delete"
		if strings.HasPrefix(topic, "compacted") {
			policy = "compact"
		}
		w.create(topic, 1, "cleanup.policy="+policy)
		w.values(topic, numbered(0, 10)...)
		w.spoil(realCluster(t), 1, topic, 5, change)
		r := w.backupEnding(exitIncomplete, topic)
		same(t, topic+": gaps", r.Gaps, []gapReport{{topic, 0, 5, 6, "corrupt"}})
		same(t, topic+": records", r.Records, int64(9))
		w.values(topic, numbered(10, 12)...)
		again := w.backup(topic)
		same(t, topic+": behind it", again.Records, int64(2))
		same(t, topic+": gaps once more", again.Gaps, []gapReport{})
		w.restoring("-t", topic, "--map", topic+"="+topic+"-copy").must(t, exitDone).says(t, "offsets [5, 6)", "corrupt")
		same(t, topic+": values", w.readValues(topic+"-copy"), append(numbered(0, 5), numbered(6, 12)...))
	}
	w.verify()
}
