// Package lineage says which rows of a stream cover which of its offsets, although leader epochs
// came and went: what a fork wrote is never mixed in, and no batch is cut. It is pure: rows and a
// view in, runs out.
package lineage

import (
	"coldstream"
	"coldstream/vault/internal/format"
)

// Set is all rows and gaps of one scan of a stream, in no order.
type Set struct {
	Rows   []Row
	Gaps   []format.Gap
	Starts []int64 // where readings of the stream began
}

// Row is a row and where its bytes are.
type Row struct {
	format.Row
	InPack   *format.PlacedPack // nil for an empty row
	Doubtful bool               // its frame may be damaged
}

// Ref says where the bytes of a row are.
type Ref struct {
	Pack *format.PlacedPack // nil for an empty row
	Row  *format.Row
}

// Doubt notes which rows are of frames that may be damaged.
func (s *Set) Doubt(isDamaged func(id format.PackID, start int64) bool) (found bool) {
	for i := range s.Rows {
		r := &s.Rows[i]
		r.Doubtful = r.InPack != nil && isDamaged(r.InPack.ID, r.InPack.Starts[r.Frame])
		found = found || r.Doubtful
	}
	return found
}

// View is the part of a stream's log that a snapshot shows: [LogStartOffset, NextOffset).
type View struct {
	Stream         coldstream.Stream
	Scan           uint32
	LogStartOffset int64
	NextOffset     int64
	LastEpoch      int32
}

// Marker is a transaction's end as it stands in a stream.
type Marker struct {
	Offset        int64
	ProducerID    int64
	ProducerEpoch int16
	Commit        bool
}

// Transaction is the first transactional batch of a producer in a run since its last marker.
type Transaction struct {
	ProducerID    int64
	ProducerEpoch int16
	FirstOffset   int64
}

// Run is a stretch of a stream that lies together in the vault.
type Run struct {
	FirstOffset int64
	NextOffset  int64
	// Records counts those of data batches, from their headers; Batches counts control
	// batches too. Both are of the whole stored run, also where only a part of it is
	// in [FirstOffset, NextOffset) (Partial).
	Records        int64
	Batches        int64
	SizeBytes      int64
	MaxBatchBytes  int64
	MaxTimestampMs int64
	Markers        []Marker
	Transactions   []Transaction
	Partial        bool

	// Ref is for who reads the batches.
	Ref Ref
	// Forked says that the log lost its end at NextOffset. It did so between two batches:
	// one that goes on behind it was lost as a whole.
	Forked bool
	// Doubtful says that its frame may be damaged, and that nothing else holds its offsets.
	Doubtful bool
}

// Dense says that each offset of the run is a data record, so that producing the
// records in order gives the same offsets.
func (r *Run) Dense() bool {
	return !r.Partial && len(r.Markers) == 0 && r.Records == r.NextOffset-r.FirstOffset
}

// Epochs says where leader epochs begin among the batches of the run, ascending. The first
// one may have begun before it.
func (r *Run) Epochs() []coldstream.EpochStart {
	var out []coldstream.EpochStart
	for _, e := range r.Ref.Row.Epochs {
		if e.FirstOffset >= r.NextOffset {
			break
		}
		out = append(out, coldstream.EpochStart{Epoch: e.Epoch, FirstOffset: max(e.FirstOffset, r.FirstOffset)})
	}
	return out
}

// Join adds a row for who asks only whether offsets are covered, and not by what: a row that goes
// on where the last one ended becomes a part of it. So a stream that was backed up for years is
// a few rows. Nothing joins a row that was added with its pack. [Coverage.Lost] and [Coverage.Gaps] are the same as if each row were kept.
func (s *Set) Join(r *format.Row) {
	if n := len(s.Rows); n > 0 && s.Rows[n-1].InPack == nil && goesOn(&s.Rows[n-1].Row, r) {
		s.Rows[n-1].NextOffset = r.NextOffset
		return
	}
	s.Rows = append(s.Rows, Row{Row: *r})
}

// goesOn says that two rows are to a view as one: both empty, or of one leader epoch where they
// meet, and nothing lacks in front of the second one.
func goesOn(last, r *format.Row) bool {
	if last.NextOffset != r.FirstOffset || (last.Length == 0) != (r.Length == 0) {
		return false
	}
	if r.Length == 0 {
		return true
	}
	return len(last.Epochs) > 0 && len(r.Epochs) == 1 && last.Epochs[len(last.Epochs)-1].Epoch == r.Epochs[0].Epoch &&
		r.BaseOffset == r.FirstOffset && r.Epochs[0].FirstOffset == r.FirstOffset
}
