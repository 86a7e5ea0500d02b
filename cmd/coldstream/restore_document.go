package main

import (
	"coldstream"
	"coldstream/restore"
)

// restoredDocument is what a restore did, or would do. Its names are promised.
type restoredDocument struct {
	Restore        string                      `json:"restore"`
	Snapshot       string                      `json:"snapshot"`
	TimeDoubts     []string                    `json:"time_doubts"`
	At             string                      `json:"at,omitempty"`
	Archive        bool                        `json:"archive,omitempty"`
	OffsetMapOf    string                      `json:"offset_map_of,omitempty"`
	Partitions     []restoredPartitionDocument `json:"partitions"`
	Groups         []restoredGroupDocument     `json:"groups"`
	GroupsMissing  []missingGroupsDocument     `json:"groups_missing"`
	RetentionHeld  []heldConfigDocument        `json:"retention_held"`
	ConfigsLeftOut []leftOutConfigDocument     `json:"configs_left_out"`
	ConfigsDiffer  []differingConfigDocument   `json:"configs_differ"`
	NotChecked     []string                    `json:"not_checked"`
	Unfinished     bool                        `json:"unfinished,omitempty"`
	Damage         []string                    `json:"damage,omitempty"`
}

type restoredPartitionDocument struct {
	Topic           string `json:"topic"`
	Partition       int32  `json:"partition"`
	TargetTopic     string `json:"target_topic"`
	TargetPartition int32  `json:"target_partition"`
	Offsets         string `json:"offsets"`
	Why             string `json:"why,omitempty"`
	Records         int64  `json:"records"`
	// LogStartOffset and NextOffset are offsets at the source: what between them was restored.
	LogStartOffset   int64        `json:"log_start_offset"`
	NextOffset       int64        `json:"next_offset"`
	Cut              *cutDocument `json:"cut,omitempty"`
	DroppedAborted   int64        `json:"dropped_aborted"`
	DroppedUndecided int64        `json:"dropped_undecided"`
	IsShort          bool         `json:"short,omitempty"`
	Error            string       `json:"error,omitempty"`
}

type restoredGroupDocument struct {
	Group   string                   `json:"group"`
	Status  string                   `json:"status"`
	Error   string                   `json:"error,omitempty"`
	Offsets []restoredOffsetDocument `json:"offsets"`
	LeftOut []leftOutOffsetDocument  `json:"left_out,omitempty"`
}

type restoredOffsetDocument struct {
	Topic        string `json:"topic"`
	Partition    int32  `json:"partition"`
	SourceOffset int64  `json:"source_offset"`
	TargetOffset int64  `json:"target_offset"`
	Metadata     string `json:"metadata"`
}

type leftOutOffsetDocument struct {
	Topic        string `json:"topic"`
	Partition    int32  `json:"partition"`
	SourceOffset int64  `json:"source_offset"`
	Reason       string `json:"reason"`
}

type missingGroupsDocument struct {
	Group                *string `json:"group,omitempty"`
	CoordinatorPartition *int32  `json:"coordinator_partition,omitempty"`
	Error                string  `json:"error"`
}

type heldConfigDocument struct {
	Topic   string `json:"topic"`
	Config  string `json:"config"`
	Value   string `json:"value"`
	Command string `json:"command"`
}

type leftOutConfigDocument struct {
	Topic  string `json:"topic"`
	Config string `json:"config"`
	Value  string `json:"value"`
	Reason string `json:"reason"`
}

type differingConfigDocument struct {
	Topic        string `json:"topic"`
	Config       string `json:"config"`
	SourceValue  string `json:"source_value"`
	SourceSource string `json:"source_source"`
	TargetValue  string `json:"target_value"`
	TargetSource string `json:"target_source"`
	Set          bool   `json:"set"`
}

func newRestoredDocument(r *restore.Result) *restoredDocument {
	return &restoredDocument{
		Restore: r.Restore, Snapshot: r.Snapshot, TimeDoubts: r.TimeDoubts, OffsetMapOf: r.OffsetMapOf,
		At: optionalTime(r.At), Archive: r.Archive,
		Partitions: each(r.Partitions, func(p restore.PartitionResult) restoredPartitionDocument {
			return restoredPartitionDocument{
				p.Topic, p.Partition, p.TargetTopic, p.TargetPartition, p.Offsets, p.Why,
				p.Records, p.LogStartOffset, p.NextOffset, newCutDocument(p.Cut), p.DroppedAborted, p.DroppedUndecided, p.IsShort, p.Error,
			}
		}),
		Groups: each(r.Groups, func(g restore.GroupResult) restoredGroupDocument {
			return restoredGroupDocument{
				g.Group, g.Status, g.Error,
				each(g.Offsets, func(o restore.GroupOffsetResult) restoredOffsetDocument { return restoredOffsetDocument(o) }),
				each(g.LeftOut, func(o restore.LeftOutOffset) leftOutOffsetDocument { return leftOutOffsetDocument(o) }),
			}
		}),
		GroupsMissing:  newMissingGroupsDocuments(r.GroupsMissing),
		RetentionHeld:  each(r.RetentionHeld, func(h restore.HeldConfig) heldConfigDocument { return heldConfigDocument(h) }),
		ConfigsLeftOut: each(r.ConfigsLeftOut, func(c restore.LeftOutConfig) leftOutConfigDocument { return leftOutConfigDocument(c) }),
		ConfigsDiffer:  each(r.ConfigsDiffer, func(c restore.DifferingConfig) differingConfigDocument { return differingConfigDocument(c) }),
		NotChecked:     r.NotChecked, Damage: r.Damage, Unfinished: r.Unfinished,
	}
}

// newMissingGroupsDocuments is a list that is never null.
func newMissingGroupsDocuments(missing []coldstream.MissingGroups) []missingGroupsDocument {
	return each(missing, func(m coldstream.MissingGroups) missingGroupsDocument {
		return missingGroupsDocument{m.Group, m.CoordinatorPartition, m.Err.Error()}
	})
}

// each is a list that is never null.
func each[A, B any](all []A, convert func(A) B) []B {
	out := make([]B, len(all))
	for i := range all {
		out[i] = convert(all[i])
	}
	return out
}
