package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

func TestLeadingGapComesBackExactly(t *testing.T) {
	onEachCluster(t, func(w *world) {
		random := newRandom(w.T)
		w.create("late", 3)
		client := w.newClient(kgo.ManualFlushing())
		for range 20 {
			w.oneBatch(client, someRecords(random, "late", 0, 30))
		}
		w.oneBatch(client, someRecords(random, "late", 1, 5))
		w.deleteRecords("late", 1+random.Int64N(599)) // also in the middle of a batch
		before, ranges := w.read("late"), w.logRanges("late")
		w.backup("late")
		w.restoreAs("late", "late-copy", "--offsets", "exact")
		sameContent(w.T, w.read("late-copy"), before)
		same(w.T, "ends of the logs", w.logRanges("late-copy"), ranges)
	})
}

// All records are deleted: what is left of the log is where it goes on.
func TestEmptyTopicKeepsItsOffsets(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.create("emptied", 2)
		w.values("emptied", "a", "b", "c")
		w.deleteRecords("emptied", 3)
		saved := w.backup("emptied")
		same(w.T, "records saved", saved.Records, int64(0))
		w.restoreAs("emptied", "emptied-copy", "--offsets", "exact")
		same(w.T, "ends of the logs", w.logRanges("emptied-copy"), []logRange{{3, 3}, {0, 0}})
		w.verifyCatalog()
	})
}

// verifyCatalog proves a vault that may hold no packs.
func (w *world) verifyCatalog() {
	w.Helper()
	w.run("verify", "--deep").must(w.T, exitDone)
}

// A filler of more than one batch, and a compacted topic: only topics that are deleted
// from take DeleteRecords, and a compacted one takes no filler.
func TestLargeLeadingGapOfCompactedTopic(t *testing.T) {
	w := newWorld(t)
	w.create("far", 1, "cleanup.policy=compact,delete", "min.cleanable.dirty.ratio=1")
	client := w.newClient(kgo.ManualFlushing(), kgo.MaxBufferedRecords(300_000))
	records := make([]*kgo.Record, 250_000)
	for i := range records {
		records[i] = &kgo.Record{Topic: "far", Key: []byte(fmt.Sprint(i))}
	}
	w.oneBatch(client, records)
	w.values("far", "first", "second")
	w.deleteRecords("far", 250_000)
	w.backup("far")
	w.restoreAs("far", "far-copy", "--offsets", "exact")
	sameContent(t, w.read("far-copy"), w.read("far"))
	same(t, "ends of the logs", w.logRanges("far-copy"), []logRange{{250_000, 250_002}})
	same(t, "configs", w.ownConfigs("far-copy"), w.ownConfigs("far"))
}

// An empty target may have had records: what is above its end can be reached, what is
// below cannot.
func TestTargetThatWasEmptied(t *testing.T) {
	w := newWorld(t)
	w.create("begun", 1)
	w.values("begun", "a", "b", "c", "d")
	w.deleteRecords("begun", 2)
	w.backup("begun")
	for used, want := range map[int]string{1: "exact", 3: "translated"} {
		target := fmt.Sprintf("used-%d", used)
		w.create(target, 1)
		w.values(target, slices.Repeat([]string{"old"}, used)...)
		w.deleteRecords(target, int64(used))
		if want == "translated" {
			out := w.restoring("-t", "begun", "--map", "begun="+target, "--offsets", "exact")
			out.must(t, exitFailed).says(t, "nothing was restored")
		}
		r := w.restore("-t", "begun", "--map", "begun="+target)
		same(t, "offsets", r.Partitions[0].Offsets, want)
		same(t, "values", w.readValues(target), []string{"c", "d"})
		ranges := []logRange{{2, 4}}
		if want == "translated" {
			ranges = []logRange{{3, 5}}
		}
		same(t, "ends of the logs", w.logRanges(target), ranges)
	}
}

// transactor writes transactions and plain records into partition 0 of a topic, each with a
// value that says what becomes of it.
type transactor struct {
	*world
	topic  string
	client *kgo.Client
	number int
	time   time.Time // of the records; zero is now
}

func (w *world) newTransactor(topic, id string) *transactor {
	w.Helper()
	return &transactor{world: w, topic: topic, client: w.newClient(kgo.TransactionalID(id))}
}

func (x *transactor) begin() {
	x.Helper()
	if err := x.client.BeginTransaction(); err != nil {
		x.Fatal(err)
	}
}

// write writes n records, some in batches of their own.
func (x *transactor) write(fate string, n int) {
	x.Helper()
	var records []*kgo.Record
	for range n {
		x.number++
		records = append(records, &kgo.Record{
			Topic: x.topic, Key: fmt.Append(nil, x.number), Value: fmt.Appendf(nil, "%s %d", fate, x.number), Timestamp: x.time,
		})
	}
	produce(x.T, x.client, records[:n/2]...)
	produce(x.T, x.client, records[n/2:]...)
}

func (x *transactor) end(how kgo.TransactionEndTry) {
	x.Helper()
	if err := x.client.EndTransaction(x.Context(), how); err != nil {
		x.Fatal(err)
	}
}

// randomTransactions writes with several producers whose transactions overlap. One is
// left undecided.
func (w *world) randomTransactions(random *rand.Rand, topic string) (aborted, undecided int64) {
	w.Helper()
	var producers []*transactor
	for i := range 3 {
		producers = append(producers, w.newTransactor(topic, fmt.Sprintf("%s-%d", topic, i)))
		producers[i].number = 1000 * i
	}
	for range 8 {
		fates := map[*transactor]string{}
		for _, i := range random.Perm(len(producers)) {
			fates[producers[i]] = []string{"committed", "aborted"}[random.IntN(2)]
			producers[i].begin()
		}
		for range 5 {
			x, n := producers[random.IntN(len(producers))], 1+random.IntN(5)
			x.write(fates[x], n)
			if fates[x] == "aborted" {
				aborted += int64(n)
			}
			w.values(topic, "plain")
		}
		for _, i := range random.Perm(len(producers)) {
			producers[i].end(kgo.TransactionEndTry(fates[producers[i]] == "committed"))
		}
	}
	open := producers[0]
	open.begin()
	open.write("undecided", 4)
	w.Cleanup(func() { open.client.EndTransaction(w.Context(), kgo.TryAbort) }) //nolint:errcheck // the broker would, a minute later
	w.values(topic, "plain behind the undecided")
	producers[1].begin()
	producers[1].write("committed", 2)
	producers[1].end(kgo.TryCommit)
	producers[1].begin()
	producers[1].write("aborted", 2)
	producers[1].end(kgo.TryAbort)
	return aborted + 2, 4
}

// surviving are the records whose values do not begin with what is dropped.
func surviving(records []kafkatest.Record) []kafkatest.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r kafkatest.Record) bool {
		return strings.HasPrefix(string(r.Value), "aborted") || strings.HasPrefix(string(r.Value), "undecided")
	})
}

func TestTransactionsComeBackDecided(t *testing.T) {
	onEachCluster(t, func(w *world) {
		random := newRandom(w.T)
		w.create("deals", 1)
		aborted, undecided := w.randomTransactions(random, "deals")
		before, end := w.read("deals"), w.logRanges("deals")[0].Next
		survive := surviving(before)
		wanted := w.groupsAnywhere(random, "deals", survive, end)
		saved := w.backup("deals")
		same(w.T, "records saved", saved.Records, int64(len(before)))
		w.verify()

		w.restoring("-t", "deals", "--map", "deals=deals-exact", "--offsets", "exact").must(w.T, exitFailed).says(w.T, "cannot keep its offsets")
		if w.exists("deals-exact") {
			w.Error("a refused restore made its topic")
		}
		r := w.restore("-t", "deals", "--map", "deals=deals-copy", "--groups")
		same(w.T, "partition", r.Partitions[0], partitionReport{
			"deals", 0, "deals-copy", 0, "translated", int64(len(survive)), aborted, undecided,
		})
		copied := w.read("deals-copy")
		sameContent(w.T, copied, translated(survive, 0))
		committed, err := kafkatest.ReadAll(w.Context(), w.addrs, "deals-copy", kgo.ReadCommitted())
		if err != nil {
			w.Fatal(err)
		}
		sameContent(w.T, committed, copied)
		for group, offset := range wanted {
			same(w.T, group, w.committed(group)["deals-copy-0"], fmt.Sprintf("%d of %s", offset, group))
		}
		same(w.T, "groups restored", len(r.Groups), len(wanted))
	})
}

// groupsAnywhere commits offsets all over partition 0 of a topic, behind aborted records
// and markers too, each by a group of its own. It returns where each must go on: at the
// first surviving record that it had not read, or at the end.
func (w *world) groupsAnywhere(random *rand.Rand, topic string, survive []kafkatest.Record, end int64) map[string]int64 {
	w.Helper()
	wanted := map[string]int64{}
	for _, offset := range append(random.Perm(int(end))[:12], 0, int(end)) {
		group := fmt.Sprintf("%s-at-%d", topic, offset)
		w.commit(group, kadm.Offset{Topic: topic, At: int64(offset), LeaderEpoch: -1, Metadata: "of " + group})
		next := slices.IndexFunc(survive, func(r kafkatest.Record) bool { return r.Offset >= int64(offset) })
		if next < 0 {
			next = len(survive)
		}
		wanted[group] = int64(next)
	}
	return wanted
}

// A log whose end is aborted records and markers: there is no record at its last offset.
func TestBackupEndsOnAbortedTail(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.create("given-up", 1)
		w.values("given-up", "first")
		x := w.newTransactor("given-up", "given-up")
		for range 3 {
			x.begin()
			x.write("aborted", 2)
			x.end(kgo.TryAbort)
		}
		saved := w.backup("given-up")
		same(w.T, "records saved", saved.Records, int64(7))
		same(w.T, "records saved again", w.backup("given-up").Records, int64(0))
		r := w.restore("-t", "given-up", "--map", "given-up=given-up-copy")
		same(w.T, "dropped", r.Partitions[0].DroppedAborted, int64(6))
		same(w.T, "values", w.readValues("given-up-copy"), []string{"first"})
	})
}

// What is undecided in one snapshot is decided in a later one: the data is not stored
// again, and each snapshot comes back as it was.
func TestTransactionDecidedAfterASnapshot(t *testing.T) {
	w := newWorld(t)
	w.create("pending", 1)
	x := w.newTransactor("pending", "pending")
	x.begin()
	x.write("later", 3)
	w.values("pending", "plain")
	first := w.backup("pending")
	end := w.logRanges("pending")
	x.end(kgo.TryCommit)
	// A broker answers before it has written the marker.
	w.await("the marker is written", func() bool { return !slices.Equal(w.logRanges("pending"), end) })
	second := w.backup("pending")
	same(t, "records of the second", second.Records, int64(0)) // a marker is no record
	same(t, "batches of the second", second.Batches, int64(1))
	r := w.restore("-t", "pending", "--map", "pending=pending-first", "--snapshot", first.Snapshot[:8])
	same(t, "undecided", r.Partitions[0].DroppedUndecided, int64(3))
	same(t, "values", w.readValues("pending-first"), []string{"plain"})
	w.restoreAs("pending", "pending-second")
	same(t, "values", w.readValues("pending-second"), []string{"later 1", "later 2", "later 3", "plain"})
}
