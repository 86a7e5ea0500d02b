package restore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"coldstream"
	"coldstream/vault"
)

// Result is what a restore did, or, of a dry run, what it would do.
type Result struct {
	Restore  string
	Snapshot string
	// TimeDoubts say why the snapshot's time cannot be right.
	TimeDoubts []string
	// At is the time that was asked for, Archive says that all that the vault holds was, Part that
	// of each partition only a part was.
	At      time.Time
	Archive bool
	Part    bool
	// OffsetMapOf is the restore through whose offset map groups were restored, without records.
	OffsetMapOf    string
	Partitions     []PartitionResult
	Groups         []GroupResult
	GroupsMissing  []coldstream.MissingGroups
	RetentionHeld  []HeldConfig
	ConfigsLeftOut []LeftOutConfig
	ConfigsDiffer  []DifferingConfig
	// Unfinished says that the restore can be resumed: it was interrupted, or gave brokers up.
	Unfinished bool
	// NotChecked says what could not be found out beforehand, and what that needs.
	NotChecked []string
	// Damage is what of the vault's catalog could not be read: it may have held more. It also
	// names where topics show less than when the snapshot was taken ([vault.StreamHistory].Fewer).
	Damage []string
	fewer  int // of these: topics that show less
}

// PartitionResult is one partition.
type PartitionResult struct {
	Topic            string
	Partition        int32
	TargetTopic      string
	TargetPartition  int32
	Offsets          string // exact or translated
	Why              string
	Records          int64
	DroppedAborted   int64
	DroppedUndecided int64
	// LogStartOffset and NextOffset are the offsets at the source between which records were restored.
	LogStartOffset, NextOffset int64
	// Cut says how sharply the partition ends at the time that was asked for; nil without.
	Cut *vault.Cut
	// IsShort says that the snapshot lacks offsets of it that were due.
	IsShort bool
	Error   string

	err error
}

// GroupResult is one consumer group.
type GroupResult struct {
	Group   string
	Status  string
	Error   string
	Offsets []GroupOffsetResult
	// LeftOut are offsets that the group had and that are not restored.
	LeftOut []LeftOutOffset
}

// LeftOutOffset is an offset of a group that is not restored; topic and partition are the
// source's.
type LeftOutOffset struct {
	Topic        string
	Partition    int32
	SourceOffset int64
	Reason       string
}

// GroupOffsetResult is one offset of a group; topic and partition are the target's.
type GroupOffsetResult struct {
	Topic        string
	Partition    int32
	SourceOffset int64
	TargetOffset int64
	Metadata     string
}

// HeldConfig is a retention that was not put back, because it would delete what was
// restored.
type HeldConfig struct {
	Topic   string
	Config  string
	Value   string
	Command string // puts it back
}

// LeftOutConfig is a config of the source that the topic does not get.
type LeftOutConfig struct {
	Topic  string
	Config string
	Value  string
	Reason string
}

// DifferingConfig is a config that decides over data, and that the target has otherwise than
// the source had. Sources are Kafka's words.
type DifferingConfig struct {
	Topic        string
	Config       string
	SourceValue  string
	SourceSource string
	TargetValue  string // without what the restore sets
	TargetSource string
	Set          bool // on the topic, to the source's value
}

// Damaged says that stored data was missing or altered.
func (r *Result) Damaged() bool { return len(r.Damage) > 0 || r.hasCorrupt() }

func (r *Result) hasCorrupt() bool {
	return slices.ContainsFunc(r.Partitions, func(p PartitionResult) bool { return errors.Is(p.err, coldstream.ErrCorrupt) })
}

// Healable says that a backup may bring back what was missing or altered. Where topics only
// show less than when the snapshot was taken, nothing does.
func (r *Result) Healable() bool { return r.hasCorrupt() || len(r.Damage) > r.fewer }

// RecordCount is how many records there are in all partitions.
func (r *Result) RecordCount() int64 {
	var n int64
	for i := range r.Partitions {
		n += r.Partitions[i].Records
	}
	return n
}

// Short says that the snapshot lacks offsets that were due, or partitions: the backup could
// not save them.
func (r *Result) Short() bool {
	return slices.ContainsFunc(r.Partitions, func(p PartitionResult) bool { return p.IsShort })
}

// Incomplete says that something named in the result is not as asked, or, of a dry run, would not be.
func (r *Result) Incomplete() bool {
	return slices.ContainsFunc(r.Partitions, func(p PartitionResult) bool { return p.err != nil }) ||
		slices.ContainsFunc(r.Groups, func(g GroupResult) bool { return g.Status != GroupCommitted && g.Status != GroupPlanned }) ||
		len(r.GroupsMissing) > 0
}

// DryRun is the result that Execute would have if all goes well. What only batches tell is
// in it after [Plan.Count].
func (p *Plan) DryRun() *Result {
	x := &execution{plan: p, partitions: map[*partitionPlan]*partitionProgress{}}
	for _, t := range p.topics {
		for _, part := range t.partitions {
			x.partitions[part] = part.expected()
		}
	}
	for _, g := range p.groups {
		for i := range g.offsets {
			_ = x.translate(&g.offsets[i]) // no partition has failed yet
		}
	}
	r := x.result()
	for i, g := range p.groups {
		if g.status == GroupPlanned && g.active {
			r.Groups[i].Status, r.Groups[i].Error = GroupRefused, "it has members now"
		}
	}
	return r
}

func (x *execution) result() *Result {
	r := &Result{
		Restore: x.plan.ID.String(), Snapshot: x.plan.Snapshot.ID.String(), TimeDoubts: append([]string{}, x.plan.Snapshot.TimeDoubts(x.plan.req.Now())...),
		At: x.plan.req.At, Archive: x.plan.req.Archive, Part: x.plan.req.Since != nil || x.plan.req.Until != nil,
		Partitions: []PartitionResult{}, Groups: []GroupResult{}, GroupsMissing: x.plan.groupsMissing, RetentionHeld: []HeldConfig{}, ConfigsLeftOut: []LeftOutConfig{},
		ConfigsDiffer: []DifferingConfig{}, NotChecked: append([]string{}, x.plan.NotChecked...),
	}
	if x.plan.past != nil {
		r.OffsetMapOf = x.plan.past.id.String()
	}
	for _, d := range x.plan.Damage {
		if d.Kind == vault.KindMarked {
			r.fewer++
		}
		r.Damage = append(r.Damage, d.Error())
	}
	for _, t := range x.plan.topics {
		for _, part := range t.partitions {
			r.Partitions = append(r.Partitions, x.partitionResult(t, part))
		}
		for _, id := range t.missing {
			err := fmt.Errorf("snapshot %s does not hold it: the backup could not read it", x.plan.Snapshot.ID)
			r.Partitions = append(r.Partitions, PartitionResult{
				Topic: t.source.Name, Partition: id, TargetTopic: t.target, TargetPartition: id, Offsets: "translated", IsShort: true, Error: err.Error(), err: err,
			})
		}
		for _, h := range t.configs.held {
			r.RetentionHeld = append(r.RetentionHeld, HeldConfig{t.target, h.name, h.value, h.command(x.plan.req.Bootstrap, t.target)})
		}
		for _, l := range t.configs.leftOut {
			r.ConfigsLeftOut = append(r.ConfigsLeftOut, LeftOutConfig{t.target, l.name, l.value, l.why})
		}
		for _, d := range t.configs.differ {
			r.ConfigsDiffer = append(r.ConfigsDiffer, DifferingConfig{t.target, d.name, d.source.value, d.source.source, d.target, d.targetSource, d.set})
		}
	}
	for _, g := range x.plan.groups {
		r.Groups = append(r.Groups, g.result())
	}
	slices.SortStableFunc(r.Partitions, func(a, b PartitionResult) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return r
}

func (x *execution) partitionResult(t *topicPlan, part *partitionPlan) PartitionResult {
	progress := x.partitions[part]
	out := PartitionResult{
		Topic: t.source.Name, Partition: part.stream.View.Stream.Partition,
		TargetTopic: part.target.Topic, TargetPartition: part.target.Partition,
		Offsets: "translated", Why: part.why, Records: progress.records, IsShort: part.isShort,
		LogStartOffset: part.stream.View.LogStartOffset, NextOffset: part.stream.View.NextOffset, Cut: x.plan.cutOf(part),
		DroppedAborted: progress.aborted, DroppedUndecided: progress.pending, err: cmp.Or(progress.err, progress.configsErr),
	}
	if part.exact {
		out.Offsets, out.Why = "exact", ""
	}
	if out.err != nil {
		out.Error = out.err.Error()
	}
	return out
}

func (g *groupPlan) result() GroupResult {
	out := GroupResult{Group: g.recorded.Name, Status: g.status, Offsets: []GroupOffsetResult{}, LeftOut: g.leftOut}
	if g.err != nil {
		out.Error = g.err.Error()
	}
	for _, o := range g.offsets {
		out.Offsets = append(out.Offsets, GroupOffsetResult{
			Topic: o.into.Topic, Partition: o.into.Partition,
			SourceOffset: o.recorded.Offset, TargetOffset: o.target, Metadata: o.recorded.Metadata,
		})
	}
	return out
}
