package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The documents of commands as their readers know them.

type backupReport struct {
	SchemaVersion  int               `json:"schema_version"`
	DryRun         bool              `json:"dry_run"`
	Snapshot       string            `json:"snapshot"`
	VaultHash      string            `json:"vault_hash"`
	TopicCount     int               `json:"topic_count"`
	PartitionCount int               `json:"partition_count"`
	Batches        int64             `json:"batches"`
	Records        int64             `json:"records"`
	BytesRead      int64             `json:"bytes_read"`
	BytesStored    int64             `json:"bytes_stored"`
	ObjectsStored  int64             `json:"objects_stored"`
	Gaps           []gapReport       `json:"gaps"`
	Forks          []json.RawMessage `json:"forks"`
	Rescanned      []rescannedReport `json:"rescanned"`
	Failed         []failedReport    `json:"failed"`
	Denied         []failedReport    `json:"denied"`
	GroupsMissing  []missingReport   `json:"groups_missing"`
}

// missingReport is a group that a snapshot lacks, or a partition whose groups it lacks.
type missingReport struct {
	Group                *string `json:"group"`
	CoordinatorPartition *int32  `json:"coordinator_partition"`
	Error                string  `json:"error"`
}

type rescannedReport struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Reason    string `json:"reason"`
}

type gapReport struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"first_offset"`
	NextOffset  int64  `json:"next_offset"`
	Cause       string `json:"cause"`
}

type failedReport struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Error     string `json:"error"`
}

type restoreReport struct {
	Damage         []string          `json:"damage"`
	Restore        string            `json:"restore"`
	Snapshot       string            `json:"snapshot"`
	DryRun         bool              `json:"dry_run"`
	Partitions     []partitionReport `json:"partitions"`
	Groups         []groupReport     `json:"groups"`
	GroupsMissing  []missingReport   `json:"groups_missing"`
	RetentionHeld  []heldReport      `json:"retention_held"`
	ConfigsLeftOut []leftOutReport   `json:"configs_left_out"`
}

type partitionReport struct {
	Topic            string `json:"topic"`
	Partition        int32  `json:"partition"`
	TargetTopic      string `json:"target_topic"`
	TargetPartition  int32  `json:"target_partition"`
	Offsets          string `json:"offsets"`
	Records          int64  `json:"records"`
	DroppedAborted   int64  `json:"dropped_aborted"`
	DroppedUndecided int64  `json:"dropped_undecided"`
}

type groupReport struct {
	Group   string              `json:"group"`
	Status  string              `json:"status"`
	Error   string              `json:"error"`
	Offsets []groupOffsetReport `json:"offsets"`
	LeftOut []leftOutOffset     `json:"left_out"`
}

type leftOutOffset struct {
	Topic        string `json:"topic"`
	Partition    int32  `json:"partition"`
	SourceOffset int64  `json:"source_offset"`
	Reason       string `json:"reason"`
}

type groupOffsetReport struct {
	Topic        string `json:"topic"`
	Partition    int32  `json:"partition"`
	SourceOffset int64  `json:"source_offset"`
	TargetOffset int64  `json:"target_offset"`
	Metadata     string `json:"metadata"`
}

type heldReport struct{ Topic, Config, Value string }

type leftOutReport struct{ Topic, Config string }

type snapshotReport struct {
	ID             string          `json:"id"`
	Time           string          `json:"time"`
	ClusterID      string          `json:"cluster_id"`
	TopicCount     int             `json:"topic_count"`
	PartitionCount int             `json:"partition_count"`
	Bytes          int64           `json:"bytes"`
	GroupsMissing  []missingReport `json:"groups_missing"`
}

// run runs a command on the world's vault.
func (w *world) run(name string, args ...string) outcome {
	w.Helper()
	return command(w.T, w.vars, append([]string{name, "--vault", w.vault, "-o", "json"}, args...)...)
}

// backup saves topics, all of them well.
func (w *world) backup(topics ...string) backupReport {
	w.Helper()
	return w.backupEnding(exitDone, topics...)
}

func (w *world) backupEnding(code int, topics ...string) backupReport {
	w.Helper()
	var r backupReport
	w.run("backup", "-b", w.bootstrap, "-t", strings.Join(topics, ",")).must(w.T, code).into(w.T, &r)
	return r
}

// restore restores what the arguments say, all of it well.
func (w *world) restore(args ...string) restoreReport {
	w.Helper()
	return w.restoreEnding(exitDone, args...)
}

func (w *world) restoreEnding(code int, args ...string) restoreReport {
	w.Helper()
	var r restoreReport
	w.restoring(args...).must(w.T, code).into(w.T, &r)
	return r
}

// restoring restores, and leaves what became of it to the caller.
func (w *world) restoring(args ...string) outcome {
	w.Helper()
	return w.run("restore", append([]string{"-b", w.bootstrap, "--yes"}, args...)...)
}

// restoreAs restores a topic under another name, which is its result.
func (w *world) restoreAs(source, target string, args ...string) string {
	w.Helper()
	w.restore(append([]string{"-t", source, "--map", source + "=" + target}, args...)...)
	return target
}

func (w *world) snapshots() []snapshotReport {
	w.Helper()
	var r struct {
		Snapshots []snapshotReport `json:"snapshots"`
	}
	w.run("snapshots").must(w.T, exitDone).into(w.T, &r)
	return r.Snapshots
}

// verify proves every byte of the vault.
func (w *world) verify() {
	w.Helper()
	var r struct {
		Problems     []json.RawMessage `json:"problems"`
		BytesChecked int64             `json:"bytes_checked"`
	}
	w.run("verify", "--deep").must(w.T, exitDone).into(w.T, &r)
	if len(r.Problems) > 0 || r.BytesChecked == 0 {
		w.Errorf("verify: %d problems in %d bytes", len(r.Problems), r.BytesChecked)
	}
}

// promised are the fields of the documents, written as paths; a field with [] is a list
// whose elements have the fields behind it. Further fields may come and go: they are
// listed here too, so that none comes unnoticed.
var promised = map[string][]string{
	"backup": {
		"schema_version", "snapshot", "vault_hash", "topic_count", "partition_count", "batches", "records", "bytes_read",
		"bytes_stored", "objects_stored", "gaps[].topic", "gaps[].partition", "gaps[].first_offset", "gaps[].next_offset",
		"gaps[].cause", "forks[]", "rescanned[]", "failed[]", "denied[]", "healed[]",
		"groups_missing[]", "time_doubts[]",
	},
	"restore": {
		"schema_version", "restore", "snapshot", "partitions[].topic", "partitions[].partition", "partitions[].target_topic",
		"partitions[].target_partition", "partitions[].offsets", "partitions[].records", "partitions[].dropped_aborted",
		"partitions[].dropped_undecided", "groups[].group", "groups[].status", "groups[].offsets[].topic",
		"groups[].offsets[].partition", "groups[].offsets[].source_offset", "groups[].offsets[].target_offset",
		"groups[].offsets[].metadata", "retention_held[].topic", "retention_held[].config", "retention_held[].value",
		"retention_held[].command", "configs_left_out[]", "configs_differ[]", "not_checked[]", "groups_missing[]", "time_doubts[]",
		"partitions[].why", // why offsets are translated
		"partitions[].log_start_offset", "partitions[].next_offset",
	},
	"snapshots": {
		"schema_version", "snapshots[].id", "snapshots[].time", "snapshots[].cluster_id", "snapshots[].topic_count",
		"snapshots[].partition_count", "snapshots[].bytes", "snapshots[].groups_missing[]", "snapshots[].time_doubts[]",
		"snapshots[].pinned", "snapshots[].restore_tests[]",
	},
	"verify": {
		"schema_version", "ok", "problems[]", "accepted[]", "bytes_checked", "snapshot_count", "pack_count", "partition_count",
	},
	"ls": {
		"schema_version", "snapshot", "topics[].topic", "topics[].topic_id", "topics[].partition_count",
		"topics[].partitions[].partition", "topics[].partitions[].log_start_offset", "topics[].partitions[].next_offset",
		"topics[].partitions[].leader_epoch", "groups_missing[]", "time_doubts[]",
		"cluster_id", "time", "topics[].bytes", "topics[].configs[].name", "topics[].configs[].value", "topics[].groups[]", "topics[].newest_record",
		"topics[].partitions[].bytes", "topics[].partitions[].gaps[]", "topics[].partitions[].newest_record", "topics[].partitions[].records", "topics[].records",
		"topics[].partitions[].forks[]", "topics[].partitions[].rescans",
	},
}

// fieldsOf lists the paths of the fields of a document, those of empty lists without
// their elements.
func fieldsOf(document any, prefix string) []string {
	switch v := document.(type) {
	case map[string]any:
		var out []string
		for name, value := range v {
			out = append(out, fieldsOf(value, strings.TrimPrefix(prefix+"."+name, "."))...)
		}
		return out
	case []any:
		var out []string
		for _, value := range v {
			out = append(out, fieldsOf(value, prefix+"[]")...)
		}
		if len(v) == 0 {
			out = append(out, prefix+"[]")
		}
		return out
	case nil:
		return []string{prefix + " is null"}
	}
	return []string{prefix}
}

// hasPromisedFields compares a document's fields with the promised ones.
func hasPromisedFields(t *testing.T, name string, o outcome) {
	t.Helper()
	var document map[string]any
	o.into(t, &document)
	got := fieldsOf(document, "")
	slices.Sort(got)
	want := slices.Sorted(slices.Values(promised[name]))
	same(t, fmt.Sprintf("fields of %s", name), slices.Compact(got), want)
	if !strings.HasPrefix(strings.TrimLeft(o.stdout, "{ \n"), `"schema_version": 1,`) {
		t.Errorf("%s does not begin with its version:\n%.200s", name, o.stdout)
	}
}
