package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"coldstream"
)

const (
	topicsAtOnce = 8
	// undoPatience bounds what is done for an interrupted restore before it ends.
	undoPatience = 30 * time.Second
)

// meetAgain proves, before anything is changed, that the topics that are there are still
// as the plan met them: somebody may have thought about the plan for an hour.
func (x *execution) meetAgain(ctx context.Context) error {
	var names []string
	var tps []coldstream.TopicPartition
	for _, t := range x.plan.topics {
		if t.create {
			continue
		}
		names = append(names, t.target)
		for _, part := range t.partitions {
			tps = append(tps, part.target)
		}
	}
	if len(names) == 0 {
		return nil
	}
	ids, err := x.topicIDs(ctx, names)
	if err != nil {
		return err
	}
	ends, err := x.plan.target.LogOffsets(ctx, tps)
	if err != nil {
		return fmt.Errorf("read the target's log offsets: %w", err)
	}
	for _, t := range x.plan.topics {
		if !t.create && ids[t.target] != t.existing.ID {
			return fmt.Errorf("topic %s was deleted and made again since the plan", t.target)
		}
		for _, part := range t.partitions {
			end := ends[part.target]
			switch {
			case t.create:
			case end.Err != nil:
				return fmt.Errorf("read log offsets of %s: %w", part.target, end.Err)
			case end.HighWatermark != part.at:
				return fmt.Errorf("%s ends at offset %d, and ended at %d when the plan was made: somebody else writes to it", part.target, end.HighWatermark, part.at)
			}
		}
	}
	return nil
}

// prepareTopics makes the topics that are missing, and lifts the limits of those there.
// It waits for all answers also after an error, to know what was done.
func (x *execution) prepareTopics(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(topicsAtOnce)
	for _, t := range x.plan.topics {
		group.Go(func() error {
			err := x.prepare(ctx, t)
			t.prepared = err == nil || ctx.Err() != nil || !t.create // then it may be
			return err
		})
	}
	return group.Wait()
}

func (x *execution) prepare(ctx context.Context, t *topicPlan) error {
	if !t.create || t.isThere {
		if err := x.plan.target.AlterTopicConfigs(ctx, t.target, coldstream.ConfigChange{Set: t.configs.during}); err != nil {
			return fmt.Errorf("prepare topic %s: %w", t.target, err)
		}
		return nil
	}
	err := x.plan.target.CreateTopic(ctx, t.newTopic)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("somebody else made topic %s since the plan: %w", t.target, err)
	}
	if err != nil {
		return fmt.Errorf("make topic %s: %w", t.target, err)
	}
	return nil
}

// findTopicIDs binds each partition to the incarnation that was planned for, so that
// nothing is written into another.
func (x *execution) findTopicIDs(ctx context.Context) error {
	var names []string
	for _, t := range x.plan.topics {
		names = append(names, t.target)
	}
	ids, err := x.topicIDs(ctx, names)
	if err != nil {
		return err
	}
	for _, t := range x.plan.topics {
		if (!t.create || t.isThere) && ids[t.target] != t.existing.ID {
			return fmt.Errorf("topic %s was deleted and made again since the plan", t.target)
		}
		for _, part := range t.partitions {
			x.partitions[part].topicID = ids[t.target]
		}
	}
	return nil
}

func (x *execution) topicIDs(ctx context.Context, names []string) (map[string]coldstream.TopicID, error) {
	cluster, err := x.plan.target.Metadata(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("read the target's metadata: %w", err)
	}
	ids := map[string]coldstream.TopicID{}
	for _, t := range cluster.Topics {
		if t.Err != nil {
			return nil, fmt.Errorf("read the target's metadata: topic %s: %w", t.Name, t.Err)
		}
		ids[t.Name] = t.ID
	}
	return ids, nil
}

// breakOff ends a restore that does not come to its end. Topics that were there, and those
// into which nothing was written, get their own configs: the next restore finds them empty,
// and would take those that it finds for their own.
func (x *execution) breakOff(ctx context.Context) {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	var incomplete []string
	for _, t := range x.plan.topics {
		sent := slices.ContainsFunc(t.partitions, func(part *partitionPlan) bool { return x.partitions[part].sent })
		switch {
		case !t.prepared:
		case !t.create:
			x.leaveAsItWas(undo, t)
		case sent:
			incomplete = append(incomplete, t.target)
		default:
			change := t.configs.undo()
			if err := x.undo(undo, t, change); err != nil {
				x.warnNotPutBack(t, change, err)
			}
		}
	}
	x.warnIncomplete(ctx, incomplete)
}

// undo puts the configs of a topic back that was prepared, or may have been.
func (x *execution) undo(ctx context.Context, t *topicPlan, change coldstream.ConfigChange) error {
	cluster, err := x.plan.target.Metadata(ctx, []string{t.target})
	if err != nil {
		return err
	}
	for _, found := range cluster.Topics {
		if errors.Is(found.Err, coldstream.ErrUnknownTopic) || !t.create && found.Err == nil && found.ID != t.existing.ID {
			return nil // it is not the one that was changed
		}
	}
	return x.plan.target.AlterTopicConfigs(ctx, t.target, change)
}
