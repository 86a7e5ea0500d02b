package protection

import (
	"sync"
	"time"

	"coldstream"
	"coldstream/backup"
)

// Live says how well a continuous backup protects topics, from its state and its events. It is
// an Observer, and safe for use by several goroutines.
type Live struct {
	// Status is the state of the backup; nil while there is none.
	Status func() *backup.Status
	// Now is the clock.
	Now func() time.Time
	// VaultID goes into documents.
	VaultID string
	// MaxRPO is the bound of a topic; 0 is none.
	MaxRPO func(topic string) time.Duration

	mu    sync.Mutex
	lost  map[string]*lostOffsets
	rates map[coldstream.TopicPartition]*rate
}

// lostOffsets are those of a topic since the process began.
type lostOffsets struct {
	offsets int64
	gaps    []coldstream.Gap // the newest, at most maxGaps
	found   []time.Time
}

// rate is where a log ended at two times: the older one is a minute old or more, once the log
// was seen for so long.
type rate struct {
	id         coldstream.TopicID
	older, new sample
}

type sample struct {
	at     time.Time
	offset int64
}

const (
	maxGaps    = 100 // of a topic, that are listed
	rateWindow = time.Minute
)

// Observe is [coldstream.Observer].
func (l *Live) Observe(event coldstream.Event) {
	gap, is := event.(*coldstream.GapFound)
	if !is {
		return
	}
	now := l.Now() // and not of the state: who observes may hold its lock
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		l.lost = map[string]*lostOffsets{}
	}
	of := l.lost[gap.Topic]
	if of == nil {
		of = &lostOffsets{}
		l.lost[gap.Topic] = of
	}
	of.offsets += gap.NextOffset - gap.FirstOffset
	if len(of.gaps) == maxGaps {
		of.gaps, of.found = of.gaps[1:], of.found[1:]
	}
	of.gaps, of.found = append(of.gaps, gap.Gap), append(of.found, now)
}

// Document is how well the backup protects its topics now. It is false while there is none.
// Gaps are those since the process began.
func (l *Live) Document() (*Document, bool) {
	s := l.Status()
	if s == nil {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &Document{SchemaVersion: 1, Time: timestamp(s.Now), ClusterID: s.ClusterID, VaultID: l.VaultID, Topics: []Topic{}, Writers: []Writer{}}
	rates := make(map[coldstream.TopicPartition]*rate, len(l.rates))
	for i := range s.Topics {
		t := l.topic(s, &s.Topics[i], rates)
		if t.OK != nil {
			ok := *t.OK && (d.OK == nil || *d.OK)
			d.OK = &ok
		}
		d.Topics = append(d.Topics, t)
	}
	l.rates = rates // those of partitions that are gone go too
	for _, w := range s.Writers {
		d.Writers = append(d.Writers, Writer{Writer: w.Writer, LastCommit: timestamp(w.Time)})
	}
	return d, true
}

func (l *Live) topic(s *backup.Status, of *backup.TopicStatus, rates map[coldstream.TopicPartition]*rate) Topic {
	facts := &Facts{
		Topic: coldstream.Topic{
			Name: of.Topic, ID: of.TopicID, Err: of.Err,
			CleanupPolicy: of.CleanupPolicy, Retention: of.Retention, RetentionBytes: of.RetentionBytes,
		},
		SavedAt: of.SavedAt, Now: s.Now, Before: s.Now.Add(-rateWindow),
	}
	for i := range of.Partitions {
		p := &of.Partitions[i]
		log := Log{
			Partition: p.Partition, LogOffsets: p.LogOffsets, Saved: true, NextOffset: p.SavedOffset,
			StoredOffsets: p.Offsets, StoredBytes: p.Bytes, BeforeOffset: -1,
		}
		if p.Trouble != nil {
			log.Err = p.Trouble
		}
		if log.Err == nil {
			log.BeforeOffset = l.before(s.Now, of, p, rates)
		}
		facts.Logs = append(facts.Logs, log)
	}
	t := Judge(facts)
	t.List(facts.Logs)
	// What the backup says counts: it knows when it saw the ends.
	if t.RPOSeconds != nil || !of.SavedAt.IsZero() {
		t.RPOSeconds = seconds(of.RPO(s))
	}
	if lost := l.lost[of.Topic]; lost != nil {
		t.LostOffsets = lost.offsets
		for i, g := range lost.gaps {
			t.Gaps = append(t.Gaps, newGap(g, lost.found[i]))
		}
	}
	if !s.SnapshotTime.IsZero() {
		t.LastSnapshot, t.LastSnapshotTime = s.Snapshot, timestamp(s.SnapshotTime)
	}
	if l.MaxRPO != nil {
		if bound := l.MaxRPO(of.Topic); bound > 0 {
			t.Bound(bound)
		}
	}
	return t
}

// before is where a log would have ended a minute ago at the rate that was seen; -1 if none was.
func (l *Live) before(now time.Time, of *backup.TopicStatus, p *backup.PartitionStatus, rates map[coldstream.TopicPartition]*rate) int64 {
	tp := coldstream.TopicPartition{Topic: of.Topic, Partition: p.Partition}
	at := sample{now, p.HighWatermark}
	r := l.rates[tp]
	if r == nil || r.id != of.TopicID || at.offset < r.new.offset {
		r = &rate{id: of.TopicID, older: at, new: at}
	}
	if now.Sub(r.new.at) >= rateWindow {
		r.older, r.new = r.new, at
	}
	rates[tp] = r
	passed := now.Sub(r.older.at).Seconds()
	if passed < 1 {
		return -1
	}
	return p.HighWatermark - int64(float64(p.HighWatermark-r.older.offset)/passed*rateWindow.Seconds())
}
