package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/faultblob"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// damages are ways in which a pack is lost. Only verify --deep sees the last.
func damages() map[string]func(context.Context, blob.Store, string) error {
	return map[string]func(context.Context, blob.Store, string) error{
		"deleted":   faultblob.Forget,
		"truncated": func(ctx context.Context, s blob.Store, key string) error { return faultblob.Truncate(ctx, s, key, 100) },
		"altered": func(ctx context.Context, s blob.Store, key string) error {
			return faultblob.FlipBit(ctx, s, key, 8*200)
		},
	}
}

// packs are the keys of all packs, the oldest first.
func (w *world) packs(t *testing.T) []string {
	t.Helper()
	var out []string
	for e, err := range w.store.List(t.Context(), "packs/", "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Key)
	}
	return out
}

func (w *world) forget(t *testing.T, key string) {
	t.Helper()
	if err := faultblob.Forget(t.Context(), w.store, key); err != nil {
		t.Fatal(err)
	}
}

// healed are texts of what was healed, and of the damage that is left.
func healed(r *Result) (healed, left []string) {
	healed, left = []string{}, []string{}
	for _, h := range r.Healed {
		healed = append(healed, fmt.Sprintf("%s [%d, %d)", h.TopicPartition, h.FirstOffset, h.NextOffset))
	}
	for _, d := range r.Damage {
		left = append(left, fmt.Sprintf("%s %s [%d, %d)", d.Kind, d.Stream.TopicPartition(), d.FirstOffset, d.NextOffset))
	}
	for _, d := range r.OlderDamage {
		left = append(left, fmt.Sprintf("of older states: %s %s [%d, %d)", d.Kind, d.Stream.TopicPartition(), d.FirstOffset, d.NextOffset))
	}
	return healed, left
}

// heals fails the test unless a result says that these ranges were healed, and that these
// are damaged still.
func heals(t *testing.T, r *Result, wantHealed, wantLeft []string) {
	t.Helper()
	gotHealed, gotLeft := healed(r)
	if diff := cmp.Diff(append([]string{}, wantHealed...), gotHealed); diff != "" {
		t.Errorf("healed: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(append([]string{}, wantLeft...), gotLeft); diff != "" {
		t.Errorf("left: -want +got\n%s", diff)
	}
}

func (w *world) verify(t *testing.T, deep bool) []string {
	t.Helper()
	r, err := w.vault.Verify(t.Context(), vault.VerifyOptions{Deep: deep})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, d := range r.Problems {
		out = append(out, fmt.Sprintf("%s %s [%d, %d)", d.Kind, d.Stream.TopicPartition(), d.FirstOffset, d.NextOffset))
	}
	return out
}

// A pack that is lost in any way is fetched again by the next backup, beside what is new,
// and all snapshots are whole again. A dry run says so before, and changes nothing.
func TestLostPackIsFetchedAgain(t *testing.T) {
	for how, damage := range damages() {
		for _, turns := range []int{0, 2} {
			t.Run(fmt.Sprint(how, " after ", turns, " turns"), func(t *testing.T) {
				w := newWorld(t)
				w.create(t, "orders", 2)
				w.create(t, "payments", 1)
				w.produce(t, "orders", 0, 7)
				w.produce(t, "orders", 1, 3)
				w.produce(t, "payments", 0, 4)
				first := w.run(t, Options{})
				w.produce(t, "orders", 0, 2)
				second := w.run(t, Options{})
				for range turns {
					if err := w.vault.Turn(t.Context(), vault.TurnOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				if err := damage(t.Context(), w.store, w.packs(t)[0]); err != nil {
					t.Fatal(err)
				}
				if len(w.verify(t, true)) == 0 {
					t.Fatal("verify found no damage")
				}
				w.produce(t, "orders", 0, 1)
				foreseen := w.foresee(t)
				r := w.run(t, Options{})
				all := []string{"orders-0 [0, 7)", "orders-1 [0, 3)", "payments-0 [0, 4)"}
				if how == "altered" { // one frame of the pack only
					all, _ = healed(r)
					if len(all) == 0 || len(all) > 2 {
						t.Errorf("healed %v", all)
					}
				}
				heals(t, foreseen, all, nil)
				heals(t, r, all, nil)
				if r.Records != 1 || r.Incomplete() {
					t.Errorf("beside that: %+v", r)
				}
				rest := []string{"orders-1 [0, 3) 3 records", "payments-0 [0, 4) 4 records"}
				w.holds(t, first.Snapshot, append([]string{"orders-0 [0, 7) 7 records"}, rest...)...)
				w.holds(t, second.Snapshot, append([]string{"orders-0 [0, 9) 9 records"}, rest...)...)
				w.holds(t, r.Snapshot, append([]string{"orders-0 [0, 10) 10 records"}, rest...)...)
				packs := w.objects(t, w.store, "packs/")
				heals(t, w.run(t, Options{}), nil, nil)
				if n := w.objects(t, w.store, "packs/"); n != packs {
					t.Errorf("the next run made %d packs", n-packs)
				}
			})
		}
	}
}

// foresee makes a dry run, which must make nothing else.
func (w *world) foresee(t *testing.T) *Result {
	t.Helper()
	before := w.objects(t, w.store, "")
	r, _, err := DryRun(t.Context(), w.source, w.vault, Options{Now: w.now})
	if made := w.objects(t, w.store, "") - before; err != nil || made != 0 {
		t.Errorf("dry run: %v, %d objects made", err, made)
	}
	return r
}

// What the cluster does not have any more stays damaged and is named, again and again; it
// is no gap. The rest is healed.
func TestClusterHasLostItToo(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.create(t, "gone", 1)
	w.produce(t, "orders", 0, 9)
	w.produce(t, "gone", 0, 2)
	w.run(t, Options{})
	w.produce(t, "orders", 0, 2)
	w.run(t, Options{})
	w.forget(t, w.packs(t)[0])
	w.deleteRecords(t, "orders", 4)
	if err := w.fake.DeleteTopic("gone"); err != nil {
		t.Fatal(err)
	}
	left := []string{"missing gone-0 [0, 2)", "missing orders-0 [0, 4)"}
	older := []string{"of older states: " + left[0], "of older states: " + left[1]}
	heals(t, w.foresee(t), []string{"orders-0 [4, 9)"}, older)
	r := w.run(t, Options{})
	heals(t, r, []string{"orders-0 [4, 9)"}, older)
	for _, d := range r.OlderDamage {
		if !strings.Contains(d.Error(), "the cluster does not have them any more") {
			t.Errorf("damage %v", d)
		}
	}
	if r.Incomplete() {
		t.Errorf("gaps %v, forks %v", r.Gaps, r.Forks)
	}
	w.reads(t, r.Snapshot, "orders-0 [4, 11) 7 records")
	for range 2 { // and that is what goes on being said
		if diff := cmp.Diff(left, w.verify(t, false)); diff != "" {
			t.Errorf("verify: -want +got\n%s", diff)
		}
		heals(t, w.run(t, Options{}), nil, older)
	}
}

// Ranges of a partition that do not touch are fetched one after the other, and what is
// healed is committed in pieces of the buffer's size.
func TestHealingInRounds(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 3)
	var last *Result
	for range 6 {
		for p := range int32(3) {
			w.produce(t, "orders", p, 3)
		}
		last = w.run(t, Options{})
	}
	packs := w.packs(t)
	for _, i := range []int{0, 2, 3, 5} {
		w.forget(t, packs[i])
	}
	r := w.run(t, Options{BufferBytes: 1})
	var want []string
	for p := range 3 {
		for _, r := range [][2]int{{0, 3}, {6, 12}, {15, 18}} {
			want = append(want, fmt.Sprintf("orders-%d [%d, %d)", p, r[0], r[1]))
		}
	}
	heals(t, r, want, nil)
	if n := w.objects(t, w.store, "packs/"); n < 2+4 {
		t.Errorf("%d packs: the buffer had no bound", n)
	}
	w.holds(t, last.Snapshot, "orders-0 [0, 18) 18 records", "orders-1 [0, 18) 18 records", "orders-2 [0, 18) 18 records")
}

// produceBatch appends n records in one batch.
func (w *world) produceBatch(t *testing.T, topic string, n int) {
	t.Helper()
	var records []*kgo.Record
	for range n {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte("x")})
	}
	app, err := kgo.NewClient(kgo.SeedBrokers(w.fake.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(50_000_000))
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	if err := app.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// Edges of what is lost may lie inside a batch: at a log start, and where other rows begin.
func TestHealingInsideBatches(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produceBatch(t, "orders", 10)
	w.deleteRecords(t, "orders", 4)
	w.run(t, Options{})
	w.produceBatch(t, "orders", 10)
	w.run(t, Options{})
	w.produceBatch(t, "orders", 10)
	w.run(t, Options{})
	packs := w.packs(t)
	w.forget(t, packs[0])
	w.forget(t, packs[1])
	w.deleteRecords(t, "orders", 6)
	r := w.run(t, Options{})
	heals(t, r, []string{"orders-0 [6, 20)"}, []string{"of older states: missing orders-0 [4, 6)"})
	if got := w.verify(t, true); len(got) != 1 || got[0] != "missing orders-0 [4, 6)" {
		t.Errorf("verify: %v", got)
	}
	w.reads(t, r.Snapshot, "orders-0 [6, 30) 24 records")
}

// reads is holds, for vaults in which damage is left that the snapshot does not show.
func (w *world) reads(t *testing.T, id vault.SnapshotID, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), w.held(t, id)); diff != "" {
		t.Errorf("the snapshot holds: -want +got:\n%s", diff)
	}
}

// A compacted log that holds less by now heals what it can: older and newer snapshots can
// be read again, and verify names what the older ones lack.
func TestHealingACompactedTopic(t *testing.T) {
	for name, keys := range map[string]string{"partly": "abcdabef", "as a whole": "ababcdab"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := w.fake.CreateTopic("state", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
				t.Fatal(err)
			}
			put := func(keys string) {
				for _, key := range keys {
					if err := w.app.ProduceSync(t.Context(), &kgo.Record{Topic: "state", Key: []byte(string(key)), Value: []byte("v")}).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
			}
			put("0") // it stays, and with it the log start
			w.run(t, Options{})
			put(keys[:4])
			w.run(t, Options{})
			put(keys[4:] + "z")
			second := w.run(t, Options{})
			w.forget(t, w.packs(t)[1])
			w.fake.Compact()
			r := w.run(t, Options{})
			heals(t, r, []string{"state-0 [1, 5)"}, nil)
			want := map[string]string{"partly": "state-0 [0, 10) 8 records", "as a whole": "state-0 [0, 10) 6 records"}[name]
			w.reads(t, second.Snapshot, want)
			w.reads(t, r.Snapshot, want)
			if diff := cmp.Diff([]string{"missing state-0 [1, 5)"}, w.verify(t, true)); diff != "" {
				t.Errorf("verify, of what older snapshots lack: -want +got\n%s", diff)
			}
			heals(t, w.run(t, Options{}), nil, nil)
		})
	}
}

// What a log has lost with its end it cannot give back. Where it goes on differently, that
// heals nothing of the fork, and what only forks have lost is nobody's loss.
func TestHealingATruncatedLog(t *testing.T) {
	for lost, want := range map[int]struct{ healed, left []string }{
		0: {[]string{"orders-0 [0, 10)"}, []string{"missing orders-0 [10, 12)", "missing orders-0 [12, 15)"}},
		1: {nil, []string{"missing orders-0 [10, 12)", "missing orders-0 [12, 15)"}},
		2: {nil, []string{"missing orders-0 [12, 15)"}},
	} {
		t.Run(fmt.Sprint("from pack ", lost, " on"), func(t *testing.T) {
			w := newWorld(t, kfake.NumBrokers(2))
			w.create(t, "orders", 1)
			w.produce(t, "orders", 0, 10)
			w.run(t, Options{})
			w.pretend(t, 10, 12) // what a broker had that is gone
			w.pretend(t, 12, 15)
			for _, key := range w.packs(t)[lost:] {
				w.forget(t, key)
			}
			foreseen, r := w.foresee(t), w.run(t, Options{})
			heals(t, foreseen, want.healed, want.left)
			heals(t, r, want.healed, want.left)
			if len(r.Forks) != 1 {
				t.Errorf("forks %v", r.Forks)
			}
			w.reads(t, r.Snapshot, "orders-0 [0, 10) 10 records")
			if err := w.fake.MoveTopicPartition("orders", 0, 1-w.fake.LeaderFor("orders", 0)); err != nil {
				t.Fatal(err)
			}
			w.connectApp(t)
			w.produce(t, "orders", 0, 2)
			w.run(t, Options{})
			w.produce(t, "orders", 0, 5)
			last := w.run(t, Options{})
			heals(t, last, nil, nil)
			w.holds(t, last.Snapshot, "orders-0 [0, 17) 17 records")
		})
	}
}

// A topic that was made again has nothing of what the first one lost.
func TestHealingATopicThatWasMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.produce(t, "orders", 0, 5)
	w.run(t, Options{})
	w.forget(t, w.packs(t)[0])
	if err := w.fake.DeleteTopic("orders"); err != nil {
		t.Fatal(err)
	}
	w.create(t, "orders", 1)
	w.connectApp(t)
	w.produce(t, "orders", 0, 8)
	for range 2 {
		r := w.run(t, Options{})
		heals(t, r, nil, []string{"of older states: missing orders-0 [0, 5)"})
		w.reads(t, r.Snapshot, "orders-0 [0, 8) 8 records")
	}
}

// Damage of topics that were not asked for is left to others.
func TestHealingOnlyWhatIsChosen(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.create(t, "payments", 1)
	w.produce(t, "orders", 0, 5)
	w.produce(t, "payments", 0, 3)
	w.run(t, Options{})
	w.forget(t, w.packs(t)[0])
	heals(t, w.run(t, Options{Topics: patterns(t, "payments")}), []string{"payments-0 [0, 3)"}, nil)
	r := w.run(t, Options{})
	heals(t, r, []string{"orders-0 [0, 5)"}, nil)
	w.holds(t, r.Snapshot, "orders-0 [0, 5) 5 records", "payments-0 [0, 3) 3 records")
}

// A partition that cannot be read does not keep others from being healed.
func TestHealingAPartitionThatFails(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets} {
		w := newWorld(t)
		w.create(t, "a", 1)
		w.create(t, "b", 1)
		w.produce(t, "a", 0, 3)
		w.produce(t, "b", 0, 3)
		w.run(t, Options{})
		w.forget(t, w.packs(t)[0])
		faults := w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: "a", Err: kerr.TopicAuthorizationFailed, Count: -1})
		r := w.run(t, Options{})
		heals(t, r, []string{"b-0 [0, 3)"}, []string{"missing a-0 [0, 3)"})
		if len(r.Damage) == 1 && !errors.Is(r.Damage[0], coldstream.ErrDenied) {
			t.Errorf("damage %v", r.Damage[0])
		}
		faults.Remove()
		last := w.run(t, Options{})
		heals(t, last, []string{"a-0 [0, 3)"}, nil)
		w.holds(t, last.Snapshot, "a-0 [0, 3) 3 records", "b-0 [0, 3) 3 records")
	}
}

// fetched is an event of batches that begin where the numbers say, three offsets each.
func fetched(t *testing.T, epoch byte, firstOffset int64, bases ...int64) *coldstream.Fetched {
	t.Helper()
	f := &coldstream.Fetched{FirstOffset: firstOffset, NextOffset: firstOffset}
	for _, base := range bases {
		var records []recordbatch.Absolute
		for at := base; at < base+3; at++ {
			records = append(records, recordbatch.Absolute{Offset: at, Value: []byte("x")})
		}
		b, err := recordbatch.Build(records, recordbatch.CodecNone, recordbatch.Producer{})
		if err != nil {
			t.Fatal(err)
		}
		b[7], b[15] = byte(base), epoch
		copy(b[12:15], []byte{0, 0, 0})
		f.Batches = append(f.Batches, b...)
		f.NextOffset = base + 3
	}
	return f
}

// TestCut: what of an answer is taken for the range [4, 20) of a log with the leader
// epochs 1 from offset 0 and 2 from offset 12 on.
func TestCut(t *testing.T) {
	epochs := []coldstream.EpochStart{{Epoch: 1, FirstOffset: 0}, {Epoch: 2, FirstOffset: 12}}
	for name, c := range map[string]struct {
		f         *coldstream.Fetched
		compacted bool
		want      string
		stopped   error
	}{
		"in the range":             {fetched(t, 1, 4, 4, 7), false, "[4, 10) 2", nil},
		"from inside a batch":      {fetched(t, 1, 4, 3, 6), false, "[4, 9) 2", nil},
		"up to the end":            {fetched(t, 2, 14, 14, 17), false, "[14, 20) 2", nil},
		"over the end":             {fetched(t, 2, 15, 15, 18), false, "[15, 21) 2", nil},
		"what is behind":           {fetched(t, 2, 14, 14, 17, 20, 23), false, "[14, 20) 2", nil},
		"what is behind a batch":   {fetched(t, 2, 15, 15, 18, 21), false, "[15, 21) 2", nil},
		"another epoch":            {fetched(t, 3, 4, 4, 7), false, "[4, 4) 0", errOtherHistory},
		"an epoch too early":       {fetched(t, 2, 10, 10), false, "[10, 10) 0", errOtherHistory},
		"an epoch too long":        {fetched(t, 1, 7, 8, 11, 14), true, "[7, 14) 2", errOtherHistory},
		"a hole":                   {fetched(t, 1, 4, 6), false, "[4, 4) 0", errNothingThere},
		"a hole later":             {fetched(t, 1, 4, 4, 8), false, "[4, 7) 1", errNothingThere},
		"a hole at the end":        {fetched(t, 2, 14, 14, 23), false, "[14, 17) 1", errNothingThere},
		"compacted":                {fetched(t, 1, 4, 6, 9), true, "[4, 12) 2", nil},
		"compacted at the end":     {fetched(t, 2, 14, 14, 23), true, "[14, 20) 1", nil},
		"compacted to nothing":     {fetched(t, 2, 14, 23), true, "[14, 20) 0", nil},
		"a tail that is no more":   {&coldstream.Fetched{FirstOffset: 9, NextOffset: 20}, true, "[9, 20) 0", nil},
		"nothing where there were": {fetched(t, 2, 14, 23), false, "[14, 14) 0", errNothingThere},
	} {
		t.Run(name, func(t *testing.T) {
			r := &lostRange{partition: &partition{compacted: c.compacted}, firstOffset: 4, nextOffset: 20, epochs: epochs, dense: true}
			p := r.cut(c.f)
			if p.FirstOffset < p.NextOffset {
				r.note(p.FirstOffset, p.NextOffset)
				want := []Healed{{FirstOffset: p.FirstOffset, NextOffset: min(p.NextOffset, 20)}}
				if diff := cmp.Diff(want, r.healed); diff != "" {
					t.Errorf("healed: -want +got\n%s", diff)
				}
			}
			n := 0
			for rest := p.Batches; len(rest) > 0; n++ {
				_, after, err := recordbatch.Next(rest)
				if err != nil {
					t.Fatal(err)
				}
				rest = after
			}
			if got := fmt.Sprintf("[%d, %d) %d", p.FirstOffset, p.NextOffset, n); got != c.want || !errors.Is(r.stopped, c.stopped) {
				t.Errorf("got %s, %v; want %s, %v", got, r.stopped, c.want, c.stopped)
			}
		})
	}
}
