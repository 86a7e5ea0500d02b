package kafkatest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestReadAllTellsNullFromEmpty(t *testing.T) {
	c := real.Cluster(t)
	client := connect(t, c.Addrs())
	createTopic(t, client, "nulls", 2, 1)
	var want []Record
	for i, b := range [][]byte{nil, {}, []byte("x")} {
		for j, value := range [][]byte{nil, {}, []byte("y")} {
			want = append(want, Record{
				Topic: "nulls", Partition: 1, Offset: int64(3*i + j), TimestampMs: int64(1000 + i), Key: b, Value: value,
				Headers: []kgo.RecordHeader{{Key: "h", Value: value}, {Key: "", Value: b}, {Key: "h", Value: nil}},
			})
		}
	}
	for _, r := range want {
		produce(t, client, &kgo.Record{
			Topic: r.Topic, Partition: r.Partition, Timestamp: time.UnixMilli(r.TimestampMs), Key: r.Key, Value: r.Value, Headers: r.Headers,
		})
	}
	got := readAll(t, c.Addrs(), "nulls", kgo.ReadUncommitted())
	if diff := cmp.Diff(want, got); diff != "" { // which tells them apart, too
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReadAllKnowsLogAppendTime(t *testing.T) {
	c := real.Cluster(t)
	client := connect(t, c.Addrs())
	logAppendTime := "LogAppendTime"
	_, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, map[string]*string{"message.timestamp.type": &logAppendTime}, "append-time")
	if err != nil {
		t.Fatal(err)
	}
	produce(t, client, &kgo.Record{Topic: "append-time", Timestamp: time.UnixMilli(1)})
	got := readAll(t, c.Addrs(), "append-time", kgo.ReadUncommitted())
	if len(got) != 1 || got[0].TimestampType != 1 || got[0].TimestampMs == 1 {
		t.Errorf("got %+v, want the broker's time and its type", got)
	}
}

func TestReadAllReadsManyPartitionsInOrder(t *testing.T) {
	c := real.Cluster(t)
	client := connect(t, c.Addrs())
	createTopic(t, client, "many", 5, 1)
	var records []*kgo.Record
	for i := range 1000 {
		records = append(records, &kgo.Record{Topic: "many", Partition: int32(i % 4), Value: []byte(strconv.Itoa(i))}) // 4 is empty
	}
	produce(t, client, records...)
	got := readAll(t, c.Addrs(), "many", kgo.ReadCommitted())
	if len(got) != len(records) {
		t.Fatalf("got %d records, want %d", len(got), len(records))
	}
	for i, r := range got {
		if r.Partition != int32(i/250) || r.Offset != int64(i%250) || string(r.Value) != fmt.Sprint(i%250*4+i/250) {
			t.Fatalf("record %d is %d/%d %q", i, r.Partition, r.Offset, r.Value)
		}
	}
}

func TestReadAllOfNoTopicIsAnError(t *testing.T) {
	c := real.Cluster(t)
	if _, err := ReadAll(t.Context(), c.Addrs(), "no-such-topic", kgo.ReadUncommitted()); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("got %v, want that there is none", err)
	}
}

// transaction sends values in a transaction, and ends it unless the end is nil.
func transaction(t *testing.T, c *Cluster, topic, id string, values ...string) (end func(kgo.TransactionEndTry)) {
	t.Helper()
	client := connect(t, c.Addrs(), kgo.TransactionalID(id))
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, value := range values {
		produce(t, client, &kgo.Record{Topic: topic, Value: []byte(value)})
	}
	return func(how kgo.TransactionEndTry) {
		t.Helper()
		if err := client.EndTransaction(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitEnd waits until a topic of one partition has so many offsets.
func awaitEnd(t *testing.T, c *Cluster, topic string, end int64) {
	t.Helper()
	admin := kadm.NewClient(connect(t, c.Addrs()))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ends, err := admin.ListEndOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := ends.Lookup(topic, 0); o.Offset >= end {
			return
		}
		<-tick.C
	}
}

// values are the records' values by offset.
func values(records []Record) map[int64]string {
	out := map[int64]string{}
	for _, r := range records {
		out[r.Offset] = string(r.Value)
	}
	return out
}

// The log: 0 and 1 committed by a, 2 its marker, 3 of b, 4 of c, 5 aborts b; c stays open.
// So the last stable offset is 4, and no record stands in the last place before it.
func TestReadAllDecidesTransactionsUpToTheLastStableOffset(t *testing.T) {
	c := real.Cluster(t)
	const topic = "transactions"
	createTopic(t, connect(t, c.Addrs()), topic, 1, 1)
	transaction(t, c, topic, "a", "a0", "a1")(kgo.TryCommit)
	awaitEnd(t, c, topic, 3) // a broker answers before it has written the marker
	endB := transaction(t, c, topic, "b", "b3")
	endC := transaction(t, c, topic, "c", "c4")
	endB(kgo.TryAbort)
	awaitEnd(t, c, topic, 6)
	committed := map[int64]string{0: "a0", 1: "a1"}
	if diff := cmp.Diff(committed, values(readAll(t, c.Addrs(), topic, kgo.ReadCommitted()))); diff != "" {
		t.Errorf("read committed (-want +got):\n%s", diff)
	}
	all := maps.Clone(committed)
	all[3], all[4] = "b3", "c4"
	if diff := cmp.Diff(all, values(readAll(t, c.Addrs(), topic, kgo.ReadUncommitted()))); diff != "" {
		t.Errorf("read uncommitted (-want +got):\n%s", diff)
	}
	endC(kgo.TryCommit)
	committed[4] = "c4"
	got := values(readAll(t, c.Addrs(), topic, kgo.ReadCommitted()))
	for deadline := time.Now().Add(time.Minute); len(got) < len(committed) && time.Now().Before(deadline); {
		// A broker answers before it has written the marker.
		got = values(readAll(t, c.Addrs(), topic, kgo.ReadCommitted()))
	}
	if diff := cmp.Diff(committed, got); diff != "" {
		t.Errorf("read committed after the last end (-want +got):\n%s", diff)
	}
}

// The broker is given an empty segment behind a hole, which is what a cleaner can leave:
// its log ends at 7, and it never returns anything for 2 to 6.
func TestReadAllEndsBehindATailWithoutBatches(t *testing.T) {
	c := Start(t, Config{})
	client := connect(t, c.Addrs())
	createTopic(t, client, "tail", 1, 1)
	produce(t, client, &kgo.Record{Topic: "tail", Value: []byte("0")}, &kgo.Record{Topic: "tail", Value: []byte("1")})
	if err := c.Stop(1); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(c.LogDir(1), "tail-0", "00000000000000000007.log")
	if err := os.WriteFile(segment, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.StartNode(1); err != nil {
		t.Fatal(err)
	}
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "tail")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("tail", 0); end.Offset != 7 {
		t.Fatalf("the log ends at %d, want 7", end.Offset)
	}
	got := values(readAll(t, c.Addrs(), "tail", kgo.ReadUncommitted()))
	if diff := cmp.Diff(map[int64]string{0: "0", 1: "1"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestContentHash(t *testing.T) {
	base := func() Record {
		return Record{Topic: "t", Partition: 1, Offset: 2, TimestampMs: 3, Key: []byte("k"), Value: []byte("v"),
			Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}}}
	}
	seen := map[string]string{ContentHash([]Record{base()}): "base"}
	for name, change := range map[string]func(*Record){
		"partition":       func(r *Record) { r.Partition++ },
		"offset":          func(r *Record) { r.Offset++ },
		"timestamp":       func(r *Record) { r.TimestampMs++ },
		"timestamp type":  func(r *Record) { r.TimestampType++ },
		"null key":        func(r *Record) { r.Key = nil },
		"empty key":       func(r *Record) { r.Key = []byte{} },
		"null value":      func(r *Record) { r.Value = nil },
		"empty value":     func(r *Record) { r.Value = []byte{} },
		"no header":       func(r *Record) { r.Headers = nil },
		"header key":      func(r *Record) { r.Headers[1].Key = "a" },
		"empty header":    func(r *Record) { r.Headers[1].Value = []byte{} },
		"order":           func(r *Record) { r.Headers[0], r.Headers[1] = r.Headers[1], r.Headers[0] },
		"shifted by one":  func(r *Record) { r.Key, r.Value = []byte("kv"), []byte{} },
		"header to value": func(r *Record) { r.Value, r.Headers = []byte("v\x00"), r.Headers[:1] },
	} {
		r := base()
		change(&r)
		hash := ContentHash([]Record{r})
		if other, ok := seen[hash]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[hash] = name
	}
	renamed := base()
	renamed.Topic = "restored"
	if got := seen[ContentHash([]Record{renamed})]; got != "base" {
		t.Error("the topic's name counts")
	}
	if _, ok := seen[ContentHash([]Record{base(), base()})]; ok {
		t.Error("a second record does not count")
	}
}
