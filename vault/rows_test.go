package vault

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/pack"
)

// TestRowOfBatches: what a restore needs to know of a row without reading it.
func TestRowOfBatches(t *testing.T) {
	var batches []byte
	for _, b := range []recordbatch.Batch{
		transactional(batchOf(t, 10, 2, 4, recordbatch.CodecNone), 7, 0x10),
		transactional(batchOf(t, 12, 1, 4, recordbatch.CodecNone), 7, 0x10),
		transactional(batchOf(t, 13, 1, 4, recordbatch.CodecNone), 8, 0x10),
		inLog(markerOf(t, 14, 7, 0), 14, 5),
		transactional(batchOf(t, 17, 1, 6, recordbatch.CodecNone), 7, 0x10),
		batchOf(t, 18, 2, 6, recordbatch.CodecNone),
	} {
		batches = append(batches, b...)
	}
	part, err := pack.NewEncoder(pack.Options{}).Encode(t.Context(), []StreamData{{Stream: stream("a", 0), Scan: 2, Pieces: []Piece{{FirstOffset: 11, NextOffset: 25, Batches: batches}}}})
	if err != nil || part.Rows() != 1 {
		t.Fatalf("%+v, %v", part, err)
	}
	got := part.Blocks[0].Row
	want := format.Row{
		Scan: 2, FirstOffset: 11, NextOffset: 25, BaseOffset: 10, Length: int64(len(batches)),
		Epochs:         starts(4, 10, 5, 14, 6, 17),
		MaxTimestampMs: testTime.UnixMilli() + 19, Batches: 6, Records: 7, MaxBatchBytes: got.MaxBatchBytes,
		Markers:      []format.Marker{{Offset: 14, ProducerID: 7, ProducerEpoch: 3}},
		Transactions: []format.TransactionStart{{ProducerID: 7, ProducerEpoch: 3, FirstOffset: 10}, {ProducerID: 8, ProducerEpoch: 3, FirstOffset: 13}, {ProducerID: 7, ProducerEpoch: 3, FirstOffset: 17}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if epoch, ok := LastLeaderEpoch(batches); epoch != 6 || !ok {
		t.Errorf("last leader epoch %d, %v", epoch, ok)
	}
	if epoch, ok := LastLeaderEpoch(nil); epoch != -1 || ok {
		t.Errorf("last leader epoch of nothing: %d, %v", epoch, ok)
	}
}

// TestBatchFromBelow: a piece whose first batch begins in the piece before has its own row.
func TestBatchFromBelow(t *testing.T) {
	k := newKit(t, mem.New())
	s := stream("a", 0)
	k.commit(k.writer(), Changes{Scans: begin(s, 0), Data: data(s,
		Piece{FirstOffset: 0, NextOffset: 7, Batches: batchOf(t, 0, 5, 1, recordbatch.CodecNone)},
		Piece{FirstOffset: 7, NextOffset: 9, Batches: batchOf(t, 6, 3, 1, recordbatch.CodecNone)},
	)})
	if got, damage := offsets(t, k.history(View{Stream: s, NextOffset: 9, LastEpoch: 1})[0], 0); got != "0-4@1 6-8@1" || damage != nil {
		t.Errorf("%s, %v", got, damage)
	}
	k.mustBeSound()
}

type counting struct {
	blob.Store
	creates, reads int
}
