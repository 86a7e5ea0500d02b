package vault

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// noPacks is a store for the catalog alone.
type noPacks struct {
	*mem.Store
	packs int
}

func (s *noPacks) Create(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, format.PacksPrefix) {
		s.packs++
		return nil
	}
	return s.Store.Create(ctx, key, body)
}

// busy says what a cluster does in a time, and what saves it.
type busy struct {
	commits       int64
	partitions    int32
	active        int32 // of the partitions, in turn, in each commit
	snapshotEvery int64 // commits
	everyMs       int64
	newProcesses  bool // each commit is by another writer
}

// opened is what it cost to open the vault for writing, at its worst.
type opened struct {
	took      time.Duration
	allocated uint64
	objects   int
}

// run lets the time go by.
func (b busy) run(t *testing.T) (k *kit, worst opened) {
	store := &noPacks{Store: mem.New()}
	k = newKit(t, store)
	log := batchOf(t, 0, 20, 1, recordbatch.CodecNone)
	streams := make([]coldstream.Stream, b.partitions)
	for i := range streams {
		streams[i] = stream(fmt.Sprintf("topic-%03d", i/100), int32(i%100))
	}
	next := make([]int64, b.partitions)
	w := k.writer()
	now := testTime
	w.now = func() time.Time { return now }
	turns := 0
	for i := range b.commits {
		now = testTime.Add(time.Duration(i*b.everyMs) * time.Millisecond)
		if b.newProcesses {
			w.id, w.packs, w.commits = format.NewWriter(now.UnixMilli(), [6]byte{byte(i), byte(i >> 8), byte(i >> 16)}), 0, 0
		}
		c := Changes{}
		for j := range b.active {
			p := int32((i*int64(b.active) + int64(j)) % int64(b.partitions))
			if next[p] == 0 {
				c.Scans = append(c.Scans, begin(streams[p], 0)...)
			}
			c.Data = append(c.Data, StreamData{Stream: streams[p], Pieces: []Piece{grown(log, next[p])}})
			next[p] += 20
		}
		slices.SortFunc(c.Data, func(a, b StreamData) int { return a.Stream.Compare(b.Stream) })
		if i%b.snapshotEvery == b.snapshotEvery-1 {
			c.Snapshot = snapshotOf()
			c.Snapshot.Time = now
			for p, s := range streams {
				if next[p] > 0 {
					c.Snapshot.Views = append(c.Snapshot.Views, View{Stream: s, NextOffset: next[p], LastEpoch: 1})
				}
			}
			c.Snapshot.Metadata.Groups = []coldstream.Group{{Name: "billing", Offsets: []coldstream.GroupOffset{{
				TopicPartition: streams[0].TopicPartition(), Offset: next[0], LeaderEpoch: -1,
			}}}}
		}
		k.commit(w, c)
		if w.EpochCommits() < TurnAfter && w.EpochBytes() < TurnAfterBytes && i < b.commits-1 {
			continue
		}
		if turns++; turns%50 == 1 || i == b.commits-1 {
			worst = k.measureOpen(worst)
		}
		if i < b.commits-1 {
			k.turn()
			w.catalog = k.writer().catalog
			w.packEpoch = w.catalog.epoch
		}
	}
	return k, worst
}

// grown is a batch further behind in its log.
func grown(batches []byte, at int64) Piece {
	b := slices.Clone(batches)
	binary.BigEndian.PutUint64(b, uint64(at))
	return Piece{FirstOffset: at, NextOffset: at + 20, Batches: b}
}

// measureOpen opens the vault for writing, when its epoch is as long as it gets.
func (k *kit) measureOpen(worst opened) opened {
	k.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now() // reported, nothing is concluded from it
	w := k.writer()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return opened{max(worst.took, took), max(worst.allocated, after.TotalAlloc-before.TotalAlloc), max(worst.objects, 1+w.EpochCommits())}
}

// catalogSizes counts the objects of the catalog and their bytes, by what they are.
func (k *kit) catalogSizes() map[string][2]int64 {
	k.Helper()
	kinds := map[string]string{}
	c, err := k.vault.openCatalog(k.Context(), catalogOptions{reader: true}) // without the snapshots of chapters
	if err != nil {
		k.Fatal(err)
	}
	for _, ref := range c.tables {
		kinds[ref.Table.Key()] = "row tables"
	}
	for _, ref := range c.chapters {
		kinds[ref.Chapter.Key()], kinds[ref.Views.Key()] = "chapters", "views"
	}
	out := map[string][2]int64{}
	for e, err := range k.store.List(k.Context(), "", "") {
		if err != nil {
			k.Fatal(err)
		}
		kind, _, _ := strings.Cut(e.Key, "/")
		switch {
		case kinds[e.Key] != "":
			kind = kinds[e.Key]
		case kind == "tables":
			kind = "sections, and what waits for the next turn"
		case e.Key == format.BaseKey(c.epoch):
			kind = "base"
		case kind == "epochs":
			kind = "begun, and the base before"
		}
		out[kind] = [2]int64{out[kind][0] + 1, out[kind][1] + e.SizeBytes}
	}
	out["packs (not kept here)"] = [2]int64{int64(k.store.(*noPacks).packs), 0}
	return out
}

// report requires that an open stays cheap, and logs what it and the catalog cost.
func (b busy) report(t *testing.T) {
	t.Helper()
	k, worst := b.run(t)
	t.Logf("%d commits; an open for writing took up to %v, reads up to %d objects and allocates up to %d MiB in all",
		b.commits, worst.took.Round(time.Millisecond), worst.objects, worst.allocated>>20)
	sizes := k.catalogSizes()
	for kind, n := range sizes {
		t.Logf("%9d %-45s %12d bytes", n[0], kind, n[1])
	}
	if worst.allocated > 200<<20 {
		t.Errorf("an open allocates %d MiB", worst.allocated>>20)
	}
	if worst.objects > TurnAfter+1 {
		t.Errorf("an open reads %d objects", worst.objects)
	}
	// What is merged stays in few objects: each is at least twice what is behind it, or large.
	rows := sizes["row tables"]
	if topics, most := int64((b.partitions+99)/100), 2*rows[1]/largestPart; rows[0] > topics*16+4*most {
		t.Errorf("%d row tables of %d bytes for %d topics", rows[0], rows[1], topics)
	}
	k.sample(b)
}

// sample reads some streams through all tables: nothing got lost in merging.
func (k *kit) sample(b busy) {
	k.Helper()
	c := k.catalog()
	if got, want := int64(len(c.Snapshots())), b.commits/b.snapshotEvery; got != want {
		k.Errorf("%d snapshots, want %d", got, want)
	}
	last := c.Snapshots()[len(c.Snapshots())-1]
	views := k.views(last)
	for _, i := range []int{0, len(views) / 2, len(views) - 1} {
		h := k.history(views[i])[0]
		if want := views[i].NextOffset / 20; int64(len(h.Runs)) != want || len(h.Lost)+len(h.Gaps) > 0 {
			k.Errorf("%s: %d runs, want %d; lost %v, gaps %v", views[i].Stream.TopicPartition(), len(h.Runs), want, h.Lost, h.Gaps)
		}
	}
}

var _ blob.Store = (*noPacks)(nil)

// TestBusyTimes: an open for writing stays cheap, however long the vault has been there, and
// however much is in it. It does not know what a turn costs, and long runs of it are in TestYear.
func TestBusyTimes(t *testing.T) {
	cron, large, process, bulk := everyTenMinutes(144), everyTenMinutes(12), everyHalfMinute(120, 100), gigabytes(4)
	if !testing.Short() {
		cron, large, process, bulk = everyTenMinutes(2100), everyTenMinutes(250), everyHalfMinute(2100, 100), gigabytes(100)
	}
	large.partitions = 10_000 // in each snapshot, though few get anything
	t.Run("cron", cron.report)
	t.Run("cron, large", large.report)
	t.Run("process", process.report)
	t.Run("bulk", bulk.report)
}

// gigabytes is one backup of so many that do not compress: packs of 32 MiB, with a row for
// each MiB, of 100 partitions.
func gigabytes(n int64) busy {
	packs := n * 1e9 / (32 << 20)
	return busy{commits: packs, partitions: 100, active: 32, snapshotEvery: packs, everyMs: 500}
}

// everyTenMinutes is a backup by cron, of a cluster of 200 partitions that all get something.
func everyTenMinutes(commits int64) busy {
	return busy{commits: commits, partitions: 200, active: 200, snapshotEvery: 1, everyMs: 600_000, newProcesses: true}
}

// everyHalfMinute is a process that goes on, with 10,000 partitions some of which get
// something, and a snapshot every ten minutes.
func everyHalfMinute(commits int64, active int32) busy {
	return busy{commits: commits, partitions: 10_000, active: active, snapshotEvery: 20, everyMs: 30_000}
}
