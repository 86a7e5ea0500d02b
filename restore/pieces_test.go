package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

// A map that is written in pieces answers as one that is whole: while it grows, and when it is read back.
func TestOffsetMapInPieces(t *testing.T) {
	rnd := random(t)
	for range 300 {
		tp := coldstream.TopicPartition{Topic: "t"}
		records := map[uint32]pieceRecord{}
		writer := newPieces(1+rnd.IntN(6), func(_ context.Context, n uint32, document any) error {
			b, err := json.Marshal(document)
			var record pieceRecord
			if err == nil {
				err = json.Unmarshal(b, &record)
			}
			records[n] = record
			return err
		})
		var whole offsetMap
		parts := offsetMap{answers: map[int64]int64{}}
		for offset := range int64(100) {
			parts.wanted = append(parts.wanted, offset)
		}
		source, target := rnd.Int64N(9), int64(0)
		for range rnd.IntN(30) {
			r := mapped{Source: source, Target: target, Count: 1 + rnd.Int64N(3)}
			whole.add(r)
			parts.add(r)
			source, target = r.next()+rnd.Int64N(2), target+r.Count
			if err := writer.grown(t.Context(), tp, &parts); err != nil {
				t.Fatal(err)
			}
		}
		whole.next, parts.next = target, target
		writer.close(t.Context(), tp, &parts)
		past := pastMap{tp: tp, pieces: writer.written[tp], offsetMap: offsetMap{runs: parts.runs, next: target}}
		if err := past.check(); err != nil {
			t.Fatal(err)
		}
		for offset := range int64(100) {
			want := whole.translate(offset)
			if got, err := parts.find(offset); got != want || err != nil {
				t.Fatalf("offset %d goes to %d (%v), want %d", offset, got, err, want)
			}
			got := past.translate(offset)
			if n := past.pieceWith(offset); n > 0 {
				piece := records[n]
				var err error
				if got, err = past.through(&piece, n, offset); err != nil {
					t.Fatal(err)
				}
			}
			if got != want {
				t.Fatalf("read back, offset %d goes to %d, want %d", offset, got, want)
			}
		}
	}
}

// holes is a log of single records, with a hole behind each.
func holes(n int) sourceLog {
	log := sourceLog{next: int64(2 * n)}
	for i := range n {
		log.batches = append(log.batches, batch{firstOffset: int64(2 * i)})
	}
	return log
}

// groupsAt are groups that stand at each offset of partition 0.
func groupsAt(next int64) (groups []coldstream.Group, want map[string]int64) {
	want = map[string]int64{}
	for offset := range next + 1 {
		name := fmt.Sprint("g", offset)
		groups = append(groups, groupOf(name, "orders", offset))
		want[name] = (offset + 1) / 2
	}
	return groups, want
}

func (w *world) stand(t *testing.T, want map[string]int64, tp string) {
	t.Helper()
	got := map[string]int64{}
	for name := range want {
		got[name] = w.committed(t, name)[tp]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups: -want +got:\n%s", diff)
	}
}

// However many holes a topic has, its offset map is written bit by bit, and groups go through
// it: those that are restored with the records, and those that are restored later.
func TestRestoreWritesItsOffsetMapInPieces(t *testing.T) {
	for _, file := range []string{"", filepath.Join(t.TempDir(), "state")} {
		w := newWorld(t)
		groups, want := groupsAt(40)
		w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{holes(20), holes(2), holes(2)})}, groups...)
		p := w.plan(t, Request{Maps: mapsOf(t, "orders=copy"), Groups: true, StateFile: file})
		p.pieceRuns, p.requestBytes = 3, 1
		if r, err := p.Execute(t.Context()); err != nil || r.Incomplete() {
			t.Fatal(err, errorsOf(r))
		}
		w.stand(t, want, "copy-0")
		var result resultRecord
		if err := readRecord(t.Context(), p.trail, p.ID, recordResult, &result); err != nil {
			t.Fatal(err)
		}
		runs := 0
		for _, rest := range result.OffsetMaps {
			runs += len(rest)
		}
		if len(result.Pieces["copy-0"]) == 0 || runs >= 3 || result.Version != 2 || result.Places != nil {
			t.Errorf("the last record has %d runs, pieces %v, version %d, places %v", runs, result.Pieces, result.Version, result.Places)
		}
		for name := range want {
			g := []coldstream.GroupOffset{{TopicPartition: coldstream.TopicPartition{Topic: "copy"}, Offset: 99, LeaderEpoch: -1}}
			if err := w.target.CommitGroup(t.Context(), name, g); err != nil {
				t.Fatal(err)
			}
		}
		w.restore(t, Request{GroupsOnly: true, StateFile: file})
		w.stand(t, want, "copy-0")
	}
}

// A piece that cannot be stored ends its partition, and not after all is restored.
func TestPieceThatCannotBeStored(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{holes(20), dense(0, 3)})}, groupOf("g", "orders", 5))
	p := w.plan(t, Request{Groups: true})
	p.pieceRuns = 3
	w.store.breaks = func(_, key string) error {
		if strings.HasPrefix(key, "restores/") && strings.HasSuffix(key, "/0000000003") {
			return errors.New("no room")
		}
		return nil
	}
	r, err := p.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hasErrors(t, r, "orders-0: keep the restore's record in the vault", "g: failed: partition orders-0 was not restored")
}

// What was read must be what was written.
func TestPieceThatDoesNotFit(t *testing.T) {
	m := pastMap{tp: coldstream.TopicPartition{Topic: "t"}, pieces: []pieceOf{{3, 2, 9}}, offsetMap: offsetMap{next: 9}}
	for what, runs := range map[string][]mapped{
		"nothing":           nil,
		"another beginning": {{Source: 3, Target: 0, Count: 6}},
		"another end":       {{Source: 2, Target: 0, Count: 6}},
		"behind the log":    {{Source: 2, Target: 5, Count: 7}},
		"no order":          {{Source: 2, Target: 0, Count: 5}, {Source: 2, Target: 5, Count: 2}},
	} {
		if _, err := m.through(&pieceRecord{map[string][]mapped{"t-0": runs}}, 3, 4); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for what, bad := range map[string]pastMap{
		"pieces go back":     {pieces: []pieceOf{{3, 2, 9}, {4, 8, 10}}},
		"an empty piece":     {pieces: []pieceOf{{3, 2, 2}}},
		"no piece":           {pieces: []pieceOf{{2, 2, 3}}},
		"the rest goes back": {pieces: []pieceOf{{3, 2, 9}}, offsetMap: offsetMap{runs: []mapped{{Source: 8, Target: 7, Count: 1}}, next: 8}},
	} {
		if err := bad.check(); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
