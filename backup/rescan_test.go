package backup

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream/vault"
)

// script is a short history of a compacted topic whose cleaner keeps tombstones for an hour.
type script struct {
	*compactedWorld
}

func (w script) puts(keys string) {
	for key := range strings.FieldsSeq(keys) {
		w.put(key, "value of "+key)
	}
}

func (w script) backup() *Result {
	w.t.Helper()
	r, err := w.tried(-1, -1)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// interrupted is a backup that ends after some batches, and saves these.
func (w script) interrupted(after int) {
	w.t.Helper()
	if _, err := w.tried(after, -1); !errors.Is(err, context.Canceled) {
		w.t.Fatalf("error %v, want that of an interruption", err)
	}
}

// givenUp is a backup whose partition fails after some batches.
func (w script) givenUp(after int) *Result {
	w.t.Helper()
	r, err := w.tried(-1, after)
	if err != nil || len(r.Failed) != 1 {
		w.t.Fatalf("failed %v, error %v", r.Failed, err)
	}
	return r
}

// shows holds a snapshot against the topic.
func (w script) shows(id vault.SnapshotID) {
	w.t.Helper()
	if diff := cmp.Diff(maps.Clone(w.truth), w.latest(id)); diff != "" {
		w.t.Errorf("the snapshot shows (-want +got):\n%s", diff)
	}
}

// tombstoneCase is what happened before a backup, and whether that reads all again.
type tombstoneCase struct {
	rescanned bool
	run       func(w script)
}

// wholeBackups come one after another.
func wholeBackups() map[string]tombstoneCase {
	return map[string]tombstoneCase{
		"nothing was compacted, however late": {false, func(w script) {
			w.puts("a b")
			w.backup()
			w.put("a", "")
			w.puts("c")
			w.pass(1000 * time.Hour)
		}},
		"nothing is new": {false, func(w script) {
			w.puts("a b a b c")
			w.fake.Compact()
			w.backup()
			w.pass(1000 * time.Hour)
		}},
		"compacted, and read in time": {false, func(w script) {
			w.puts("a b")
			w.backup()
			w.put("a", "")
			w.puts("c b c d")
			w.fake.Compact()
			w.pass(50 * time.Minute)
		}},
		"compacted, and read late": {true, func(w script) {
			w.puts("a b")
			w.backup()
			w.put("a", "")
			w.puts("c b c d")
			w.expire()
		}},
		"the clock went back": {true, func(w script) {
			w.puts("a b")
			w.backup()
			w.puts("c b c d")
			w.fake.Compact()
			w.pass(-time.Minute)
		}},
		"the cleaner kept tombstones for a shorter time": {true, func(w script) {
			w.configure(time.Minute)
			w.puts("a b")
			w.backup()
			w.put("a", "")
			w.puts("c b c d")
			w.pass(2 * time.Minute)
			w.configure(0)
			w.fake.Compact()
			w.configure(time.Hour)
		}},
	}
}

// cutBackups were cut short before, or an epoch turned.
func cutBackups() map[string]tombstoneCase {
	return map[string]tombstoneCase{
		"a backup before was given up": {true, func(w script) {
			w.puts("a z")
			w.backup()
			w.put("a", "")
			w.puts("b c")
			w.pass(40 * time.Minute)
			w.givenUp(0)
			w.expire()
		}},
		"a reading in full was interrupted, and goes on in time": {true, func(w script) {
			w.puts("a b c d e f")
			w.backup()
			w.put("a", "")
			w.puts("x")
			w.expire()
			w.interrupted(3) // one that is new, and two of the reading in full
		}},
		"a reading in full was interrupted, and goes on late": {true, func(w script) {
			w.puts("a b c d e f")
			w.backup()
			w.put("a", "")
			w.puts("x")
			w.expire()
			w.interrupted(3)
			w.put("b", "")
			w.puts("y z")
			w.expire()
		}},
		"another run has read what is in doubt": {true, func(w script) {
			w.puts("a b")
			w.backup()
			w.put("a", "")
			w.puts("c d e")
			w.expire()
			w.interrupted(1)
		}},
		"a turn forgot when a reading in full began": {true, func(w script) {
			w.puts("a b c d e f")
			w.backup()
			w.put("a", "")
			w.puts("x")
			w.expire()
			w.interrupted(3)
			if err := w.vault.Turn(w.t.Context(), vault.TurnOptions{}); err != nil {
				w.t.Fatal(err)
			}
		}},
		"a turn keeps what a pass came to": {false, func(w script) {
			w.puts("a b")
			w.backup()
			if err := w.vault.Turn(w.t.Context(), vault.TurnOptions{}); err != nil {
				w.t.Fatal(err)
			}
			w.puts("c b c d")
			w.fake.Compact()
		}},
	}
}

// TestTombstones is about when a compacted partition is read again in full.
func TestTombstones(t *testing.T) {
	cases := wholeBackups()
	maps.Copy(cases, cutBackups())
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := script{newCompactedWorld(t, rand.New(rand.NewPCG(1, 1)))}
			c.run(w)
			r := w.backup()
			if got := len(r.Rescanned) > 0; got != c.rescanned {
				t.Errorf("read again in full: %v, want %t", r.Rescanned, c.rescanned)
			}
			w.shows(r.Snapshot)
			if r.Incomplete() {
				t.Errorf("incomplete: %+v", r)
			}
			// What was made good needs not be made good again.
			if again := w.backup(); len(again.Rescanned)+int(again.Records) > 0 {
				t.Errorf("the next backup saved %d records and read %v again in full", again.Records, again.Rescanned)
			}
		})
	}
}

// TestNeverReadAgain leaves a partition in doubt where that is asked for, until it is not any more
// and something is new.
func TestNeverReadAgain(t *testing.T) {
	for name, c := range wholeBackups() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := script{newCompactedWorld(t, rand.New(rand.NewPCG(1, 1)))}
			c.run(w)
			w.never = true
			for range 2 {
				if r := w.backup(); len(r.Rescanned) > 0 || r.Incomplete() {
					t.Errorf("read again in full: %v; %+v", r.Rescanned, r)
				}
				w.puts("n")
			}
			w.never = false
			r := w.backup()
			if got := len(r.Rescanned) > 0; got != c.rescanned {
				t.Errorf("once it may be, read again in full: %v, want %t", r.Rescanned, c.rescanned)
			}
			w.shows(r.Snapshot)
		})
	}
}

// TestReadingInFullThatIsGivenUp shows what was saved before until it is complete.
func TestReadingInFullThatIsGivenUp(t *testing.T) {
	w := script{newCompactedWorld(t, rand.New(rand.NewPCG(1, 1)))}
	w.puts("a b c d e f")
	first := w.views(t, w.backup().Snapshot)[0]
	w.put("a", "")
	w.puts("x y")
	w.expire()
	r := w.givenUp(4)
	view := w.views(t, r.Snapshot)[0]
	if view.Scan != first.Scan || view.NextOffset != first.NextOffset+3 || len(r.Rescanned) > 0 {
		t.Errorf("view %+v behind %+v, read again %v: want all that is new, in the scan before", view, first, r.Rescanned)
	}
	// A second attempt that is given up shows no less.
	r = w.givenUp(1)
	if again := w.views(t, r.Snapshot)[0]; again != view {
		t.Errorf("view %+v, want that of before, %+v", again, view)
	}
	done := w.backup()
	w.shows(done.Snapshot)
	if after := w.views(t, done.Snapshot)[0]; after.Scan <= view.Scan || after.NextOffset != view.NextOffset || len(done.Rescanned) != 1 {
		t.Errorf("view %+v, read again %v: want a newer scan to the same offset", after, done.Rescanned)
	}
	w.holds(t, done.Snapshot, w.held(t, done.Snapshot)...)
}

// TestReadingInFullTooSlowly is warned of: nothing more can be done.
func TestReadingInFullTooSlowly(t *testing.T) {
	w := script{newCompactedWorld(t, rand.New(rand.NewPCG(1, 1)))}
	w.configure(time.Millisecond) // each look at the clock takes a second
	w.puts("a b c a b d")
	w.fake.Compact()
	var texts warnings
	r, err := Run(t.Context(), w.source, w.vault, Options{Now: w.now, Observer: &texts})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) != 1 || !strings.Contains(texts[0], "longer than its cleaner keeps tombstones") {
		t.Errorf("warnings %q", texts)
	}
	if len(r.Rescanned) > 0 || w.backup().Rescanned != nil {
		t.Error("it was read again with nothing new")
	}
	w.puts("e")
	if again := w.backup(); len(again.Rescanned) != 1 {
		t.Errorf("read again %v, want that", again.Rescanned)
	}
}
