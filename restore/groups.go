package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coldstream"
	"coldstream/vault"
)

// The states of a group in a result.
const (
	groupPlanned     = "planned" // until it is committed or refused
	groupCommitted   = "committed"
	groupRefused     = "refused_active"
	groupUnsupported = "unsupported"
	groupFailed      = "failed"
)

// groupPlan is one consumer group and its offsets in restored partitions.
type groupPlan struct {
	recorded coldstream.Group
	offsets  []groupOffset
	status   string
	err      error
	before   []coldstream.GroupOffset // what the target's group had
	active   bool                     // it had members when the plan was made
}

type groupOffset struct {
	recorded coldstream.GroupOffset
	part     *partitionPlan
	target   int64
}

// planGroups chooses the groups, and their offsets in the partitions to restore.
func (p *Plan) planGroups(ctx context.Context, metadata *vault.Metadata) error {
	if !p.req.Groups && len(p.req.GroupNames) == 0 {
		return nil
	}
	if _, damaged := metadata.Damaged[vault.SectionGroups]; damaged {
		p.warn("no consumer group is restored: what was recorded of them is damaged")
		return nil
	}
	if why, missing := metadata.Missing[vault.SectionGroups]; missing {
		return &RefusedError{Reasons: []string{"the snapshot has no consumer groups: " + why}, Next: "restore without --groups"}
	}
	if err := p.checkGroupNames(metadata.Groups); err != nil {
		return err
	}
	bySource := map[coldstream.TopicPartition]*partitionPlan{}
	for _, t := range p.topics {
		for _, part := range t.partitions {
			bySource[part.stream.View.Stream.TopicPartition()] = part
		}
	}
	for _, g := range metadata.Groups {
		if !p.req.Groups && !slices.Contains(p.req.GroupNames, g.Name) {
			continue
		}
		plan := &groupPlan{recorded: g, status: groupPlanned}
		for _, o := range g.Offsets {
			if part := bySource[o.TopicPartition]; part != nil && o.Offset >= 0 {
				plan.offsets = append(plan.offsets, groupOffset{recorded: o, part: part})
			}
		}
		if g.Err != nil {
			// It may have had offsets here: it must not look like one that had none.
			plan.status, plan.err = groupFailed, fmt.Errorf("its offsets were not recorded: %w", g.Err)
			if isUnsupported(g) {
				plan.status = groupUnsupported
			}
		}
		if len(plan.offsets) > 0 || plan.err != nil {
			p.groups = append(p.groups, plan)
		}
	}
	return p.readOldOffsets(ctx)
}

func isUnsupported(g coldstream.Group) bool {
	return slices.Contains([]string{"share", "Share"}, g.Type)
}

func (p *Plan) checkGroupNames(groups []coldstream.Group) error {
	var names []string
	for _, g := range groups {
		names = append(names, g.Name)
	}
	for _, want := range p.req.GroupNames {
		if slices.Contains(names, want) {
			continue
		}
		usage := &UsageError{Text: fmt.Sprintf("snapshot %s has no consumer group %q", p.Snapshot.ID, want)}
		if near := coldstream.Nearest(want, names); len(near) > 0 {
			usage.Next = "did you mean: " + near[0]
		}
		return usage
	}
	return nil
}

// readOldOffsets keeps what groups of the same names have in the target, for the
// restore's record.
func (p *Plan) readOldOffsets(ctx context.Context) error {
	if len(p.groups) == 0 {
		return nil
	}
	there, err := p.target.Groups(ctx)
	if err != nil {
		return fmt.Errorf("read the target's consumer groups: %w", err)
	}
	for _, g := range p.groups {
		for _, old := range there {
			if old.Name != g.recorded.Name {
				continue
			}
			g.before, g.active = old.Offsets, hasMembers(old)
			if old.Err != nil && g.status == groupPlanned {
				p.warn("the offsets that consumer group %s has in the target cannot be read, and will not be in the restore's record: %v", old.Name, old.Err)
			}
		}
	}
	return nil
}

// hasMembers says that a group would be refused now.
func hasMembers(g coldstream.Group) bool {
	return !slices.Contains([]string{"", "Empty", "Dead", "Unknown"}, g.State)
}

// commitGroups sets the offsets of all groups, last of all.
func (x *execution) commitGroups(ctx context.Context) {
	for _, g := range x.plan.groups {
		if g.status != groupPlanned {
			continue
		}
		g.status, g.err = x.commitGroup(ctx, g)
	}
}

func (x *execution) commitGroup(ctx context.Context, g *groupPlan) (string, error) {
	var offsets []coldstream.GroupOffset
	for i := range g.offsets {
		o := &g.offsets[i]
		progress := x.partitions[o.part]
		if progress.err != nil {
			return groupFailed, fmt.Errorf("partition %s was not restored", o.part.target)
		}
		o.target = progress.offsets.translate(o.recorded.Offset)
		offsets = append(offsets, coldstream.GroupOffset{
			TopicPartition: o.part.target, Offset: o.target, LeaderEpoch: -1, Metadata: o.recorded.Metadata,
		})
	}
	err := x.plan.target.CommitGroup(ctx, g.recorded.Name, offsets)
	switch {
	case errors.Is(err, coldstream.ErrGroupActive):
		return groupRefused, err
	case err != nil:
		return groupFailed, err
	}
	return groupCommitted, nil
}
