package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coldstream"
	"coldstream/vault"
)

// plan is what a run has set out to do, and how far it has come.
type plan struct {
	writer     *vault.Writer
	began      time.Time // before the ends of the logs were asked for
	metadata   vault.Metadata
	partitions []*partition // sorted by topic and partition
	isChosen   func(topic string) bool
	// neverRescan is that of the options.
	neverRescan func(topic string) bool
	denied      []PartitionError
	failed      []PartitionError
	// missesConfigs is set where the brokers know no request for configs.
	missesConfigs error
	// groupsMissing are consumer groups whose offsets are not known.
	groupsMissing []coldstream.MissingGroups
}

// partition is one stream of a run. Its position is that of the data handed over by the
// source, whether committed or not: only the vault's head says what is saved.
type partition struct {
	stream         coldstream.Stream
	scan           uint32
	begins         bool       // the vault has nothing of the scan: it begins here
	started        time.Time  // of the scan, if it begins here
	head           vault.Head // zero if the vault has nothing of the stream
	due            coldstream.Gap
	logStartOffset int64
	highWatermark  int64 // when the run began
	firstOffset    int64 // where this run begins
	nextOffset     int64
	stopOffset     int64
	epochs         []coldstream.EpochStart // of the vault's head
	lastEpoch      int32
	compacted      bool
	truncated      bool // it lost what was saved of it
	failed         bool
	err            error // why it failed
	// Of a continuous backup: ended says that it is not followed any more, settled that all that
	// was read of it is saved since, endTold that its end was told of.
	ended, settled, endTold bool
	savedOffset             int64 // what lies before is committed
	readOffsets, readBytes  int64
	rescanStop              int64 // where a reading in full stands in for the one before

	watch  *watch   // of a topic that a cleaner compacts; else nil
	before *earlier // if the partition is read again in full
	why    string
}

// gapAhead is the range between the vault's head and the log start, which is gone.
func (p *partition) gapAhead() (gap coldstream.Gap, isDue bool) {
	return p.due, p.due.FirstOffset < p.due.NextOffset
}

// makePlan reads, in this order: what the vault holds, the committed offsets of groups,
// and then the ends of the logs. So no group of the snapshot points behind its data.
func makePlan(ctx context.Context, source coldstream.Source, v *vault.Vault, opts Options) (*plan, error) {
	writer, err := v.NewWriter(ctx, vault.WriterOptions{
		Now: opts.Now, Name: opts.Name, NoReadBack: opts.NoReadBack, PackBytes: opts.PackBytes + opts.BufferBytes/4,
	})
	if err != nil {
		return nil, err
	}
	p := &plan{writer: writer, neverRescan: opts.NeverRescan}
	cluster, err := source.Metadata(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read cluster metadata: %w", err)
	}
	if err := addHidden(ctx, source, cluster, opts.Topics); err != nil {
		return nil, err
	}
	topics, err := selectTopics(cluster.Topics, opts.Topics)
	if err != nil {
		return nil, err
	}
	if err := source.TopicConfigs(ctx, topics); err != nil {
		return nil, err
	}
	p.isChosen = chosen(topics, cluster.Topics, opts.Topics)
	p.metadata = vault.Metadata{Cluster: *cluster, Missing: map[string]string{}, Tags: opts.Tags}
	p.metadata.Cluster.Topics = nil
	p.takeTopics(cluster.ID, topics)
	p.tellMissing(opts.Observer)
	if err := p.readDefaults(ctx, source, opts.Observer); err != nil {
		return nil, err
	}
	if err := p.readAdministration(ctx, source); err != nil {
		return nil, err
	}
	if err := p.readGroups(ctx, source, opts.Observer); err != nil {
		return nil, err
	}
	p.began = opts.Now()
	return p, p.readEnds(ctx, source)
}

// addHidden asks for topics that were named and are not listed: the cluster says of those
// that the user may not describe, if they are asked for by name, that they are denied.
func addHidden(ctx context.Context, source coldstream.Source, cluster *coldstream.Cluster, patterns *coldstream.Patterns) error {
	names := patterns.Unmatched(cluster.Topics)
	if len(names) == 0 {
		return nil
	}
	named, err := source.Metadata(ctx, names)
	if err != nil {
		return fmt.Errorf("read cluster metadata: %w", err)
	}
	for _, t := range named.Topics {
		if errors.Is(t.Err, coldstream.ErrDenied) {
			cluster.Topics = append(cluster.Topics, t)
		}
	}
	slices.SortFunc(cluster.Topics, func(a, b coldstream.Topic) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func selectTopics(all []coldstream.Topic, patterns *coldstream.Patterns) ([]coldstream.Topic, error) {
	if patterns == nil {
		patterns = &coldstream.Patterns{}
	}
	return patterns.Select(all)
}

// chosen says whether a topic that the vault knows is one of those that were asked for.
// Where all are, that is also one that the cluster does not have any more.
func chosen(selected, all []coldstream.Topic, patterns *coldstream.Patterns) func(topic string) bool {
	is := map[string]bool{}
	for i := range all {
		is[all[i].Name] = false
	}
	for i := range selected {
		is[selected[i].Name] = true
	}
	return func(topic string) bool {
		chosen, there := is[topic]
		return chosen || !there && (patterns == nil || patterns.All())
	}
}

// takeTopics makes a partition for each partition that the cluster describes. What it
// refuses to describe is kept as denied or failed.
func (p *plan) takeTopics(clusterID string, topics []coldstream.Topic) {
	for i := range topics {
		t := &topics[i]
		if t.Err != nil {
			p.refuse(t.Name, t.Err)
			continue
		}
		if errors.Is(t.ConfigsErr, coldstream.ErrNotOffered) {
			p.missesConfigs = t.ConfigsErr
		} else if t.ConfigsErr != nil {
			p.refuse(t.Name, fmt.Errorf("read configs: %w", t.ConfigsErr))
		}
		p.metadata.Topics = append(p.metadata.Topics, *t)
		for _, part := range t.Partitions {
			s := coldstream.Stream{
				Incarnation: coldstream.Incarnation{ClusterID: clusterID, Topic: t.Name, TopicID: t.ID},
				Partition:   part.ID,
			}
			p.partitions = append(p.partitions, p.resume(s, t))
		}
	}
}

// tellMissing says once what is not saved because the brokers do not know the request for it.
func (p *plan) tellMissing(observer coldstream.Observer) {
	if p.missesConfigs == nil {
		return
	}
	observer.Observe(&coldstream.Warning{
		Text: fmt.Sprintf("the configs of topics are not saved: %v", p.missesConfigs),
		Hint: "a restore makes the topics with the configs of the target's brokers",
	})
}

func (p *plan) refuse(topic string, err error) {
	e := PartitionError{TopicPartition: coldstream.TopicPartition{Topic: topic, Partition: -1}, Err: err}
	if errors.Is(err, coldstream.ErrDenied) {
		p.denied = append(p.denied, e)
		return
	}
	p.failed = append(p.failed, e)
}

// isCompacted says whether a cleaner may have removed a log's tail. Where the configs
// are hidden, and for internal topics, which are compacted, it may.
func isCompacted(t *coldstream.Topic) bool {
	return t.Internal || t.ConfigsErr != nil || coldstream.HasPolicy(t.CleanupPolicy, "compact")
}

// resume puts a stream where the vault's head is.
func (p *plan) resume(s coldstream.Stream, t *coldstream.Topic) *partition {
	part := &partition{stream: s, compacted: isCompacted(t), lastEpoch: -1}
	if t.ConfigsErr == nil && coldstream.HasPolicy(t.CleanupPolicy, "compact") {
		part.watch = &watch{kept: t.DeleteRetention, retention: t.DeleteRetention, never: p.neverRescan != nil && p.neverRescan(t.Name)}
	}
	head, known := p.writer.Head(s)
	if !known {
		part.begins = true
		return part
	}
	part.head = head
	part.scan, part.nextOffset, part.epochs = head.Scan, head.NextOffset, head.Epochs
	if n := len(head.Epochs); n > 0 {
		part.lastEpoch = head.Epochs[n-1].Epoch
	}
	return part
}

// readEnds asks where each log starts and ends. A partition that has no answer is
// failed, and out of the run.
func (p *plan) readEnds(ctx context.Context, source coldstream.Source) error {
	tps := make([]coldstream.TopicPartition, len(p.partitions))
	for i, part := range p.partitions {
		tps[i] = part.stream.TopicPartition()
	}
	ends, err := source.LogOffsets(ctx, tps)
	if err != nil {
		return fmt.Errorf("read log offsets: %w", err)
	}
	p.takeEnds(ends)
	return nil
}

// takeEnds places partitions in their logs.
func (p *plan) takeEnds(ends map[coldstream.TopicPartition]coldstream.LogOffsets) {
	p.partitions = slices.DeleteFunc(p.partitions, func(part *partition) bool {
		tp := part.stream.TopicPartition()
		end, ok := ends[tp]
		if !ok {
			end.Err = errors.New("the cluster gave no log offsets")
		}
		if end.Err != nil {
			e := PartitionError{TopicPartition: tp, Err: end.Err}
			if errors.Is(end.Err, coldstream.ErrDenied) {
				p.denied = append(p.denied, e)
			} else {
				p.failed = append(p.failed, e)
			}
			return true
		}
		part.setEnds(end)
		part.started = p.began
		part.watchTombstones(p.began)
		return false
	})
	slices.SortFunc(p.partitions, func(a, b *partition) int {
		return cmp.Or(a.stream.TopicPartition().Compare(b.stream.TopicPartition()), a.stream.Compare(b.stream))
	})
}

func (p *partition) setEnds(end coldstream.LogOffsets) {
	p.logStartOffset, p.highWatermark, p.stopOffset = end.LogStartOffset, end.HighWatermark, end.HighWatermark
	if !p.begins && p.head.NextOffset < p.logStartOffset {
		p.due = coldstream.Gap{
			TopicPartition: p.stream.TopicPartition(), FirstOffset: p.head.NextOffset, NextOffset: p.logStartOffset,
			Cause: coldstream.GapLogStartAdvanced,
		}
	}
	if p.begins || p.nextOffset < p.logStartOffset {
		p.nextOffset = p.logStartOffset
	}
	p.firstOffset = p.nextOffset
	if p.nextOffset > p.stopOffset {
		// The log ends before what was saved. Asking for one offset more makes the broker
		// say whether it lost its end or is only behind.
		p.stopOffset = p.nextOffset + 1
	}
}

func positions(partitions []*partition) []coldstream.FetchPosition {
	out := make([]coldstream.FetchPosition, len(partitions))
	for i, part := range partitions {
		out[i] = coldstream.FetchPosition{
			TopicPartition: part.stream.TopicPartition(),
			TopicID:        part.stream.TopicID,
			NextOffset:     part.nextOffset,
			Epochs:         part.epochs,
			StopOffset:     part.stopOffset,
			Compacted:      part.compacted,
		}
	}
	return out
}

// scans are the facts that scans begin, which the vault has not heard of yet.
func (p *plan) scans() []vault.ScanStart {
	var out []vault.ScanStart
	for _, part := range p.partitions {
		if part.begins {
			out = append(out, part.scanStart())
		}
	}
	return out
}

func (p *partition) scanStart() vault.ScanStart {
	return vault.ScanStart{Stream: p.stream, Scan: p.scan, FirstOffset: p.nextOffset, Started: p.started}
}

func (p *plan) snapshot(now time.Time) *vault.NewSnapshot {
	s := &vault.NewSnapshot{Time: now, ClusterID: p.metadata.Cluster.ID, Metadata: p.metadata}
	for _, part := range p.partitions {
		head, _ := p.writer.Head(part.stream)
		s.Views = append(s.Views, part.view(head.Floor))
	}
	slices.SortFunc(s.Views, func(a, b vault.View) int { return a.Stream.Compare(b.Stream) })
	s.Compacted = p.sortedCompacted()
	s.Metadata.Short = p.short()
	return s
}

// reached are the topics of which all was read that was there when the run began.
func (p *plan) reached() *vault.Reached {
	short := map[string]bool{}
	for _, e := range slices.Concat(p.denied, p.failed) {
		// Of a whole topic only configs are missing: else it has no partitions here.
		short[e.Topic] = short[e.Topic] || e.Partition >= 0
	}
	for _, part := range p.partitions {
		short[part.stream.Topic] = short[part.stream.Topic] || part.failed
	}
	out := &vault.Reached{AsOf: p.began}
	for _, part := range p.partitions { // sorted by topic
		if in := part.stream.Incarnation; !short[in.Topic] && (len(out.Topics) == 0 || out.Topics[len(out.Topics)-1] != in) {
			out.Topics = append(out.Topics, in)
		}
	}
	return out
}

// short are the partitions that were not read to their ends.
func (p *plan) short() []coldstream.ShortPartition {
	var out []coldstream.ShortPartition
	for _, part := range p.partitions { // sorted
		if part.failed {
			out = append(out, coldstream.ShortPartition{
				TopicPartition: part.stream.TopicPartition(), TopicID: part.stream.TopicID, NextOffset: part.highWatermark, Err: part.err,
			})
		}
	}
	return out
}

// view never begins below floor: what the vault dropped on purpose cannot be shown,
// although the cluster may have it still.
func (p *partition) view(floor int64) vault.View {
	scan, next, lastEpoch := p.scan, p.nextOffset, p.lastEpoch
	if p.isIncomplete() {
		scan, next, lastEpoch = p.before.scan, p.before.nextOffset, p.before.lastEpoch
	}
	start := max(min(p.logStartOffset, next), floor)
	return vault.View{Stream: p.stream, Scan: scan, LogStartOffset: start, NextOffset: max(next, start), LastEpoch: lastEpoch}
}

// words are the cluster and its topics, for the names of what is stored.
func (p *plan) words() []string {
	out := []string{p.metadata.Cluster.ID}
	for i := range p.metadata.Topics {
		out = append(out, p.metadata.Topics[i].Name)
	}
	return out
}

func (p *plan) describe(result *Result) {
	result.Damage = p.writer.Damage()
	result.TopicCount, result.PartitionCount = len(p.metadata.Topics), len(p.partitions)
	result.Denied = append(result.Denied, p.denied...)
	result.Failed = append(result.Failed, p.failed...)
	result.GroupsMissing = p.groupsMissing
}
