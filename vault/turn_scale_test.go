package vault

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// TestOpensStaySmall: after 3,000 commits, with a turn every 100, an open for writing reads
// the base and the commits of its epoch, and no rows.
func TestOpensStaySmall(t *testing.T) {
	commits, every := int64(3000), int64(100)
	if testing.Short() {
		commits = 500
	}
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	w := k.writer()
	for i := range commits {
		c := Changes{Data: data(s, piece(t, i, i+1, 0))}
		if i == 0 {
			c.Scans = begin(s, 0)
		}
		k.commit(w, c)
		if i%every == every/2 {
			k.turn()
		}
	}
	counted := faultblob.New(k.store)
	w, err := k.over(counted).vault.NewWriter(t.Context(), WriterOptions{Now: k.now})
	if err != nil {
		t.Fatal(err)
	}
	if head, _ := w.Head(s); head.NextOffset != commits {
		t.Errorf("head %+v", head)
	}
	opened := map[string]int{}
	for _, op := range counted.Ops() {
		kind, _, _ := strings.Cut(op.Key, "/")
		opened[string(op.Kind)+" "+kind]++
	}
	// Parents are read before a commit: a chain is read at most twice.
	if n := opened["open commits"]; n > 2*int(every) || opened["open epochs"] != 1 || opened["open tables"] > 0 || len(counted.Ops()) > 2*int(every)+5 {
		t.Errorf("operations: %v", opened)
	}
	t.Logf("%v", opened)
	k.mustBeSound()
	view := View{Stream: s, NextOffset: commits}
	if h := k.history(view)[0]; len(h.Runs) != int(commits) || len(h.Lost)+len(h.Gaps) > 0 {
		t.Errorf("%d runs, lost %v, gaps %v", len(h.Runs), h.Lost, h.Gaps)
	}
}

// TestOpensManyStreams: ten thousand streams cost a writer little time and memory.
func TestOpensManyStreams(t *testing.T) {
	k := newKit(t, mem.New())
	var changes Changes
	changes.Snapshot = snapshotOf()
	for i := range int32(10_000) {
		s := stream(fmt.Sprintf("topic-%03d", i/50), i%50)
		changes.Data = append(changes.Data, StreamData{Stream: s, Pieces: []Piece{piece(t, 0, 2, 3)}})
		changes.Scans = append(changes.Scans, begin(s, 0)...)
		changes.Snapshot.Views = append(changes.Snapshot.Views, View{Stream: s, NextOffset: 2, LastEpoch: 3})
	}
	k.commit(k.writer(), changes)
	for i := range 5 {
		changes.Snapshot.Time = testTime.Add(time.Duration(i) * time.Hour)
		k.commit(k.writer(), Changes{Snapshot: changes.Snapshot})
	}
	k.turn()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now() // reported, nothing is concluded from it
	w := k.writer()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if head, ok := w.Head(changes.Data[9999].Stream); !ok || head.NextOffset != 2 {
		t.Errorf("head %+v", head)
	}
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	if allocated > 200 {
		t.Errorf("an open for 10,000 streams allocated %d MiB", allocated)
	}
	t.Logf("opened in %v with %d MiB; the base has %d bytes", took, allocated, len(body(t, k.store, format.BaseKey(1))))
	tables := keys(t, k.store, format.TablesPrefix)
	size := 0
	for _, key := range tables {
		size += len(body(t, k.store, key))
	}
	if size > 10_000*400 {
		t.Errorf("%d tables of %d bytes", len(tables), size)
	}
	t.Logf("%d tables and sections of %d bytes", len(tables), size)
	if testing.Short() {
		return
	}
	k.mustBeSound()
}
