package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream"
	"coldstream/backup"
	"coldstream/blob"
	"coldstream/blob/faultblob"
	fsstore "coldstream/blob/fs"
	"coldstream/blob/mem"
	"coldstream/kafka"
	"coldstream/kafka/kafkatest"
	"coldstream/recordbatch"
	"coldstream/restore"
	"coldstream/vault"
)

// sweepActions are all that can become of a storage operation.
var sweepActions = []struct {
	name string
	do   faultblob.Action
}{
	{"fails", faultblob.Fail},
	{"fails for good", faultblob.FailForGood},
	{"loses its answer", faultblob.LoseAnswer},
	{"dies before", faultblob.DieBefore},
	{"dies after", faultblob.DieAfter},
}

// TestSweepOfStorageOperations makes a whole small world (a backup, a log that grows and
// whose start moves, a second backup, a turn that forgets and releases, a restore) for
// each of its storage operations and each thing that can become of one. Whoever opens the
// vault then finds it whole, with all that was acknowledged, and the same work done again
// completes.
func TestSweepOfStorageOperations(t *testing.T) {
	stores := map[string]struct {
		open   func(w *world) (blob.Store, error)
		stride int
	}{
		"mem": {func(w *world) (blob.Store, error) {
			s := mem.New()
			_, err := vault.Init(w.Context(), s, vault.InitOptions{Now: time.Now})
			return s, err
		}, sweepStride},
		"fs": {func(w *world) (blob.Store, error) { return fsstore.Open(w.vault) }, sweepStrideFS},
	}
	for name, kind := range stores {
		for i, action := range sweepActions {
			t.Run(name+" "+action.name, func(t *testing.T) {
				failed, last := 0, false
				for n := 1 + i; !last; n += kind.stride { // each action begins elsewhere
					t.Run(fmt.Sprint(n), func(t *testing.T) {
						s := newSweep(t, kind.open)
						ops := s.run(faultblob.Fault{At: n, Do: action.do})
						last = n > len(ops) // there is no n-th operation
						if s.failures > 0 {
							failed++
						}
						if t.Failed() && n <= len(ops) {
							t.Logf("operation %d is %s %s", n, ops[n-1].Kind, ops[n-1].Key)
						}
					})
					if t.Failed() {
						return
					}
				}
				t.Logf("%d worlds went wrong", failed)
				if failed < 50/kind.stride {
					t.Errorf("only %d worlds went wrong: that is no test", failed)
				}
			})
		}
	}
}

// sweepTopics are what is backed up, and the partitions of each.
var sweepTopics = map[string]int32{"a": 2, "b": 1}

// sweep is one world, and what was acknowledged in it.
type sweep struct {
	*world
	store  blob.Store // without faults
	client *kafka.Client
	clock  time.Time

	grown        bool                          // the logs are what the second backup finds
	acknowledged map[vault.SnapshotID][]string // what each must show
	forgettable  map[vault.SnapshotID]bool     // a turn was told that it may go
	records      int64                         // that runs said are saved
	failures     int
}

func newSweep(t *testing.T, open func(w *world) (blob.Store, error)) *sweep {
	t.Helper()
	s := &sweep{
		world: newFakeWorld(t), clock: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		acknowledged: map[vault.SnapshotID][]string{}, forgettable: map[vault.SnapshotID]bool{},
	}
	var err error
	if s.store, err = open(s.world); err != nil {
		t.Fatal(err)
	}
	if s.client, err = kafka.Connect(t.Context(), kafka.Config{Bootstrap: s.addrs, Patience: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	for topic, partitions := range sweepTopics {
		s.create(topic, partitions)
		for p := range partitions {
			s.write(topic, p, 0, 3)
		}
	}
	return s
}

// write appends the records of offsets, each in a batch of its own.
func (s *sweep) write(topic string, partition int32, firstOffset, nextOffset int) {
	s.Helper()
	for at := firstOffset; at < nextOffset; at++ {
		s.produce(&kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "%s-%d %d", topic, partition, at)})
	}
}

// grow writes more, and deletes what was saved of a-0 and what was not of b-0.
func (s *sweep) grow() {
	if s.grown {
		return
	}
	s.grown = true
	s.write("a", 0, 3, 5)
	s.write("b", 0, 3, 7)
	s.deleteRecords("a", 2)
	s.deleteRecords("b", 5)
}

// shown is what a snapshot of the logs as they are now shows.
func (s *sweep) shown() []string {
	if s.grown {
		return []string{"a-0 [2, 5)", "a-1 [0, 3)", "b-0 [5, 7)"}
	}
	return []string{"a-0 [0, 3)", "a-1 [0, 3)", "b-0 [0, 3)"}
}

// now is a clock of which no two readings are the same.
func (s *sweep) now() time.Time {
	s.clock = s.clock.Add(time.Second)
	return s.clock
}

// run does the work with a fault, judges what is left, does it again without one, and
// judges that. It returns the storage operations of the first time.
func (s *sweep) run(fault faultblob.Fault) []faultblob.Op {
	s.Helper()
	faulty := faultblob.New(s.store, fault)
	if err := s.work(faulty); err != nil {
		s.failures++
		if !errors.Is(err, faultblob.ErrFault) && !errors.Is(err, faultblob.ErrDead) {
			s.Errorf("the error is of something else: %v", err)
		}
	}
	ops := faulty.Ops()
	s.judge("after it")
	s.judgeTarget()
	for topic := range sweepTopics {
		if s.exists("restored-" + topic) {
			s.delete("restored-" + topic)
		}
	}
	again := s.store
	if fault.At <= len(ops) && (fault.Do == faultblob.Fail || fault.Do == faultblob.LoseAnswer) {
		again = faulty // whose fault is past: the process is alive
	}
	if err := s.work(again); err != nil {
		s.Errorf("the same work again: %v", err)
	}
	s.judge("after the same work again")
	return ops
}

// work is what a script of commands does, one after the other until one fails.
func (s *sweep) work(store blob.Store) error {
	for _, step := range []func(v *vault.Vault) error{
		s.backUp, func(*vault.Vault) error { s.grow(); return nil }, s.backUp, s.turn, s.restoreAll,
	} {
		v, err := vault.Open(s.Context(), store)
		if err == nil {
			err = step(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *sweep) patterns() *coldstream.Patterns {
	ps, err := coldstream.ParsePatterns([]string{"a", "b"}, nil)
	if err != nil {
		s.Fatal(err)
	}
	return ps
}

func (s *sweep) backUp(v *vault.Vault) error {
	r, err := backup.Run(s.Context(), s.client, v, backup.Options{Topics: s.patterns(), BufferBytes: 1, Now: s.now})
	s.records += r.Records
	if r.HasSnapshot() {
		s.acknowledged[r.Snapshot] = s.shown()
	}
	if err == nil && !r.HasSnapshot() {
		s.Error("a backup that came through made no snapshot")
	}
	return err
}

// turn forgets all snapshots but the newest, and releases what only they showed.
func (s *sweep) turn(v *vault.Vault) error {
	catalog, err := v.OpenCatalog(s.Context())
	if err != nil {
		return err
	}
	all := catalog.Snapshots()
	newest := all[len(all)-1].ID
	for _, snapshot := range all {
		s.forgettable[snapshot.ID] = s.forgettable[snapshot.ID] || snapshot.ID != newest
	}
	return v.Turn(s.Context(), vault.TurnOptions{Forget: func(s *vault.Snapshot) bool { return s.ID != newest }, Release: true})
}

func (s *sweep) restoreAll(v *vault.Vault) error {
	rename, err := restore.ParseMap("/(.*)/=restored-$1")
	if err != nil {
		return err
	}
	plan, err := restore.MakePlan(s.Context(), v, s.client, restore.Request{
		Maps: []restore.Map{rename}, Offsets: restore.OffsetsExact, Now: s.now,
	})
	if err != nil {
		return err
	}
	result, err := plan.Execute(s.Context())
	if err != nil {
		return err
	}
	if result.Incomplete() || result.Damaged() {
		// What could not be read or recorded is in the result; what is not whole is no success.
		return fmt.Errorf("%w: the result is %+v", faultblob.ErrFault, result)
	}
	for topic := range sweepTopics {
		sameContent(s.T, s.read("restored-"+topic), s.read(topic))
	}
	return nil
}

// judgeTarget proves that a restore, however it ended, left no record twice and none that
// the source does not have.
func (s *sweep) judgeTarget() {
	s.Helper()
	for topic := range sweepTopics {
		if !s.exists("restored-" + topic) {
			continue
		}
		want := map[string]kafkatest.Record{}
		for _, r := range s.read(topic) {
			want[string(r.Value)] = r
		}
		for _, r := range s.read("restored-" + topic) {
			if len(r.Value) == 0 {
				continue // fills up the offsets below the log start, which come to be cut off
			}
			of, ok := want[string(r.Value)]
			if of.Topic = r.Topic; !ok || kafkatest.ContentHash([]kafkatest.Record{of}) != kafkatest.ContentHash([]kafkatest.Record{r}) {
				s.Errorf("a restore left %q at offset %d, twice or never saved", r.Value, r.Offset)
			}
			delete(want, string(r.Value))
		}
	}
}

// judge looks at the vault as a process does that knows nothing.
func (s *sweep) judge(when string) {
	s.Helper()
	v, err := vault.Open(s.Context(), s.store)
	if err != nil {
		s.Fatalf("%s: %v", when, err)
	}
	report, err := v.Verify(s.Context(), vault.VerifyOptions{Deep: true})
	if err != nil || len(report.Problems) > 0 {
		s.Errorf("%s: verify: %v, %v", when, err, report.Problems)
	}
	catalog, err := v.OpenCatalog(s.Context())
	if err != nil || len(catalog.Damage()) > 0 {
		s.Fatalf("%s: open the catalog: %v, %v", when, err, catalog.Damage())
	}
	all := catalog.Snapshots()
	for id, want := range s.acknowledged {
		i := slices.IndexFunc(all, func(snapshot vault.Snapshot) bool { return snapshot.ID == id })
		if i < 0 {
			if !s.forgettable[id] {
				s.Errorf("%s: snapshot %s was acknowledged and is not there", when, id)
			}
			continue
		}
		if diff := cmp.Diff(want, viewTexts(s.views(&all[i]))); diff != "" {
			s.Errorf("%s: snapshot %s (-want +got):\n%s", when, id, diff)
		}
	}
	streams := map[coldstream.Stream]bool{}
	for _, snapshot := range all { // also those whose acknowledgement was lost
		views := s.views(&snapshot)
		s.judgeContent(when, v, views)
		for _, view := range views {
			streams[view.Stream] = true
		}
	}
	s.judgeCover(when, v, streams)
}

func (s *sweep) views(snapshot *vault.Snapshot) []vault.View {
	s.Helper()
	views, err := snapshot.Views(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return views
}

func viewTexts(views []vault.View) []string {
	out := []string{}
	for _, v := range views {
		out = append(out, fmt.Sprintf("%s [%d, %d)", v.Stream.TopicPartition(), v.LogStartOffset, v.NextOffset))
	}
	return out
}

// judgeContent proves that each offset of the views gives back its record, once.
func (s *sweep) judgeContent(when string, v *vault.Vault, views []vault.View) {
	s.Helper()
	h, err := v.OpenHistory(s.Context(), views, vault.HistoryOptions{})
	if err != nil {
		s.Errorf("%s: %v", when, err)
		return
	}
	for _, stream := range h.Streams() {
		of, got, want := stream.View, []string{}, []string{}
		for at := of.LogStartOffset; at < of.NextOffset; at++ {
			want = append(want, fmt.Sprintf("%s %d", of.Stream.TopicPartition(), at))
		}
		for b, err := range stream.Batches(s.Context(), of.LogStartOffset) {
			if err != nil {
				s.Errorf("%s: %v", when, err)
				break
			}
			records, err := recordbatch.NewDecoder().Absolute(b, 1<<20)
			if err != nil {
				s.Fatal(err)
			}
			for _, r := range records {
				if string(r.Value) != fmt.Sprintf("%s %d", of.Stream.TopicPartition(), r.Offset) {
					s.Errorf("%s: offset %d of %s is %q", when, r.Offset, of.Stream.TopicPartition(), r.Value)
				}
				got = append(got, string(r.Value))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			s.Errorf("%s: %s (-want +got):\n%s", when, of.Stream.TopicPartition(), diff)
		}
	}
}

// judgeCover proves that each offset of a stream, from the first that was saved up to its
// head, is in a row, in a gap, or was released, and that no fewer are there than runs said.
func (s *sweep) judgeCover(when string, v *vault.Vault, streams map[coldstream.Stream]bool) {
	s.Helper()
	writer, err := v.NewWriter(s.Context(), vault.WriterOptions{Now: s.now})
	if err != nil {
		s.Fatal(err)
	}
	var saved int64
	for stream := range streams {
		head, ok := writer.Head(stream)
		if !ok {
			s.Errorf("%s: %s is in a snapshot and has no head", when, stream.TopicPartition())
			continue
		}
		view := vault.View{Stream: stream, Scan: head.Scan, LogStartOffset: head.Floor, NextOffset: head.NextOffset, LastEpoch: -1}
		if n := len(head.Epochs); n > 0 {
			view.LastEpoch = head.Epochs[n-1].Epoch
		}
		h, err := v.OpenHistory(s.Context(), []vault.View{view}, vault.HistoryOptions{})
		if err != nil {
			s.Fatal(err)
		}
		ranges := [][2]int64{{0, head.Floor}}
		for _, r := range h.Streams()[0].Runs {
			ranges = append(ranges, [2]int64{r.FirstOffset, r.NextOffset})
			saved += r.Records
		}
		for _, g := range h.Streams()[0].Gaps {
			ranges = append(ranges, [2]int64{g.FirstOffset, g.NextOffset})
		}
		saved += head.Floor // at most so many of them were records
		if hole, ok := firstHole(ranges, head.NextOffset); ok {
			s.Errorf("%s: %s: offset %d is neither in a row nor in a gap nor released: %v of [0, %d)", when, stream.TopicPartition(), hole, ranges, head.NextOffset)
		}
	}
	if len(streams) == len(s.shown()) && saved < s.records {
		s.Errorf("%s: runs said that %d records are saved; there are %d", when, s.records, saved)
	}
}

// firstHole finds the first offset below nextOffset that is in none of the ranges, from
// where the first begins that is not empty.
func firstHole(ranges [][2]int64, nextOffset int64) (int64, bool) {
	ranges = slices.DeleteFunc(ranges, func(r [2]int64) bool { return r[0] >= r[1] })
	slices.SortFunc(ranges, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	if len(ranges) == 0 {
		return 0, nextOffset > 0
	}
	at := ranges[0][0]
	for _, r := range ranges {
		if r[0] > at {
			return at, true
		}
		at = max(at, r[1])
	}
	return at, at < nextOffset
}
