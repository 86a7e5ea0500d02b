package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"coldstream"
	"coldstream/vault"
)

// meetTarget looks at what is in the target, and decides for each topic and partition
// what will be done. What is against it is added to refused.
func (p *Plan) meetTarget(ctx context.Context, refused *RefusedError) error {
	cluster, err := p.target.Metadata(ctx, p.targetNames())
	if err != nil {
		return fmt.Errorf("read the target's metadata: %w", err)
	}
	if err := p.target.TopicConfigs(ctx, cluster.Topics); err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	p.TargetClusterID = cluster.ID
	there := map[string]coldstream.Topic{}
	for _, t := range cluster.Topics {
		there[t.Name] = t
	}
	offsets, err := p.targetOffsets(ctx, there)
	if err != nil {
		return err
	}
	if err := errors.Join(p.askDefaults(ctx, there), p.findCutOff(ctx, there)); err != nil {
		return err
	}
	var known map[string]string
	for _, t := range p.topics {
		found, ok := there[t.target]
		switch {
		case !ok || errors.Is(found.Err, coldstream.ErrUnknownTopic):
			t.create = true
		case found.Err != nil:
			refused.Reasons = append(refused.Reasons, fmt.Sprintf("topic %s: %v", t.target, found.Err))
			continue
		case found.Internal:
			refused.Reasons = append(refused.Reasons, fmt.Sprintf("topic %s is internal in the target", t.target))
			continue
		default:
			t.existing = found
		}
		if known == nil || !t.create {
			// Rights may go by the beginning of names, so it is asked about the name itself.
			if known, err = p.target.TopicConfigNames(ctx, t.target); err != nil {
				return fmt.Errorf("read the target's topic configs: %w", err)
			}
		}
		t.known = known
		if p.resumes != nil {
			p.takeUp(t, offsets, refused)
			continue
		}
		if err := p.meetTopic(ctx, t, cluster, offsets, refused); err != nil {
			return err
		}
	}
	return p.checkRequests(ctx, refused)
}

func (p *Plan) targetNames() []string {
	names := make([]string, len(p.topics))
	for i, t := range p.topics {
		names[i] = t.target
	}
	return names
}

// targetOffsets reads the ends of the partitions of topics that are there.
func (p *Plan) targetOffsets(ctx context.Context, there map[string]coldstream.Topic) (map[coldstream.TopicPartition]coldstream.LogOffsets, error) {
	var tps []coldstream.TopicPartition
	for _, t := range p.topics {
		for _, part := range t.partitions {
			if int(part.target.Partition) < len(there[t.target].Partitions) {
				tps = append(tps, part.target)
			}
		}
	}
	if len(tps) == 0 {
		return nil, nil
	}
	offsets, err := p.target.LogOffsets(ctx, tps)
	if err != nil {
		return nil, fmt.Errorf("read the target's log offsets: %w", err)
	}
	return offsets, nil
}

func (p *Plan) meetTopic(ctx context.Context, t *topicPlan, cluster *coldstream.Cluster, offsets map[coldstream.TopicPartition]coldstream.LogOffsets, refused *RefusedError) error {
	refuse := func(format string, args ...any) {
		refused.Reasons = append(refused.Reasons, fmt.Sprintf(format, args...))
	}
	var maxBatch, maxPartition int64
	for _, part := range t.partitions {
		var size int64
		for i := range part.stream.Runs {
			maxBatch = max(maxBatch, part.stream.Runs[i].MaxBatchBytes)
			size += part.stream.Runs[i].SizeBytes
		}
		maxPartition = max(maxPartition, size)
	}
	if err := p.planTopicConfigs(t, maxBatch); err != nil {
		return err
	}
	if t.create {
		if maxPartition < smallPartition {
			t.configs.takeSmallIndexes(t.known)
		}
		t.newTopic = p.newTopic(t, len(cluster.Brokers))
	} else if err := p.meetExisting(t, offsets, refused); err != nil {
		return err
	}
	if t.create || t.existing.ConfigsErr == nil {
		if err := p.settle(ctx, t); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			refuse("%v", err)
			var config *refusedConfigError
			if errors.As(err, &config) {
				refused.Advice = Advice{Remedy: RemedyConfig, Of: config.name}
			}
		}
		t.newTopic.Configs = t.configs.create()
	}
	for _, part := range t.partitions {
		p.decideOffsets(part)
		if p.req.Offsets == OffsetsExact && !part.exact {
			refuse("%s cannot keep its offsets: %s", part.target, part.why)
			refused.Advice = Advice{Remedy: RemedyOtherOffsets}
		}
	}
	if !p.req.PutBackRetention {
		p.hold(t, t.retained(), p.req.Now())
	}
	return nil
}

// planTopicConfigs decides which configs the topic has during the restore and after it.
func (p *Plan) planTopicConfigs(t *topicPlan, maxBatch int64) error {
	own := t.source.Configs
	switch {
	case !t.create:
		own = t.existing.Configs
	case p.req.Configs == ConfigsNone:
		own = nil
	}
	for name := range p.req.SetConfigs {
		if _, ok := t.known[name]; !ok {
			usage := &UsageError{Option: OptionConfig, Text: fmt.Sprintf("%s: the cluster knows no such config of topics", name)}
			if near := coldstream.Nearest(name, slices.Sorted(maps.Keys(t.known))); len(near) > 0 {
				usage.Advice.Text = "did you mean: " + near[0]
			}
			return usage
		}
	}
	t.configs = planConfigs(own, t.known, maxBatch)
	t.configs.there = !t.create
	if t.create {
		t.configs.travels()
	}
	p.compareConfigs(t)
	t.configs.ask(p.req.SetConfigs)
	return nil
}

// askDefaults asks the target's brokers what topics have from them. Where they do not tell,
// what the controller says of a new topic must do.
func (p *Plan) askDefaults(ctx context.Context, there map[string]coldstream.Topic) error {
	var err error
	p.defaults, err = p.target.TopicDefaults(ctx, slices.Sorted(maps.Keys(there)))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		p.notCheck("whether the target's brokers differ in what topics have from them: needs the right DescribeConfigs on the cluster (%v)", err)
		return nil
	}
	for _, u := range p.defaults.Unanswered {
		p.notCheck("what topics have from broker %d of the target: needs its answer (%v)", u.ID, u.Err)
	}
	return nil
}

// newTopic has the snapshot's partitions, all of them, and its replication factor as far
// as there are brokers.
func (p *Plan) newTopic(t *topicPlan, brokers int) coldstream.NewTopic {
	n := coldstream.NewTopic{Name: t.target, Partitions: int32(len(t.source.Partitions)), ReplicationFactor: 1}
	first, _ := slices.BinarySearchFunc(p.shown.Views, t.source.Name, func(v vault.View, name string) int { return cmp.Compare(v.Stream.Topic, name) })
	for _, view := range p.shown.Views[first:] {
		if view.Stream.Topic != t.source.Name {
			break
		}
		if view.Stream.TopicID == t.source.ID {
			n.Partitions = max(n.Partitions, view.Stream.Partition+1)
		}
	}
	if len(t.source.Partitions) > 0 {
		n.ReplicationFactor = int16(max(1, len(t.source.Partitions[0].Replicas)))
	}
	if int(n.ReplicationFactor) > brokers {
		p.warn("topic %s gets replication factor %d instead of %d: the target has no more brokers", t.target, brokers, n.ReplicationFactor)
		n.ReplicationFactor = int16(brokers)
	}
	return n
}

func (p *Plan) meetExisting(t *topicPlan, offsets map[coldstream.TopicPartition]coldstream.LogOffsets, refused *RefusedError) error {
	refuse := func(next Advice, format string, args ...any) {
		refused.Reasons = append(refused.Reasons, fmt.Sprintf(format, args...))
		refused.Advice = next
	}
	if reason, next := p.whyUnfinished(t); reason != "" {
		refuse(next, "%s", reason)
		return nil
	}
	if t.existing.ConfigsErr != nil {
		refuse(Advice{}, "the configs of topic %s cannot be read, so that they could not be put back after the restore: %v", t.target, t.existing.ConfigsErr)
	}
	if more := len(t.existing.Partitions) - len(t.source.Partitions); more > 0 {
		p.warn("topic %s has %d partitions, %d more than in the snapshot: producers will spread keys differently", t.target, len(t.existing.Partitions), more)
	}
	for _, part := range t.partitions {
		if int(part.target.Partition) >= len(t.existing.Partitions) {
			refuse(Advice{Remedy: RemedyAddPartitions}, "topic %s has %d partitions, %s is needed",
				t.target, len(t.existing.Partitions), part.target)
			continue
		}
		log := offsets[part.target]
		if log.Err != nil {
			return fmt.Errorf("read log offsets of %s: %w", part.target, log.Err)
		}
		part.at = log.HighWatermark
		if log.LogStartOffset < log.HighWatermark && !p.req.Append {
			refuse(Advice{Remedy: RemedyAppend}, "%s holds records (offsets [%d, %d))", part.target, log.LogStartOffset, log.HighWatermark)
		}
	}
	return nil
}

// decideOffsets says whether a partition's offsets can be those of the source.
func (p *Plan) decideOffsets(part *partitionPlan) {
	view := part.stream.View
	part.why = whyNotDense(part.stream)
	switch {
	case p.req.Offsets == OffsetsTranslate:
		part.why = "asked for"
	case p.req.Append:
		part.why = "the records are appended"
	case part.why != "":
	case part.at > view.LogStartOffset:
		part.why = fmt.Sprintf("the target's log ends at %d already, the source's began at %d", part.at, view.LogStartOffset)
	case view.LogStartOffset-part.at > maxLeadingGap:
		part.why = fmt.Sprintf("the log began at %d, more than %d offsets from the target's end", view.LogStartOffset, maxLeadingGap)
	default:
		part.exact, part.filler = true, view.LogStartOffset-part.at
	}
}

// retained is what retention would see of a topic once it is restored.
func (t *topicPlan) retained() retained {
	r := retained{oldestMs: -1}
	for _, part := range t.partitions {
		var size int64
		for i := range part.stream.Runs {
			run := &part.stream.Runs[i]
			size += run.SizeBytes
			if run.Records > 0 && run.MaxTimestampMs >= 0 && (r.oldestMs < 0 || run.MaxTimestampMs < r.oldestMs) {
				r.oldestMs = run.MaxTimestampMs
			}
		}
		r.sizeBytes = max(r.sizeBytes, size)
	}
	return r
}
