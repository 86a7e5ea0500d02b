package restore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/vault"
)

// growingWorld is a vault with a transaction that nobody knows the end of.
func growingWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.backups = -10
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{logOf(
		batch{firstOffset: 0, count: 4, valueBytes: 5000},
		batch{firstOffset: 4, count: 2, kind: transactional, producer: 7, valueBytes: 5000},
		batch{firstOffset: 6, count: 4, valueBytes: 5000},
	)})})
	return w
}

// grow adds the transaction's end, and a record, as the next backup does before its snapshot.
func (w *world) grow(t *testing.T) {
	t.Helper()
	stampMs := testNow.Add(-7 * time.Minute).UnixMilli()
	w.add(t, 0, batch{firstOffset: 10, kind: commitMarker, producer: 7, timestampMs: stampMs}, batch{firstOffset: 11, count: 1, timestampMs: stampMs})
}

// add commits batches of a reading of the log, without a snapshot.
func (w *world) add(t *testing.T, scan uint32, of ...batch) {
	t.Helper()
	piece := vault.Piece{FirstOffset: of[0].firstOffset, NextOffset: of[len(of)-1].nextOffset()}
	for _, b := range of {
		piece.Batches = append(piece.Batches, b.encode()...)
	}
	topic := topicOf("orders", nil)
	stream := coldstream.Stream{Incarnation: coldstream.Incarnation{ClusterID: "source", Topic: topic.Name, TopicID: topic.ID}}
	writer, err := w.vault.NewWriter(t.Context(), vault.WriterOptions{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	changes := vault.Changes{Data: []vault.StreamData{{Stream: stream, Scan: scan, Pieces: []vault.Piece{piece}}}}
	if scan > 0 {
		changes.Scans = []vault.ScanStart{{Stream: stream, Scan: scan, FirstOffset: piece.FirstOffset, Started: testNow}}
	}
	if _, err := writer.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// interrupted runs a restore that is interrupted when a broker has its first batch.
func (w *world) interrupted(t *testing.T, req Request) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, When: func(kmsg.Request) bool { cancel(); return true }})
	defer f.Remove()
	if r, err := w.plan(t, req).Execute(ctx); err == nil || r == nil || !r.Unfinished {
		t.Fatalf("it was not interrupted: %v", err)
	}
}

// What a resumed restore restores is what it set out to restore, also of what the vault has got more of since.
func TestRestoreOfAMomentGoesOn(t *testing.T) {
	until := &Bound{Offset: 9}
	for name, req := range map[string]Request{
		"an archive":           {Archive: true},
		"a part of an archive": {Archive: true, Until: until},
		"a time":               {At: testNow.Add(-5 * time.Minute)},
		"a part of a time":     {At: testNow.Add(-5 * time.Minute), Until: until},
	} {
		t.Run(name, func(t *testing.T) {
			req.Command = []string{"-t", "orders", name}
			undisturbed := growingWorld(t)
			wanted := undisturbed.restore(t, req)
			w := growingWorld(t)
			w.interrupted(t, req)
			w.grow(t)
			req.Resume = true
			r, err := w.plan(t, req).Execute(t.Context())
			if err != nil || len(errorsOf(r)) > 0 {
				t.Fatalf("%v, %q", err, errorsOf(r))
			}
			sameRecords(t, undisturbed.read(t, "orders"), w.read(t, "orders"))
			said := func(r *Result) string {
				p := &r.Partitions[0]
				return fmt.Sprint(p.Records, p.DroppedUndecided, p.DroppedAborted, p.LogStartOffset, p.NextOffset)
			}
			if diff := cmp.Diff(said(wanted), said(r)); diff != "" {
				t.Errorf("-undisturbed +resumed:\n%s", diff)
			}
		})
	}
}

// A restore that is gone on with, and that a broker keeps waiting for too long before it writes, can be
// gone on with again: what it restored before is in the target.
func TestRestoreThatGivesUpGoesOn(t *testing.T) {
	w := growingWorld(t)
	w.target = w.connect(t, time.Second)
	req := Request{Command: []string{"-t", "orders"}}
	w.interrupted(t, req)
	req.Resume = true
	p := w.plan(t, req)
	f := w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.IncrementalAlterConfigs}, Resource: "orders", Count: -1, Err: kerr.NotController})
	r, err := p.Execute(t.Context())
	f.Remove()
	if err == nil || !r.Unfinished {
		t.Fatalf("%v, unfinished: %v", err, r.Unfinished)
	}
	if r, err = w.plan(t, req).Execute(t.Context()); err != nil || len(errorsOf(r)) > 0 {
		t.Fatalf("%v, %q", err, errorsOf(r))
	}
	if got := len(w.read(t, "orders")); got != 8 {
		t.Errorf("%d records, want 8", got)
	}
}

// Storage that does not answer for a while does not end a restore: who types the same line again, with --append too,
// gets each record once.
func TestRestoreFromStorageThatWasAwayGoesOn(t *testing.T) {
	w := growingWorld(t)
	req := Request{Append: true, Resume: true, Command: []string{"-t", "orders", "--append"}}
	p := w.plan(t, req)
	w.store.isAway = errors.New("storage is away")
	r, err := p.Execute(t.Context())
	w.store.isAway = nil
	if err != nil || !r.Incomplete() || !r.Unfinished {
		t.Fatalf("%v, %q, unfinished: %v", err, errorsOf(r), r.Unfinished)
	}
	if r, err = w.plan(t, req).Execute(t.Context()); err != nil || len(errorsOf(r)) > 0 || r.Restore != p.ID.String() {
		t.Fatalf("%v, %q", err, errorsOf(r))
	}
	if got := len(w.read(t, "orders")); got != 8 {
		t.Errorf("%d records, want 8", got)
	}
}

// A log that was read again from its start since is restored from the reading that the restore began with.
func TestRestoreOfAnEarlierReadingGoesOn(t *testing.T) {
	w := growingWorld(t)
	req := Request{Archive: true, Command: []string{"-t", "orders", "--archive"}}
	w.interrupted(t, req)
	w.add(t, 1, batch{firstOffset: 0, count: 4, valueBytes: 7000}, batch{firstOffset: 6, count: 7, valueBytes: 5000})
	req.Resume = true
	r, err := w.plan(t, req).Execute(t.Context())
	if err != nil || len(errorsOf(r)) > 0 {
		t.Fatalf("%v, %q", err, errorsOf(r))
	}
	if got := len(w.read(t, "orders")); got != 8 {
		t.Errorf("%d records, want 8", got)
	}
}
