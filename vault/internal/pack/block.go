// Package pack makes batches into packs and packs into batches again: it hides how batches of
// a stream become blocks, blocks frames, and frames an object, and how little of one is read.
package pack

import (
	"errors"
	"fmt"
	"reflect"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault/internal/format"
)

const (
	// frameTarget is the decoded size at which a frame is closed: small enough to read
	// one partition without much of the others, large enough to compress well.
	frameTarget = 1 << 20
	// frameBlocks bounds the blocks of a frame: who looks for one goes through all.
	frameBlocks = 4096
	// mixLimit is how much of a block may be of the other kind before it is split there,
	// so that a stream whose codec changes with every batch does not fall into dust.
	mixLimit = 64 << 10
)

// Data is newly fetched data of a stream, in the order in which it was fetched.
type Data struct {
	Stream coldstream.Stream
	Scan   uint32
	Pieces []Piece
}

// Piece is all that the log held in [FirstOffset, NextOffset): whole, checked batches
// one behind the other, or none where a compacted tail returned nothing. The first
// batch may begin below FirstOffset. The writer keeps Batches until they are
// encoded and does not change them.
type Piece struct {
	FirstOffset int64
	NextOffset  int64
	Batches     []byte
}

// From cuts whole batches off the front.
func (p Piece) From(offset int64) (Piece, error) {
	p.FirstOffset = offset
	for len(p.Batches) > 0 {
		batch, rest, err := recordbatch.Next(p.Batches)
		if err != nil {
			return p, err
		}
		if batch.NextOffset() > offset {
			break
		}
		p.Batches = rest
	}
	return p, nil
}

// Block is consecutive batches of one stream, and the row that will describe them.
type Block struct {
	Stream coldstream.Stream
	Row    format.Row
	frame  int // among those of its part
	// parts alias the pieces they came from; together they are the block's bytes. They are
	// let go once these are encoded.
	parts      [][]byte
	compressed int64 // bytes of batches that the producer compressed
	open       map[producer]bool
}

type producer struct {
	id    int64
	epoch int16
}

// isCompressed says that compressing the block again would gain nothing.
func (b *Block) isCompressed() bool { return 2*b.compressed > b.Row.Length }

// blockBuilder cuts the pieces of one stream into blocks at batch boundaries.
type blockBuilder struct {
	stream coldstream.Stream
	scan   uint32
	blocks []*Block
	cur    *Block
}

// buildBlocks cuts a stream's pieces. The row of a block reaches up to where the next
// one begins, so that rows join over what compaction removed.
func buildBlocks(data Data) ([]*Block, error) {
	b := &blockBuilder{stream: data.Stream, scan: data.Scan}
	for i := range data.Pieces {
		if err := b.addPiece(&data.Pieces[i]); err != nil {
			return nil, fmt.Errorf("batches of %s offsets [%d, %d): %w", data.Stream.TopicPartition(),
				data.Pieces[i].FirstOffset, data.Pieces[i].NextOffset, err)
		}
	}
	return b.blocks, nil
}

func (b *blockBuilder) addPiece(p *Piece) error {
	if p.FirstOffset < 0 || p.NextOffset <= p.FirstOffset {
		return fmt.Errorf("empty range: %w", coldstream.ErrCorrupt)
	}
	if b.cur == nil || b.cur.Row.NextOffset != p.FirstOffset || len(p.Batches) == 0 || b.cur.Row.Length == 0 {
		b.start(p.FirstOffset)
	}
	rest, from := p.Batches, 0
	for len(rest) > 0 {
		batch, after, err := NextBatch(rest)
		if err != nil {
			return err
		}
		at := len(p.Batches) - len(rest)
		begun := batch.BaseOffset() < b.cur.Row.NextOffset
		switch {
		case batch.NextOffset() > p.NextOffset || begun && at > 0:
			return outOfOrder(batch)
		case begun && b.cur.Row.Length > 0:
			b.start(p.FirstOffset)
		case b.cur.isFull(batch):
			b.cur.cut(p.Batches, from, at)
			from = at
			b.start(b.cur.Row.NextOffset)
		}
		if err := b.cur.add(batch); err != nil {
			return err
		}
		rest = after
	}
	b.cur.cut(p.Batches, from, len(p.Batches))
	b.cur.Row.NextOffset = p.NextOffset
	return nil
}

func outOfOrder(batch recordbatch.Batch) error {
	return fmt.Errorf("batch [%d, %d) is out of order: %w", batch.BaseOffset(), batch.NextOffset(), coldstream.ErrCorrupt)
}

func (b *blockBuilder) start(firstOffset int64) {
	b.cur = newBlock(b.stream, b.scan, firstOffset)
	b.blocks = append(b.blocks, b.cur)
}

func newBlock(stream coldstream.Stream, scan uint32, firstOffset int64) *Block {
	return &Block{Stream: stream, open: map[producer]bool{}, Row: format.Row{
		Scan: scan, FirstOffset: firstOffset, NextOffset: firstOffset, BaseOffset: firstOffset, MaxTimestampMs: -1,
	}}
}

// isFull says that batch should begin another block: this one has its size, or the
// batch is of the other kind and mixing them would cost.
func (b *Block) isFull(batch recordbatch.Batch) bool {
	if b.Row.Length == 0 {
		return false
	}
	if b.Row.Length+int64(len(batch)) > frameTarget {
		return true
	}
	return b.Row.Length >= mixLimit && isCompressedBatch(batch) != b.isCompressed()
}

// cut appends piece[from:to] to the block's bytes.
func (b *Block) cut(piece []byte, from, to int) {
	if to > from {
		b.parts = append(b.parts, piece[from:to:to])
	}
}

// add describes one more batch, which lies behind those before it.
func (b *Block) add(batch recordbatch.Batch) error {
	r := &b.Row
	if batch.NextOffset() <= r.NextOffset || r.Length > 0 && batch.BaseOffset() < r.NextOffset {
		return outOfOrder(batch)
	}
	if r.Length == 0 {
		r.BaseOffset = batch.BaseOffset()
	}
	r.Length += int64(len(batch))
	r.Batches++
	r.MaxBatchBytes = max(r.MaxBatchBytes, int64(len(batch)))
	r.MaxTimestampMs = max(r.MaxTimestampMs, batch.MaxTimestampMs())
	if isCompressedBatch(batch) {
		b.compressed += int64(len(batch))
	}
	if e := batch.LeaderEpoch(); e >= 0 && (len(r.Epochs) == 0 || r.Epochs[len(r.Epochs)-1].Epoch < e) {
		r.Epochs = append(r.Epochs, format.EpochStart{Epoch: e, FirstOffset: batch.BaseOffset()})
	}
	r.NextOffset = batch.NextOffset()
	if batch.IsControl() {
		return b.addControl(batch)
	}
	r.Records += int64(batch.RecordCount())
	p := producer{batch.ProducerID(), batch.ProducerEpoch()}
	if batch.IsTransactional() && !b.open[p] {
		b.open[p] = true
		r.Transactions = append(r.Transactions, format.TransactionStart{
			ProducerID: p.id, ProducerEpoch: p.epoch, FirstOffset: batch.BaseOffset(),
		})
	}
	return nil
}

// addControl keeps what ends a transaction, so that a restore needs no look ahead.
func (b *Block) addControl(batch recordbatch.Batch) error {
	marker, ok, err := batch.ControlMarker()
	if err != nil || !ok {
		return err
	}
	b.Row.Markers = append(b.Row.Markers, format.Marker{
		Offset: marker.Offset, ProducerID: marker.ProducerID, ProducerEpoch: marker.ProducerEpoch, Commit: marker.Commit,
	})
	for p := range b.open {
		if p.id == marker.ProducerID {
			delete(b.open, p)
		}
	}
	return nil
}

func isCompressedBatch(b recordbatch.Batch) bool { return b.Codec() != recordbatch.CodecNone }

// CheckRow describes the batches anew, as the writer did.
func CheckRow(content []byte, r *format.Row) error {
	again := newBlock(coldstream.Stream{}, r.Scan, r.FirstOffset)
	for len(content) > 0 {
		batch, rest, err := NextBatch(content)
		if err != nil {
			return err
		}
		if err := again.add(batch); err != nil {
			return err
		}
		content = rest
	}
	got := again.Row
	if got.NextOffset > r.NextOffset {
		return fmt.Errorf("its batches reach up to %d: %w", got.NextOffset, coldstream.ErrCorrupt)
	}
	got.NextOffset, got.Stream, got.CommitMs = r.NextOffset, r.Stream, r.CommitMs
	got.Pack, got.Frame, got.Offset = r.Pack, r.Frame, r.Offset
	if !reflect.DeepEqual(&got, r) {
		return fmt.Errorf("its batches are %+v, the catalog says %+v: %w", got, *r, coldstream.ErrCorrupt)
	}
	return nil
}

// NextBatch takes one whole batch; what is not one is corrupt.
func NextBatch(buf []byte) (recordbatch.Batch, []byte, error) {
	batch, rest, err := recordbatch.Next(buf)
	if err == nil {
		err = batch.Check()
	}
	if err != nil && !errors.Is(err, coldstream.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", coldstream.ErrCorrupt, err)
	}
	return batch, rest, err
}
