package restore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	shown    *vault.Shown // nil where groups alone are restored
	Warnings []Warning
	// Damage is what of the vault's catalog and of the snapshot's metadata cannot be read, and
	// where topics show less than when the snapshot was taken.
	Damage []*vault.DamageError
	// NotChecked says what could not be found out beforehand, and what that needs.
	NotChecked []string
	// TargetClusterID is the cluster that is restored into, as it says itself.
	TargetClusterID string

	req    Request
	vault  *vault.Vault
	trail  trail
	target coldstream.Target
	topics []*topicPlan
	groups []*groupPlan
	short  []coldstream.ShortPartition
	past   *past // the restore through whose offset map groups are restored, without records
	// resumes is the restore that was cut off, and that this one goes on with.
	resumes *unfinished
	// groupsMissing are groups that the snapshot lacks, if all were asked for.
	groupsMissing []coldstream.MissingGroups
	newestWhole   *vault.Snapshot // that has all consumer groups
	// sourceDefaults are what topics had from the source's brokers, defaults what they have
	// from the target's; nil where nobody knows.
	sourceDefaults, defaults *coldstream.TopicDefaults
	// cutOff are topics of the target that another restore has changed and not put back.
	cutOff map[string]cutOff
	// requestBytes is the size of the batches that are sent at once.
	requestBytes int
	// pieceRuns is how much of offset maps is written at once.
	pieceRuns int
}

// topicPlan is one topic of the snapshot and where it goes.
type topicPlan struct {
	source     coldstream.Topic // as recorded
	target     string
	renamedBy  *Map
	create     bool             // the restore makes it
	isThere    bool             // the restore goes on with it: it may have made it before it was cut off
	prepared   bool             // it has the configs of the restore
	existing   coldstream.Topic // if it is there
	newTopic   coldstream.NewTopic
	configs    *configPlan
	known      map[string]string // the target's configs with their defaults
	partitions []*partitionPlan
	// missing are partitions that the topic had and the snapshot does not hold.
	missing []int32
}

// partitionPlan is one partition of the snapshot and how its offsets come out.
type partitionPlan struct {
	stream *vault.StreamHistory
	// whole is what the stream is a part of; nil if all of it is restored.
	whole  *vault.StreamHistory
	target coldstream.TopicPartition
	exact  bool
	why    string // not exact
	// isShort says that the view lacks offsets that were due: they could not be saved.
	isShort bool
	// at is the target's end offset when the restore begins; filler the number of empty
	// records that lift it to the source's log start.
	at, filler int64
	// counted is what was read of runs whose rows do not tell all, by their places.
	counted map[int]*counted
	// takesBytes is what reading it takes, once that was asked for.
	takesBytes int64
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
	if req.Configs == "" {
		req.Configs = ConfigsEffective
	}
	if err := req.checkMoment(); err != nil {
		return nil, err
	}
	if req.MemoryBytes <= 0 {
		req.MemoryBytes = DefaultMemory
	}
	p := &Plan{req: req, vault: v, trail: v, target: target, requestBytes: requestBytes, pieceRuns: pieceRuns}
	if _, err := rand.Read(p.ID[:]); err != nil {
		return nil, fmt.Errorf("make restore ID: %w", err)
	}
	if err := p.openState(); err != nil {
		return nil, err
	}
	catalog, err := p.vault.OpenCatalog(ctx)
	if err != nil {
		return nil, err
	}
	if req.GroupsOnly {
		p.Damage = catalog.Damage()
		return p, p.makeGroupsPlan(ctx, catalog)
	}
	if err := p.findUnfinished(ctx); err != nil {
		return nil, err
	}
	chosen, err := p.choose(ctx, catalog)
	if err != nil {
		return nil, err
	}
	p.Damage = append(catalog.Damage(), p.shown.Damage...)
	metadata, err := p.readMetadata(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.planTopics(ctx, catalog, chosen, metadata); err != nil {
		return nil, err
	}
	return p, p.planGroups(ctx, metadata)
}

// findTarget asks which cluster is restored into, and nothing else.
func (p *Plan) findTarget(ctx context.Context) error {
	cluster, err := p.target.Metadata(ctx, []string{})
	if err != nil {
		return fmt.Errorf("read the target's metadata: %w", err)
	}
	p.TargetClusterID = cluster.ID
	return nil
}

// IntoItself names the topics that are restored, under their own names, into the cluster
// that the snapshot is of.
func (p *Plan) IntoItself() []string {
	var names []string
	for _, t := range p.topics {
		if t.target == t.source.Name && p.TargetClusterID == p.Snapshot.ClusterID {
			names = append(names, t.target)
		}
	}
	return names
}

// choose finds the snapshot that is meant, and says what others have that it lacks.
func (p *Plan) choose(ctx context.Context, catalog *vault.Catalog) ([]coldstream.Topic, error) {
	choice := p.req.choice()
	shown, err := catalog.Show(ctx, choice)
	if err != nil {
		return nil, err
	}
	p.shown, p.Snapshot, p.newestWhole = shown, shown.Snapshot, newestWhole(catalog.Snapshots(), shown.Snapshot.ClusterID)
	p.warnOfNoHold()
	if p.req.Snapshot == "" && len(p.req.Tags) == 0 {
		notice, err := catalog.OlderNotice(ctx, shown.Snapshot, choice)
		if err != nil {
			return nil, err
		}
		if notice != "" {
			p.warn("%s", notice)
		}
		if err := p.warnOfOthers(ctx, catalog, choice); err != nil {
			return nil, err
		}
	}
	p.warnOfMoment(catalog, choice)
	return shown.Topics, nil
}

// warnOfOthers says which topics the newest snapshot lacks and another one holds.
func (p *Plan) warnOfOthers(ctx context.Context, catalog *vault.Catalog, choice *vault.Choice) error {
	other, names, err := catalog.LeftBehind(ctx, p.Snapshot, p.shown.Topics, choice)
	if err != nil || other == nil {
		return err
	}
	p.Warnings = append(p.Warnings, Warning{
		fmt.Sprintf("the newest snapshot, %s, does not hold all topics: %s are in snapshot %s of %s",
			p.Snapshot.ID, listed(names), other.ID, other.Time.UTC().Format(time.RFC3339)),
		Advice{Remedy: RemedySnapshot, Of: other.ID.String()},
	})
	return nil
}

// listed are some of the names, for people.
func listed(names []string) string {
	const atMost = 10
	if more := len(names) - atMost; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:atMost], ", "), more)
	}
	return strings.Join(names, ", ")
}

// readMetadata reads what was recorded of the cluster. Without the topics' section nobody
// knows how to make them; the others can be done without.
func (p *Plan) readMetadata(ctx context.Context) (*vault.Metadata, error) {
	metadata, err := p.vault.Metadata(ctx, p.Snapshot)
	if err != nil {
		return nil, err
	}
	if damage, ok := metadata.Damaged[vault.SectionTopics]; ok {
		return nil, fmt.Errorf("the topics' configs of snapshot %s, nothing was restored: %w", p.Snapshot.ID, damage)
	}
	if p.sourceDefaults = metadata.Defaults; p.sourceDefaults == nil && p.req.Configs == ConfigsEffective {
		why := "an earlier version of coldstream made it"
		if _, damaged := metadata.Damaged[vault.SectionDefaults]; damaged {
			why = "that part of it is damaged"
		} else if missing := metadata.Missing[vault.SectionDefaults]; missing != "" {
			why = missing
		}
		p.warn("snapshot %s does not tell which configs topics had from their brokers (%s): only topics' own configs are restored", p.Snapshot.ID, why)
	}
	for _, name := range slices.Sorted(maps.Keys(metadata.Damaged)) {
		p.Damage = append(p.Damage, metadata.Damaged[name])
	}
	return metadata, nil
}

func (p *Plan) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, Warning{Text: fmt.Sprintf(format, args...)})
}

func (p *Plan) planTopics(ctx context.Context, catalog *vault.Catalog, chosen []coldstream.Topic, metadata *vault.Metadata) error {
	refused := &RefusedError{}
	for _, t := range chosen {
		if err := p.addTopic(t, metadata); err != nil {
			refused.Reasons = append(refused.Reasons, err.Error())
			var internal *internalTopicError
			if errors.As(err, &internal) {
				refused.Advice = Advice{Remedy: RemedyRename}
			}
		}
	}
	if len(p.topics)+len(refused.Reasons) == 0 {
		return &UsageError{Text: fmt.Sprintf("nothing of snapshot %s is left to restore", p.Snapshot.ID), Advice: Advice{Remedy: RemedyChooseTopics}}
	}
	if err := p.checkNames(refused); err != nil {
		return err
	}
	p.short = metadata.Short
	if err := p.openHistory(ctx, catalog); err != nil {
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

// addTopic finds what was recorded of a topic, and its name in the target. Whoever asks
// for all topics means all that can be written; an internal one that is named is refused.
func (p *Plan) addTopic(t coldstream.Topic, metadata *vault.Metadata) error {
	plan := &topicPlan{source: t, target: t.Name}
	for _, recorded := range metadata.Topics {
		if recorded.Name == t.Name && recorded.ID == t.ID {
			plan.source = recorded
		}
	}
	for i := range p.req.Maps {
		if name, ok := p.req.Maps[i].Apply(t.Name); ok {
			plan.target, plan.renamedBy = name, &p.req.Maps[i]
			break
		}
	}
	isInternal := coldstream.IsInternalName(plan.target) || plan.source.Internal && plan.target == t.Name
	if isInternal && (p.req.Topics == nil || p.req.Topics.All()) {
		p.Warnings = append(p.Warnings, Warning{fmt.Sprintf("topic %s is internal and left out", t.Name), Advice{Remedy: RemedyRename}})
		return nil
	}
	if isInternal {
		return &internalTopicError{plan.target}
	}
	if err := coldstream.CheckTopicName(plan.target); err != nil {
		return err
	}
	if plan.source.ConfigsErr != nil {
		p.warn("topic %s: its configs were not recorded (%v)", t.Name, plan.source.ConfigsErr)
	}
	p.topics = append(p.topics, plan)
	return nil
}

// internalTopicError is a topic that Kafka keeps for itself.
type internalTopicError struct{ name string }

func (e *internalTopicError) Error() string {
	return fmt.Sprintf("topic %s is internal: what is in it is restored through Kafka's own requests, not written into it", e.name)
}

// checkNames finds maps that rename nothing, and two topics with one target. A map of a
// whole family of names may find others of it renamed already.
func (p *Plan) checkNames(refused *RefusedError) error {
	for i := range p.req.Maps {
		m := &p.req.Maps[i]
		used := slices.ContainsFunc(p.topics, func(t *topicPlan) bool {
			_, ok := m.Apply(t.source.Name)
			return ok && (m.from != nil || t.renamedBy == m)
		})
		if !used && len(refused.Reasons) == 0 {
			return &UsageError{Option: OptionMap, Text: fmt.Sprintf("to %q renames none of the topics to restore", m.to)}
		}
	}
	return p.checkCollisions()
}

// checkCollisions finds topics that cannot be beside each other in one cluster: brokers
// take dots and underscores for the same, because names of metrics do.
func (p *Plan) checkCollisions() error {
	byTarget := map[string]*topicPlan{}
	for _, t := range p.topics {
		key := strings.ReplaceAll(t.target, ".", "_")
		other, taken := byTarget[key]
		byTarget[key] = t
		if !taken {
			continue
		}
		usage := &UsageError{
			Text:   fmt.Sprintf("topics %s and %s would both be restored into %s", other.source.Name, t.source.Name, t.target),
			Advice: Advice{Remedy: RemedyRename},
		}
		if other.target != t.target {
			usage.Text = fmt.Sprintf("topics %s and %s would be restored into %s and %s, which collide: Kafka takes '.' and '_' in names of topics for the same",
				other.source.Name, t.source.Name, other.target, t.target)
		}
		return usage
	}
	return nil
}

// openHistory reads where the vault holds the partitions asked for.
func (p *Plan) openHistory(ctx context.Context, catalog *vault.Catalog) error {
	byIncarnation := map[coldstream.Incarnation]*topicPlan{}
	var views []vault.View
	var owners []*topicPlan
	found := map[int32]bool{}
	for _, view := range p.shown.Views {
		t := p.topicOf(view, byIncarnation)
		if t == nil || p.req.Partitions != nil && !slices.Contains(p.req.Partitions, view.Stream.Partition) {
			continue
		}
		found[view.Stream.Partition] = true
		views = append(views, view)
		owners = append(owners, t)
	}
	p.findMissing(views)
	for _, id := range p.req.Partitions {
		if !found[id] {
			return &UsageError{Option: OptionPartitions, Text: fmt.Sprintf("%d: none of the topics has partition %d in snapshot %s", id, id, p.Snapshot.ID)}
		}
	}
	for i := range views {
		views[i] = p.wholeAsBegun(owners[i], views[i])
	}
	views, whole, err := p.partViews(ctx, catalog, views)
	if err != nil {
		return err
	}
	for i := range views {
		views[i] = p.asBegun(owners[i], views[i])
	}
	history, err := catalog.OpenHistory(ctx, views, vault.HistoryOptions{
		CacheBytes: p.req.MemoryBytes / keptShare, SnapshotTime: p.shown.AsOf,
	})
	if err != nil {
		return err
	}
	for i, s := range history.Streams() {
		p.Damage = append(p.Damage, s.Fewer...)
		t := owners[i]
		isShort := p.warnOfShort(s)
		part := &partitionPlan{
			stream: s, target: coldstream.TopicPartition{Topic: t.target, Partition: s.View.Stream.Partition},
			isShort: isShort,
		}
		if whole != nil {
			part.whole = whole[i]
		}
		t.partitions = append(t.partitions, part)
	}
	history.Widen(p.keptBytes())
	for _, t := range p.topics {
		slices.SortFunc(t.partitions, func(a, b *partitionPlan) int { return cmp.Compare(a.target.Partition, b.target.Partition) })
	}
	return nil
}

// keptBytes is the memory for frames that are kept or read ahead: its share, and what fewer open
// partitions leave of theirs.
func (p *Plan) keptBytes() int64 {
	var open int64
	for _, t := range p.topics {
		for _, part := range t.partitions {
			open += part.readBytes()
		}
	}
	memory := p.req.MemoryBytes
	return memory - memory/aheadShare - min(memory/openShare, open)
}

// warnOfShort says what a view lacks of what was due when its snapshot was taken.
func (p *Plan) warnOfShort(s *vault.StreamHistory) (isShort bool) {
	stream := s.View.Stream
	for _, gap := range s.Gaps {
		p.warn("%s: offsets [%d, %d) are not in the vault, because %s (%s)", stream.TopicPartition(), gap.FirstOffset, gap.NextOffset, whyGone(gap.Cause), gap.Cause)
	}
	for i := range p.short {
		short := &p.short[i]
		if short.TopicPartition == stream.TopicPartition() && short.TopicID == stream.TopicID && s.View.NextOffset < short.NextOffset && p.req.Until == nil {
			p.warn("%s ends at offset %d in snapshot %s: the backup was to read it to offset %d, and could not: %v",
				stream.TopicPartition(), s.View.NextOffset, p.Snapshot.ID, short.NextOffset, short.Err)
			return true
		}
	}
	return len(s.Gaps) > 0
}

func whyGone(cause coldstream.GapCause) string {
	if cause == coldstream.GapCorrupt {
		return "the brokers held bytes there that fit no checksum"
	}
	return "they were gone before a backup could save them"
}

// findMissing finds partitions that the backup could not read: what comes back of their
// topics is not all that they were, and must not look so.
func (p *Plan) findMissing(views []vault.View) {
	held := map[coldstream.TopicPartition]bool{}
	for _, view := range views {
		held[view.Stream.TopicPartition()] = true
	}
	for _, t := range p.topics {
		for _, part := range t.source.Partitions {
			asked := p.req.Partitions == nil || slices.Contains(p.req.Partitions, part.ID)
			if asked && !held[coldstream.TopicPartition{Topic: t.source.Name, Partition: part.ID}] {
				t.missing = append(t.missing, part.ID)
				p.warn("%s-%d is not in snapshot %s: the backup could not read it", t.source.Name, part.ID, p.Snapshot.ID)
			}
		}
	}
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
