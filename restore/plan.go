package restore

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"coldstream"
	"coldstream/vault"
)

const (
	// maxLeadingGap is the largest number of offsets that filler records make up for.
	maxLeadingGap = 1_000_000_000
)

// Plan is a restore that was checked and not yet begun.
type Plan struct {
	ID       vault.RestoreID
	Snapshot *vault.Snapshot
	Warnings []string

	req    Request
	vault  *vault.Vault
	target coldstream.Target
	topics []*topicPlan
	groups []*groupPlan
}

// topicPlan is one topic of the snapshot and where it goes.
type topicPlan struct {
	source     coldstream.Topic // as recorded
	target     string
	create     bool
	existing   coldstream.Topic // if it is there
	newTopic   coldstream.NewTopic
	configs    *configPlan
	known      map[string]string // the target's configs with their defaults
	partitions []*partitionPlan
}

// partitionPlan is one partition of the snapshot and how its offsets come out.
type partitionPlan struct {
	stream *vault.StreamHistory
	target coldstream.TopicPartition
	exact  bool
	why    string // not exact
	// at is the target's end offset when the restore begins; filler the number of empty
	// records that lift it to the source's log start.
	at, filler int64
}

// MakePlan checks a whole restore against the vault and the target, and changes nothing
// in either.
func MakePlan(ctx context.Context, v *vault.Vault, target coldstream.Target, req Request) (*Plan, error) {
	if req.Observer == nil {
		req.Observer = coldstream.NoObserver{}
	}
	if req.Offsets == "" {
		req.Offsets = OffsetsAuto
	}
	p := &Plan{req: req, vault: v, target: target}
	if _, err := rand.Read(p.ID[:]); err != nil {
		return nil, fmt.Errorf("make restore ID: %w", err)
	}
	catalog, err := v.OpenCatalog(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range catalog.Damage() {
		p.warn("%v", d)
	}
	snapshot, chosen, err := SelectSnapshot(catalog.Snapshots(), &req)
	if err != nil {
		return nil, err
	}
	p.Snapshot = snapshot
	metadata, err := v.Metadata(ctx, snapshot)
	if err != nil {
		return nil, err
	}
	if err := p.planTopics(ctx, chosen, metadata); err != nil {
		return nil, err
	}
	return p, p.planGroups(ctx, metadata)
}

func (p *Plan) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

func (p *Plan) planTopics(ctx context.Context, chosen []coldstream.Topic, metadata *vault.Metadata) error {
	refused := &RefusedError{}
	for _, t := range chosen {
		plan, err := p.nameTopic(t, metadata)
		if err != nil {
			refused.Reasons = append(refused.Reasons, err.Error())
			continue
		}
		p.topics = append(p.topics, plan)
	}
	if err := p.checkNames(refused); err != nil {
		return err
	}
	if err := p.openHistory(ctx); err != nil {
		return err
	}
	if err := p.meetTarget(ctx, refused); err != nil {
		return err
	}
	if len(refused.Reasons) > 0 {
		return refused
	}
	return nil
}

// nameTopic finds what was recorded of a topic, and its name in the target.
func (p *Plan) nameTopic(t coldstream.Topic, metadata *vault.Metadata) (*topicPlan, error) {
	plan := &topicPlan{source: t, target: t.Name}
	for _, recorded := range metadata.Topics {
		if recorded.Name == t.Name && recorded.ID == t.ID {
			plan.source = recorded
		}
	}
	for i := range p.req.Maps {
		if name, ok := p.req.Maps[i].apply(t.Name); ok {
			plan.target = name
			break
		}
	}
	if plan.source.ConfigsErr != nil {
		p.warn("topic %s: its configs were not recorded (%v)", t.Name, plan.source.ConfigsErr)
	}
	return plan, checkTarget(plan.target)
}

// checkNames finds maps that speak of no topic, and two topics with one target.
func (p *Plan) checkNames(refused *RefusedError) error {
	for i := range p.req.Maps {
		m := &p.req.Maps[i]
		used := slices.ContainsFunc(p.topics, func(t *topicPlan) bool { _, ok := m.apply(t.source.Name); return ok })
		if !used && len(refused.Reasons) == 0 {
			return &UsageError{Text: fmt.Sprintf("--map to %q matches none of the topics to restore", m.to)}
		}
	}
	byTarget := map[string]string{}
	for _, t := range p.topics {
		if other, taken := byTarget[t.target]; taken {
			refused.Reasons = append(refused.Reasons, fmt.Sprintf("topics %s and %s would both be restored into %s", other, t.source.Name, t.target))
		}
		byTarget[t.target] = t.source.Name
	}
	return nil
}

// openHistory reads where the vault holds the partitions asked for.
func (p *Plan) openHistory(ctx context.Context) error {
	byIncarnation := map[coldstream.Incarnation]*topicPlan{}
	var views []vault.View
	var owners []*topicPlan
	found := map[int32]bool{}
	for _, view := range p.Snapshot.Views {
		t := p.topicOf(view, byIncarnation)
		if t == nil || p.req.Partitions != nil && !slices.Contains(p.req.Partitions, view.Stream.Partition) {
			continue
		}
		found[view.Stream.Partition] = true
		views = append(views, view)
		owners = append(owners, t)
	}
	for _, id := range p.req.Partitions {
		if !found[id] {
			return &UsageError{Text: fmt.Sprintf("--partitions: none of the topics has partition %d in snapshot %s", id, p.Snapshot.ID)}
		}
	}
	history, err := p.vault.OpenHistory(ctx, views, vault.HistoryOptions{})
	if err != nil {
		return err
	}
	for i, s := range history.Streams() {
		t := owners[i]
		t.partitions = append(t.partitions, &partitionPlan{
			stream: s, target: coldstream.TopicPartition{Topic: t.target, Partition: s.View.Stream.Partition},
		})
	}
	for _, t := range p.topics {
		slices.SortFunc(t.partitions, func(a, b *partitionPlan) int { return cmp.Compare(a.target.Partition, b.target.Partition) })
	}
	return nil
}

func (p *Plan) topicOf(view vault.View, cache map[coldstream.Incarnation]*topicPlan) *topicPlan {
	if t, ok := cache[view.Stream.Incarnation]; ok {
		return t
	}
	i := slices.IndexFunc(p.topics, func(t *topicPlan) bool {
		return t.source.Name == view.Stream.Topic && t.source.ID == view.Stream.TopicID
	})
	if i < 0 {
		cache[view.Stream.Incarnation] = nil
		return nil
	}
	cache[view.Stream.Incarnation] = p.topics[i]
	return p.topics[i]
}
