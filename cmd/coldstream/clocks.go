package main

import (
	"slices"
	"time"

	"coldstream/backup"
	"coldstream/vault"
)

// doubtTime warns of a snapshot's time that cannot be right.
func doubtTime(e *env, s *vault.Snapshot) {
	now := e.now()
	doubts := s.TimeDoubts(now)
	if slices.Contains(doubts, vault.TimeAhead) {
		e.note("warning: the time of snapshot %s, %s, is ahead of this host's clock, which says %s: one of the two clocks is wrong",
			s.ID, timestamp(s.Time), timestamp(now))
	}
	if slices.Contains(doubts, vault.TimeBeforeParent) {
		e.note("warning: the time of snapshot %s, %s, is before that of the snapshot that it was built on, %s: one of the two clocks was wrong",
			s.ID, timestamp(s.Time), timestamp(s.ParentTime))
	}
	if len(doubts) > 0 {
		e.hint("which snapshot is newer does not depend on the times: see the order in: coldstream snapshots")
	}
}

// snapshotIdentity says in a document which snapshot it is about.
type snapshotIdentity struct {
	Snapshot   string   `json:"snapshot"`
	Time       string   `json:"time"`
	TimeDoubts []string `json:"time_doubts"` // why the time cannot be right
	ClusterID  string   `json:"cluster_id"`
}

func newSnapshotIdentity(s *vault.Snapshot, now time.Time) snapshotIdentity {
	return snapshotIdentity{s.ID.String(), timestamp(s.Time), timeDoubts(s, now), s.ClusterID}
}

// timeDoubts are those of a document.
func timeDoubts(s *vault.Snapshot, now time.Time) []string {
	return append([]string{}, s.TimeDoubts(now)...)
}

// doubtWords say the same in a table.
func doubtWords(doubts []string) string {
	words := ""
	for _, doubt := range doubts {
		switch doubt {
		case vault.TimeAhead:
			words += " (ahead of this host)"
		case vault.TimeBeforeParent:
			words += " (before its parent)"
		}
	}
	return words
}

// snapshotOf is what a backup's result tells of its snapshot; nil if there is none.
func snapshotOf(r *backup.Result) *vault.Snapshot {
	if !r.HasSnapshot() {
		return nil
	}
	return &vault.Snapshot{ID: r.Snapshot, Time: r.SnapshotTime, ParentTime: r.ParentTime}
}
