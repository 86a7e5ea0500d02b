package backup

import (
	"time"

	"coldstream"
)

// Status is how a continuous backup is doing. It is a copy: the caller may keep it.
type Status struct {
	Now, Began time.Time
	ClusterID  string
	// Committed and SnapshotTime are of the newest commit and snapshot that this process made;
	// zero if there is none.
	Committed, SnapshotTime time.Time
	Snapshot                string
	// Cluster and Storage say what does not serve us now; nil if it does.
	Cluster, Storage *coldstream.Outage
	// BufferedBytes were fetched and are not saved.
	BufferedBytes int64
	Writers       []coldstream.WriterSeen // other ones
	Unmatched     []string                // patterns that match nothing now
	Topics        []TopicStatus           // sorted by name
}

// TopicStatus is how well a topic is protected.
type TopicStatus struct {
	Topic   string
	TopicID coldstream.TopicID
	// AtEnds says that every partition is saved up to its end as it was last seen, and that it
	// was seen lately.
	AtEnds bool
	// SavedAt is when the data of the last commit was taken that reached the ends seen then; zero
	// if there is none yet.
	SavedAt time.Time
	Err     error // why the topic as a whole cannot be read; nil if it can
	// CleanupPolicy, Retention and RetentionBytes are as in [coldstream.Topic].
	CleanupPolicy  string
	Retention      time.Duration
	RetentionBytes int64
	Partitions     []PartitionStatus // by number
}

// RPO is how much time of the topic would be lost with its cluster now: nothing while every
// partition is saved to its end, else all since the last commit that reached the ends seen
// then, or since the backup began.
func (t *TopicStatus) RPO(s *Status) time.Duration {
	if t.AtEnds {
		return 0
	}
	since := t.SavedAt
	if since.IsZero() {
		since = s.Began
	}
	return max(0, s.Now.Sub(since))
}

// PartitionStatus is how far a partition is saved.
type PartitionStatus struct {
	Partition             int32
	coldstream.LogOffsets           // the ends, and why they are not known
	Seen                  time.Time // when the ends were
	NextOffset            int64     // of what was fetched
	SavedOffset           int64     // of what was committed
	// Offsets and Bytes were fetched by this process.
	Offsets, Bytes int64
	Trouble        error // why it cannot be read; nil if it can
	Since          time.Time
}
