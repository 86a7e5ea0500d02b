package coldstream

import (
	"context"
	"time"
)

// Source is a cluster that is backed up.
type Source interface {
	ClusterReader
	Fetcher
}

// Fetcher reads record batches.
type Fetcher interface {
	// Fetch reads every position of the plan up to its stop offset, and hands what
	// happens to sink. It returns nil when each partition has ended with a
	// [PartitionDone] or a [PartitionFailed], ctx's error when that is done, and the
	// sink's error when it returned one. Leaders that move, brokers that go away and
	// come back and slow answers are waited for, per partition as long as the
	// implementation's patience.
	Fetch(ctx context.Context, plan []FetchPosition, sink FetchSink) error
}

// Follower is a source whose logs can be followed as they grow.
type Follower interface {
	Source
	// Follow makes a fetch without an end, which begins with [Following.Run].
	Follow(sink FetchSink) Following
	// LogOffsetsWithin is LogOffsets with less patience: what is not known after it has an error.
	LogOffsetsWithin(ctx context.Context, partitions []TopicPartition, patience time.Duration) (map[TopicPartition]LogOffsets, error)
}

// Following is a fetch to which partitions are added, and from which they are taken, while it
// goes on. Where all of a partition was read its end is looked at again and again. Its
// methods are safe for use by several goroutines.
type Following interface {
	// Run fetches until ctx is done, whose error it then returns, or the sink returns an error.
	Run(ctx context.Context) error
	// Add follows partitions from these positions on. Their stop offsets are the ends that
	// were seen. A partition that is followed already must first have ended, with a
	// [PartitionDone] because it was removed, or with a [PartitionFailed].
	Add(positions ...FetchPosition)
	// Remove ends partitions: a [PartitionDone] is the last that is told of each. Those that
	// have ended are passed over.
	Remove(partitions ...TopicPartition)
	// Seen is what is known of each partition that is followed.
	Seen() []LogSeen
}

// LogSeen is the last that was seen of a partition that is followed.
type LogSeen struct {
	TopicPartition
	LogOffsets           // zero if nothing was seen yet
	At         time.Time // a time before the broker looked; zero if nothing was seen yet
	// Trouble says why it cannot be read now, and Since since when; nil if it can.
	Trouble error
	Since   time.Time
}

// FetchPosition says where to go on reading one partition.
type FetchPosition struct {
	TopicPartition
	TopicID TopicID // zero where the broker gives none
	// NextOffset is the first offset wanted.
	NextOffset int64
	// Epochs says where the leader epochs of what was saved before NextOffset begin,
	// ascending. By the last one the broker tells whether its log still has that history,
	// and by the others how far back it is common.
	Epochs []EpochStart
	// StopOffset ends the partition: it is done when its position is there or beyond.
	StopOffset int64
	// Compacted allows a tail that stays empty: the cleaner removed it.
	Compacted bool
}

// EpochStart says at which offset a leader epoch begins in a stream.
type EpochStart struct {
	Epoch       int32
	FirstOffset int64
}

// FetchSink takes what a fetch brings.
type FetchSink interface {
	// Take is called in order for one partition, and by several goroutines for
	// different ones. While it blocks, fetching for that connection rests. An error
	// ends the whole fetch.
	Take(ctx context.Context, event FetchEvent) error
}

// FetchEvent is one of [*Fetched], [*FetchGap], [*Truncated], [*PartitionDone] and
// [*PartitionFailed].
type FetchEvent interface{ fetchEvent() }

// Fetched is a run of whole, checked record batches as the broker sent them; or, if
// Batches is empty, a compacted tail that never returned data.
type Fetched struct {
	TopicPartition
	// [FirstOffset, NextOffset) is all that the log held there. The first batch may
	// begin below FirstOffset (its base offset says so); no later one overlaps.
	FirstOffset int64
	NextOffset  int64
	// Batches belongs to the sink from now on.
	Batches []byte
	// Ends of the log as the broker gave them with this answer.
	LogOffsets
}

// FetchGap reports offsets that were due and are gone; the partition goes on behind
// them, or is done or failed next.
type FetchGap struct{ Gap }

// Truncated reports that the log lost what had been saved from NextOffset on, in leader
// epoch Epoch and later ones ([a, NextOffset) with epochs up to Epoch is still common
// history). The partition goes on from NextOffset.
type Truncated struct {
	TopicPartition
	Epoch      int32
	NextOffset int64
	// WasOffset is the position the backup had reached.
	WasOffset int64
}

// PartitionDone reports that the partition's position reached its stop offset.
type PartitionDone struct {
	TopicPartition
	NextOffset int64
	LogOffsets
}

// PartitionFailed reports that the partition is given up: patience ran out, access was
// denied ([ErrDenied]), the topic is gone ([ErrUnknownTopic]), or its bytes are bad
// ([ErrCorrupt]). Others go on.
type PartitionFailed struct {
	TopicPartition
	Err error
}

func (*Fetched) fetchEvent()         {}
func (*FetchGap) fetchEvent()        {}
func (*Truncated) fetchEvent()       {}
func (*PartitionDone) fetchEvent()   {}
func (*PartitionFailed) fetchEvent() {}
