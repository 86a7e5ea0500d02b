package vault

import (
	"context"
	"encoding/binary"
	"io"
	"iter"
	"runtime"
	"slices"
	"testing"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/vault/internal/format"
)

// TestWriterMemory opens vaults of 10,000 and 100,000 rows over the same streams for a
// writer. What stays on the heap must be the streams' share, and not the rows'.
func TestWriterMemory(t *testing.T) {
	const streams, perCommit = 20, 1000
	kept := map[int]int64{}
	for _, rows := range []int{10_000, 100_000} {
		k := newKit(t, mem.New())
		k.commitRows(streams, rows, perCommit)
		// Objects count for the store, not for the writer.
		before := heap()
		w := k.writer()
		kept[rows] = heap() - before
		for p := range int32(streams) {
			if head, _ := w.Head(stream("orders", p)); head.NextOffset != int64(rows/streams*10) {
				t.Fatalf("head of partition %d at %d", p, head.NextOffset)
			}
		}
		runtime.KeepAlive(k)
		runtime.KeepAlive(w)
	}
	t.Logf("heap kept by a writer: %d KiB with 10,000 rows, %d KiB with 100,000 rows, over %d streams",
		kept[10_000]>>10, kept[100_000]>>10, streams)
	// Ten times the rows are ten times the commits, of which each leaves its name and hash.
	if more := kept[100_000] - kept[10_000]; more > 90_000*4 {
		t.Errorf("90,000 more rows keep %d bytes more, %d for each", more, more/90_000)
	}
	if kept[100_000] > 512<<10 {
		t.Errorf("%d bytes are kept for %d streams", kept[100_000], streams)
	}
}

// TestWriterPeak bounds what is on the heap between two commits that are read, in the worst
// order of a listing: the newest first, of which none joins before all others.
func TestWriterPeak(t *testing.T) {
	const streams, perCommit = 20, 1000
	peaks := map[int]int64{}
	for _, rows := range []int{20_000, 100_000} {
		k := newKit(t, mem.New())
		k.commitRows(streams, rows, perCommit)
		before := heap()
		peak := &peakStore{Store: k.store}
		k.vault.useStore(peak)
		w := k.writer()
		peaks[rows] = peak.peak - before
		runtime.KeepAlive(w)
	}
	t.Logf("live heap while a writer opens: at most %d KiB with 20,000 rows, %d KiB with 100,000 rows", peaks[20_000]>>10, peaks[100_000]>>10)
	if peaks[100_000] > peaks[20_000]+256<<10 {
		t.Errorf("while opening the live heap grew from %d to %d bytes with the rows", peaks[20_000], peaks[100_000])
	}
}

// peakStore measures the live heap as often as a commit is asked for.
type peakStore struct {
	blob.Store
	peak int64
}

func (p *peakStore) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	p.peak = max(p.peak, heap())
	return p.Store.Open(ctx, key)
}

func (p *peakStore) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		var all []blob.Entry
		for e, err := range p.Store.List(ctx, prefix, after) {
			if err != nil {
				yield(e, err)
				return
			}
			all = append(all, e)
		}
		for _, e := range slices.Backward(all) {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// commitRows stores commits of so many rows in total, as writers would, but with packs
// that are only named: opening never looks into them.
func (k *kit) commitRows(streams, rows, perCommit int) {
	k.Helper()
	var parents []format.CommitRef
	base := k.baseHash()
	perStream := perCommit / streams
	for i := range rows / perCommit {
		commit := &format.Commit{ID: format.CommitID{Seq: uint32(i)}, BaseHash: base, Parents: parents, TimeMs: testTime.UnixMilli()}
		facts := &commit.Facts
		facts.Incarnations = []coldstream.Incarnation{stream("orders", 0).Incarnation}
		pack := format.Pack{ID: format.PackID{Number: uint32(i)}, SizeBytes: int64(perCommit)<<20 + 1}
		for s := range streams {
			facts.Streams = append(facts.Streams, format.StreamRef{Partition: int32(s)})
			if i == 0 {
				facts.Scans = append(facts.Scans, format.Scan{Stream: s})
			}
			for r := range perStream {
				frame := format.Frame{StoredLength: 1 << 20, DecodedLength: 3 << 20}
				binary.BigEndian.PutUint64(frame.Hash[:], uint64(i*perCommit+s*perStream+r))
				first := int64(i*perStream+r) * 10
				facts.Rows = append(facts.Rows, format.Row{
					Stream: s, FirstOffset: first, NextOffset: first + 10, Frame: len(pack.Frames), Length: 3 << 20,
					BaseOffset: first, Epochs: []format.EpochStart{{Epoch: 1, FirstOffset: first}},
					MaxTimestampMs: first, CommitMs: commit.TimeMs, Batches: 1, Records: 10, MaxBatchBytes: 3 << 20,
				})
				pack.Frames = append(pack.Frames, frame)
			}
		}
		facts.Packs = []format.Pack{pack}
		parents = []format.CommitRef{{ID: commit.ID, Hash: k.place(commit)}}
	}
}

func (k *kit) baseHash() format.Hash {
	k.Helper()
	return format.Digest(body(k, k.store, format.BaseKey(0)))
}

// place stores a commit as it is, and returns its hash.
func (k *kit) place(commit *format.Commit) format.Hash {
	k.Helper()
	payload, err := commit.Append(nil)
	if err != nil {
		k.Fatal(err)
	}
	sealed, err := k.vault.objects.Seal(format.KindCommit, commit.ID.Key(), payload)
	if err != nil {
		k.Fatal(err)
	}
	k.put(commit.ID.Key(), sealed)
	return sealed.Digest()
}
