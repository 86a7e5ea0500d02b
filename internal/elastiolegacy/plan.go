package elastiolegacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"coldstream"
	"coldstream/recordbatch"
)

// Existing is an incarnation of a topic that a vault holds from an earlier import.
type Existing struct {
	Number     int // see [TopicID]
	Partitions map[int32]Range
	// Records yields what the vault holds of a partition from an offset on.
	Records func(ctx context.Context, partition int32, from int64) iter.Seq2[recordbatch.Absolute, error]
}

// Plan says what is to be backed up.
type Plan struct {
	// Sources are backed up one after the other. No topic is twice in one of them.
	Sources []*Source
	// Reborn are incarnations made because a known offset has another record.
	Reborn []Reborn
	// LeftOut are records that cannot be added to what the vault holds.
	LeftOut []LeftOut
}

// Reborn is a topic that begins anew.
type Reborn struct {
	Topic       string
	Incarnation int
	// At is where the records differ.
	At     coldstream.TopicPartition
	Offset int64
}

// LeftOut is a count of records of a partition, and why they cannot be added.
type LeftOut struct {
	coldstream.TopicPartition
	Records     int64
	FirstOffset int64
	Reason      string
}

// MakePlan compares the points with each other and with what the vault holds. Points of a
// topic that have other records at the same offsets are of different incarnations, in the
// order in which the points were added.
func (im *Import) MakePlan(ctx context.Context, existing func(topic string) ([]Existing, error)) (*Plan, error) {
	plan := &Plan{}
	for _, topic := range im.Topics() {
		known, err := existing(topic)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(known, func(a, b Existing) int { return cmp.Compare(b.Number, a.Number) }) // the newest first
		lifetimes, err := im.lifetimes(ctx, topic)
		if err != nil {
			return nil, err
		}
		next := 0
		if len(known) > 0 {
			next = known[0].Number + 1
		}
		for i, l := range lifetimes {
			if err := plan.settle(ctx, l, known, &next); err != nil {
				return nil, err
			}
			if i == len(plan.Sources) {
				plan.Sources = append(plan.Sources, &Source{})
			}
			plan.Sources[i].topics = append(plan.Sources[i].topics, l)
		}
	}
	return plan, nil
}

// lifetimes parts the points of a topic where their records contradict each other.
func (im *Import) lifetimes(ctx context.Context, topic string) ([]*lifetime, error) {
	var out []*lifetime
	for _, p := range im.pointsOf(topic) {
		l := &lifetime{topic: topic, points: []*pointFile{p}}
		if n := len(out); n > 0 {
			joined := append(slices.Clone(out[n-1].points), p)
			var err error
			if l.conflict, err = findConflict(ctx, joined, p, topic); err != nil {
				return nil, err
			}
			if l.conflict == nil {
				out[n-1].points = joined
				continue
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// findConflict looks for two records at one offset, where the last point overlaps others.
func findConflict(ctx context.Context, points []*pointFile, last *pointFile, topic string) (*conflictError, error) {
	for _, tp := range slices.SortedFunc(maps.Keys(last.partitions), coldstream.TopicPartition.Compare) {
		if tp.Topic != topic || !overlaps(points, last, tp) {
			continue
		}
		for r, err := range merged(points, tp, last.partitions[tp].firstOffset) {
			var conflict *conflictError
			if errors.As(err, &conflict) {
				return conflict, nil
			}
			if err := errors.Join(err, ctx.Err()); err != nil {
				return nil, err
			}
			if r.Offset >= last.partitions[tp].lastOffset {
				break
			}
		}
	}
	return nil, nil //nolint:nilnil // no conflict
}

func overlaps(points []*pointFile, last *pointFile, tp coldstream.TopicPartition) bool {
	ours := last.partitions[tp]
	return slices.ContainsFunc(points, func(p *pointFile) bool {
		theirs := p.partitions[tp]
		return p != last && theirs != nil && theirs.firstOffset <= ours.lastOffset && ours.firstOffset <= theirs.lastOffset
	})
}

// settle finds the incarnation that a lifetime goes on, or makes a new one. With no record
// in common the newest is continued.
func (plan *Plan) settle(ctx context.Context, l *lifetime, known []Existing, next *int) error {
	conflict := l.conflict
	for i := range known {
		c, err := l.compare(ctx, &known[i])
		if err != nil {
			return err
		}
		if c.conflict != nil {
			conflict = cmp.Or(conflict, c.conflict)
			continue
		}
		if i > 0 && c.same == 0 {
			continue // nothing says that it is this one
		}
		l.number, l.known = known[i].Number, known[i].Partitions
		plan.LeftOut = append(plan.LeftOut, c.leftOut...)
		return nil
	}
	l.number = *next
	*next++
	if conflict != nil {
		plan.Reborn = append(plan.Reborn, Reborn{l.topic, l.number, conflict.TopicPartition, conflict.offset})
	}
	return nil
}

// comparison is how a lifetime fits what the vault holds.
type comparison struct {
	same     int64
	conflict *conflictError
	leftOut  []LeftOut
}

func (l *lifetime) compare(ctx context.Context, with *Existing) (*comparison, error) {
	c := &comparison{}
	tps := map[coldstream.TopicPartition]bool{}
	for _, p := range l.points {
		for tp := range p.partitions {
			if tp.Topic == l.topic {
				tps[tp] = true
			}
		}
	}
	for _, tp := range slices.SortedFunc(maps.Keys(tps), coldstream.TopicPartition.Compare) {
		known, ok := with.Partitions[tp.Partition]
		if !ok {
			continue
		}
		if err := c.partition(ctx, l, tp, known, with); err != nil || c.conflict != nil {
			return c, err
		}
	}
	return c, nil
}

// partition walks over both, side by side, as far as the vault goes.
func (c *comparison) partition(ctx context.Context, l *lifetime, tp coldstream.TopicPartition, known Range, with *Existing) error {
	below := LeftOut{TopicPartition: tp, Reason: fmt.Sprintf("they lie below offset %d, where what the vault holds begins", known.FirstOffset)}
	inside := LeftOut{TopicPartition: tp, Reason: "they lie in a gap of what the vault holds, and saved offsets do not change"}
	theirs, stop := iter.Pull2(with.Records(ctx, tp.Partition, known.FirstOffset))
	defer stop()
	have, err, more := theirs()
	for r, mergeErr := range merged(l.points, tp, 0) {
		if mergeErr != nil {
			return mergeErr
		}
		if r.Offset >= known.NextOffset {
			break
		}
		for more && err == nil && have.Offset < r.Offset {
			have, err, more = theirs()
		}
		switch {
		case more && err != nil:
			return fmt.Errorf("read what the vault holds of %s: %w", tp, err)
		case r.Offset < known.FirstOffset:
			below.add(r.Offset)
		case !more || have.Offset > r.Offset:
			inside.add(r.Offset)
		case !isSame(&have, &r):
			c.conflict = &conflictError{tp, r.Offset}
			return nil
		default:
			c.same++
		}
	}
	for _, left := range []LeftOut{below, inside} {
		if left.Records > 0 {
			c.leftOut = append(c.leftOut, left)
		}
	}
	return nil
}

func (l *LeftOut) add(offset int64) {
	if l.Records++; l.Records == 1 {
		l.FirstOffset = offset
	}
}
