package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coldstream"
	"coldstream/vault"
)

// The statuses of a group in a result.
const (
	GroupPlanned     = "planned" // until it is committed or refused
	GroupCommitted   = "committed"
	GroupRefused     = "refused_active"
	GroupUnsupported = "unsupported"
	GroupFailed      = "failed"
)

// groupPlan is one consumer group and its offsets in restored partitions.
type groupPlan struct {
	recorded coldstream.Group
	offsets  []groupOffset
	status   string
	err      error
	before   []coldstream.GroupOffset // what the target's group had
	active   bool                     // it had members when the plan was made
	leftOut  []LeftOutOffset
}

type groupOffset struct {
	recorded coldstream.GroupOffset
	groupPlace
	target int64
}

// groupPlace is where the offsets of a source partition go.
type groupPlace struct {
	into coldstream.TopicPartition // of the target
	part *partitionPlan            // that is restored, or
	past *pastMap                  // what an earlier restore left
}

// planGroups chooses the groups, and their offsets in the partitions to restore.
func (p *Plan) planGroups(ctx context.Context, metadata *vault.Metadata) error {
	if p.req.GroupsOnly && len(p.req.GroupNames) == 0 {
		p.req.Groups = true
	}
	if !p.req.Groups && len(p.req.GroupNames) == 0 {
		return nil
	}
	if _, damaged := metadata.Damaged[vault.SectionGroups]; damaged {
		p.warn("no consumer group is restored: what was recorded of them is damaged; %s", p.wholeGroups())
		return nil
	}
	if why, missing := metadata.Missing[vault.SectionGroups]; missing {
		return &RefusedError{
			Reasons: []string{fmt.Sprintf("snapshot %s has no consumer groups: %s", p.Snapshot.ID, why)},
			Advice:  Advice{Remedy: RemedyNoGroups, Text: p.wholeGroups()},
		}
	}
	if err := p.checkGroupNames(metadata); err != nil {
		return err
	}
	places := p.groupPlaces()
	for _, g := range metadata.Groups {
		if p.req.Groups || slices.Contains(p.req.GroupNames, g.Name) {
			p.planGroup(g, places)
		}
	}
	p.noteGroupsMissing(metadata.GroupsMissing)
	return p.meetGroups(ctx)
}

// groupPlaces finds where offsets go, by partition of the source.
func (p *Plan) groupPlaces() map[coldstream.TopicPartition]groupPlace {
	if p.past != nil {
		return p.past.places
	}
	places := map[coldstream.TopicPartition]groupPlace{}
	for _, t := range p.topics {
		for _, part := range t.partitions {
			places[part.stream.View.Stream.TopicPartition()] = groupPlace{into: part.target, part: part}
		}
	}
	return places
}

// planGroup takes a group in, if it has offsets in partitions to restore.
func (p *Plan) planGroup(g coldstream.Group, places map[coldstream.TopicPartition]groupPlace) {
	plan := &groupPlan{recorded: g, status: GroupPlanned}
	for _, o := range g.Offsets {
		if o.Offset < 0 {
			continue // no offset
		}
		if place, ok := places[o.TopicPartition]; ok {
			plan.offsets = append(plan.offsets, groupOffset{recorded: o, groupPlace: place})
			continue
		}
		plan.leftOut = append(plan.leftOut, LeftOutOffset{
			Topic: o.Topic, Partition: o.Partition, SourceOffset: o.Offset, Reason: p.whyLeftOut(o),
		})
	}
	if g.Err != nil {
		// It may have had offsets here: it must not look like one that had none.
		plan.status, plan.err = GroupFailed, fmt.Errorf("its offsets were not recorded: %w", g.Err)
		if !hasOffsets(g.Type) || g.IsShare() && isBeyond(g.Err.Error()) {
			plan.status = GroupUnsupported
		}
	}
	switch {
	case len(plan.offsets) > 0 || plan.err != nil:
		p.groups = append(p.groups, plan)
	case slices.Contains(p.req.GroupNames, g.Name):
		p.warn("consumer group %q has no offsets in the partitions to restore, and is left out", g.Name)
	}
}

// isBeyond says that a recorded error is not of one moment: the brokers, or the version that made
// the backup, could not tell offsets of such a group.
func isBeyond(text string) bool {
	return strings.Contains(text, coldstream.ErrUnsupported.Error()) || strings.Contains(text, coldstream.ErrNotOffered.Error())
}

// whyLeftOut says why an offset of a group is not restored with it.
func (p *Plan) whyLeftOut(o coldstream.GroupOffset) string {
	if p.past != nil {
		return fmt.Sprintf("restore %s did not restore the partition, or it was not asked for", p.past.id)
	}
	t := slices.IndexFunc(p.topics, func(t *topicPlan) bool { return t.source.Name == o.Topic })
	switch {
	case t < 0:
		return "the topic is not restored"
	case slices.Contains(p.topics[t].missing, o.Partition):
		return "the snapshot does not hold the partition"
	}
	return "the partition is not restored"
}

// hasOffsets says that groups of a type have offsets that can be set. Brokers before Kafka 3.8 give
// no type, and have no groups without.
func hasOffsets(groupType string) bool {
	return slices.Contains([]string{"", "classic", "consumer", "streams", "share"}, strings.ToLower(groupType))
}

func (p *Plan) checkGroupNames(metadata *vault.Metadata) error {
	var names []string
	for _, g := range metadata.Groups {
		names = append(names, g.Name)
	}
	for _, want := range p.req.GroupNames {
		if slices.Contains(names, want) {
			continue
		}
		usage := &UsageError{Text: fmt.Sprintf("snapshot %s has no consumer group %q", p.Snapshot.ID, want)}
		if near := coldstream.Nearest(want, names); len(near) > 0 {
			usage.Advice.Text = "did you mean: " + near[0]
		}
		if len(metadata.GroupsMissing) > 0 {
			usage.Text += "; but its backup could not read all groups: " + missingText(metadata.GroupsMissing)
			usage.Advice.Text = p.wholeGroups()
		}
		return usage
	}
	return nil
}

// noteGroupsMissing says which groups the snapshot lacks, if all were asked for. Those that
// older snapshots have are not mixed in: together they would be of no time.
func (p *Plan) noteGroupsMissing(missing []coldstream.MissingGroups) {
	if !p.req.Groups || len(missing) == 0 {
		return
	}
	for _, m := range missing {
		if m.Group == nil { // a group that has a name is among the groups of the result
			p.groupsMissing = append(p.groupsMissing, m)
		}
	}
	p.warn("snapshot %s does not have all consumer groups: %s; %s", p.Snapshot.ID, missingText(missing), p.wholeGroups())
}

func missingText(missing []coldstream.MissingGroups) string {
	const named = 5
	texts := coldstream.MissingGroupsTexts(missing)
	if more := len(texts) - named; more > 0 {
		texts = append(texts[:named], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// wholeGroups names the newest snapshot of the cluster that has all groups, if another one has.
func (p *Plan) wholeGroups() string {
	if p.newestWhole == nil || p.newestWhole.ID == p.Snapshot.ID {
		return "no snapshot of the cluster has all"
	}
	return fmt.Sprintf("the newest snapshot that has all is %s of %s",
		p.newestWhole.ID, p.newestWhole.Time.UTC().Format(time.RFC3339))
}

// newestWhole finds the newest snapshot of a cluster that has all of its groups; the oldest
// snapshots are first.
func newestWhole(snapshots []vault.Snapshot, clusterID string) *vault.Snapshot {
	for i := range slices.Backward(snapshots) {
		if s := &snapshots[i]; s.ClusterID == clusterID && s.GroupsWhole() {
			return s
		}
	}
	return nil
}

// meetGroups looks at groups of the same names in the target: at what they have, for the
// restore's record, and whether they will take other offsets.
func (p *Plan) meetGroups(ctx context.Context) error {
	if len(p.groups) == 0 {
		return nil
	}
	there, err := p.target.Groups(ctx)
	if err != nil {
		return fmt.Errorf("read the target's consumer groups: %w", err)
	}
	for i := range there.Missing {
		p.warn("it could not be checked whether the target's groups take offsets: %s", &there.Missing[i])
	}
	for _, g := range p.groups {
		i := slices.IndexFunc(there.List, func(old coldstream.Group) bool { return old.Name == g.recorded.Name })
		if i < 0 || g.status != GroupPlanned {
			continue
		}
		old := &there.List[i]
		g.before, g.active = old.Offsets, hasMembers(old)
		switch {
		case !hasOffsets(old.Type) || old.IsShare() && !g.recorded.IsShare():
			g.status, g.err = GroupUnsupported, fmt.Errorf("the target has a %s group of this name, which takes no committed offsets", old.Type)
		case g.recorded.IsShare() && !old.IsShare():
			g.status, g.err = GroupUnsupported, fmt.Errorf("the target has a %s group of this name, and this is a share group", cmp.Or(old.Type, "consumer"))
		case old.Err != nil:
			p.warn("the offsets that consumer group %q has in the target cannot be read, and will not be in the restore's record: %v", old.Name, old.Err)
		}
	}
	return nil
}

// hasMembers says that a group would be refused now.
func hasMembers(g *coldstream.Group) bool {
	return !slices.Contains([]string{"", "Empty", "Dead", "Unknown"}, g.State)
}

// commitGroups sets the offsets of all groups, last of all.
func (x *execution) commitGroups(ctx context.Context) {
	for _, g := range x.plan.groups {
		if g.status != GroupPlanned {
			continue
		}
		g.status, g.err = x.commitGroup(ctx, g)
	}
}

func (x *execution) commitGroup(ctx context.Context, g *groupPlan) (string, error) {
	var offsets []coldstream.GroupOffset
	for i := range g.offsets {
		o := &g.offsets[i]
		if err := x.translate(o); err != nil {
			return GroupFailed, err
		}
		offsets = append(offsets, coldstream.GroupOffset{
			TopicPartition: o.into, Offset: o.target, LeaderEpoch: -1, Metadata: o.recorded.Metadata,
		})
	}
	set := x.plan.target.CommitGroup
	if g.recorded.IsShare() {
		set = x.plan.target.SetShareGroup
	}
	err := set(ctx, g.recorded.Name, offsets)
	switch {
	case errors.Is(err, coldstream.ErrGroupActive):
		return GroupRefused, err
	case errors.Is(err, coldstream.ErrUnsupported), errors.Is(err, coldstream.ErrNotOffered):
		return GroupUnsupported, err
	case err != nil:
		return GroupFailed, err
	}
	return GroupCommitted, nil
}

// translate finds the target's offset for one of the source.
func (x *execution) translate(o *groupOffset) error {
	if o.past != nil {
		return nil // translatePast did
	}
	progress := x.partitions[o.part]
	if progress.err != nil {
		return fmt.Errorf("partition %s was not restored", o.into)
	}
	var err error
	o.target, err = progress.offsets.find(o.recorded.Offset)
	return err
}
