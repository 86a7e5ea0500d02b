package vault

import (
	"encoding/hex"
	"fmt"
	"time"

	"coldstream"
	"coldstream/vault/internal/lineage"
	"coldstream/vault/internal/object"
	"coldstream/vault/internal/pack"
)

// SnapshotID names a snapshot: 16 hex digits in its text form.
type SnapshotID [8]byte

// String writes 16 lower-case hex digits.
func (id SnapshotID) String() string { return hex.EncodeToString(id[:]) }

// ParseSnapshotID reads what [SnapshotID.String] writes.
func ParseSnapshotID(text string) (id SnapshotID, err error) {
	b, err := hex.DecodeString(text)
	if copy(id[:], b); err != nil || len(b) != len(id) || id.String() != text {
		return SnapshotID{}, fmt.Errorf("%q is no snapshot ID: %w", text, coldstream.ErrCorrupt)
	}
	return id, nil
}

// Snapshot is a restore point: by [Snapshot.Views] what each stream held, and by [Vault.Metadata]
// the cluster's metadata and group offsets.
type Snapshot struct {
	ID SnapshotID
	// Time is what the clock of the snapshot's writer said. Which of two snapshots is the
	// newer one, only their order in the catalog says.
	Time time.Time
	// ParentTime is the time of the newest snapshot that this one was built on directly; zero
	// if there is none, or nobody knows.
	ParentTime time.Time
	ClusterID  string
	// SizeBytes is the size of all batches that the vault held of the views' streams when
	// the snapshot was made.
	SizeBytes int64

	sections []section
	place    viewsPlace
}

// GroupsWhole says that the snapshot has the offsets of all consumer groups that the cluster
// had, as far as its backup could tell: those of versions before 0.2 could not.
func (s *Snapshot) GroupsWhole() bool {
	whole := false
	for _, ref := range s.sections {
		switch ref.Name {
		case SectionGroupsMissing:
			return false
		case SectionGroups:
			whole = ref.Missing == ""
		}
	}
	return whole
}

// Metadata is what a snapshot recorded of its cluster. Missing names the sections that
// the cluster did not give, with the reason.
type Metadata struct {
	Cluster coldstream.Cluster
	Topics  []coldstream.Topic // only the topics the run selected, sorted by name
	Groups  []coldstream.Group
	// Defaults are the configs that topics have from their brokers; nil in snapshots of
	// versions that did not ask for them.
	Defaults *coldstream.TopicDefaults
	// Administration is what the cluster kept beside topics and groups; nil in snapshots of
	// versions that did not ask for it, and of sources that have none.
	Administration *coldstream.Administration
	Missing        map[string]string
	// GroupsMissing says which consumer groups Groups may lack, and of which it lacks the
	// offsets.
	GroupsMissing []coldstream.MissingGroups
	// Short are partitions whose views end before what was due. They are sorted.
	Short []coldstream.ShortPartition
	// Tags are what the snapshot was made with; a [TagReader] knows what was said later.
	Tags coldstream.Tags
	// Damaged names the sections that were saved and cannot be read any more.
	Damaged map[string]*DamageError
}

// Head is how far the vault has got with a stream.
type Head struct {
	Scan       uint32
	NextOffset int64
	// Floor is the end of what was released; a view may not begin below. 0 if nothing was.
	Floor int64
	// Epochs says where the leader epochs of the stream begin, ascending.
	Epochs []coldstream.EpochStart
	// Started is when the scan began; zero where that was in an earlier epoch.
	Started time.Time
	// Pass is the newest view that went to the stream's end; nil if none is known.
	Pass *Pass
	// HolesAt is when a row behind the pass was committed that lacks offsets, the last such;
	// zero if there is none.
	HolesAt time.Time
}

// What is stored, before and after it is encoded.
type (
	// StreamData is newly fetched data of a stream, in the order in which it was fetched.
	StreamData = pack.Data
	// Piece is all that the log held in [FirstOffset, NextOffset): whole, checked batches
	// one behind the other, or none where a compacted tail returned nothing.
	Piece = pack.Piece
	// Part is data that was made ready to be stored. It is good for one writer, until a commit
	// with it has succeeded.
	Part = pack.Part
)

// ErrReadBack means that a frame that was just encoded does not decode to what went in. Nothing
// of it was stored: it is a failure of this host, and no damage of the vault.
var ErrReadBack = pack.ErrReadBack

// What rows make of a view.
type (
	// View is the part of a stream's log that a snapshot shows: [LogStartOffset, NextOffset).
	View = lineage.View
	// Run is a stretch of a stream that lies together in the vault.
	Run = lineage.Run
	// Marker is a transaction's end as it stands in a stream.
	Marker = lineage.Marker
	// Transaction is the first transactional batch of a producer in a run since its last marker.
	Transaction = lineage.Transaction
)

// The kinds of damage.
const (
	KindMissing     = object.KindMissing
	KindTruncated   = object.KindTruncated
	KindAltered     = object.KindAltered
	KindUnreadable  = object.KindUnreadable
	KindMarked      = object.KindMarked
	KindUnexpected  = object.KindUnexpected
	KindDoesNotJoin = object.KindDoesNotJoin
)

// DamageError says which object is missing or altered and what it costs. It wraps
// [coldstream.ErrCorrupt].
type DamageError = object.DamageError
