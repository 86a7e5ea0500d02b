package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/faultblob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// over is the same vault through another store.
func (k *kit) over(store blob.Store) *kit {
	return &kit{T: k.T, store: store, ticks: k.ticks, vault: k.vault.over(store)}
}

// over is the vault, with what it keeps in memory, over another store.
func (v *Vault) over(store blob.Store) *Vault {
	return v.with(v.objectsOver(store))
}

// useStore is over for a vault that others have already.
func (v *Vault) useStore(store blob.Store) { v.objects = v.objectsOver(store) }

func (v *Vault) objectsOver(store blob.Store) *object.Store {
	objects := object.New(store, &v.info)
	if v.held == nil {
		return objects
	}
	objects, err := objects.Encrypted(v.held)
	if err != nil {
		panic(err) // it was held before
	}
	return objects
}

// garbageLeft lists what nothing needs, by a rule of its own.
func (k *kit) garbageLeft() []string {
	k.Helper()
	var named []string
	c := k.eachFacts(func(facts *format.Facts) {
		for _, p := range facts.Packs {
			named = append(named, p.ID.Key())
		}
	})
	previous, _, err := k.vault.loadBase(k.Context(), c.epoch-1)
	if err != nil {
		k.Fatal(err)
	}
	for _, t := range slices.Concat(c.tables, previous.Tables) {
		named = append(named, t.Table.Key())
	}
	for _, ref := range slices.Concat(c.chapters, previous.Chapters) {
		named = append(named, ref.Chapter.Key(), ref.Views.Key())
	}
	for _, s := range c.snapshots {
		for _, ref := range s.sections {
			named = append(named, ref.Table.Key())
		}
	}
	var left []string
	for _, key := range keys(k, k.store, "") {
		kind, rest, _ := strings.Cut(key, "/")
		var epoch uint32
		if _, err := fmt.Sscanf(rest, "%010d/", &epoch); err != nil {
			continue
		}
		switch {
		case strings.HasSuffix(key, "/begun") || slices.Contains(named, key):
		case (kind == "commits" || kind == "epochs") && epoch+1 >= c.epoch, epoch+2 > c.epoch:
		default:
			left = append(left, key)
		}
	}
	return left
}

// readyToTurn is a vault in its third epoch, with garbage of every kind for a turn to find.
func readyToTurn(t *testing.T) *kit {
	k := newKit(t, mem.New())
	s := k.mixed()
	replace(t, k.store, format.PackID{Number: 99}.Key(), []byte("of a writer that died"))
	replace(t, k.store, format.TableID{}.Key(), []byte("of one that died too"))
	for i := range int64(2) {
		k.turn()
		k.commit(k.writer(), Changes{Data: data(s[0], piece(t, 15+i, 16+i, 2)), Snapshot: snapshotOf(View{Stream: s[0], NextOffset: 16 + i, LastEpoch: 2})})
	}
	replace(t, k.store, format.PackID{Epoch: 1, Number: 99}.Key(), []byte("of a writer that died"))
	return k
}

// TestTurnCrashes kills, fails and cuts off a turn at every operation. Whatever is left
// is a whole vault, and the next turns leave no garbage.
func TestTurnCrashes(t *testing.T) {
	whole := readyToTurn(t)
	want := whole.histories()
	counted := faultblob.New(copyStore(t, whole.store))
	whole.over(counted).turn()
	ops := counted.Ops()
	for n := 1; n <= len(ops); n += sweepStep(3) {
		for name, action := range map[string]faultblob.Action{
			"fails": faultblob.Fail, "loses its answer": faultblob.LoseAnswer, "dies before": faultblob.DieBefore, "dies after": faultblob.DieAfter,
		} {
			how := fmt.Sprintf("operation %d (%s %s) %s", n, ops[n-1].Kind, ops[n-1].Key, name)
			store := copyStore(t, whole.store)
			err := whole.over(faultblob.New(store, faultblob.Fault{At: n, Do: action})).vault.Turn(t.Context(), TurnOptions{})
			if err == nil {
				t.Errorf("%s: nobody was told", how)
			}
			k := whole.over(store)
			for i := range 4 {
				if problems := k.verify(VerifyOptions{Deep: i == 0}).Problems; len(problems) > 0 {
					t.Fatalf("%s: %d turns later: %v", how, i, problems)
				}
				if diff := cmp.Diff(want, k.histories()); diff != "" {
					t.Fatalf("%s: %d turns later (-want +got)\n%s", how, i, diff)
				}
				k.turn()
			}
			if left := k.garbageLeft(); len(left) > 0 {
				t.Errorf("%s: left for ever: %v", how, left)
			}
		}
	}
	t.Logf("%d operations", len(ops))
}

// TestTurnLosesItsAnswer: a store that tries again finds what it made itself. Whose base it
// was is not known then, and nothing is deleted.
func TestTurnLosesItsAnswer(t *testing.T) {
	k := readyToTurn(t)
	want := k.histories()
	before := keys(t, k.store, "")
	for range 3 {
		if err := k.over(retrying{k.store}).vault.Turn(t.Context(), TurnOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	after := keys(t, k.store, "")
	for _, key := range before {
		if !slices.Contains(after, key) {
			t.Errorf("%s was deleted", key)
		}
	}
	if c := k.catalog(); c.epoch != 5 {
		t.Errorf("epoch %d", c.epoch)
	}
	k.mustBeSound()
	k.turn()
	k.turn()
	if left := k.garbageLeft(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if diff := cmp.Diff(want, k.histories()); diff != "" {
		t.Error(diff)
	}
}

// pausing calls a hook before its n-th operation, once.
type pausing struct {
	blob.Store
	mu   sync.Mutex
	left int
	hook func()
}

func (p *pausing) step() {
	p.mu.Lock()
	p.left--
	now := p.left == 0
	p.mu.Unlock()
	if now {
		p.hook()
	}
}

func (p *pausing) Create(ctx context.Context, key string, body []byte) error {
	p.step()
	return p.Store.Create(ctx, key, body)
}

func (p *pausing) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	p.step()
	return p.Store.Open(ctx, key)
}

func (p *pausing) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	p.step()
	return p.Store.Read(ctx, key, offset, length)
}

func (p *pausing) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	p.step()
	return p.Store.List(ctx, prefix, after)
}

func (p *pausing) Delete(ctx context.Context, key string) error {
	p.step()
	return p.Store.Delete(ctx, key)
}

// TestWritersAndTurns pauses a commit at each of its operations for some turns, and the
// first of those at each of its operations for a commit of another writer. Both commits
// are acknowledged and there, whoever was where.
func TestWritersAndTurns(t *testing.T) {
	whole := readyToTurn(t)
	a, b := stream("orders", 0), stream("orders", 1)
	for turns := 1; turns <= 3; turns++ {
		commitOps := 1
		for i := 1; i <= commitOps; i++ {
			for j := 1; ; j += turns * sweepStep(5) { // every one for one turn, fewer for more
				base := copyStore(t, whole.store)
				k := whole.over(base)
				slow := &pausing{Store: base}
				first := k.over(slow).writer()
				second := k.writer()
				how := fmt.Sprintf("%d turns before operation %d of the commit, another commit before operation %d of the turn", turns, i, j)
				turning := &pausing{Store: base, left: j, hook: func() { k.extend(second, b, 8, 0, how) }}
				slow.left, slow.hook = i, func() {
					for range turns {
						if err := k.over(turning).vault.Turn(t.Context(), TurnOptions{}); err != nil {
							t.Fatalf("%s: turn: %v", how, err)
						}
					}
				}
				k.extend(first, a, 17, 2, how)
				commitOps = max(commitOps, i-slow.left) // so many were there at least
				want := map[coldstream.Stream]int64{a: 20, b: 8}
				if turning.left <= 0 {
					want[b] = 11
				}
				k.bothThere(how, want)
				if turning.left > 0 || t.Failed() {
					break
				}
			}
		}
	}
}

// extend commits three offsets with a snapshot.
func (k *kit) extend(w *Writer, s coldstream.Stream, from int64, epoch int32, how string) {
	k.Helper()
	c := Changes{Data: data(s, piece(k, from, from+3, epoch)), Snapshot: snapshotOf(View{Stream: s, NextOffset: from + 3, LastEpoch: epoch})}
	c.Snapshot.Time = k.now()
	if _, err := w.Commit(k.Context(), c); err != nil {
		k.Fatalf("%s: commit: %v", how, err)
	}
	if h, _ := k.catalog().head(s); h.NextOffset < from+3 {
		k.Errorf("%s: acknowledged up to %d, head at %d", how, from+3, h.NextOffset)
	}
}

// bothThere proves that streams are where they must be, and stay there.
func (k *kit) bothThere(how string, heads map[coldstream.Stream]int64) {
	k.Helper()
	for range 3 {
		if problems := k.verify(VerifyOptions{Deep: true}).Problems; len(problems) > 0 {
			k.Fatalf("%s: %v", how, problems)
		}
		c := k.catalog()
		for s, want := range heads {
			if h, _ := c.head(s); h.NextOffset != want {
				k.Errorf("%s: head of %s at %d, want %d", how, s.TopicPartition(), h.NextOffset, want)
			}
		}
		k.turn()
	}
	if left := k.garbageLeft(); len(left) > 0 {
		k.Errorf("%s: left: %v", how, left)
	}
}

// TestSleepingKeeper: one that slept through epochs makes a base again that was retired,
// and must delete nothing.
func TestSleepingKeeper(t *testing.T) {
	whole := readyToTurn(t)
	counted := faultblob.New(copyStore(t, whole.store))
	whole.over(counted).turn()
	for n := 1; n <= len(counted.Ops()); n += sweepStep(3) {
		for _, turns := range []int{1, 2, 4} {
			store := copyStore(t, whole.store)
			k := whole.over(store)
			zombie := k.over(&pausing{Store: store, left: n, hook: func() {
				for i := range int64(turns) {
					k.turn()
					k.extend(k.writer(), stream("orders", 0), 17+3*i, 2, "other")
				}
			}})
			if err := zombie.vault.Turn(t.Context(), TurnOptions{}); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("operation %d, %d turns: %v", n, turns, err)
			}
			for range 3 {
				if problems := k.verify(VerifyOptions{Deep: true}).Problems; len(problems) > 0 {
					t.Fatalf("operation %d, %d turns: %v", n, turns, problems)
				}
				k.turn()
			}
			if h, _ := k.catalog().head(stream("orders", 0)); h.NextOffset != 17+3*int64(turns) {
				t.Errorf("operation %d, %d turns: head %+v", n, turns, h)
			}
			if left := k.garbageLeft(); len(left) > 0 {
				t.Errorf("operation %d, %d turns: left %v", n, turns, left)
			}
		}
	}
}

// TestDamageInTheWay: a table that a turn stored before it died is altered. Verify says so,
// as no backup can go on; without the object all is as before.
func TestDamageInTheWay(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 10, 1)), Scans: begin(s, 0)})
	var tables []string
	for n := 1; len(tables) == 0; n++ {
		store := copyStore(t, k.store)
		if k.over(faultblob.New(store, faultblob.Fault{At: n, Do: faultblob.DieBefore})).vault.Turn(t.Context(), TurnOptions{}) == nil {
			t.Fatal("no turn dies between a table and its base")
		}
		if tables = keys(t, store, format.TablesOf(1)); len(tables) > 0 {
			k = k.over(store)
		}
	}
	bad := body(t, k.store, tables[0])
	bad[len(bad)/2] ^= 4
	replace(t, k.store, tables[0], bad)
	problems := k.verify(VerifyOptions{}).Problems
	if len(problems) != 1 || problems[0].Object != tables[0] || problems[0].Kind != KindAltered || !errors.Is(problems[0], errInTheWay) {
		t.Errorf("verify says %v", problems)
	}
	if _, err := k.vault.NewWriter(t.Context(), WriterOptions{Now: k.now}); !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("a writer goes on: error %v", err)
	}
	k.delete(tables[0])
	k.commit(k.writer(), Changes{Data: data(s, piece(t, 10, 12, 1))})
	k.mustBeSound()
}
