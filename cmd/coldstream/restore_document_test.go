package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/restore"
)

// The names in the document are promised, and lists are never null.
func TestRestoreDocument(t *testing.T) {
	partition := int32(7)
	for _, tt := range []struct {
		result restore.Result
		want   string
	}{
		{restore.Result{Restore: "r", Snapshot: "s", TimeDoubts: []string{}, NotChecked: []string{}},
			`{"schema_version":1,"restore":"r","snapshot":"s","time_doubts":[],"partitions":[],"groups":[],"groups_missing":[],` +
				`"retention_held":[],"configs_left_out":[],"configs_differ":[],"not_checked":[]}`},
		{restore.Result{
			Restore: "r", Snapshot: "s", TimeDoubts: []string{"t"}, OffsetMapOf: "o",
			Partitions: []restore.PartitionResult{
				{Topic: "a", TargetTopic: "b", TargetPartition: 1, Offsets: "exact", Records: 2, LogStartOffset: 5, NextOffset: 9, DroppedAborted: 3, DroppedUndecided: 4},
				{Topic: "a", Partition: 1, Offsets: "translated", Why: "w", IsShort: true, Error: "e"},
			},
			Groups: []restore.GroupResult{{
				Group: "g", Status: "refused", Error: "e",
				Offsets: []restore.GroupOffsetResult{{Topic: "b", Partition: 1, SourceOffset: 2, TargetOffset: 3, Metadata: "m"}},
				LeftOut: []restore.LeftOutOffset{{Topic: "c", Partition: 1, SourceOffset: 2, Reason: "r"}},
			}},
			GroupsMissing:  []coldstream.MissingGroups{{CoordinatorPartition: &partition, Err: errors.New("e")}},
			RetentionHeld:  []restore.HeldConfig{{Topic: "b", Config: "c", Value: "v", Command: "k"}},
			ConfigsLeftOut: []restore.LeftOutConfig{{Topic: "b", Config: "c", Value: "v", Reason: "r"}},
			ConfigsDiffer:  []restore.DifferingConfig{{Topic: "b", Config: "c", SourceValue: "1", SourceSource: "x", TargetValue: "2", TargetSource: "y", Set: true}},
			NotChecked:     []string{"n"}, Damage: []string{"d"},
		}, `{"schema_version":1,"restore":"r","snapshot":"s","time_doubts":["t"],"offset_map_of":"o",` +
			`"partitions":[{"topic":"a","partition":0,"target_topic":"b","target_partition":1,"offsets":"exact","records":2,"log_start_offset":5,"next_offset":9,"dropped_aborted":3,"dropped_undecided":4},` +
			`{"topic":"a","partition":1,"target_topic":"","target_partition":0,"offsets":"translated","why":"w","records":0,"log_start_offset":0,"next_offset":0,"dropped_aborted":0,"dropped_undecided":0,"short":true,"error":"e"}],` +
			`"groups":[{"group":"g","status":"refused","error":"e","offsets":[{"topic":"b","partition":1,"source_offset":2,"target_offset":3,"metadata":"m"}],` +
			`"left_out":[{"topic":"c","partition":1,"source_offset":2,"reason":"r"}]}],"groups_missing":[{"coordinator_partition":7,"error":"e"}],` +
			`"retention_held":[{"topic":"b","config":"c","value":"v","command":"k"}],"configs_left_out":[{"topic":"b","config":"c","value":"v","reason":"r"}],` +
			`"configs_differ":[{"topic":"b","config":"c","source_value":"1","source_source":"x","target_value":"2","target_source":"y","set":true}],` +
			`"not_checked":["n"],"damage":["d"]}`},
	} {
		var got bytes.Buffer
		if err := writeDocument(&got, "json", restoreDocument{header{SchemaVersion: schemaVersion}, newRestoredDocument(&tt.result)}); err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("\n", "", "  ", "", `": `, `":`).Replace(got.String())
		if diff := cmp.Diff(tt.want, text); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
