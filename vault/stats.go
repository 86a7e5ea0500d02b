package vault

import (
	"context"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
)

// TopicStats is what the vault holds of the topics of one name.
type TopicStats struct {
	Topic      string
	Partitions int
	Stored     StoredStats
	// Days are by when data was saved: the day in UTC, as 2006-01-02.
	Days map[string]StoredStats
}

// StoredStats counts what is stored.
type StoredStats struct {
	Batches, Records int64
	// BatchBytes are those of batches as brokers sent them, PackBytes what they take in packs.
	BatchBytes, PackBytes int64
}

func (s *StoredStats) add(more StoredStats) {
	s.Batches, s.Records = s.Batches+more.Batches, s.Records+more.Records
	s.BatchBytes, s.PackBytes = s.BatchBytes+more.BatchBytes, s.PackBytes+more.PackBytes
}

// Stats is what the vault holds, by topics.
type Stats struct {
	*Catalog
	Topics []TopicStats // by name
	// Packs and PackBytes are all that the catalog names.
	Packs     int
	PackBytes int64
}

// ReadStats reads the rows of one topic after the other: memory grows with the frames of the
// largest topic, and with topics and days.
func (v *Vault) ReadStats(ctx context.Context) (*Stats, error) {
	var s *Stats
	_, err := v.withFacts(ctx, catalogOptions{reader: true, chapters: true}, func(c *Catalog) error {
		s = &Stats{Catalog: c}
		if err := c.readFacts(); err != nil {
			return err
		}
		for _, topic := range c.topics() {
			t := newTopicStatsMaker(topic)
			if err := c.eachFactsOf(ctx, topic, t.take); err != nil {
				return err
			}
			if t.out.Partitions = len(t.streams); t.out.Partitions > 0 {
				s.Topics = append(s.Topics, t.out)
			}
		}
		for _, size := range c.packs {
			s.Packs++
			s.PackBytes += size
		}
		return nil
	})
	return s, err
}

// topicStatsMaker counts the rows of one topic.
type topicStatsMaker struct {
	out     TopicStats
	streams map[coldstream.Stream]bool
	frames  map[frameOf]float64 // what part of it rows name, so that nothing of it counts twice
}

type frameOf struct {
	pack  format.PackID
	start int64
}

func newTopicStatsMaker(topic string) *topicStatsMaker {
	return &topicStatsMaker{out: TopicStats{Topic: topic, Days: map[string]StoredStats{}}, streams: map[coldstream.Stream]bool{}, frames: map[frameOf]float64{}}
}

func (t *topicStatsMaker) take(_ string, facts *format.Facts) error {
	starts := make([][]int64, len(facts.Packs))
	for i := range facts.Rows {
		r := &facts.Rows[i]
		t.streams[facts.StreamAt(r.Stream)] = true
		if r.Length == 0 {
			continue
		}
		p := &facts.Packs[r.Pack]
		if starts[r.Pack] == nil {
			starts[r.Pack] = p.FrameStarts()
		}
		frame := p.Frames[r.Frame]
		more := StoredStats{
			Batches: r.Batches, Records: r.Records, BatchBytes: r.Length,
			PackBytes: t.share(frameOf{p.ID, starts[r.Pack][r.Frame]}, r.Length, &frame),
		}
		t.out.Stored.add(more)
		day := time.UnixMilli(r.CommitMs).UTC().Format(time.DateOnly)
		of := t.out.Days[day]
		of.add(more)
		t.out.Days[day] = of
	}
	return nil
}

// share is what a row takes of its frame as stored. The shares of all rows add up to the whole bytes.
func (t *topicStatsMaker) share(of frameOf, length int64, frame *format.Frame) int64 {
	before := t.frames[of]
	after := min(1, before+float64(length)/float64(frame.DecodedLength))
	t.frames[of] = after
	stored := float64(frame.StoredLength)
	return int64(after*stored+0.5) - int64(before*stored+0.5)
}
