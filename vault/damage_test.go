package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

// spoiled is a store in which some objects are not what was stored. A nil body is a
// deleted object.
type spoiled struct {
	blob.Store
	objects map[string][]byte
}

func (s *spoiled) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	b, ok := s.objects[key]
	switch {
	case !ok:
		return s.Store.Open(ctx, key)
	case b == nil:
		return nil, 0, fmt.Errorf("open %s: %w", key, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

func (s *spoiled) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	b, ok := s.objects[key]
	switch {
	case !ok:
		return s.Store.Read(ctx, key, offset, length)
	case b == nil:
		return nil, fmt.Errorf("read %s: %w", key, fs.ErrNotExist)
	case offset > int64(len(b)) || length > int64(len(b))-offset:
		return nil, fmt.Errorf("read %s: %w", key, io.ErrUnexpectedEOF)
	}
	return bytes.Clone(b[offset : offset+length]), nil
}

func (s *spoiled) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		for e, err := range s.Store.List(ctx, prefix, after) {
			if b, ok := s.objects[e.Key]; ok && b == nil {
				continue
			} else if ok {
				e.SizeBytes = int64(len(b))
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (s *spoiled) Create(context.Context, string, []byte) error {
	return fmt.Errorf("this vault is only looked at: %w", fs.ErrPermission)
}

// sound is a small vault with a bit of everything, and what is known of it.
type sound struct {
	store     blob.Store
	was       []blob.Store // before each commit, and after the turn
	keys      []string
	snapshots []Snapshot
	log       map[coldstream.Stream]map[int64][]byte // batches by epoch and offset
	held      map[string]map[coldstream.Stream][][2]int64
	chapters  []format.ChapterRef
	sections  map[string]bool // keys
}

// sounds are the vault in its first epoch, and with a turn before its last commit.
func sounds(t *testing.T) map[string]*sound {
	return map[string]*sound{"": newSound(t, -1), "turned: ": newSound(t, 2)}
}

func newSound(t *testing.T, turnAt int) *sound {
	k := newKit(t, mem.New())
	orders, events, zipped := stream("orders", 0), stream("orders", 1), stream("zipped", 0)
	w := k.writer()
	snapshot := func(views ...View) *NewSnapshot {
		s := snapshotOf(views...)
		s.Time = k.now()
		s.Metadata.Groups = []coldstream.Group{{Name: fmt.Sprint("group-", k.ticks)}}
		return s
	}
	changes := []Changes{
		{
			Data: []StreamData{
				{Stream: orders, Pieces: []Piece{piece(t, 0, 12, 1)}},
				{Stream: events, Pieces: []Piece{piece(t, 5, 9, 1)}},
				{Stream: zipped, Pieces: []Piece{{NextOffset: 30, Batches: batchOf(t, 0, 30, 0, recordbatch.CodecZstd)}}},
			},
			Scans:    slices.Concat(begin(orders, 0), begin(events, 5), begin(zipped, 0)),
			Snapshot: snapshot(View{Stream: orders, NextOffset: 12, LastEpoch: 1}, View{Stream: events, LogStartOffset: 5, NextOffset: 9, LastEpoch: 1}, View{Stream: zipped, NextOffset: 30}),
		},
		{
			Data: []StreamData{
				{Stream: orders, Pieces: []Piece{piece(t, 6, 15, 2)}}, // the log lost its end
				{Stream: events, Pieces: []Piece{piece(t, 20, 24, 1)}},
			},
			Gaps:     []StreamGap{{Stream: events, FirstOffset: 9, NextOffset: 20, Cause: coldstream.GapLogStartAdvanced}},
			Snapshot: snapshot(View{Stream: orders, NextOffset: 15, LastEpoch: 2}, View{Stream: events, LogStartOffset: 5, NextOffset: 24, LastEpoch: 1}),
		},
		{
			Data:     []StreamData{{Stream: orders, Pieces: []Piece{piece(t, 15, 18, 2)}}, {Stream: zipped, Pieces: []Piece{piece(t, 30, 33, 0)}}},
			Snapshot: snapshot(View{Stream: orders, NextOffset: 18, LastEpoch: 2}, View{Stream: zipped, NextOffset: 33}),
		},
	}
	s := &sound{store: k.store, log: map[coldstream.Stream]map[int64][]byte{}, held: map[string]map[coldstream.Stream][][2]int64{}, sections: map[string]bool{}}
	for i, c := range changes {
		s.was = append(s.was, copyStore(t, k.store))
		if i == turnAt {
			s.turn(k, changes[:i])
			s.was = append(s.was, copyStore(t, k.store))
		}
		if i == 2 {
			w = k.writer()
		}
		before := keys(t, k.store, "")
		k.commit(w, c)
		for _, d := range c.Data {
			s.remember(d)
		}
		for _, key := range keys(t, k.store, "") {
			if !slices.Contains(before, key) {
				s.hold(key, c)
			}
		}
	}
	if err := k.vault.PutRestoreRecord(t.Context(), RestoreID{1}, 0, []byte("a plan")); err != nil {
		t.Fatal(err)
	}
	s.keys, s.snapshots, s.chapters = keys(t, k.store, ""), k.catalog().Snapshots(), k.catalog().chapters
	for _, snapshot := range s.snapshots {
		for _, ref := range snapshot.sections {
			s.sections[ref.Table.Key()] = true
		}
	}
	k.mustBeSound()
	return s
}

// turn notes what is lost with what a turn makes: with a base all that was before, with
// a table what was of its topic. The commits that the base took nobody needs any more.
func (s *sound) turn(k *kit, before []Changes) {
	k.turn()
	for _, c := range before {
		s.hold(format.BaseKey(1), c)
	}
	all := s.held[format.BaseKey(1)]
	for _, ref := range k.catalog().tables {
		of := map[coldstream.Stream][][2]int64{}
		for stream, ranges := range all {
			if stream.Topic == ref.Topic {
				of[stream] = ranges
			}
		}
		s.held[ref.Table.Key()] = of
	}
	for _, key := range keys(k, k.store, format.AllCommits) {
		k.delete(key)
	}
}

func (s *sound) remember(d StreamData) {
	if s.log[d.Stream] == nil {
		s.log[d.Stream] = map[int64][]byte{}
	}
	for _, p := range d.Pieces {
		for rest := p.Batches; len(rest) > 0; {
			b, after, _ := recordbatch.Next(rest)
			s.log[d.Stream][int64(b.LeaderEpoch())<<32|b.BaseOffset()] = bytes.Clone(b)
			rest = after
		}
	}
}

// hold keeps which offsets are lost with an object of a commit.
func (s *sound) hold(key string, c Changes) {
	ranges := s.held[key]
	if ranges == nil {
		ranges = map[coldstream.Stream][][2]int64{}
	}
	for _, d := range c.Data {
		for _, p := range d.Pieces {
			ranges[d.Stream] = append(ranges[d.Stream], [2]int64{p.FirstOffset, p.NextOffset})
		}
	}
	if strings.HasPrefix(key, "commits/") || strings.HasPrefix(key, "epochs/") {
		for _, g := range c.Gaps {
			ranges[g.Stream] = append(ranges[g.Stream], [2]int64{g.FirstOffset, g.NextOffset})
		}
	}
	if !strings.HasPrefix(key, "tables/") {
		s.held[key] = ranges
	}
}

// check looks at a vault in which some objects are spoiled; how is for the words of a
// failure.
func (s *sound) check(t *testing.T, how string, objects map[string][]byte) {
	t.Helper()
	store := &spoiled{s.store, objects}
	v, err := reopened(t, store)
	if _, ok := objects[format.VaultKey]; ok && err != nil {
		if !errors.Is(err, coldstream.ErrCorrupt) && !errors.Is(err, coldstream.ErrUnsupported) && !errors.Is(err, fs.ErrNotExist) && !isWrongKey(err) {
			t.Errorf("%s: open: %v", how, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: open: %v", how, err)
		return
	}
	for key, now := range objects {
		if s.isNamedBySpoiled(key, objects) {
			continue
		}
		s.checkFound(t, v, how, key, now)
	}
	if _, ok := objects[format.VaultKey]; !ok { // with another vault ID nothing can be read
		s.checkRead(t, v, how, objects)
	}
}

// isNamedBySpoiled says that only a chapter that is spoiled as well names an object: it is
// found once that one is mended.
func (s *sound) isNamedBySpoiled(key string, objects map[string][]byte) bool {
	return s.sections[key] && slices.ContainsFunc(s.chapters, func(ref format.ChapterRef) bool {
		_, spoiled := objects[ref.Chapter.Key()]
		return spoiled
	})
}

func (s *sound) checkFound(t *testing.T, v *Vault, how, key string, now []byte) {
	t.Helper()
	quick, errQuick := v.Verify(t.Context(), VerifyOptions{})
	deep, errDeep := v.Verify(t.Context(), VerifyOptions{Deep: true})
	if err := errors.Join(errQuick, errDeep); err != nil {
		t.Errorf("%s: verify: %v", how, err)
		return
	}
	if !names(deep, key) {
		t.Errorf("%s: a deep verify does not name %s: %v", how, key, deep.Problems)
	}
	isPack := strings.HasPrefix(key, "packs/")
	was := raw(t, s.store, key)
	if (!isPack || now == nil || len(now) != len(was)) && !names(quick, key) {
		t.Errorf("%s: a quick verify does not name %s: %v", how, key, quick.Problems)
	}
	if now == nil && isPack {
		for stream, ranges := range s.held[key] {
			for _, r := range ranges {
				checkProblem(t, quick, key, stream, r[0], r[1])
			}
		}
	}
}

func names(r *VerifyReport, key string) bool {
	return slices.ContainsFunc(r.Problems, func(p *DamageError) bool { return p.Object == key })
}

// checkRead reads every view that was once acknowledged. Each batch is one that was
// stored, and each that was stored is there, but for those of a spoiled object.
func (s *sound) checkRead(t *testing.T, v *Vault, how string, objects map[string][]byte) {
	t.Helper()
	for _, snapshot := range s.snapshots {
		views, err := snapshot.Views(t.Context()) // of the vault that is whole
		if err != nil {
			t.Fatal(err)
		}
		h, err := v.OpenHistory(t.Context(), views, HistoryOptions{})
		if err != nil {
			t.Errorf("%s: open history: %v", how, err)
			return
		}
		for _, stream := range h.Streams() {
			s.checkStream(t, stream, how, objects)
		}
	}
}

func (s *sound) checkStream(t *testing.T, h *StreamHistory, how string, objects map[string][]byte) {
	t.Helper()
	at := h.View.LogStartOffset
	for at < h.View.NextOffset {
		var damage *DamageError
		for b, err := range h.Batches(t.Context(), at) {
			if errors.As(err, &damage) {
				break
			}
			if err != nil {
				t.Errorf("%s: read: %v", how, err)
				return
			}
			if !bytes.Equal(b, s.log[h.View.Stream][int64(b.LeaderEpoch())<<32|b.BaseOffset()]) {
				t.Errorf("%s: %s: a batch at %d that was never stored", how, h.View.Stream.TopicPartition(), b.BaseOffset())
			}
			s.skipTo(t, h, how, objects, at, b.BaseOffset())
			at = b.NextOffset()
		}
		if damage == nil {
			s.skipTo(t, h, how, objects, at, h.View.NextOffset)
			return
		}
		if _, ok := objects[damage.Object]; !ok || damage.NextOffset <= at || damage.Stream != h.View.Stream {
			t.Errorf("%s: at %d: damage %+v", how, at, damage)
			return
		}
		s.skipTo(t, h, how, objects, at, damage.NextOffset)
		at = damage.NextOffset
	}
}

// skipTo allows offsets to be passed over that were a gap, or are lost with the object.
func (s *sound) skipTo(t *testing.T, h *StreamHistory, how string, objects map[string][]byte, from, to int64) {
	t.Helper()
	for at := from; at < to; at++ {
		excused := slices.ContainsFunc(h.Gaps, func(g coldstream.Gap) bool { return g.FirstOffset <= at && at < g.NextOffset })
		for key := range objects {
			for _, r := range s.held[key][h.View.Stream] {
				excused = excused || r[0] <= at && at < r[1]
			}
		}
		if !excused {
			t.Errorf("%s: %s: offset %d is not there any more", how, h.View.Stream.TopicPartition(), at)
			return
		}
	}
}

func TestDamageTruncated(t *testing.T) {
	for how, s := range sounds(t) {
		for _, key := range s.keys {
			b := raw(t, s.store, key)
			for class, n := range map[string]int{
				"nothing": 0, "a byte": 1, "the magic number": 4, "version and kind": 8, "half": len(b) / 2, "all but a byte": len(b) - 1,
				"the header": headerSize(key, b), "half of the header": headerSize(key, b) / 2,
				"all but the hash": len(b) - 32, "all and half the hash": len(b) - 16,
			} {
				if n >= 0 && n < len(b) {
					how := how + class + " is left: "
					s.check(t, how+fmt.Sprintf("%s cut to %d bytes", key, n), map[string][]byte{key: append([]byte{}, b[:n]...)})
				}
			}
			s.check(t, how+key+" with a byte more", map[string][]byte{key: append(bytes.Clone(b), 0)})
		}
	}
}

// headerSize is what stands in an object before what it is there for.
func headerSize(key string, b []byte) int {
	if id, err := format.ParsePackKey(key); err == nil {
		return format.PackHeaderSize(format.VaultID{}, id)
	}
	return min(len(b), 4+4+8+16+2+len(key))
}

func TestDamageDeleted(t *testing.T) {
	for how, s := range sounds(t) {
		commits := keys(t, s.store, "commits/")
		for _, key := range s.keys {
			// What nothing names is not missed: the newest commit, and what restores wrote. Only
			// a hash that was printed earlier shows it.
			if key == commits[len(commits)-1] || strings.HasPrefix(key, format.RestoresPrefix) {
				continue
			}
			s.check(t, how+key+" deleted", map[string][]byte{key: nil})
		}
	}
}

// TestDamageNewestCommitDeleted pins down what verify cannot see.
func TestDamageNewestCommitDeleted(t *testing.T) {
	s := newSound(t, -1)
	commits := keys(t, s.store, "commits/")
	v, err := reopened(t, &spoiled{s.store, map[string][]byte{commits[len(commits)-1]: nil}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Verify(t.Context(), VerifyOptions{Deep: true})
	if err != nil || len(r.Problems) > 0 || r.Snapshots != len(s.snapshots)-1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDamageSwapped(t *testing.T) {
	for how, s := range sounds(t) {
		for i, a := range s.keys {
			for _, b := range s.keys[:i] {
				if folder(a) == folder(b) && !bytes.Equal(raw(t, s.store, a), raw(t, s.store, b)) {
					s.check(t, how+a+" and "+b+" swapped", map[string][]byte{a: raw(t, s.store, b), b: raw(t, s.store, a)})
					s.check(t, how+a+" in place of "+b, map[string][]byte{b: raw(t, s.store, a)})
				}
			}
		}
	}
}

func folder(key string) string {
	name, _, _ := strings.Cut(key, "/")
	return name
}

// TestDamageBytes alters bytes all over every object, one at a time.
func TestDamageBytes(t *testing.T) {
	for how, s := range sounds(t) {
		stride := 13
		if testing.Short() {
			stride = 97
		}
		for _, key := range s.keys {
			b := raw(t, s.store, key)
			for at := 0; at < len(b); at += stride {
				altered := bytes.Clone(b)
				altered[at] ^= 0xFF
				s.check(t, how+fmt.Sprintf("%s altered at byte %d", key, at), map[string][]byte{key: altered})
			}
		}
	}
}

// TestDamageBits flips single bits anywhere in the vault, one at a time.
func TestDamageBits(t *testing.T) {
	flips := 10_000
	if testing.Short() {
		flips = 500 / sweepStep(4)
	}
	for how, s := range sounds(t) {
		s.flipBits(t, how, flips)
	}
}

func (s *sound) flipBits(t *testing.T, how string, flips int) {
	t.Helper()
	bodies, total := map[string][]byte{}, 0
	for _, key := range s.keys {
		bodies[key] = raw(t, s.store, key)
		total += len(bodies[key])
	}
	random := rand.New(rand.NewPCG(*seed, 1))
	for range flips {
		bit := random.IntN(8 * total)
		for _, key := range s.keys {
			b := bodies[key]
			if bit >= 8*len(b) {
				bit -= 8 * len(b)
				continue
			}
			altered := bytes.Clone(b)
			altered[bit/8] ^= 1 << (bit % 8)
			s.check(t, how+fmt.Sprintf("%s with bit %d flipped (seed %d)", key, bit, *seed), map[string][]byte{key: altered})
			break
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d flips in %d objects of %d bytes: all found", flips, len(s.keys), total)
}
