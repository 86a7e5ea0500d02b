package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/kafka/kafkatest"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

var (
	seed = flag.Uint64("seed", 1, "the first seed of random tests")
	real = kafkatest.NewShared(kafkatest.Config{})
)

func TestMain(m *testing.M) { os.Exit(real.Main(m)) }

var testTime = time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)

// kit is a vault and its store. Its clock goes a second further with each look.
type kit struct {
	*testing.T
	store blob.Store
	vault *Vault
	ticks int
}

// metered is storage that is far away.
type metered struct{ blob.Store }

func (metered) Metered() {}

func newKit(t *testing.T, store blob.Store) *kit {
	t.Helper()
	k := &kit{T: t, store: store}
	v, err := Init(t.Context(), store, InitOptions{Now: k.now, Encryption: encryption()})
	if err != nil {
		t.Fatal(err)
	}
	k.vault = v
	return k
}

func (k *kit) now() time.Time {
	k.ticks++
	return testTime.Add(time.Duration(k.ticks) * time.Second)
}

func (k *kit) writer() *Writer {
	k.Helper()
	w, err := k.vault.NewWriter(k.Context(), WriterOptions{Now: k.now})
	if err != nil {
		k.Fatal(err)
	}
	return w
}

func (k *kit) commit(w *Writer, changes Changes) Receipt {
	k.Helper()
	r, err := w.Commit(k.Context(), changes)
	if err != nil {
		k.Fatal(err)
	}
	return r
}

func (k *kit) catalog() *Catalog {
	k.Helper()
	c, err := k.vault.OpenCatalog(k.Context())
	if err != nil {
		k.Fatal(err)
	}
	return c
}

// eachFacts shows the facts of the whole catalog.
func (k *kit) eachFacts(visit func(*format.Facts)) *Catalog {
	k.Helper()
	c, err := k.vault.withFacts(k.Context(), catalogOptions{reader: true, chapters: true}, func(c *Catalog) error {
		return c.eachFacts(k.Context(), func(string) bool { return true }, func(_ string, facts *format.Facts) error { visit(facts); return nil })
	})
	if err != nil {
		k.Fatal(err)
	}
	return c
}

// views are what a snapshot shows.
func (k *kit) views(s Snapshot) []View {
	k.Helper()
	views, err := s.Views(k.Context())
	if err != nil {
		k.Fatal(err)
	}
	return views
}

func (k *kit) history(views ...View) []*StreamHistory {
	k.Helper()
	h, err := k.vault.OpenHistory(k.Context(), views, HistoryOptions{})
	if err != nil {
		k.Fatal(err)
	}
	return h.Streams()
}

func (k *kit) verify(opts VerifyOptions) *VerifyReport {
	k.Helper()
	r, err := k.vault.Verify(k.Context(), opts)
	if err != nil {
		k.Fatal(err)
	}
	return r
}

func (k *kit) turn() {
	k.Helper()
	if err := k.vault.Turn(k.Context(), TurnOptions{}); err != nil {
		k.Fatal(err)
	}
}

func (k *kit) mustBeSound() {
	k.Helper()
	for _, p := range k.verify(VerifyOptions{Deep: true}).Problems {
		k.Errorf("verify: %v", p)
	}
}

// sweepStep is 1 where a sweep tries every step, and n under the race detector: it watches
// what goes on at once within an operation, which is much the same in each of them.
func sweepStep(n int) int {
	if raceDetector {
		return n
	}
	return 1
}

// keys lists the store.
func keys(t testing.TB, store blob.Store, prefix string) []string {
	t.Helper()
	var out []string
	for e, err := range store.List(context.Background(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Key)
	}
	return out
}

func body(t testing.TB, store blob.Store, key string) []byte {
	t.Helper()
	b, err := blob.ReadAll(context.Background(), seen(t, store), key, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// raw is an object as it lies in the storage.
func raw(t testing.TB, store blob.Store, key string) []byte {
	t.Helper()
	b, err := blob.ReadAll(context.Background(), store, key, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replace does what no vault does: an object gets other bytes.
func replace(t testing.TB, store blob.Store, key string, body []byte) {
	t.Helper()
	if err := errors.Join(store.Delete(context.Background(), key), seen(t, store).Create(context.Background(), key, body)); err != nil {
		t.Fatal(err)
	}
}

// put is replace with bytes as they lie in the storage.
func put(t testing.TB, store blob.Store, key string, object []byte) {
	t.Helper()
	if err := errors.Join(store.Delete(context.Background(), key), store.Create(context.Background(), key, object)); err != nil {
		t.Fatal(err)
	}
}

// copyStore makes a store with the same objects.
func copyStore(t testing.TB, from blob.Store) *mem.Store {
	t.Helper()
	to := mem.New()
	for _, key := range keys(t, from, "") {
		if err := to.Create(context.Background(), key, raw(t, from, key)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func stream(topic string, partition int32) coldstream.Stream {
	in := coldstream.Incarnation{ClusterID: "cluster-1", Topic: topic}
	copy(in.TopicID[:], topic+"-id-0123456789abcdef")
	return coldstream.Stream{Incarnation: in, Partition: partition}
}

// batchOf is a batch as a leader would have it in its log.
func batchOf(t testing.TB, firstOffset int64, count int, epoch int32, codec recordbatch.Codec) recordbatch.Batch {
	t.Helper()
	records := make([]recordbatch.Absolute, count)
	for i := range records {
		at := firstOffset + int64(i)
		records[i] = recordbatch.Absolute{
			Offset: at, TimestampMs: testTime.UnixMilli() + at,
			Key:   fmt.Appendf(nil, "key-%d", at),
			Value: fmt.Appendf(nil, "value of offset %d in epoch %d", at, epoch),
		}
	}
	b, err := recordbatch.Build(records, codec, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1})
	if err != nil {
		t.Fatal(err)
	}
	return inLog(b, firstOffset, epoch)
}

// inLog writes what is not under the checksum: it is the broker's.
func inLog(b recordbatch.Batch, firstOffset int64, epoch int32) recordbatch.Batch {
	binary.BigEndian.PutUint64(b, uint64(firstOffset))
	binary.BigEndian.PutUint32(b[12:], uint32(epoch))
	return b
}

// transactional sets the attributes and the producer of a batch, which are under the
// checksum.
func transactional(b recordbatch.Batch, producerID int64, attributes uint16) recordbatch.Batch {
	binary.BigEndian.PutUint16(b[21:], binary.BigEndian.Uint16(b[21:])|attributes)
	binary.BigEndian.PutUint64(b[43:], uint64(producerID))
	binary.BigEndian.PutUint16(b[51:], 3)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// markerOf is the control batch that ends a transaction: kind 0 aborts, 1 commits.
func markerOf(t testing.TB, offset, producerID int64, kind byte) recordbatch.Batch {
	t.Helper()
	record := recordbatch.Absolute{Offset: offset, TimestampMs: 1, Key: []byte{0, 0, 0, kind}, Value: make([]byte, 6)}
	b, err := recordbatch.Build([]recordbatch.Absolute{record}, recordbatch.CodecNone, recordbatch.Producer{ID: producerID, Epoch: 3})
	if err != nil {
		t.Fatal(err)
	}
	return transactional(inLog(b, offset, 0), producerID, 0x30)
}

// piece is what a fetch of one record batch each count offsets would bring.
func piece(t testing.TB, firstOffset, nextOffset int64, epoch int32) Piece {
	t.Helper()
	p := Piece{FirstOffset: firstOffset, NextOffset: nextOffset}
	for at := firstOffset; at < nextOffset; {
		n := min(3, nextOffset-at)
		p.Batches = append(p.Batches, batchOf(t, at, int(n), epoch, recordbatch.CodecNone)...)
		at += n
	}
	return p
}

func data(s coldstream.Stream, pieces ...Piece) []StreamData {
	return []StreamData{{Stream: s, Pieces: pieces}}
}

func begin(s coldstream.Stream, firstOffset int64) []ScanStart {
	return []ScanStart{{Stream: s, FirstOffset: firstOffset, Started: testTime}}
}

func snapshotOf(views ...View) *NewSnapshot {
	return &NewSnapshot{
		Time: testTime, ClusterID: "cluster-1", Views: views,
		Metadata: Metadata{
			Cluster: coldstream.Cluster{ID: "cluster-1", ControllerID: -1},
			Topics:  []coldstream.Topic{{Name: "orders", Partitions: []coldstream.Partition{{Leader: -1, LeaderEpoch: -1}}}},
		},
	}
}

// offsets reads a history and says which offsets came in which epoch, as "first-last@epoch"
// for each batch, and the damage that ended it.
func offsets(t testing.TB, s *StreamHistory, from int64) (string, *DamageError) {
	t.Helper()
	var out []string
	for b, err := range s.Batches(context.Background(), from) {
		var damage *DamageError
		if errors.As(err, &damage) {
			return strings.Join(out, " "), damage
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil {
			t.Fatalf("a bad batch was given as good: %v", err)
		}
		out = append(out, fmt.Sprintf("%d-%d@%d", b.BaseOffset(), b.LastOffset(), b.LeaderEpoch()))
	}
	return strings.Join(out, " "), nil
}

// shuffled lists in any order but the keys': what a fold makes of commits must not hang
// on it.
type shuffled struct {
	blob.Store
	random *rand.Rand
}

func (s *shuffled) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	var all []blob.Entry
	for e, err := range s.Store.List(ctx, prefix, after) {
		if err != nil {
			return func(yield func(blob.Entry, error) bool) { yield(e, err) }
		}
		all = append(all, e)
	}
	s.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return func(yield func(blob.Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

var errStore = errors.New("the store failed")

// failing fails its n-th operation, and all after it: as a process does that is killed
// there. With once set it goes on, as a store does after a moment of trouble. With
// answered set the operation is carried out, and only its answer is lost.
type failing struct {
	blob.Store
	mu             sync.Mutex
	left           int
	answered, once bool
}

func (f *failing) fails() (fails, carriesOut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left--
	return f.left == 0 || f.left < 0 && !f.once, f.left == 0 && f.answered
}

func (f *failing) Create(ctx context.Context, key string, body []byte) error {
	fails, carriesOut := f.fails()
	if !fails {
		return f.Store.Create(ctx, key, body)
	}
	if carriesOut {
		if err := f.Store.Create(ctx, key, body); err != nil {
			return err
		}
	}
	return fmt.Errorf("create %s: %w", key, errStore)
}

func (f *failing) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	if fails, _ := f.fails(); fails {
		return func(yield func(blob.Entry, error) bool) { yield(blob.Entry{}, errStore) }
	}
	return f.Store.List(ctx, prefix, after)
}

func (r retrying) Create(ctx context.Context, key string, body []byte) error {
	if err := r.Store.Create(ctx, key, body); err != nil {
		return err
	}
	return r.Store.Create(ctx, key, body)
}

// unreadable refuses its n-th operation.
type unreadable struct {
	blob.Store
	mu   sync.Mutex
	left int
}

func (u *unreadable) refuses() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.left--; u.left == 0 {
		return fmt.Errorf("access denied: %w", fs.ErrPermission)
	}
	return nil
}

func (u *unreadable) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	if err := u.refuses(); err != nil {
		return nil, 0, err
	}
	return u.Store.Open(ctx, key)
}

func (u *unreadable) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	if err := u.refuses(); err != nil {
		return func(yield func(blob.Entry, error) bool) { yield(blob.Entry{}, err) }
	}
	return u.Store.List(ctx, prefix, after)
}

func (c *counting) Create(ctx context.Context, key string, body []byte) error {
	c.creates++
	return c.Store.Create(ctx, key, body)
}

func (c *counting) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	c.reads++
	return c.Store.Read(ctx, key, offset, length)
}
