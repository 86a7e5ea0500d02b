package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coldstream"
	"coldstream/internal/recorddiff"
	"coldstream/kafka/embedded"
	"coldstream/vault"
)

// restoreTestDocument is what came out of a restore test. It is kept in the vault.
type restoreTestDocument struct {
	ID           string `json:"id"`
	Snapshot     string `json:"snapshot"`
	SnapshotTime string `json:"snapshot_time"`
	ClusterID    string `json:"cluster_id"` // that the snapshot is of
	Started      string `json:"started"`
	Finished     string `json:"finished"`
	RestoreMs    int64  `json:"restore_ms"`
	CompareMs    int64  `json:"compare_ms"`
	// IsRealBroker is false for the embedded broker, which takes what others may refuse.
	IsRealBroker bool   `json:"real_broker"`
	Bootstrap    string `json:"bootstrap_server,omitempty"` // of a real one
	OK           bool   `json:"ok"`

	TopicCount     int   `json:"topic_count"`
	PartitionCount int   `json:"partition_count"`
	TranslatedFrom int   `json:"translated_partitions"` // whose records have other offsets there
	Records        int64 `json:"records"`               // that are the same

	Differences []differenceDocument `json:"differences"`
	Failed      []failedDiffDocument `json:"failed"`
	Damage      []string             `json:"damage"`
	TopicsLeft  []string             `json:"topics_left,omitempty"` // that could not be deleted
	Error       string               `json:"error,omitempty"`       // that ended the test
}

// embeddedOptions reach a broker in this process.
func embeddedOptions(c *embedded.Cluster) clusterOptions {
	return clusterOptions{bootstrap: strings.Join(c.Addrs(), ","), connectTimeout: 15 * time.Second, patience: time.Minute}
}

// fill completes the document with what became of the partitions.
func (d *drill) fill() {
	t := &d.took
	t.Differences, t.Failed, t.Damage = []differenceDocument{}, []failedDiffDocument{}, []string{}
	t.TopicCount = len(d.topics)
	if d.result != nil {
		t.PartitionCount = len(d.result.Partitions)
		for i := range d.result.Partitions {
			if p := &d.result.Partitions[i]; p.Error != "" {
				t.Failed = append(t.Failed, failedDiffDocument{p.Topic, p.Partition, p.Error})
			}
		}
	}
	for _, p := range d.pairs {
		d.fillPair(p)
	}
	for _, found := range d.damage {
		t.Damage = append(t.Damage, found.Error())
	}
	t.OK = t.Error == "" && len(t.Differences)+len(t.Failed)+len(t.Damage) == 0
}

func (d *drill) fillPair(p *pair) {
	t := &d.took
	if p.placement == recorddiff.OtherOffsets {
		t.TranslatedFrom++
	}
	var damage *vault.DamageError
	switch {
	case errors.As(p.err, &damage):
		d.damage = append(d.damage, damage)
	case p.err != nil:
		t.Failed = append(t.Failed, failedDiffDocument{p.saved.Topic, p.saved.Partition, p.err.Error()})
	case p.result != nil:
		t.Records += p.result.Records
		if p.result.Differs() {
			t.Differences = append(t.Differences, differenceDocument{
				p.saved.Topic, p.saved.Partition, p.target.Topic, p.target.Partition, p.result.First, p.result.Count, kindOf(p.result.Kind, "cluster"), p.result.Detail,
			})
		}
	}
}

// code is the exit code that says what came out.
func (d *drill) code() int {
	t := &d.took
	switch {
	case len(t.Differences)+len(t.Damage) > 0, d.result != nil && d.result.Damaged():
		return exitDamage
	case len(t.Failed)+len(t.TopicsLeft) > 0:
		return exitIncomplete
	}
	return exitDone
}

// lines say it to people.
func (d *drill) lines() []string {
	t := &d.took
	var lines []string
	for _, x := range t.Differences {
		lines = append(lines, fmt.Sprintf("%s-%d is not what was saved: %s from offset %d on (%s)",
			x.Topic, x.Partition, plural(x.Count, "difference"), x.FirstOffset, strings.TrimSuffix(x.Kind+", "+x.Detail, ", ")))
	}
	for _, f := range t.Failed {
		lines = append(lines, fmt.Sprintf("%s-%d was not restored, or could not be compared: %s", f.Topic, f.Partition, f.Error))
	}
	what := fmt.Sprintf("%s of %s of snapshot %s", plural(t.Records, "record"), plural(int64(t.TopicCount), "topic"), t.Snapshot)
	verdict := "restore test passed: " + what + " came back as they were saved"
	if !t.OK {
		verdict = "restore test failed: only " + what + " came back as they were saved"
	}
	times := fmt.Sprintf("restored in %s, compared in %s", milliseconds(t.RestoreMs), milliseconds(t.CompareMs))
	into := ", in cluster " + t.Bootstrap
	if !t.IsRealBroker {
		into = ", in an embedded broker. It is no real broker: Apache Kafka may refuse what it takes. With -b the test is made in a cluster"
	}
	return append(lines, verdict, times+into)
}

func milliseconds(ms int64) string { return formatDuration(time.Duration(ms) * time.Millisecond) }

// restoreTests reads the tests of a vault's snapshots, the oldest first, by the snapshots' IDs. With
// an error come those that could be read.
func restoreTests(ctx context.Context, v *vault.Vault) (map[string][]restoreTestDocument, error) {
	documents, err := v.RestoreTests(ctx)
	out := map[string][]restoreTestDocument{}
	for _, document := range documents {
		var t restoreTestDocument
		if wrong := json.Unmarshal(document, &t); wrong != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", coldstream.ErrCorrupt, wrong))
			continue
		}
		out[t.Snapshot] = append(out[t.Snapshot], t)
	}
	for _, tests := range out {
		slices.SortFunc(tests, func(a, b restoreTestDocument) int { return strings.Compare(a.Started, b.Started) })
	}
	return out, err
}
