package kafka

import (
	"cmp"
	"context"
	"slices"
	"time"

	"coldstream"
)

const (
	// followMaxWait is how long a broker may hold a request for partitions that are read to
	// their ends: an idle cluster is asked so seldom.
	followMaxWait = 2 * time.Second
	// followPace is the least time between two requests for partitions that are read to their
	// ends, where the first was answered with data: a record here and one there must not
	// cost a request for all partitions each.
	followPace = 250 * time.Millisecond
	// followAtOnce is how many partitions are caught up with at a time, in the order of the
	// plan, so that what is stored together is of few topics.
	followAtOnce = 64
	// followTurn is what is read of one of them before others have their turn.
	followTurn       = 16 << 20
	followMaxResting = 10_000
	followIdleWait   = 100 * time.Millisecond
)

// followState is what a partition has besides, if its log is followed. Its engine's mutex
// guards what is told by [fetchEngine.Seen]; the rest is as in fetchPartition.
type followState struct {
	order  int  // of the plan
	atEnd  bool // all was read when its broker last answered
	remove bool
	served int64 // bytes since it was last at its end
	asked  time.Time

	seen coldstream.LogSeen
}

// Follow is [coldstream.Follower.Follow].
func (c *Client) Follow(sink coldstream.FetchSink) coldstream.Following {
	return &fetchEngine{
		client: c, sink: sink, follows: true, done: make(chan struct{}),
		byTP: map[coldstream.TopicPartition]*fetchPartition{}, workers: map[fetchWorker]bool{}, restingAsked: map[fetchWorker]time.Time{},
	}
}

// Run implements [coldstream.Following].
func (e *fetchEngine) Run(ctx context.Context) error {
	if err := e.client.openFetchClients(); err != nil {
		return err
	}
	return e.runWorkers(ctx)
}

// Add implements [coldstream.Following].
func (e *fetchEngine) Add(positions ...coldstream.FetchPosition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, position := range positions {
		p := newFetchPartition(position, e.added)
		p.followed.order = e.added
		p.followed.seen.TopicPartition = p.TopicPartition
		e.added++
		e.partitions = append(e.partitions, p)
		e.byTP[p.TopicPartition] = p
	}
}

// Remove implements [coldstream.Following].
func (e *fetchEngine) Remove(partitions ...coldstream.TopicPartition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, tp := range partitions {
		if p := e.byTP[tp]; p != nil {
			p.followed.remove = true
		}
	}
}

// Seen implements [coldstream.Following].
func (e *fetchEngine) Seen() []coldstream.LogSeen {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]coldstream.LogSeen, 0, len(e.partitions))
	for _, p := range e.partitions {
		out = append(out, p.followed.seen)
	}
	return out
}

// dismiss ends the partitions that are to be removed and that nobody is asking for.
func (e *fetchEngine) dismiss(ctx context.Context) error {
	for _, p := range e.takeIdle(func(p *fetchPartition) bool { return p.followed.remove }) {
		if err := e.end(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// forget lets go of a partition that ended. The caller holds the mutex.
func (e *fetchEngine) forget(p *fetchPartition) {
	if e.byTP[p.TopicPartition] == p {
		delete(e.byTP, p.TopicPartition)
	}
	e.partitions = slices.DeleteFunc(e.partitions, func(other *fetchPartition) bool { return other == p })
}

// see takes in the end of a log that goes on: what lies before it is due.
func (p *fetchPartition) see(highWatermark int64) {
	p.StopOffset = max(p.NextOffset, highWatermark)
	p.followed.atEnd = p.NextOffset >= highWatermark
}

// rest says that all was read, for now.
func (p *fetchPartition) rest() {
	p.answered()
	p.empty, p.truncations = 0, 0
	p.followed.atEnd, p.followed.served = true, 0
}

// noteServed counts what was read, so that others have their turn.
func (p *fetchPartition) noteServed(bytes int) {
	p.followed.served += int64(bytes)
	if p.NextOffset >= p.StopOffset {
		p.rest()
	}
}

// noteSeen keeps what Seen tells. The caller holds the mutex, and the partition is not busy.
func (p *fetchPartition) noteSeen() {
	s := &p.followed.seen
	if !p.followed.asked.IsZero() && p.failing.count == 0 && p.missing.IsZero() {
		s.LogOffsets, s.At = p.log, p.followed.asked
	}
	s.Trouble, s.Since = p.failing.err, p.failing.first
	if p.failing.count == 0 {
		s.Trouble, s.Since = nil, time.Time{}
	}
}

// chooseFollowed makes the partitions of the next request busy: some that have more to read
// than was read, and those that were not looked at for a while. The caller holds the mutex.
func (e *fetchEngine) chooseFollowed(w fetchWorker, turn fetchTurn) fetchTurn {
	now := time.Now()
	var behind, resting []*fetchPartition
	for _, p := range e.partitions {
		switch {
		case !p.isFor(w, now):
		case p.followed.atEnd:
			resting = append(resting, p)
		default:
			behind = append(behind, p)
		}
	}
	slices.SortStableFunc(behind, func(a, b *fetchPartition) int {
		return cmp.Or(cmp.Compare(a.followed.served/followTurn, b.followed.served/followTurn), cmp.Compare(a.followed.order, b.followed.order))
	})
	if now.Sub(e.restingAsked[w]) < followPace {
		resting = nil
	}
	if len(behind) > 0 && behind[0].alone {
		behind, resting = behind[:1], nil
	}
	behind = slices.DeleteFunc(behind, func(p *fetchPartition) bool { return p.alone && p != behind[0] })
	behind = behind[:min(len(behind), followAtOnce)]
	if len(resting) > followMaxResting {
		slices.SortStableFunc(resting, func(a, b *fetchPartition) int { return a.followed.asked.Compare(b.followed.asked) })
		resting = resting[:followMaxResting]
	}
	if len(behind) == 0 {
		turn.maxWait = followMaxWait
	}
	turn.partitions = append(behind, resting...)
	for _, p := range turn.partitions {
		p.busy, p.followed.asked = true, now
	}
	if len(resting) > 0 {
		e.restingAsked[w] = now
	}
	return turn
}
