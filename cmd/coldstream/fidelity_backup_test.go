package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// vaultSize counts the files of the vault and their bytes.
func (w *world) vaultSize() (files, bytes int64) {
	w.Helper()
	err := filepath.WalkDir(w.vault, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files++
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return files, bytes
}

// partitionBytes is the size of the topics' logs, as the broker has them on disk.
func (w *world) partitionBytes(topics ...string) (bytes int64) {
	w.Helper()
	dir := realCluster(w.T).LogDir(1)
	for _, topic := range topics {
		files, err := filepath.Glob(filepath.Join(dir, topic+"-[0-9]", "*.log"))
		if err != nil || len(files) == 0 {
			w.Fatal(err, files)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				w.Fatal(err)
			}
			bytes += info.Size()
		}
	}
	return bytes
}

func TestOnlyNewsIsStored(t *testing.T) {
	w := newWorld(t)
	w.fill("daily", 3, 300)
	filesBefore, bytesBefore := w.vaultSize()
	first := w.backup("daily")
	files, bytes := w.vaultSize()
	same(t, "objects", first.ObjectsStored, files-filesBefore)
	same(t, "bytes stored", first.BytesStored, bytes-bytesBefore)
	same(t, "bytes read", first.BytesRead, w.partitionBytes("daily"))

	none := w.backup("daily")
	same(t, "without news", []int64{none.Records, none.Batches, none.BytesRead, none.ObjectsStored}, []int64{0, 0, 0, 1})
	if none.BytesStored > 2000 {
		t.Errorf("a run without news stored %d bytes", none.BytesStored)
	}
	if none.VaultHash == first.VaultHash || none.Snapshot == first.Snapshot {
		t.Errorf("%+v is no state of its own", none)
	}

	w.produce(someRecords(newRandom(t), "daily", 1, 25)...)
	news := w.backup("daily")
	same(t, "records of the news", news.Records, int64(25))
	same(t, "bytes read in all", first.BytesRead+news.BytesRead, w.partitionBytes("daily"))
	snapshots := w.snapshots()
	same(t, "size of the snapshots", []int64{snapshots[0].Bytes, snapshots[1].Bytes, snapshots[2].Bytes},
		[]int64{first.BytesRead, first.BytesRead, first.BytesRead + news.BytesRead})
	for i, r := range []backupReport{first, none, news} {
		same(t, "ID", snapshots[i].ID, r.Snapshot)
	}
	w.verify()
	w.restoreAs("daily", "daily-copy")
	sameContent(t, w.read("daily-copy"), w.read("daily"))
	w.restore("-t", "daily", "--snapshot", first.Snapshot, "--map", "daily=daily-first")
	same(t, "ends of the first", w.logRanges("daily-first"), []logRange{{0, 300}, {0, 300}, {0, 300}})
}

func TestNewPartitionsAndTopicsAreTaken(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.create("grown", 1)
		w.values("grown", "a")
		w.backup("gro*")
		if _, err := w.adm.UpdatePartitions(w.Context(), 3, "grown"); err != nil {
			w.Fatal(err)
		}
		w.create("grown-more", 1)
		w.client = w.newClient()
		w.produce(&kgo.Record{Topic: "grown", Partition: 2, Value: []byte("b")}, &kgo.Record{Topic: "grown-more", Value: []byte("c")})
		saved := w.backup("gro*")
		same(w.T, "saved", []int64{saved.Records, int64(saved.TopicCount), int64(saved.PartitionCount)}, []int64{2, 2, 4})
		w.restore("--all-topics", "--map", "/grown(.*)/=big$1")
		sameContent(w.T, w.read("big"), w.read("grown"))
		sameContent(w.T, w.read("big-more"), w.read("grown-more"))
	})
}

func TestOvertakingLogStartIsAGap(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.create("fleeting", 1)
		w.values("fleeting", strings.Split("abcdefgh", "")...)
		w.deleteRecords("fleeting", 3)
		first := w.backup("fleeting") // it never held what was gone before
		w.values("fleeting", strings.Split("ijklmnop", "")...)
		w.deleteRecords("fleeting", 11)
		second := w.backupEnding(exitIncomplete, "fleeting")
		same(w.T, "gaps", second.Gaps, []gapReport{{"fleeting", 0, 8, 11, "log_start_advanced"}})
		same(w.T, "records", second.Records, int64(5))
		third := w.backup("fleeting")
		same(w.T, "gaps told again", third.Gaps, []gapReport{})
		w.verify()

		w.restore("-t", "fleeting", "--snapshot", first.Snapshot, "--map", "fleeting=fleeting-first", "--offsets", "exact")
		same(w.T, "first", w.readValues("fleeting-first"), strings.Split("defgh", ""))
		same(w.T, "first", w.logRanges("fleeting-first"), []logRange{{3, 8}})
		w.restoreAs("fleeting", "fleeting-copy", "--offsets", "exact")
		sameContent(w.T, w.read("fleeting-copy"), w.read("fleeting"))
		same(w.T, "last", w.logRanges("fleeting-copy"), []logRange{{11, 16}})
	})
}

// A dry run stores nothing, and says what would be read.
func TestDryRunChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.fill("dry", 2, 40)
	files, bytes := w.vaultSize()
	var d struct {
		DryRun   bool   `json:"dry_run"`
		Snapshot string `json:"snapshot"`
	}
	w.run("backup", "-b", w.bootstrap, "-t", "dry", "--dry-run").must(t, exitDone).into(t, &d)
	filesAfter, bytesAfter := w.vaultSize()
	same(t, "vault", []int64{filesAfter, bytesAfter}, []int64{files, bytes})
	if !d.DryRun || d.Snapshot != "" {
		t.Errorf("%+v", d)
	}
	w.backup("dry")
	w.commit("dry-group", kadm.Offset{Topic: "dry", At: 4, LeaderEpoch: -1})
	w.backup("dry")
	files, bytes = w.vaultSize()
	r := w.restore("-t", "dry", "--map", "dry=dry-copy", "--groups", "--dry-run")
	filesAfter, bytesAfter = w.vaultSize()
	same(t, "vault", []int64{filesAfter, bytesAfter}, []int64{files, bytes})
	if !r.DryRun || w.exists("dry-copy") || len(w.committed("dry-group")) != 1 {
		t.Errorf("%+v changed something", r)
	}
	done := w.restore("-t", "dry", "--map", "dry=dry-copy", "--groups")
	same(t, "partitions", done.Partitions, r.Partitions)
	same(t, "offsets", done.Groups[0].Offsets, r.Groups[0].Offsets)
}

// keepWriting writes to all partitions of a topic until stop is called, which says how
// many records the broker acknowledged.
func (w *world) keepWriting(topic string, partitions int32, valueBytes int) (stop func() int64) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	var writers sync.WaitGroup
	var acknowledged int64
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	writers.Go(func() {
		defer begin()
		client, random := w.newClient(), newRandom(w.T)
		for n := 0; ctx.Err() == nil; n++ {
			var records []*kgo.Record
			for i := range 40 {
				value := make([]byte, 0, valueBytes+8)
				for len(value) < valueBytes {
					value = binary.BigEndian.AppendUint64(value, random.Uint64())
				}
				records = append(records, &kgo.Record{Topic: topic, Partition: int32(i) % partitions, Key: fmt.Appendf(nil, "%d-%d", n, i), Value: value})
			}
			if err := client.ProduceSync(w.Context(), records...).FirstErr(); err != nil {
				w.Errorf("produce: %v", err)
				return
			}
			acknowledged += int64(len(records))
			begin()
		}
	})
	stopped := sync.OnceFunc(func() { cancel(); writers.Wait() })
	w.Cleanup(stopped)
	<-begun
	return func() int64 { stopped(); return acknowledged }
}

func TestBackupOfTopicUnderConstantWritingEnds(t *testing.T) {
	onEachCluster(t, func(w *world) {
		w.create("busy-bees", 2)
		stop := w.keepWriting("busy-bees", 2, 100)
		var saved int64
		for range 4 {
			before := w.logRanges("busy-bees")
			r := w.backup("busy-bees")
			saved += r.Records
			if least := before[0].Next + before[1].Next; saved < least {
				w.Errorf("saved %d records, there were %d before", saved, least)
			}
			w.await("more is written", func() bool { return w.logRanges("busy-bees")[0].Next > before[0].Next })
		}
		acknowledged := stop()
		saved += w.backup("busy-bees").Records
		same(w.T, "records saved", saved, acknowledged)
		w.restoreAs("busy-bees", "bees-copy", "--offsets", "exact")
		sameContent(w.T, w.read("bees-copy"), w.read("busy-bees"))
		w.verify()
	})
}

// Two backups at once must not lose anything, and each makes a snapshot that is whole.
func TestTwoBackupsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.fill("shared-work", 4, 500)
	for range 3 {
		var both sync.WaitGroup
		outcomes := make([]outcome, 2)
		for i := range outcomes {
			both.Go(func() {
				outcomes[i] = commandContext(t.Context(), nil, "backup", "--vault", w.vault, "-b", w.bootstrap, "-t", "shared-work", "--interval", "1ms", "-o", "json")
			})
		}
		both.Wait()
		for _, o := range outcomes {
			var r backupReport
			o.must(t, exitDone).into(t, &r)
			target := "shared-" + r.Snapshot
			w.restore("-t", "shared-work", "--snapshot", r.Snapshot, "--map", "shared-work="+target, "--offsets", "exact")
			sameContent(t, w.read(target), w.read("shared-work"))
		}
		w.verify()
		same(t, "records stored once more", w.backup("shared-work").Records, int64(0))
		for p := range int32(4) {
			w.produce(someRecords(newRandom(t), "shared-work", p, 100)...)
		}
	}
}

func TestDocumentsHaveTheirFields(t *testing.T) {
	w := newWorld(t)
	w.create("documented", 1, "retention.ms=1000000")
	w.values("documented", "a", "b")
	w.backup("documented")
	w.values("documented", "c", "d")
	w.produce(&kgo.Record{Topic: "documented", Value: []byte("old"), Timestamp: time.UnixMilli(1_000_000_000_000)})
	w.commit("documented", kadm.Offset{Topic: "documented", At: 1, LeaderEpoch: -1})
	w.deleteRecords("documented", 4)
	hasPromisedFields(t, "backup", w.run("backup", "-b", w.bootstrap, "-t", "documented").must(t, exitIncomplete))
	hasPromisedFields(t, "snapshots", w.run("snapshots").must(t, exitDone))
	hasPromisedFields(t, "verify", w.run("verify", "--deep").must(t, exitDone))
	hasPromisedFields(t, "ls", w.run("ls").must(t, exitDone))
	hasPromisedFields(t, "restore", w.restoring("-t", "documented", "--groups", "--offsets", "translate",
		"--map", "documented=documented-copy").must(t, exitDone))
}
