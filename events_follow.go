package coldstream

import "time"

// TopicFound says that a topic is followed from now on, or that it has got more partitions.
type TopicFound struct {
	Topic      string
	TopicID    TopicID
	Partitions int
	// Before is the number of partitions that were followed before; 0 for a topic that was not.
	Before int
}

// TopicGone says that a topic is not followed any more.
type TopicGone struct {
	Topic   string
	TopicID TopicID
	// Deleted says that the cluster does not have it any more; else nobody asks for it.
	Deleted bool
}

// PartitionTrouble says that a partition, or with Partition -1 a whole topic, cannot be read
// now. Others are. It comes again only if the reason changes.
type PartitionTrouble struct {
	TopicPartition
	Since time.Time
	Err   error // wraps [ErrDenied] where a right is missing
}

// PartitionWell says that a partition, or topic, can be read again.
type PartitionWell struct {
	TopicPartition
	Since time.Time // when it could be read no more
}

// Side is one of the two that a backup stands between.
type Side string

// The sides.
const (
	SideCluster Side = "cluster"
	SideStorage Side = "storage"
)

// Outage says that a side as a whole does not serve us, and that this is waited for. It comes
// again with each attempt that failed.
type Outage struct {
	Of    Side
	Since time.Time
	Err   error
	Again time.Duration // until the next attempt
}

// OutageOver says that a side serves us again.
type OutageOver struct {
	Of    Side
	Since time.Time
}

// Committed says that a commit of a continuous backup is durable.
type Committed struct {
	// Taken is when its data was taken from what is fetched: what was written later is not in
	// it. Time is when it was durable.
	Taken, Time time.Time
	// AtEnds are the topics, sorted, of which all partitions are now saved up to the ends that
	// were seen last before Taken.
	AtEnds []string

	Batches, Records, BytesStored, Objects int64
	VaultHash                              string
}

// SnapshotMade says that a restore point is durable. A [Committed] comes before it.
type SnapshotMade struct {
	ID                 string
	Time               time.Time
	Topics, Partitions int
	Short              []ShortPartition // partitions that it shows less of than was due
	GroupsMissing      []MissingGroups
}

// GapFound says that offsets that were due are gone. It is in the vault with the next commit.
type GapFound struct{ Gap }

// ForkFound says that a log lost its end, which had been read, and goes on differently from
// FirstOffset on.
type ForkFound struct {
	TopicPartition
	Epoch       int32
	FirstOffset int64
	NextOffset  int64
}

// ReadAgain says that a compacted partition is read in full once more, because tombstones may
// have been missed; or, with Done, that it was.
type ReadAgain struct {
	TopicPartition
	Why  string
	Done bool
}

// DamageFound says that something in the vault is damaged, and what was done about it.
type DamageFound struct {
	Err error // wraps [ErrCorrupt]
	// Healed says that what it held was fetched from the cluster again.
	Healed bool
}

// WriterSeen says that another process writes to the vault as well.
type WriterSeen struct {
	Writer string
	Time   time.Time // of its newest commit
}

func (*TopicFound) event()       {}
func (*TopicGone) event()        {}
func (*PartitionTrouble) event() {}
func (*PartitionWell) event()    {}
func (*Outage) event()           {}
func (*OutageOver) event()       {}
func (*Committed) event()        {}
func (*SnapshotMade) event()     {}
func (*GapFound) event()         {}
func (*ForkFound) event()        {}
func (*ReadAgain) event()        {}
func (*DamageFound) event()      {}
func (*WriterSeen) event()       {}
