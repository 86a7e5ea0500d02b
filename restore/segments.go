package restore

import (
	"math"
	"strconv"

	"coldstream/recordbatch"
)

// firstSegment follows what becomes the first segment of a target's log: the one that
// time retention looks at first, by its newest record. A broker begins the next segment
// where one is full, and also where the times of records lie far apart; so a new record
// does not save the old ones before it, whatever the vault keeps together with it.
type firstSegment struct {
	rollMs, rollBytes int64
	begun, ended      bool
	firstMs           int64 // of the first batch
	newestMs          int64
	sizeBytes         int64
}

func (t *topicPlan) firstSegment() firstSegment {
	return firstSegment{rollMs: t.limit("segment.ms"), rollBytes: t.limit("segment.bytes")}
}

// limit is the value of a config during the restore, which leaves it as it is or, in a
// topic that it makes, at its default.
func (t *topicPlan) limit(name string) int64 {
	value := t.known[name]
	if own, ok := t.existing.Config(name); ok {
		value = own
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return n
}

// add takes the next batch that was produced.
func (s *firstSegment) add(b recordbatch.Batch) {
	ms := b.MaxTimestampMs()
	switch {
	case s.ended:
		return
	case !s.begun:
		s.begun, s.firstMs, s.newestMs = true, ms, ms
	case s.firstMs >= 0 && ms-s.firstMs > s.rollMs, s.sizeBytes+int64(len(b)) > s.rollBytes:
		s.ended = true
		return
	}
	s.newestMs = max(s.newestMs, ms)
	s.sizeBytes += int64(len(b))
}

// retained is what retention sees of a topic now that it is restored: what the plan knew
// from the catalog, and the first segments as they came out.
func (x *execution) retained(t *topicPlan) retained {
	r := t.retained()
	for _, part := range t.partitions {
		s := x.partitions[part].segment
		if s.ended && s.newestMs >= 0 && (r.oldestMs < 0 || s.newestMs < r.oldestMs) {
			r.oldestMs = s.newestMs
		}
	}
	return r
}
