package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"coldstream/vault"
)

type statsOptions struct {
	global *globalOptions
	vault  vaultOptions
	days   int
}

func newStatsCommand(global *globalOptions, e *env) *cobra.Command {
	o := &statsOptions{global: global}
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Say what a vault holds, what it takes, and how it grows",
		Long: `Say what a vault holds, and what of that it saves room for. "snapshots show" is what each snapshot would
take if it were a copy by itself. A vault stores the records that snapshots share once, and compresses them.

For each topic, "data" is the size of the record batches as the brokers sent them, "stored" what they take
in packs. What was saved in each of the last days follows, by days in UTC. What a policy would free
says: coldstream forget --keep-daily 7 --dry-run

Exit codes: 0 done; 5 the vault is damaged, and some of it is not counted; 10 no vault; 12 wrong or no key.`,
		Example: `  coldstream stats --vault /srv/kafka-vault
  coldstream stats --days 30 -o json --vault /srv/kafka-vault`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runStats(cmd.Context(), o, e) },
	}
	o.vault.catalogIsEnough = true
	o.vault.addFlags(cmd, e)
	cmd.Flags().IntVar(&o.days, "days", 7, "list the growth of the newest `N` days in which something was saved")
	return cmd
}

type statsDocument struct {
	header
	SnapshotCount int `json:"snapshot_count"`
	// ObjectCount and Bytes are all that is in the storage.
	ObjectCount int64 `json:"object_count"`
	Bytes       int64 `json:"bytes"`
	PackCount   int   `json:"pack_count"`
	PackBytes   int64 `json:"pack_bytes"`
	// SnapshotsBytes is what snapshots would take, each by itself and not compressed.
	SnapshotsBytes int64 `json:"snapshots_bytes"`
	BatchBytes     int64 `json:"batch_bytes"`
	Records        int64 `json:"records"`
	// SavedByOffset was not stored again, SavedByCompression is what packs are smaller.
	SavedByOffset      int64                `json:"saved_by_offset"`
	SavedByCompression int64                `json:"saved_by_compression"`
	Topics             []statsTopicDocument `json:"topics"`
	Days               []statsDayDocument   `json:"days"`
}

type statsTopicDocument struct {
	Topic          string `json:"topic"`
	PartitionCount int    `json:"partition_count"`
	storedDocument
	Days []statsDayDocument `json:"days"`
}

type statsDayDocument struct {
	Day string `json:"day"`
	storedDocument
}

type storedDocument struct {
	Records     int64 `json:"records"`
	Batches     int64 `json:"batches"`
	BatchBytes  int64 `json:"batch_bytes"`
	BytesStored int64 `json:"bytes_stored"`
}

func newStoredDocument(s vault.StoredStats) storedDocument {
	return storedDocument{s.Records, s.Batches, s.BatchBytes, s.PackBytes}
}

func (d *storedDocument) add(more storedDocument) {
	d.Records, d.Batches = d.Records+more.Records, d.Batches+more.Batches
	d.BatchBytes, d.BytesStored = d.BatchBytes+more.BatchBytes, d.BytesStored+more.BytesStored
}

func runStats(ctx context.Context, o *statsOptions, e *env) error {
	if o.days < 0 {
		return usagef("", errors.New("--days must not be negative"))
	}
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	stats, err := v.ReadStats(ctx)
	if err != nil {
		return err
	}
	usage, err := v.Usage(ctx)
	if err != nil {
		return err
	}
	d := newStatsDocument(stats, o.days)
	d.ObjectCount, d.Bytes = usage.Objects, usage.Bytes
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, d)
	} else {
		err = table(e.stdout, d.rows())
	}
	if err != nil {
		return err
	}
	return noteDamage(e, stats.Damage())
}

func newStatsDocument(stats *vault.Stats, days int) *statsDocument {
	d := &statsDocument{
		header: header{SchemaVersion: schemaVersion}, PackCount: stats.Packs, PackBytes: stats.PackBytes,
		Topics: []statsTopicDocument{}, Days: []statsDayDocument{},
	}
	snapshots := stats.Snapshots()
	d.SnapshotCount = len(snapshots)
	for i := range snapshots {
		d.SnapshotsBytes += snapshots[i].SizeBytes
	}
	all := map[string]storedDocument{}
	for i := range stats.Topics {
		t := &stats.Topics[i]
		topic := statsTopicDocument{Topic: t.Topic, PartitionCount: t.Partitions, storedDocument: newStoredDocument(t.Stored)}
		of := map[string]storedDocument{}
		for day, stored := range t.Days {
			of[day] = newStoredDocument(stored)
			sum := all[day]
			sum.add(of[day])
			all[day] = sum
		}
		topic.Days = newestDays(of, days)
		d.BatchBytes, d.Records = d.BatchBytes+topic.BatchBytes, d.Records+topic.Records
		d.Topics = append(d.Topics, topic)
	}
	d.Days = newestDays(all, days)
	d.SavedByOffset = max(0, d.SnapshotsBytes-d.BatchBytes)
	d.SavedByCompression = max(0, d.BatchBytes-d.PackBytes)
	return d
}

// newestDays are the last days, the oldest first.
func newestDays(of map[string]storedDocument, days int) []statsDayDocument {
	out := []statsDayDocument{}
	names := slices.Sorted(maps.Keys(of))
	for _, day := range names[max(0, len(names)-days):] {
		out = append(out, statsDayDocument{day, of[day]})
	}
	return out
}

func (d *statsDocument) rows() []row {
	rows := []row{
		{"the vault takes", formatBytes(d.Bytes), "in " + plural(d.ObjectCount, "object")},
		{"packs take", formatBytes(d.PackBytes), "in " + plural(int64(d.PackCount), "pack")},
		{"they hold", formatBytes(d.BatchBytes), "in " + plural(d.Records, "record")},
		{"snapshots show", formatBytes(d.SnapshotsBytes), "in " + plural(int64(d.SnapshotCount), "snapshot")},
		{"not stored again", formatBytes(d.SavedByOffset), "because snapshots share it"},
		{"saved by compression", formatBytes(d.SavedByCompression), ""},
		{""},
		{"topic", "partitions", "records", "data", "stored"},
	}
	for i := range d.Topics {
		t := &d.Topics[i]
		rows = append(rows, row{t.Topic, fmt.Sprint(t.PartitionCount), formatCount(t.Records), formatBytes(t.BatchBytes), formatBytes(t.BytesStored)})
	}
	if len(d.Days) == 0 {
		return rows
	}
	rows = append(rows, row{""}, row{"day", "topic", "records", "data", "stored"})
	for _, day := range d.Days {
		rows = append(rows, row{day.Day, "all", formatCount(day.Records), formatBytes(day.BatchBytes), formatBytes(day.BytesStored)})
		for i := range d.Topics {
			for _, of := range d.Topics[i].Days {
				if of.Day == day.Day && len(d.Topics) > 1 {
					rows = append(rows, row{"", d.Topics[i].Topic, formatCount(of.Records), formatBytes(of.BatchBytes), formatBytes(of.BytesStored)})
				}
			}
		}
	}
	return rows
}
