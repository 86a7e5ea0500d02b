package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"coldstream"
)

// The records of a restore that the vault itself reads.
const (
	recordHold   = 0
	recordResult = 2
)

// heldViews are what a hold names beside a snapshot: partitions of which more is restored than the
// snapshot shows.
type heldViews struct {
	Version  int         `json:"version"`
	Snapshot string      `json:"snapshot"`
	Topics   []heldTopic `json:"topics"`
}

// heldViewsVersion is that of holds with views.
const heldViewsVersion = 1

type heldTopic struct {
	ClusterID  string          `json:"cluster_id"`
	Topic      string          `json:"topic"`
	TopicID    string          `json:"topic_id"`
	Number     uint32          `json:"incarnation"` // where brokers give no topic ID
	Partitions []heldPartition `json:"partitions"`
}

type heldPartition struct {
	Partition   int32  `json:"partition"`
	Scan        uint32 `json:"scan"`
	FirstOffset int64  `json:"first_offset"`
}

// HeldViews is the field "holds" of a hold that keeps all that is shown. It is nil where naming the
// snapshot alone does: rows above a kept snapshot's log start are not released.
func (s *Shown) HeldViews() (json.RawMessage, error) {
	out := &heldViews{Version: heldViewsVersion, Snapshot: s.Snapshot.ID.String()}
	var last coldstream.Incarnation
	for _, view := range s.Views {
		of, shown := s.ofSnapshot[view.Stream]
		if shown && of.LogStartOffset <= view.LogStartOffset {
			continue
		}
		in := view.Stream.Incarnation
		if len(out.Topics) == 0 || in != last {
			last = in
			out.Topics = append(out.Topics, heldTopic{ClusterID: in.ClusterID, Topic: in.Topic, TopicID: in.TopicID.String(), Number: in.Number})
		}
		topic := &out.Topics[len(out.Topics)-1]
		topic.Partitions = append(topic.Partitions, heldPartition{view.Stream.Partition, view.Scan, view.LogStartOffset})
	}
	if len(out.Topics) == 0 {
		return nil, nil
	}
	return json.Marshal(out)
}

// hold is what record 0 of a restore names.
type hold struct {
	snapshot SnapshotID
	views    []View // only where they begin
}

// readHold reads those fields of a hold that are not the restore's own. One with views has no field
// snapshot: a program that does not know them finds no hold that it can read, and removes nothing.
func readHold(document []byte) (h hold, err error) {
	var in struct {
		Snapshot string     `json:"snapshot"`
		Holds    *heldViews `json:"holds"`
	}
	if err := json.Unmarshal(document, &in); err != nil {
		return h, fmt.Errorf("%w: %w", coldstream.ErrCorrupt, err)
	}
	if in.Holds == nil {
		h.snapshot, err = ParseSnapshotID(in.Snapshot)
		return h, err
	}
	if in.Holds.Version != heldViewsVersion {
		return h, fmt.Errorf("hold of version %d: %w", in.Holds.Version, coldstream.ErrUnsupported)
	}
	if h.snapshot, err = ParseSnapshotID(in.Holds.Snapshot); err != nil {
		return h, err
	}
	for _, t := range in.Holds.Topics {
		in := coldstream.Incarnation{ClusterID: t.ClusterID, Topic: t.Topic, Number: t.Number}
		if in.TopicID, err = coldstream.ParseTopicID(t.TopicID); err != nil {
			return h, fmt.Errorf("%w: %w", coldstream.ErrCorrupt, err)
		}
		for _, p := range t.Partitions {
			h.views = append(h.views, View{
				Stream: coldstream.Stream{Incarnation: in, Partition: p.Partition}, Scan: p.Scan, LogStartOffset: p.FirstOffset,
			})
		}
	}
	return h, nil
}

// HeldSnapshot is the ID of the snapshot that record 0 of a restore names.
func HeldSnapshot(document []byte) (SnapshotID, error) {
	h, err := readHold(document)
	return h.snapshot, err
}

// Hold keeps a snapshot and all that it shows, and views if the document names any, from being removed
// until the restore's result is there: it writes the restore's record 0, which names them, and then
// looks whether the catalog turned, and opens it if it did. What is not there any more wraps
// [coldstream.ErrForgotten]; where the catalog is damaged nobody can say that, and the error is the damage.
// A turn reads holds after it began the new epoch: so either it sees this one, or the
// look that follows sees the new epoch.
func (v *Vault) Hold(ctx context.Context, id RestoreID, s *Snapshot, document []byte) error {
	if held, err := readHold(document); err != nil || held.snapshot != s.ID {
		return fmt.Errorf("hold of restore %s does not name snapshot %s (%w)", id, s.ID, err)
	}
	if err := v.PutRestoreRecord(ctx, id, recordHold, document); err != nil {
		return err
	}
	return v.ProveHeld(ctx, s, document)
}

// ProveHeld is an error if something that a hold names is not there any more, as [Vault.Hold] says. What
// the snapshot's catalog had is there as long as no newer epoch began: adding takes nothing away.
func (v *Vault) ProveHeld(ctx context.Context, s *Snapshot, document []byte) error {
	held, err := readHold(document)
	if err != nil {
		return err
	}
	return v.prove(ctx, s, held.views)
}

// prove is an error if a snapshot is not there any more, or where a view begins. Catalog and views are
// of the snapshot's opening.
func (v *Vault) prove(ctx context.Context, s *Snapshot, views []View) error {
	if at := s.place.shelf; at != nil && at.found.base {
		now, err := v.lookAgain(ctx, &at.found)
		if err != nil {
			return err
		}
		if now.isStill(&at.found) {
			return nil
		}
	}
	c, err := v.OpenCatalog(ctx)
	if err != nil {
		return err
	}
	if _, err = c.find(s.ID); err != nil {
		return err
	}
	for _, view := range views {
		if err := c.checkReleased(view, nil); err != nil {
			return err
		}
	}
	return nil
}

// holdSet is what restores hold.
type holdSet struct {
	snapshots map[SnapshotID]bool
	views     []View
}

// lower brings the lowest offsets that kept snapshots show down to where held views begin. A stream that no
// snapshot shows keeps all.
func (h *holdSet) lower(lowest map[coldstream.Stream]int64) {
	for _, view := range h.views {
		if at, ok := lowest[view.Stream]; ok {
			lowest[view.Stream] = min(at, view.LogStartOffset)
		}
	}
}

// holds lists what restores hold.
func (v *Vault) holds(ctx context.Context) (*holdSet, error) {
	restores, err := v.Restores(ctx)
	if err != nil {
		return nil, err
	}
	held := &holdSet{snapshots: map[SnapshotID]bool{}}
	for _, r := range restores {
		id := r.ID
		if !r.Begun || r.Ended {
			continue
		}
		document, err := v.RestoreRecord(ctx, id, recordHold)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the operator ended it
		}
		if err != nil {
			return nil, err
		}
		one, err := readHold(document)
		if err != nil {
			return nil, fmt.Errorf("hold of restore %s: %w", id, err)
		}
		held.snapshots[one.snapshot] = true
		held.views = slices.Concat(held.views, one.views)
	}
	return held, nil
}
