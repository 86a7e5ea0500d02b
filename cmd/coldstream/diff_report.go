package main

import (
	"errors"
	"fmt"

	"coldstream/internal/recorddiff"
	"coldstream/vault"
)

type diffDocument struct {
	header
	Snapshot    string               `json:"snapshot"`
	With        string               `json:"with,omitempty"` // the other snapshot, if it is not a cluster
	ClusterID   string               `json:"cluster_id"`
	Records     int64                `json:"records"` // that are the same
	Differences []differenceDocument `json:"differences"`
	Partitions  []comparedDocument   `json:"partitions"`
	Failed      []failedDiffDocument `json:"failed"`
}

// differenceDocument is a partition that is not the same on both sides.
type differenceDocument struct {
	Topic           string `json:"topic"`
	Partition       int32  `json:"partition"`
	TargetTopic     string `json:"target_topic"`
	TargetPartition int32  `json:"target_partition"`
	// FirstOffset is the first one that differs; Count is how many offsets do.
	FirstOffset int64  `json:"first_offset"`
	Count       int64  `json:"count"`
	Kind        string `json:"kind"`   // content, missing_in_snapshot, missing_in_cluster, missing_in_other, no_partition
	Detail      string `json:"detail"` // what of the record
}

type comparedDocument struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	offsetRange
	Records      int64         `json:"records"`
	SnapshotOnly []offsetRange `json:"snapshot_only"`
	OtherOnly    []offsetRange `json:"other_only"`
	// Counts of records that only one side has, and that are no difference.
	CompactedAway int64 `json:"compacted_away"`
	NotCommitted  int64 `json:"not_committed"`
	InGaps        int64 `json:"in_gaps"`
}

// offsetRange are offsets, NextOffset not among them.
type offsetRange struct {
	FirstOffset int64 `json:"first_offset"`
	NextOffset  int64 `json:"next_offset"`
}

func offsetRanges(all []recorddiff.Range) []offsetRange {
	return each(all, func(r recorddiff.Range) offsetRange { return offsetRange(r) })
}

type failedDiffDocument struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Error     string `json:"error"`
}

// report prints what came out, and ends with the code that says it.
func (d *diff) report(output string) error {
	document, damage := d.document()
	var err error
	if isMachineFormat(output) {
		err = writeDocument(d.env.stdout, output, document)
	} else {
		err = table(d.env.stdout, d.rows(document))
	}
	if err != nil {
		return err
	}
	for _, f := range document.Failed {
		d.env.note("not compared: %s", f.Error)
	}
	if err := noteDamage(d.env, damage); err != nil {
		return err
	}
	switch {
	case len(document.Differences) > 0:
		return &incomplete{exitDamage}
	case len(document.Failed) > 0:
		return &incomplete{exitIncomplete}
	}
	return nil
}

func (d *diff) document() (*diffDocument, []*vault.DamageError) {
	document := &diffDocument{
		header: header{SchemaVersion: schemaVersion}, Snapshot: d.snapshot.ID.String(), ClusterID: d.snapshot.ClusterID,
		Differences: []differenceDocument{}, Partitions: []comparedDocument{}, Failed: []failedDiffDocument{},
	}
	if d.with != nil {
		document.With = d.with.ID.String()
	}
	var damage []*vault.DamageError
	for _, p := range d.pairs {
		damage = append(damage, p.lost...)
		if p.err != nil {
			var known *vault.DamageError
			if !errors.As(p.err, &known) {
				document.Failed = append(document.Failed, failedDiffDocument{p.saved.Topic, p.saved.Partition, p.err.Error()})
			}
			continue
		}
		r := p.result
		document.Records += r.Records
		document.Partitions = append(document.Partitions, comparedDocument{
			p.saved.Topic, p.saved.Partition, offsetRange(r.Range), r.Records, offsetRanges(r.LeftOnly),
			offsetRanges(r.RightOnly), r.Compacted, r.LeftOut, r.Unknown,
		})
		if r.Differs() {
			document.Differences = append(document.Differences, differenceDocument{
				p.saved.Topic, p.saved.Partition, p.target.Topic, p.target.Partition, r.First, r.Count, d.kind(r.Kind), r.Detail,
			})
		}
	}
	return document, damage
}

// kind names a kind of difference by what the sides are.
func (d *diff) kind(kind string) string {
	if d.with != nil {
		return kindOf(kind, "other")
	}
	return kindOf(kind, "cluster")
}

func kindOf(kind, other string) string {
	switch kind {
	case recorddiff.MissingLeft:
		return "missing_in_snapshot"
	case recorddiff.MissingRight:
		return "missing_in_" + other
	case recorddiff.NothingToMeet:
		return "no_partition"
	}
	return kind
}

func (d *diff) other() string {
	if d.with != nil {
		return "snapshot " + d.with.ID.String()
	}
	return "the cluster"
}

func (d *diff) rows(document *diffDocument) []row {
	rows := []row{{"topic", "partition", "from", "to", "same", "different", "only in snapshot", "only in other", "left out"}}
	different := map[[2]any]int64{}
	for _, x := range document.Differences {
		different[[2]any{x.Topic, x.Partition}] = x.Count
	}
	for _, p := range document.Partitions {
		rows = append(rows, row{
			p.Topic, fmt.Sprint(p.Partition), fmt.Sprint(p.FirstOffset), fmt.Sprint(p.NextOffset), formatCount(p.Records),
			formatCount(different[[2]any{p.Topic, p.Partition}]), formatCount(offsetsOf(p.SnapshotOnly)), formatCount(offsetsOf(p.OtherOnly)),
			formatCount(p.CompactedAway + p.NotCommitted + p.InGaps),
		})
	}
	for _, x := range document.Differences {
		rows = append(rows, row{d.differenceText(&x)})
	}
	verdict := "no differences"
	if n := int64(len(document.Differences)); n > 0 {
		verdict = plural(n, "partition") + " with differences"
	}
	return append(rows, row{fmt.Sprintf("%s: snapshot %s against %s, %s the same", verdict, d.snapshot.ID, d.other(), plural(document.Records, "record"))})
}

func (d *diff) differenceText(x *differenceDocument) string {
	at := fmt.Sprintf("%s-%d", x.Topic, x.Partition)
	switch x.Kind {
	case recorddiff.Content:
		return fmt.Sprintf("%s differs at offset %d (%s), %s in all", at, x.FirstOffset, x.Detail, plural(x.Count, "record"))
	case "no_partition":
		return fmt.Sprintf("%s: %s has no partition %s-%d", at, d.other(), x.TargetTopic, x.TargetPartition)
	case "missing_in_snapshot":
		return fmt.Sprintf("%s: offset %d is not in the snapshot, %s in all", at, x.FirstOffset, plural(x.Count, "difference"))
	}
	return fmt.Sprintf("%s: offset %d is not in %s, %s in all", at, x.FirstOffset, d.other(), plural(x.Count, "difference"))
}

func offsetsOf(ranges []offsetRange) (n int64) {
	for _, r := range ranges {
		n += r.NextOffset - r.FirstOffset
	}
	return n
}
