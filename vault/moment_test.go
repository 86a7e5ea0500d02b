package vault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob/mem"
	"coldstream/recordbatch"
)

// stamped is a piece of batches of one record each, with a timestamp in minutes for each.
func stamped(t testing.TB, firstOffset int64, epoch int32, minutes ...int) Piece {
	t.Helper()
	p := Piece{FirstOffset: firstOffset, NextOffset: firstOffset + int64(len(minutes))}
	for i, n := range minutes {
		at := firstOffset + int64(i)
		b, err := recordbatch.Build([]recordbatch.Absolute{{Offset: at, TimestampMs: minute(n).UnixMilli(), Value: []byte("v")}},
			recordbatch.CodecNone, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
		if err != nil {
			t.Fatal(err)
		}
		p.Batches = append(p.Batches, inLog(b, at, epoch)...)
	}
	return p
}

// life commits what becomes of streams, by the minute.
type life struct {
	*kit
	w *Writer
}

func newLife(t *testing.T) *life {
	k := newKit(t, mem.New())
	return &life{k, k.writer()}
}

// at commits changes as of a minute. A snapshot's time is the same.
func (l *life) at(n int, c Changes) *life {
	l.Helper()
	c.AsOf = minute(n)
	if c.Snapshot != nil && c.Snapshot.Time.Equal(testTime) {
		c.Snapshot.Time = c.AsOf
	}
	l.commit(l.w, c)
	return l
}

func (l *life) show(choice Choice) *Shown {
	l.Helper()
	choice.Now = minute(1_000_000)
	shown, err := l.catalog().Show(l.Context(), &choice)
	if err != nil {
		l.Fatal(err)
	}
	return shown
}

func viewText(v View) string {
	return fmt.Sprintf("%s scan %d [%d, %d) epoch %d", v.Stream.TopicPartition(), v.Scan, v.LogStartOffset, v.NextOffset, v.LastEpoch)
}

func (s *Shown) text() string {
	var out []string
	for i, v := range s.Views {
		text := viewText(v)
		if s.Cuts != nil {
			c := s.Cuts[i]
			text += fmt.Sprintf(" of [%d, %d]", c.CommittedNextOffset, c.BoundNextOffset)
			if c.Reread {
				text += " reread"
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

// TestShowAt asks for views of a time.
func TestShowAt(t *testing.T) {
	s, added := stream("orders", 0), stream("orders", 1)
	view := func(first, next int64, epoch int32) View {
		return View{Stream: s, LogStartOffset: first, NextOffset: next, LastEpoch: epoch}
	}
	start := func(t *testing.T) *life {
		return newLife(t).at(10, Changes{Scans: begin(s, 0), Data: data(s, stamped(t, 0, 1, 1, 2, 3)), Snapshot: snapshotOf(view(0, 3, 1))})
	}
	// Daily: the second snapshot has the records of a day, in two commits.
	daily := func(t *testing.T, minutes ...int) *life {
		n := int64(3 + len(minutes))
		return start(t).at(29, Changes{Data: data(s, stamped(t, 3, 1, minutes[:1]...))}).
			at(30, Changes{Data: data(s, stamped(t, 4, 1, minutes[1:]...)), Snapshot: snapshotOf(view(1, n, 1))}).
			at(40, Changes{Data: data(s, stamped(t, n, 1, 35)), Snapshot: snapshotOf(view(1, n+1, 1))})
	}
	for name, c := range map[string]struct {
		life func(*testing.T) *life
		at   int
		want string
	}{
		"at the snapshot":     {start, 10, "orders-0 scan 0 [0, 3) epoch 1 of [3, 3]"},
		"nothing since":       {start, 15, "orders-0 scan 0 [0, 3) epoch 1 of [3, 3]"},
		"between two":         {func(t *testing.T) *life { return daily(t, 11, 15, 20, 25) }, 20, "orders-0 scan 0 [0, 6) epoch 1 of [3, 7]"},
		"before all of them":  {func(t *testing.T) *life { return daily(t, 13, 15, 20, 25) }, 12, "orders-0 scan 0 [0, 3) epoch 1 of [3, 7]"},
		"one from the future": {func(t *testing.T) *life { return daily(t, 11, 99, 12, 13) }, 20, "orders-0 scan 0 [0, 4) epoch 1 of [3, 7]"},
		"old ones":            {func(t *testing.T) *life { return daily(t, -99, -98, -97, -96) }, 12, "orders-0 scan 0 [0, 7) epoch 1 of [3, 7]"},
		"between its commits": {func(t *testing.T) *life { return daily(t, 99, 15, 20, 35) }, 29, "orders-0 scan 0 [0, 6) epoch 1 of [4, 7]"},
		"the next snapshot":   {func(t *testing.T) *life { return daily(t, 11, 15, 20, 25) }, 30, "orders-0 scan 0 [1, 7) epoch 1 of [7, 8]"},
		"behind all snapshots": {func(t *testing.T) *life {
			return daily(t, 11, 15).at(50, Changes{Data: data(s, stamped(t, 6, 1, 45, 48, 49))})
		}, 48, "orders-0 scan 0 [1, 8) epoch 1 of [6, 9]"},
		"a future one that was there": {func(t *testing.T) *life { return start(t).at(12, Changes{Data: data(s, stamped(t, 3, 1, 99))}) }, 12, "orders-0 scan 0 [0, 4) epoch 1 of [4, 4]"},
		"a partition that was added": {func(t *testing.T) *life {
			return start(t).at(12, Changes{Scans: begin(added, 0), Data: data(added, stamped(t, 0, 1, 11))}).
				at(20, Changes{Data: data(added, stamped(t, 1, 1, 19)), Snapshot: snapshotOf(view(0, 3, 1), View{Stream: added, NextOffset: 2, LastEpoch: 1})})
		}, 13, "orders-0 scan 0 [0, 3) epoch 1 of [3, 3]\norders-1 scan 0 [0, 1) epoch 1 of [1, 2]"},
		"before it was added": {func(t *testing.T) *life {
			return start(t).at(12, Changes{Scans: begin(added, 0), Data: data(added, stamped(t, 0, 1, 11))})
		}, 11, "orders-0 scan 0 [0, 3) epoch 1 of [3, 3]"},
		"the log lost its end": {func(t *testing.T) *life {
			return start(t).at(12, Changes{Data: data(s, stamped(t, 2, 2, 12))}).at(20, Changes{Data: data(s, stamped(t, 3, 2, 13, 19)), Snapshot: snapshotOf(view(0, 5, 2))})
		}, 13, "orders-0 scan 0 [0, 4) epoch 2 of [3, 5]"},
		"before it did": {func(t *testing.T) *life {
			return start(t).at(20, Changes{Data: data(s, stamped(t, 2, 2, 12, 13)), Snapshot: snapshotOf(view(0, 4, 2))})
		}, 15, "orders-0 scan 0 [0, 3) epoch 1 of [3, 3]"},
		"read again since": {func(t *testing.T) *life {
			again := Changes{Scans: []ScanStart{{Stream: s, Scan: 1, FirstOffset: 1, Started: testTime}}}
			again.Data = []StreamData{{Stream: s, Scan: 1, Pieces: []Piece{stamped(t, 1, 1, 2, 3, 11, 12)}}}
			again.Snapshot = snapshotOf(View{Stream: s, Scan: 1, LogStartOffset: 1, NextOffset: 5, LastEpoch: 1})
			return start(t).at(20, again)
		}, 15, "orders-0 scan 0 [0, 3) epoch 1 of [3, 5] reread"},
		"read again by then": {func(t *testing.T) *life {
			again := Changes{Scans: []ScanStart{{Stream: s, Scan: 1, FirstOffset: 1, Started: testTime}}}
			again.Data = []StreamData{{Stream: s, Scan: 1, Pieces: []Piece{stamped(t, 1, 1, 2, 3, 11, 12)}}}
			return start(t).at(12, again)
		}, 15, "orders-0 scan 1 [1, 5) epoch 1 of [5, 5]"},
		"being read again": {func(t *testing.T) *life {
			again := Changes{Scans: []ScanStart{{Stream: s, Scan: 1, FirstOffset: 1, Started: testTime}}}
			again.Data = []StreamData{{Stream: s, Scan: 1, Pieces: []Piece{stamped(t, 1, 1, 2)}}}
			return start(t).at(12, again)
		}, 15, "orders-0 scan 0 [0, 3) epoch 1 of [3, 3]"},
	} {
		t.Run(name, func(t *testing.T) {
			l := c.life(t)
			for _, turned := range []bool{false, true} {
				if got := l.show(Choice{At: minute(c.at)}).text(); got != c.want {
					t.Errorf("turned %v:\n%s\nwant:\n%s", turned, got, c.want)
				}
				l.turn()
			}
			l.mustBeSound()
		})
	}
}

// TestShowAtAgainstAModel: the cut of a log that nobody truncates is what its definition says, word for
// word, whatever records are stamped with.
func TestShowAtAgainstAModel(t *testing.T) {
	type event struct {
		minute   int
		first    int64 // of the snapshot, if there is one
		end      int64
		snapshot bool
	}
	sharp, decided := 0, 0
	for n := range 40 {
		r := rand.New(rand.NewPCG(*seed+uint64(n), 3))
		s, l := stream("orders", 0), newLife(t)
		var stamps []int
		var events []event
		first := int64(0)
		for i := range 3 + r.IntN(8) {
			e := event{minute: 10 * (i + 1), snapshot: i == 0 || r.IntN(3) == 0}
			before := int64(len(stamps))
			for range r.IntN(6) {
				stamp := e.minute - r.IntN(10)
				if r.IntN(8) == 0 {
					stamp += r.IntN(60) - 30
				}
				stamps = append(stamps, stamp)
			}
			e.end = int64(len(stamps))
			var c Changes
			if i == 0 {
				c.Scans = begin(s, 0)
			}
			if e.end > before {
				c.Data = data(s, stamped(t, before, 1, stamps[before:]...))
			}
			if e.snapshot {
				first += r.Int64N(e.end - first + 1)
				e.first = first
				c.Snapshot = snapshotOf(View{Stream: s, LogStartOffset: first, NextOffset: e.end, LastEpoch: 1})
			}
			if len(c.Data)+len(c.Scans) > 0 || c.Snapshot != nil {
				l.at(e.minute, c)
				events = append(events, e)
			}
			if r.IntN(4) == 0 {
				l.turn()
			}
		}
		for at := 10; at < 10*(len(events)+3); at += 1 + r.IntN(7) {
			var want, committed, bound, start int64
			bound = int64(len(stamps))
			for _, e := range events {
				if e.minute <= at {
					committed = e.end
					if e.snapshot {
						start = e.first
					}
				}
			}
			for _, e := range slices.Backward(events) {
				if e.minute > at && e.snapshot {
					bound = e.end
				}
			}
			for want = committed; want < bound && stamps[want] <= at; want++ {
			}
			shown := l.show(Choice{At: minute(at)})
			wantText := fmt.Sprintf("orders-0 scan 0 [%d, %d) epoch 1 of [%d, %d]", start, want, committed, bound)
			if got := shown.text(); got != strings.Replace(wantText, "epoch 1", fmt.Sprintf("epoch %d", shown.Views[0].LastEpoch), 1) {
				t.Fatalf("run %d at %d: got %s\nwant %s\nstamps %v\nevents %+v", *seed+uint64(n), at, got, wantText, stamps, events)
			}
			if shown.Cuts[0].IsSharp() {
				sharp++
			} else {
				decided++
			}
		}
	}
	if sharp < 20 || decided < 100 {
		t.Errorf("%d cuts were sharp, %d decided by timestamps", sharp, decided)
	}
}

// TestShowArchive: all that the vault holds is there, also what no snapshot shows any more, and what was
// saved behind the newest one.
func TestShowArchive(t *testing.T) {
	k, s, snapshots := rolling(t)
	added := stream("orders", 1)
	w := k.writer()
	k.commit(w, Changes{Data: data(s, piece(t, 30, 34, 1))})
	k.commit(w, Changes{Scans: begin(added, 5), Data: data(added, piece(t, 5, 7, 2))})
	archive := func() *Shown {
		t.Helper()
		shown, err := k.catalog().Show(t.Context(), &Choice{Archive: true})
		if err != nil {
			t.Fatal(err)
		}
		return shown
	}
	const both = "orders-0 scan 0 [%d, 34) epoch 1\norders-1 scan 0 [5, 7) epoch 2"
	shown := archive()
	if got, want := shown.text(), fmt.Sprintf(both, 0); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if shown.Snapshot.ID != snapshots[2].ID || !shown.AsOf.IsZero() {
		t.Errorf("snapshot %s, as of %v", shown.Snapshot.ID, shown.AsOf)
	}
	if got, damage := offsets(t, k.history(shown.Views...)[0], 0); damage != nil || !strings.HasPrefix(got, "0-2@1") || !strings.HasSuffix(got, "33-33@1") {
		t.Errorf("%s, %v", got, damage)
	}
	k.turnWith(forgetAll(k)) // releases what only older snapshots showed
	if got, want := archive().text(), fmt.Sprintf(both, 20); got != want {
		t.Errorf("after prune, got:\n%s\nwant:\n%s", got, want)
	}
	k.mustBeSound()
}

// TestShowWhatASnapshotShows: without a time the views are the snapshot's own.
func TestShowWhatASnapshotShows(t *testing.T) {
	k, _, snapshots := rolling(t)
	shown, err := k.catalog().Show(t.Context(), &Choice{ID: snapshots[1].ID.String()})
	if err != nil || shown.Snapshot.ID != snapshots[1].ID || shown.Cuts != nil {
		t.Fatalf("%+v, %v", shown, err)
	}
	if holds, err := shown.HeldViews(); err != nil || holds != nil {
		t.Errorf("beside its snapshot it holds %s, %v", holds, err)
	}
	if diff := cmp.Diff(k.views(snapshots[1]), shown.Views); diff != "" {
		t.Error(diff)
	}
}

// TestChooseAt asks which snapshot goes with a time: times are minutes of the snapshots, in the
// catalog's order.
func TestChooseAt(t *testing.T) {
	of := func(minutes ...int) (out []Snapshot) {
		for i, n := range minutes {
			s := topicsSnapshot(t, fmt.Sprintf("aa%02d", i), "x", "orders")
			if s.Time = minute(n); i > 0 {
				s.ParentTime = minute(minutes[i-1])
			}
			out = append(out, s)
		}
		return out
	}
	const now = 1000
	for name, c := range map[string]struct {
		snapshots []Snapshot
		at        int
		topics    []string
		want      string // digits of the ID, or part of the error
		notice    string
	}{
		"the last one before":       {of(10, 20, 30), 25, nil, "aa01", ""},
		"the same minute":           {of(10, 20, 30), 20, nil, "aa01", ""},
		"the newest":                {of(10, 20, 30), 500, nil, "aa02", ""},
		"before the first":          {of(10, 20, 30), 9, nil, "no snapshot is as old as 2026-11-22T14:14:00.000Z: the oldest is aa00000000000000 of 2026-11-22T14:15:00.000Z", ""},
		"a clock that went back":    {of(10, 40, 30, 50), 35, nil, "aa00", "the clocks of backups did not agree: snapshot aa01000000000000"},
		"before it went back":       {of(10, 40, 30, 50), 12, nil, "aa00", ""},
		"after it went back":        {of(10, 40, 30, 50), 45, nil, "aa02", ""},
		"a clock that stood at 0":   {of(10, 20, -9999, 30), 15, nil, "aa00", "the clocks of backups did not agree"},
		"a clock that ran ahead":    {of(10, 99999, 30, 50), 35, nil, "aa02", ""},
		"only that of a wrong host": {of(99999), 35, nil, "no snapshot is as old as", ""},
		"a topic that none has":     {of(10, 20), 15, []string{"payments"}, "no snapshot up to 2026-11-22T14:20:00.000Z holds all topics asked for", ""},
		"a topic made since": {append(of(10, 20), topicsSnapshot(t, "bb", "x", "payments"))[:3], 15, []string{"orders", "payments"},
			"orders is in aa00000000000000 of 2026-11-22T14:15:00.000Z, payments is in bb00000000000000 of 1970-01-01T00:16:40.000Z", ""},
	} {
		t.Run(name, func(t *testing.T) {
			catalog := &Catalog{snapshots: c.snapshots}
			choice := &Choice{At: minute(c.at), Now: minute(now)}
			if c.topics != nil {
				choice.Topics = patterns(t, c.topics...)
			}
			s, _, err := catalog.Choose(t.Context(), choice)
			if err != nil {
				var wrong *ChoiceError
				if !errors.As(err, &wrong) || !strings.Contains(wrong.Text+"\n"+wrong.Next, c.want) {
					t.Errorf("error %v (%+v), want %q", err, wrong, c.want)
				}
				return
			}
			if !strings.HasPrefix(s.ID.String(), c.want) {
				t.Errorf("chose %s, want %s", s.ID, c.want)
			}
			if got := catalog.OrderNotice(s, choice); !strings.HasPrefix(got, c.notice) || c.notice == "" && got != "" {
				t.Errorf("notice %q, want %q", got, c.notice)
			}
		})
	}
}
