package restore

import "coldstream"

// What the records of a restore hold of its result. The names are part of what a vault stores.
type resultDocument struct {
	Restore        string                    `json:"restore"`
	Snapshot       string                    `json:"snapshot"`
	TimeDoubts     []string                  `json:"time_doubts"`
	OffsetMapOf    string                    `json:"offset_map_of,omitempty"`
	Partitions     []partitionDocument       `json:"partitions"`
	Groups         []groupDocument           `json:"groups"`
	GroupsMissing  []missingGroupsDocument   `json:"groups_missing"`
	RetentionHeld  []heldConfigDocument      `json:"retention_held"`
	ConfigsLeftOut []leftOutConfigDocument   `json:"configs_left_out"`
	ConfigsDiffer  []differingConfigDocument `json:"configs_differ"`
	NotChecked     []string                  `json:"not_checked"`
	Damage         []string                  `json:"damage,omitempty"`
}

type partitionDocument struct {
	Topic            string `json:"topic"`
	Partition        int32  `json:"partition"`
	TargetTopic      string `json:"target_topic"`
	TargetPartition  int32  `json:"target_partition"`
	Offsets          string `json:"offsets"`
	Why              string `json:"why,omitempty"`
	Records          int64  `json:"records"`
	DroppedAborted   int64  `json:"dropped_aborted"`
	DroppedUndecided int64  `json:"dropped_undecided"`
	IsShort          bool   `json:"short,omitempty"`
	Error            string `json:"error,omitempty"`
}

type groupDocument struct {
	Group   string                `json:"group"`
	Status  string                `json:"status"`
	Error   string                `json:"error,omitempty"`
	Offsets []groupOffsetDocument `json:"offsets"`
	LeftOut []leftOutDocument     `json:"left_out,omitempty"`
}

type groupOffsetDocument struct {
	Topic        string `json:"topic"`
	Partition    int32  `json:"partition"`
	SourceOffset int64  `json:"source_offset"`
	TargetOffset int64  `json:"target_offset"`
	Metadata     string `json:"metadata"`
}

type leftOutDocument struct {
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

func (r *Result) document() *resultDocument {
	return &resultDocument{
		Restore: r.Restore, Snapshot: r.Snapshot, TimeDoubts: r.TimeDoubts, OffsetMapOf: r.OffsetMapOf,
		Partitions: each(r.Partitions, func(p PartitionResult) partitionDocument {
			return partitionDocument{
				p.Topic, p.Partition, p.TargetTopic, p.TargetPartition, p.Offsets, p.Why,
				p.Records, p.DroppedAborted, p.DroppedUndecided, p.IsShort, p.Error,
			}
		}),
		Groups: each(r.Groups, func(g GroupResult) groupDocument {
			return groupDocument{
				g.Group, g.Status, g.Error,
				each(g.Offsets, func(o GroupOffsetResult) groupOffsetDocument { return groupOffsetDocument(o) }),
				each(g.LeftOut, func(o LeftOutOffset) leftOutDocument { return leftOutDocument(o) }),
			}
		}),
		GroupsMissing: each(r.GroupsMissing, func(m coldstream.MissingGroups) missingGroupsDocument {
			return missingGroupsDocument{m.Group, m.CoordinatorPartition, m.Err.Error()}
		}),
		RetentionHeld:  each(r.RetentionHeld, func(h HeldConfig) heldConfigDocument { return heldConfigDocument(h) }),
		ConfigsLeftOut: each(r.ConfigsLeftOut, func(c LeftOutConfig) leftOutConfigDocument { return leftOutConfigDocument(c) }),
		ConfigsDiffer:  each(r.ConfigsDiffer, func(c DifferingConfig) differingConfigDocument { return differingConfigDocument(c) }),
		NotChecked:     r.NotChecked, Damage: r.Damage,
	}
}

// each is a list that is never null.
func each[A, B any](all []A, convert func(A) B) []B {
	out := make([]B, len(all))
	for i := range all {
		out[i] = convert(all[i])
	}
	return out
}
