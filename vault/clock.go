package vault

import (
	"context"
	"time"

	"coldstream/vault/internal/format"
)

// clockTolerance is how far clocks of hosts may be apart without a word.
const clockTolerance = 5 * time.Minute

// The reasons to doubt the time of a snapshot.
const (
	TimeAhead        = "ahead_of_this_host"
	TimeBeforeParent = "before_parent"
)

// TimeDoubts says why the time of a snapshot cannot be right, as the host says that it is
// now. Either the clock of the snapshot's writer was wrong, or that of this host or of the
// writer before. The order of snapshots does not depend on their times.
func (s *Snapshot) TimeDoubts(now time.Time) []string {
	var doubts []string
	if s.Time.After(now.Add(clockTolerance)) {
		doubts = append(doubts, TimeAhead)
	}
	if s.Time.Before(s.ParentTime.Add(-clockTolerance)) {
		doubts = append(doubts, TimeBeforeParent)
	}
	return doubts
}

// parentTime is the time of the snapshot that the commit's own was built on; zero if there
// is none, or it cannot be read: the commit is saved without it.
func (c *commitInMaking) parentTime(ctx context.Context) time.Time {
	if ms := c.commit.Snapshot.ParentMs; ms != format.NoParent {
		return time.UnixMilli(ms).UTC()
	}
	for i := len(c.catalog.chapters) - 1; i >= 0; i-- {
		if c.catalog.chapters[i].ViewsSizeBytes == 0 {
			continue // without snapshots
		}
		chapter, err := c.vault.loadChapter(ctx, &c.catalog.chapters[i])
		if err != nil {
			return time.Time{}
		}
		return time.UnixMilli(chapter.Snapshots[len(chapter.Snapshots)-1].TimeMs).UTC()
	}
	return time.Time{}
}
