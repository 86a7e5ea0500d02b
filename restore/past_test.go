package restore

import (
	"errors"
	"testing"
	"time"

	"coldstream"
)

// restored makes a restore of topic orders into copy, and gives its plan and the request for its
// groups.
func restored(t *testing.T, w *world) (*Plan, Request) {
	t.Helper()
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(3, 4), dense(0, 2)})}, groupOf("g", "orders", 5, 1))
	p := w.plan(t, Request{Maps: mapsOf(t, "orders=copy"), Offsets: OffsetsTranslate})
	if _, err := p.Execute(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, Request{GroupsOnly: true}
}

func TestGroupsThroughAnOffsetMap(t *testing.T) {
	w := newWorld(t)
	p, req := restored(t, w)
	r := w.restore(t, req)
	if r.OffsetMapOf != p.ID.String() || len(r.Partitions) > 0 || len(r.Groups) != 1 {
		t.Errorf("got %+v", r)
	}
	if got := w.committed(t, "g"); got["copy-0"] != 2 || got["copy-1"] != 1 || len(got) != 2 {
		t.Errorf("got offsets %v", got)
	}
	// What was restored without records has no offset map of its own.
	again := w.restore(t, req)
	if again.OffsetMapOf != p.ID.String() {
		t.Errorf("restored through the map of %s", again.OffsetMapOf)
	}
	req.RestoreID = r.Restore
	w.refused(t, req, "it restored groups only, through the offset map of restore "+p.ID.String())
}

// A restore that did not come through, or that is not over, is passed over.
func TestGroupsThroughTheMapOfARestoreThatFailed(t *testing.T) {
	w := newWorld(t)
	p, req := restored(t, w)
	cut := w.plan(t, Request{Maps: mapsOf(t, "orders=cut")})
	if err := (&execution{plan: cut}).hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed := w.plan(t, Request{Maps: mapsOf(t, "orders=failed")})
	x := &execution{plan: failed}
	if err := x.hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = x.letGo(t.Context(), errors.New("no producer ID"))
	if r := w.restore(t, req); r.OffsetMapOf != p.ID.String() {
		t.Errorf("restored through the map of %s", r.OffsetMapOf)
	}
	w.refused(t, Request{GroupsOnly: true, RestoreID: cut.ID.String()}, "it was cut off, or goes on")
	w.refused(t, Request{GroupsOnly: true, RestoreID: failed.ID.String()}, "none of the partitions came through")
}

// The map is true of the topics that were restored into, and of no others.
func TestGroupsThroughAMapThatIsTrueNoMore(t *testing.T) {
	w := newWorld(t)
	p, req := restored(t, w)
	w.delete(t, "copy")
	w.refused(t, req, "topic copy, which restore "+p.ID.String()+" made or filled, is not there any more")
	w.create(t, "copy", 2)
	for partition := range int32(2) {
		w.produce(t, "copy", partition, 9)
	}
	w.refused(t, req, "topic copy was deleted and made again since restore "+p.ID.String())
}

// Which restore was the last one is no matter of clocks.
func TestLastRestoreWhateverTheClock(t *testing.T) {
	w := newWorld(t)
	_, req := restored(t, w)
	later := w.plan(t, Request{Maps: mapsOf(t, "orders=later")})
	later.req.Now = func() time.Time { return testNow.AddDate(-10, 0, 0) }
	if _, err := later.Execute(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := w.restore(t, req); r.OffsetMapOf != later.ID.String() {
		t.Errorf("restored through the map of %s, want that of the later restore %s", r.OffsetMapOf, later.ID)
	}
}

func TestOffsetMapThatCannotBeSearched(t *testing.T) {
	good := offsetMap{runs: []mapped{{Source: 3, Target: 0, Count: 2}, {Source: 9, Target: 2, Count: 1}}, next: 3}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for what, bad := range map[string]offsetMap{
		"empty run":        {runs: []mapped{{Source: 3, Target: 0, Count: 0}}, next: 3},
		"source goes back": {runs: []mapped{{Source: 3, Target: 0, Count: 2}, {Source: 4, Target: 2, Count: 1}}, next: 3},
		"target goes back": {runs: []mapped{{Source: 3, Target: 0, Count: 2}, {Source: 9, Target: 1, Count: 1}}, next: 3},
		"behind the end":   {runs: []mapped{{Source: 3, Target: 0, Count: 2}}, next: 1},
	} {
		if err := bad.check(); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
