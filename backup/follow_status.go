package backup

import (
	"slices"
	"time"

	"coldstream"
	"coldstream/vault"
)

// keepStatus keeps what is known of topics for Status.
func (f *Follower) keepStatus(found *foundTopics) {
	topics := make([]TopicStatus, 0, len(found.topics))
	for i := range found.topics {
		t := &found.topics[i]
		topics = append(topics, TopicStatus{
			Topic: t.Name, TopicID: t.ID, Err: t.Err, CleanupPolicy: t.CleanupPolicy, Retention: t.Retention, RetentionBytes: t.RetentionBytes,
		})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range topics {
		for _, before := range f.status.Topics {
			if before.Topic == topics[i].Topic && before.TopicID == topics[i].TopicID {
				topics[i].SavedAt = before.SavedAt
			}
		}
	}
	f.status.Topics, f.status.ClusterID = topics, found.cluster.ID
}

// keepReached keeps what was saved up to its end, and tells of the commit, if there was one.
func (f *Follower) keepReached(k *cut, reached *vault.Reached, receipt vault.Receipt) {
	now := f.opts.Now()
	var atEnds []string
	f.mu.Lock()
	for i := range f.status.Topics {
		t := &f.status.Topics[i]
		if slices.ContainsFunc(reached.Topics, func(in coldstream.Incarnation) bool { return in.Topic == t.Topic && in.TopicID == t.TopicID }) {
			t.SavedAt = reached.AsOf
			atEnds = append(atEnds, t.Topic)
		}
	}
	committed := receipt.VaultHash != ""
	if committed {
		f.status.Committed = now
	}
	f.mu.Unlock()
	if committed {
		slices.Sort(atEnds)
		f.opts.Observer.Observe(&coldstream.Committed{
			Taken: k.taken, Time: now, AtEnds: atEnds, Batches: receipt.Batches, Records: receipt.Records,
			BytesStored: receipt.BytesStored, Objects: receipt.Objects, VaultHash: receipt.VaultHash,
		})
	}
}

// Status is how the backup is doing. It is safe for use while Run goes on; nil before that.
func (f *Follower) Status() *Status {
	f.mu.Lock()
	if f.run == nil || f.following == nil {
		f.mu.Unlock()
		return nil
	}
	s := f.status
	s.Now = f.opts.Now()
	s.Cluster, s.Storage = f.outages[coldstream.SideCluster], f.outages[coldstream.SideStorage]
	s.Topics = slices.Clone(f.status.Topics)
	s.Writers, s.Unmatched = slices.Clone(s.Writers), slices.Clone(s.Unmatched)
	f.mu.Unlock()
	seen := map[coldstream.TopicPartition]coldstream.LogSeen{}
	for _, x := range f.following.Seen() {
		seen[x.TopicPartition] = x
	}
	byTopic := map[coldstream.Incarnation][]PartitionStatus{}
	c := f.collector
	c.mu.Lock()
	s.BufferedBytes = int64(c.waiting.bytes)
	for _, p := range f.run.plan.partitions {
		byTopic[p.stream.Incarnation] = append(byTopic[p.stream.Incarnation], p.status(seen[p.stream.TopicPartition()], s.Now))
	}
	c.mu.Unlock()
	for i := range s.Topics {
		t := &s.Topics[i]
		for in, partitions := range byTopic {
			if in.Topic == t.Topic && in.TopicID == t.TopicID {
				t.Partitions = partitions
			}
		}
		t.AtEnds = t.Err == nil && !slices.ContainsFunc(t.Partitions, func(p PartitionStatus) bool {
			return p.Trouble != nil || p.Seen.IsZero() || s.Now.Sub(p.Seen) > atEndWithin || p.SavedOffset < p.HighWatermark
		})
	}
	return &s
}

// status is how far the partition is saved. The collector's lock is held.
func (p *partition) status(seen coldstream.LogSeen, now time.Time) PartitionStatus {
	out := PartitionStatus{
		Partition: p.stream.Partition, LogOffsets: seen.LogOffsets, Seen: seen.At, NextOffset: p.nextOffset, SavedOffset: p.savedOffset,
		Offsets: p.readOffsets, Bytes: p.readBytes, Trouble: seen.Trouble, Since: seen.Since,
	}
	if seen.At.IsZero() {
		out.LogOffsets = coldstream.LogOffsets{LogStartOffset: p.logStartOffset, HighWatermark: p.highWatermark}
	}
	if p.err != nil {
		out.Trouble, out.Since = p.err, now
	}
	return out
}
