package backup

import (
	"context"

	"golang.org/x/sync/errgroup"

	"coldstream/vault"
)

// sentAtOnce is how many packs are under way to the storage while the next one fills: one
// whose commit is made, and one more to be sent meanwhile.
const sentAtOnce = 2

// shipment is a pack that is stored while others are made, and committed in its turn: after
// those that were sent before it, or else not at all. What failed stays, and can be
// committed once more when all have ended.
type shipment struct {
	changes vault.Changes
	before  *shipment     // nil if that had ended
	ended   chan struct{} // closed when err does not change any more
	err     error         // why the changes are not committed
}

// send stores and commits what is pending while the next is made. It waits while too many are
// under way, and returns the error of one that failed.
func (c *collector) send(ctx context.Context, group *errgroup.Group) error {
	if c.ahead.isEmpty() {
		return nil
	}
	if err := c.awaitSent(sentAtOnce - 1); err != nil {
		return err
	}
	s := &shipment{
		changes: vault.Changes{Pack: c.run.plan.writer.Pack(c.ahead.parts), Gaps: c.ahead.gaps, Scans: c.ahead.scans},
		ended:   make(chan struct{}),
	}
	if n := len(c.sent); n > 0 {
		s.before = c.sent[n-1]
	}
	c.sent, c.ahead = append(c.sent, s), pending{}
	group.Go(func() error {
		defer close(s.ended)
		if s.err = c.ship(ctx, s); s.err != nil && isInterrupt(ctx, s.err) {
			s.err = ctx.Err()
		}
		return s.err
	})
	return nil
}

func (c *collector) ship(ctx context.Context, s *shipment) error {
	stored := s.changes.Pack.Store(ctx)
	if s.before != nil {
		<-s.before.ended
		if s.before.err != nil {
			return s.before.err
		}
		s.before = nil // it need not be kept in memory
	}
	if stored != nil {
		return stored
	}
	_, err := c.commitChanges(ctx, s.changes)
	return err
}

// awaitSent waits until at most so many are under way.
func (c *collector) awaitSent(atMost int) error {
	for len(c.sent) > atMost {
		s := c.sent[0]
		<-s.ended
		if s.err != nil {
			return s.err
		}
		c.sent = c.sent[1:]
	}
	return nil
}

// commitSent commits what was sent and is not committed; nothing may be under way.
func (c *collector) commitSent(ctx context.Context) error {
	for _, s := range c.sent {
		if s.err != nil {
			if _, err := c.commitChanges(ctx, s.changes); err != nil {
				return err
			}
		}
		c.sent = c.sent[1:]
	}
	return nil
}

func (c *collector) commitChanges(ctx context.Context, changes vault.Changes) (vault.Receipt, error) {
	receipt, err := c.run.plan.writer.Commit(ctx, changes)
	if err == nil {
		c.count(receipt)
	}
	return receipt, err
}

// settleSent waits for what is under way, and commits what of it failed.
func (c *collector) settleSent(ctx context.Context) error {
	for _, s := range c.sent {
		<-s.ended
	}
	return c.commitSent(ctx)
}

// redoSent is settleSent where something failed; else what is under way goes on.
func (c *collector) redoSent(ctx context.Context) error {
	for _, s := range c.sent {
		select {
		case <-s.ended:
			if s.err != nil {
				return c.settleSent(ctx)
			}
		default:
		}
	}
	return nil
}
