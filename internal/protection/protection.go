// Package protection says how well the topics of a cluster are protected: RPO, lag, and how
// long the brokers keep what is not saved yet. Who asks brings the ends of the logs and what is
// saved of them; the answer is the same for all who ask.
package protection

import (
	"math"
	"time"

	"coldstream"
)

// Document is how well a cluster is protected.
type Document struct {
	SchemaVersion int     `json:"schema_version"`
	Time          string  `json:"time"`
	ClusterID     string  `json:"cluster_id"`
	VaultID       string  `json:"vault_id"`
	OK            *bool   `json:"ok,omitempty"` // no topic is worse than its bound; left out without one
	Topics        []Topic `json:"topics"`
	// Writers are the processes that wrote to the vault lately.
	Writers []Writer `json:"writers"`
	// Configuration is that of a continuous backup; else it is left out.
	Configuration *Configuration `json:"configuration,omitempty"`
}

// Configuration says how old the configuration is that a process goes by, and what is wrong with
// what its files say now.
type Configuration struct {
	Read  string `json:"read"`
	Error string `json:"error,omitempty"`
}

// Topic is how well a topic is protected.
type Topic struct {
	Topic          string `json:"topic"`
	TopicID        string `json:"topic_id"`
	PartitionCount int    `json:"partition_count"`
	// Protected says that the vault once held all of it.
	Protected bool `json:"protected"`
	// RPOSeconds is 0 while every partition is saved to its end, else the time since all was;
	// null if it never was.
	RPOSeconds    *float64 `json:"rpo_seconds"`
	MaxRPOSeconds *float64 `json:"max_rpo_seconds,omitempty"`
	OK            *bool    `json:"ok,omitempty"`
	SavedAsOf     string   `json:"saved_as_of,omitempty"` // all that was there then is saved
	// BehindCount is the number of partitions that are not saved to their ends.
	BehindCount int   `json:"behind_count"`
	LagRecords  int64 `json:"lag_records"` // offsets that are not saved
	// LagBytes is an estimate; null if nobody tells sizes.
	LagBytes *int64 `json:"lag_bytes"`
	// HeadroomSeconds is how long the brokers keep, at present rates, the oldest record that is not
	// saved; null if they keep it without bound, or that is not known.
	HeadroomSeconds  *float64    `json:"headroom_seconds"`
	LostOffsets      int64       `json:"lost_offsets"`
	Gaps             []Gap       `json:"gaps"`
	LastSnapshot     string      `json:"last_snapshot,omitempty"`
	LastSnapshotTime string      `json:"last_snapshot_time,omitempty"`
	NewestRecord     string      `json:"newest_record,omitempty"` // highest timestamp of a saved record
	NewestRecordAge  *float64    `json:"newest_record_age_seconds"`
	ClockDoubt       bool        `json:"clock_doubt,omitempty"` // a time in the vault is ahead of this host's clock
	Errors           []Error     `json:"errors"`
	Partitions       []Partition `json:"partitions,omitempty"`
}

// Partition is how far a partition is saved.
type Partition struct {
	Partition      int32 `json:"partition"`
	LogStartOffset int64 `json:"log_start_offset"`
	HighWatermark  int64 `json:"high_watermark"`
	NextOffset     int64 `json:"next_offset"` // of what is saved
	LagRecords     int64 `json:"lag_records"`
}

// Gap is a range that was due and could not be saved.
type Gap struct {
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"first_offset"`
	NextOffset  int64  `json:"next_offset"`
	Cause       string `json:"cause"`
	Time        string `json:"time"`
}

// Error is what is not known; of the whole topic if Partition is -1.
type Error struct {
	Partition int32  `json:"partition"`
	Error     string `json:"error"`
}

// Writer is a process that writes to the vault.
type Writer struct {
	Writer     string `json:"writer"`
	Name       string `json:"name,omitempty"`
	Commits    int    `json:"commits"`
	LastCommit string `json:"last_commit"`
}

// Log is a partition's log, and what is saved of it.
type Log struct {
	Partition int32
	coldstream.LogOffsets
	// Saved says that the vault knows the partition, up to NextOffset.
	Saved      bool
	NextOffset int64
	SizeBytes  int64 // of the log on a broker; 0 if that is not known
	// StoredOffsets and StoredBytes are what the vault holds, to estimate from where brokers do not
	// tell sizes.
	StoredOffsets, StoredBytes int64
	// BeforeOffset is where the log ended at a time before now, for its rate; -1 if that is
	// not known.
	BeforeOffset int64
}

// Facts are what is known of a topic at a time.
type Facts struct {
	Topic coldstream.Topic
	Logs  []Log
	// SavedAt is as of when all of the topic was last saved; zero if it never was.
	SavedAt time.Time
	// Before is the time of the logs' BeforeOffset.
	Before, Now time.Time
}

// Judge says how well a topic is protected.
func Judge(f *Facts) Topic {
	t := Topic{
		Topic: f.Topic.Name, TopicID: f.Topic.ID.String(), PartitionCount: len(f.Logs), Protected: !f.SavedAt.IsZero(),
		Gaps: []Gap{}, Errors: []Error{},
	}
	if f.Topic.Err != nil {
		t.Errors = append(t.Errors, Error{-1, f.Topic.Err.Error()})
	}
	bytes, isKnown := int64(0), true
	for i := range f.Logs {
		l := &f.Logs[i]
		if l.Err != nil {
			t.Errors = append(t.Errors, Error{l.Partition, l.Err.Error()})
			t.BehindCount++ // as far as anybody knows
			continue
		}
		if !l.atEnd() {
			t.BehindCount++
		}
		t.LagRecords += l.lag()
		perOffset, ok := l.bytesPerOffset()
		bytes += int64(perOffset * float64(l.lag()))
		isKnown = isKnown && (ok || l.lag() == 0)
	}
	if isKnown {
		t.LagBytes = &bytes
	}
	t.judgeTime(f)
	return t
}

func (t *Topic) judgeTime(f *Facts) {
	saved := t.BehindCount == 0 && f.Topic.Err == nil
	switch {
	case saved:
		t.RPOSeconds = new(float64)
	case t.Protected:
		t.RPOSeconds = seconds(max(0, f.Now.Sub(f.SavedAt)))
	}
	if t.Protected {
		t.SavedAsOf = timestamp(f.SavedAt)
	}
	if headroom, bounded := f.headroom(); bounded && (saved || t.Protected) {
		t.HeadroomSeconds = &headroom
	}
}

// Bound sets how old what is saved may be, and says whether it is. Where nothing ever was saved it
// is older than any bound.
func (t *Topic) Bound(maxRPO time.Duration) {
	ok := t.RPOSeconds != nil && *t.RPOSeconds <= maxRPO.Seconds()
	t.MaxRPOSeconds, t.OK = seconds(maxRPO), &ok
}

// Lost lists a gap.
func (t *Topic) Lost(gap coldstream.Gap, found time.Time) {
	t.LostOffsets += gap.NextOffset - gap.FirstOffset
	t.Gaps = append(t.Gaps, newGap(gap, found))
}

func newGap(gap coldstream.Gap, found time.Time) Gap {
	return Gap{gap.Partition, gap.FirstOffset, gap.NextOffset, string(gap.Cause), timestamp(found)}
}

// List adds the partitions.
func (t *Topic) List(logs []Log) {
	for i := range logs {
		if l := &logs[i]; l.Err == nil {
			t.Partitions = append(t.Partitions, Partition{l.Partition, l.LogStartOffset, l.HighWatermark, l.next(), l.lag()})
		}
	}
}

// next is where what is not saved begins.
func (l *Log) next() int64 {
	if !l.Saved {
		return l.LogStartOffset
	}
	return l.NextOffset
}

// atEnd says that all is saved. A log that ends before what is saved has lost its end, and
// what was written since is not.
func (l *Log) atEnd() bool { return l.next() == l.HighWatermark }

func (l *Log) lag() int64 { return max(0, l.HighWatermark-max(l.next(), l.LogStartOffset)) }

// bytesPerOffset is an average of the log, or else of what the vault holds.
func (l *Log) bytesPerOffset() (float64, bool) {
	switch held := l.HighWatermark - l.LogStartOffset; {
	case l.SizeBytes > 0 && held > 0:
		return float64(l.SizeBytes) / float64(held), true
	case l.StoredOffsets > 0:
		return float64(l.StoredBytes) / float64(l.StoredOffsets), true
	}
	return 0, false
}

// headroom is how many seconds the brokers keep the oldest record that is not saved. By time: it was
// written after all was saved, so it stays for the retention from then on. By size: until the
// log has grown past the bound, at the rate of late. It is false if there is no bound.
func (f *Facts) headroom() (least float64, bounded bool) {
	if !coldstream.HasPolicy(f.Topic.CleanupPolicy, "delete") {
		return 0, false
	}
	least = math.Inf(1)
	for i := range f.Logs {
		l := &f.Logs[i]
		if l.Err != nil {
			continue
		}
		if l.Saved && l.NextOffset < l.LogStartOffset {
			return 0, true // overtaken already
		}
		if f.Topic.Retention > 0 {
			age := time.Duration(0)
			if !l.atEnd() {
				age = f.Now.Sub(f.SavedAt)
			}
			least = min(least, max(0, (f.Topic.Retention-age).Seconds()))
		}
		if f.Topic.RetentionBytes > 0 {
			least = min(least, f.untilFull(l))
		}
	}
	return least, !math.IsInf(least, 1)
}

// untilFull is when the log will have grown by so much that what is not saved is deleted.
func (f *Facts) untilFull(l *Log) float64 {
	window := f.Now.Sub(f.Before).Seconds()
	perOffset, ok := l.bytesPerOffset()
	if !ok || f.Before.IsZero() || window < 1 || l.BeforeOffset < 0 || l.HighWatermark <= l.BeforeOffset {
		return math.Inf(1)
	}
	perSecond := float64(l.HighWatermark-l.BeforeOffset) / window * perOffset
	left := float64(f.Topic.RetentionBytes) - float64(l.lag())*perOffset
	return max(0, left/perSecond)
}

func seconds(d time.Duration) *float64 {
	s := math.Round(d.Seconds()*1000) / 1000
	return &s
}

// timestamp writes a time as all documents do.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
