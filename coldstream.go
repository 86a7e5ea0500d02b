// Package coldstream is the vocabulary of Coldstream: the words that every other
// package uses for Kafka's things and for the vault's, the interfaces through which
// backup and restore see a cluster, and the errors a caller may tell apart. It
// depends on nothing but the standard library.
//
// Kafka's things keep Kafka's names. Of ranges of offsets, firstOffset and lastOffset
// are inside, nextOffset is not.
package coldstream

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
)

// TopicID is the UUID that a broker gave one incarnation of a topic. It is zero where
// the broker gives none (before Kafka 2.8).
type TopicID [16]byte

// IsZero says that the broker gave no ID.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// String writes the ID as Kafka's own tools do: base64url without padding.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

const topicIDText = 22 // characters of base64url for 16 bytes

// ParseTopicID reads what [TopicID.String] writes, and nothing else: the decoder by
// itself would pass over line ends.
func ParseTopicID(s string) (TopicID, error) {
	var id TopicID
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) || len(s) != topicIDText {
		return id, fmt.Errorf("topic ID %q is not 22 base64url characters", s)
	}
	copy(id[:], b)
	return id, nil
}

const maxTopicName = 249

var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// CheckTopicName refuses the names that Kafka refuses.
func CheckTopicName(name string) error {
	if len(name) > maxTopicName || !topicName.MatchString(name) || name == "." || name == ".." {
		return fmt.Errorf("%q is no topic name", name)
	}
	return nil
}

// TopicPartition names a partition of a topic in a cluster, whatever its incarnation.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String writes topic-partition as Kafka's log directories do.
func (tp TopicPartition) String() string {
	return tp.Topic + "-" + strconv.Itoa(int(tp.Partition))
}

// Compare orders by topic name, then by partition number.
func (tp TopicPartition) Compare(other TopicPartition) int {
	return cmp.Or(cmp.Compare(tp.Topic, other.Topic), cmp.Compare(tp.Partition, other.Partition))
}

// Incarnation names one life of a topic: a topic that was deleted and made again under
// the same name is another incarnation, and never continues the first.
type Incarnation struct {
	ClusterID string
	Topic     string
	TopicID   TopicID
	// Number stands in for the topic ID where the broker gives none; else it is 0.
	Number uint32
}

// Compare orders by topic name first, so that a sorted list is sorted by topic.
func (in Incarnation) Compare(other Incarnation) int {
	return cmp.Or(
		cmp.Compare(in.Topic, other.Topic),
		cmp.Compare(in.ClusterID, other.ClusterID),
		cmp.Compare(string(in.TopicID[:]), string(other.TopicID[:])),
		cmp.Compare(in.Number, other.Number),
	)
}

// Stream is one partition of one incarnation of a topic: the unit whose offsets join
// without a hole in the vault.
type Stream struct {
	Incarnation
	Partition int32
}

// TopicPartition forgets the incarnation.
func (s Stream) TopicPartition() TopicPartition {
	return TopicPartition{Topic: s.Topic, Partition: s.Partition}
}

// Compare orders by incarnation, then by partition number.
func (s Stream) Compare(other Stream) int {
	return cmp.Or(s.Incarnation.Compare(other.Incarnation), cmp.Compare(s.Partition, other.Partition))
}

// GapCause says why offsets that were due could not be saved.
type GapCause string

// The causes of a gap, as they stand in the vault and in JSON.
const (
	GapLogStartAdvanced GapCause = "log_start_advanced" // retention or DeleteRecords overtook the backup
	GapTruncated        GapCause = "truncated"          // the log lost its end and was written anew
	GapTopicDeleted     GapCause = "topic_deleted"      // the topic was deleted before its end was reached
	GapCorrupt          GapCause = "corrupt"            // all replicas hold batches there that fit no checksum
)

// Gap is a range of offsets that was due and could not be saved.
type Gap struct {
	TopicPartition
	FirstOffset int64
	NextOffset  int64
	Cause       GapCause
}

// ShortPartition is a partition of which a backup could not read all that was due: a snapshot
// shows what was saved until then.
type ShortPartition struct {
	TopicPartition
	TopicID TopicID
	// NextOffset is the end of the log that the backup was to read.
	NextOffset int64
	// Err says why.
	Err error
}
