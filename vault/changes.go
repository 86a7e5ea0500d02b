package vault

import (
	"time"

	"coldstream/recordbatch"

	"coldstream"
)

// Changes is what one commit adds to the vault. A commit with a snapshot holds what the
// snapshot shows, or builds on what does.
type Changes struct {
	// Pack is data that was made ready and may be stored already. A commit with it has no
	// Parts and no Data.
	Pack *Pack
	// Parts are data that [Writer.Encode] made ready, in the order in which it was fetched.
	Parts []*Part
	// Data is what was fetched behind them. It has one entry per stream, in the order of [coldstream.Stream.Compare].
	Data     []StreamData
	Gaps     []StreamGap
	Scans    []ScanStart
	Snapshot *NewSnapshot
	// Reached says which topics are whole in the vault with this commit; nil says nothing. A
	// commit may hold nothing else.
	Reached *Reached
	// AsOf is the commit's time, if it is not now. Rows that a snapshot is to show as they
	// are, though they are stored after it, are as of its time.
	AsOf time.Time
}

// StreamGap is a gap of one stream.
type StreamGap struct {
	Stream      coldstream.Stream
	Scan        uint32
	FirstOffset int64
	NextOffset  int64
	Cause       coldstream.GapCause
}

// ScanStart says that a complete reading of a stream begins at its log start.
type ScanStart struct {
	Stream      coldstream.Stream
	Scan        uint32
	FirstOffset int64
	Started     time.Time
}

// NewSnapshot asks for a restore point.
type NewSnapshot struct {
	// ID is that of the snapshot that this one is a copy of; zero for a new one.
	ID        SnapshotID
	Time      time.Time
	ClusterID string
	// Views are sorted by stream; each lies within what the vault holds, this commit
	// included.
	Views []View
	// Compacted says which of the views are of streams that a cleaner compacts. It is sorted likewise.
	Compacted []CompactedView
	Metadata  Metadata
}

// Receipt says what a commit stored. It is given only for a commit that is durable.
type Receipt struct {
	Snapshot    SnapshotID // zero without a snapshot
	Objects     int64
	BytesStored int64
	Batches     int64
	Records     int64 // from batch headers, control batches not counted
	// VaultHash is the hash of the whole catalog as this commit left it.
	VaultHash string
	// ParentTime is the time of the snapshot that this commit's was built on directly; zero if
	// there is none. By it a writer sees that one of two clocks is wrong.
	ParentTime time.Time
}

// LastLeaderEpoch returns the leader epoch of the last of whole batches; false if there
// is none.
func LastLeaderEpoch(batches []byte) (int32, bool) {
	epoch, ok := int32(-1), false
	for len(batches) > 0 {
		batch, rest, err := recordbatch.Next(batches)
		if err != nil {
			return epoch, ok
		}
		epoch, ok, batches = batch.LeaderEpoch(), true, rest
	}
	return epoch, ok
}
