package coldstream

import "context"

// Target is a cluster that is restored into.
type Target interface {
	ClusterReader
	Fetcher
	TopicAdmin
	TopicConfigurer
	RecordWriter
	GroupAdmin
}

// NewTopic says what topic to create.
type NewTopic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string
}

// TopicAdmin creates topics, and deletes records of them.
type TopicAdmin interface {
	// CreateTopic returns once every partition has a leader that answers. A topic that
	// is there already is an error wrapping fs.ErrExist.
	CreateTopic(ctx context.Context, topic NewTopic) error
	// CheckTopic asks the cluster whether it would create the topic, and creates nothing.
	CheckTopic(ctx context.Context, topic NewTopic) error
	// DeleteRecords moves the log start offset of each partition up to the given offset.
	DeleteRecords(ctx context.Context, logStartOffsets map[TopicPartition]int64) error
}

// TopicConfigurer changes configs of topics, and says beforehand what it would take.
type TopicConfigurer interface {
	// AlterTopicConfigs sets and removes configs of a topic, all of them or none.
	AlterTopicConfigs(ctx context.Context, topic string, change ConfigChange) error
	// CheckTopicConfigs asks the cluster whether it would make the change, and changes
	// nothing. Where the right is missing the error wraps [ErrDenied], also if the topic is
	// not there, and else [ErrUnknownTopic] if it is not.
	CheckTopicConfigs(ctx context.Context, topic string, change ConfigChange) error
	// TopicConfigNames returns the names of all topic configs that the cluster knows,
	// with the value that a topic without own configs has.
	TopicConfigNames(ctx context.Context, topic string) (map[string]string, error)
	// RequestLimit is the size of the largest request that every broker takes.
	RequestLimit(ctx context.Context) (int64, error)
}

// ConfigChange says which configs to set and which to remove, so that the default holds.
type ConfigChange struct {
	Set    map[string]string
	Remove []string
}

// ProducerIdentity is an idempotent producer's ID and epoch.
type ProducerIdentity struct {
	ID    int64
	Epoch int16
}

// ProduceBatch is one record batch for one partition, patched for producing: base
// offset 0, the producer's ID, epoch and sequence set, checksum right.
type ProduceBatch struct {
	TopicPartition
	TopicID TopicID
	// Batch is read until Produce returns, and not changed.
	Batch []byte
}

// ProduceResult tells where a batch was appended.
type ProduceResult struct {
	TopicPartition
	// BaseOffset is -1, without an error, where the broker recognized a repetition but
	// no longer knew where it had put the batch: the high watermark tells.
	BaseOffset int64
	Err        error
}

// RecordWriter appends record batches.
type RecordWriter interface {
	// InitProducer gets a fresh producer ID.
	InitProducer(ctx context.Context) (ProducerIdentity, error)
	// Lanes is the number of independent lanes that Produce may be called on at once.
	Lanes() int
	// Produce sends at most one batch per partition, each to its leader, acks=all, and
	// waits for all answers. Temporary errors are retried with the same bytes, so that
	// the broker recognizes a duplicate. Each lane has its own connections; one lane is
	// used by one goroutine at a time. Results are in the order of batches.
	Produce(ctx context.Context, lane int, batches []ProduceBatch) []ProduceResult
}

// GroupAdmin sets committed offsets.
type GroupAdmin interface {
	// CommitGroup commits offsets into a group without members; a group that is not
	// there is made. With members it fails wrapping [ErrGroupActive], and wrapping
	// [ErrUnsupported] where a group of the name takes no committed offsets. Leader epochs
	// are sent as -1. Either all offsets are committed, or the error names the first
	// that was not.
	CommitGroup(ctx context.Context, group string, offsets []GroupOffset) error
	// SetShareGroup sets the offsets at which a share group without members starts, likewise. It fails
	// wrapping [ErrUnsupported] where a group of the name is no share group, and [ErrNotOffered]
	// where the brokers take none.
	SetShareGroup(ctx context.Context, group string, offsets []GroupOffset) error
}
