package restore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"coldstream"
	"coldstream/vault"
)

// The restore's records: what it holds, what it set out to do, what became of it. A later
// restore of groups alone reads the first and the last.

// trail is where restores leave their records: a vault, or a [stateFile] beside one that is only
// read. Its methods are as the vault's.
type trail interface {
	Restores(ctx context.Context) ([]vault.Restore, error)
	RestoreRecord(ctx context.Context, id vault.RestoreID, n uint32) ([]byte, error)
	Hold(ctx context.Context, id vault.RestoreID, snapshot *vault.Snapshot, document []byte) error
	PutRestoreRecord(ctx context.Context, id vault.RestoreID, n uint32, document []byte) error
}

// holdRecord is record 0.
type holdRecord struct {
	Restore string `json:"restore"`
	// Snapshot is empty where Holds names it, and views beside it.
	Snapshot string          `json:"snapshot,omitempty"`
	Holds    json.RawMessage `json:"holds,omitempty"`
	// At is the time that was restored, Archive says that all that the vault held was.
	At      string   `json:"at,omitempty"`
	Archive bool     `json:"archive,omitempty"`
	Topics  []string `json:"topics"`
	Started string   `json:"started"`
	// Sequence is the number of restores that the vault knew when this one began: which of two
	// is the later one is no matter of clocks.
	Sequence int `json:"sequence"`
	// ClusterID is the cluster that is restored into.
	ClusterID string `json:"cluster_id"`
	// OffsetMapOf is the restore through whose offset map groups are restored, without records.
	OffsetMapOf string `json:"offset_map_of,omitempty"`
}

// resultRecord is record 2.
type resultRecord struct {
	Finished   string              `json:"finished"`
	Result     *resultDocument     `json:"result"`
	OffsetMaps map[string][]mapped `json:"offset_maps"` // by partition of the target
	// Places are the partitions that were restored.
	Places []placeRecord `json:"places"`
	// Pieces says, by partition of the target, which records have what of its offset map is not
	// in OffsetMaps. Where there are any, Version is resultVersion, and PiecedPlaces is filled in
	// place of Places: versions that do not know pieces see that a restore is not for them.
	Version      int                  `json:"version,omitempty"`
	Pieces       map[string][]pieceOf `json:"pieces,omitempty"`
	PiecedPlaces []placeRecord        `json:"pieced_places,omitempty"`
	// Before are the offsets that groups had before, by group.
	Before map[string][]groupOffsetDocument `json:"group_offsets_before"`
}

// placeRecord says where a partition went.
type placeRecord struct {
	Topic           string `json:"topic"`
	Partition       int32  `json:"partition"`
	TargetTopic     string `json:"target_topic"`
	TargetPartition int32  `json:"target_partition"`
	TargetTopicID   string `json:"target_topic_id"`
	// NextOffset is the end of the target's log when all records were there.
	NextOffset int64 `json:"next_offset"`
}

const recordTime = "2006-01-02T15:04:05.000Z"

func (x *execution) holdRecord(ctx context.Context) (*holdRecord, error) {
	before, err := x.plan.trail.Restores(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for earlier restores: %w", err)
	}
	r := &holdRecord{
		Restore: x.plan.ID.String(), Snapshot: x.plan.Snapshot.ID.String(), Topics: []string{},
		Started: x.plan.req.Now().UTC().Format(recordTime), Sequence: len(before), ClusterID: x.plan.TargetClusterID,
	}
	for _, t := range x.plan.topics {
		r.Topics = append(r.Topics, t.source.Name)
	}
	if x.plan.past != nil {
		r.OffsetMapOf = x.plan.past.id.String()
	}
	return r, x.plan.noteMoment(r)
}

// snapshot is the ID of the snapshot that is held.
func (r *holdRecord) snapshot() (string, error) {
	if r.Holds == nil {
		return r.Snapshot, nil
	}
	document, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("restore %s: %w", r.Restore, err)
	}
	id, err := vault.HeldSnapshot(document)
	if err != nil {
		return "", fmt.Errorf("restore %s: %w", r.Restore, err)
	}
	return id.String(), nil
}

func (x *execution) resultRecord(result *Result) *resultRecord {
	r := &resultRecord{
		Finished: x.plan.req.Now().UTC().Format(recordTime), Result: result.document(),
		OffsetMaps: map[string][]mapped{}, Places: []placeRecord{}, Before: x.plan.groupsBefore(),
	}
	for part, progress := range x.partitions {
		r.OffsetMaps[part.target.String()] = progress.offsets.runs
		if !progress.proven {
			continue
		}
		source := part.stream.View.Stream
		r.Places = append(r.Places, placeRecord{
			source.Topic, source.Partition, part.target.Topic, part.target.Partition, progress.topicID.String(), progress.offsets.next,
		})
	}
	slices.SortFunc(r.Places, func(a, b placeRecord) int { return a.into().Compare(b.into()) })
	x.notePieces(r)
	return r
}

func (x *execution) notePieces(r *resultRecord) {
	if x.pieces == nil || len(x.pieces.written) == 0 {
		return
	}
	r.Version, r.Pieces = resultVersion, map[string][]pieceOf{}
	for tp, written := range x.pieces.written {
		r.Pieces[tp.String()] = written
	}
	r.Places, r.PiecedPlaces = nil, r.Places
}

func (r *placeRecord) into() coldstream.TopicPartition {
	return coldstream.TopicPartition{Topic: r.TargetTopic, Partition: r.TargetPartition}
}

// readRecord reads a record of an earlier restore.
func readRecord(ctx context.Context, from trail, id vault.RestoreID, n uint32, into any) error {
	b, err := from.RestoreRecord(ctx, id, n)
	if err != nil {
		return fmt.Errorf("read record %d of restore %s: %w", n, id, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read record %d of restore %s: %w: %w", n, id, coldstream.ErrCorrupt, err)
	}
	return nil
}
