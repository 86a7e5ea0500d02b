package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"coldstream"
	"coldstream/vault"
)

// A restore of groups alone goes through what an earlier restore left in the vault: which
// partitions went where, and how their offsets were translated.

// past is an earlier restore.
type past struct {
	id       vault.RestoreID
	hold     holdRecord
	places   map[coldstream.TopicPartition]groupPlace // by partition of the source
	topicIDs map[string]string                        // of the target, when it was restored into
}

// makeGroupsPlan is [MakePlan] for groups alone.
func (p *Plan) makeGroupsPlan(ctx context.Context, catalog *vault.Catalog) error {
	err := p.findTarget(ctx)
	if err != nil {
		return err
	}
	if p.past, err = p.findPast(ctx); err != nil {
		return err
	}
	if p.Snapshot, err = p.snapshotOfGroups(ctx, catalog); err != nil {
		return err
	}
	p.newestWhole = newestWhole(catalog.Snapshots(), p.Snapshot.ClusterID)
	p.warnOfNoHold()
	if err := p.checkPlaces(ctx); err != nil {
		return err
	}
	metadata, err := p.vault.Metadata(ctx, p.Snapshot)
	if err != nil {
		return err
	}
	if damage, ok := metadata.Damaged[vault.SectionGroups]; ok {
		p.Damage = append(p.Damage, damage)
	}
	if err := p.planGroups(ctx, metadata); err != nil {
		return err
	}
	return p.translatePast(ctx)
}

// findPast finds the restore that is meant: the one with the given ID, or else the last one
// into this cluster that restored all topics asked for.
func (p *Plan) findPast(ctx context.Context) (*past, error) {
	restores, err := p.trail.Restores(ctx)
	if err != nil {
		return nil, err
	}
	restores = slices.DeleteFunc(restores, func(r vault.Restore) bool { return r.IsTest })
	if p.req.RestoreID != "" {
		id, err := p.restoreWithID(restores, p.req.RestoreID)
		if err != nil {
			return nil, err
		}
		found, why, err := p.readPast(ctx, id)
		if err == nil && found == nil {
			err = &RefusedError{Reasons: []string{fmt.Sprintf("restore %s is of no use here: %s", id, why)}}
		}
		return found, err
	}
	candidates, err := p.lastFirst(ctx, restores)
	if err != nil {
		return nil, err
	}
	lastWhy := "" // of the last restore that did not do
	for _, hold := range candidates {
		found, why, err := p.readPast(ctx, hold.id)
		if err != nil || found != nil {
			return found, err
		}
		if lastWhy == "" {
			lastWhy = fmt.Sprintf("; the last restore, %s, is of no use: %s", hold.id, why)
		}
	}
	return nil, &UsageError{
		Text: p.knowsNo() + " restore of these topics into cluster " + p.TargetClusterID + lastWhy, Advice: Advice{Remedy: RemedyRestoreOrGroups},
	}
}

// knowsNo begins a sentence about a restore that is not found.
func (p *Plan) knowsNo() string {
	if p.req.StateFile != "" {
		return "neither " + p.where() + " nor the vault knows a"
	}
	return "the vault knows no"
}

// lastFirst orders restores that brought records, those of a state file that was named first: which of two was later is told by how many
// there were before, and only between those that ran at the same time by their clocks.
func (p *Plan) lastFirst(ctx context.Context, restores []vault.Restore) ([]past, error) {
	var out []past
	for _, r := range restores {
		if !r.Begun || !r.Ended {
			continue
		}
		found := past{id: r.ID}
		switch err := readRecord(ctx, p.trail, r.ID, recordHold, &found.hold); {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case found.hold.OffsetMapOf == "":
			out = append(out, found)
		}
	}
	slices.SortFunc(out, func(a, b past) int {
		if named, isFile := p.trail.(*stateFile); isFile && named.holds(a.id) != named.holds(b.id) {
			if named.holds(a.id) {
				return -1
			}
			return 1
		}
		return -cmp.Or(cmp.Compare(a.hold.Sequence, b.hold.Sequence), cmp.Compare(a.hold.Started, b.hold.Started), cmp.Compare(a.id.String(), b.id.String()))
	})
	return out, nil
}

func (p *Plan) restoreWithID(restores []vault.Restore, prefix string) (id vault.RestoreID, err error) {
	next := Advice{Text: "a restore prints its ID at its end"}
	prefix = strings.ToLower(prefix)
	if len(prefix) < vault.MinIDPrefix {
		return id, &UsageError{Text: fmt.Sprintf("restore %q: an ID or at least %d digits of one", prefix, vault.MinIDPrefix), Advice: next}
	}
	var found []vault.RestoreID
	for _, r := range restores {
		if strings.HasPrefix(r.ID.String(), prefix) {
			found = append(found, r.ID)
		}
	}
	switch len(found) {
	case 0:
		return id, &UsageError{Text: fmt.Sprintf("%s restore %q", p.knowsNo(), prefix), Advice: next}
	case 1:
		return found[0], nil
	}
	return id, &UsageError{Text: fmt.Sprintf("several restores begin with %q", prefix), Advice: Advice{Text: "write more of the ID"}}
}

// readPast reads what a restore left. Where it does not serve the request, it says why.
func (p *Plan) readPast(ctx context.Context, id vault.RestoreID) (found *past, why string, err error) {
	found = &past{id: id, places: map[coldstream.TopicPartition]groupPlace{}, topicIDs: map[string]string{}}
	if err := readRecord(ctx, p.trail, id, recordHold, &found.hold); err != nil {
		return nil, "", err
	}
	var result resultRecord
	switch err := readRecord(ctx, p.trail, id, recordResult, &result); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "it was cut off, or goes on", nil
	case err != nil:
		return nil, "", err
	case found.hold.OffsetMapOf != "":
		return nil, "it restored groups only, through the offset map of restore " + found.hold.OffsetMapOf, nil
	case result.Version > resultVersion:
		return nil, "a newer version made it: take that, or a later one", nil
	case result.Places == nil && result.PiecedPlaces == nil && result.Result != nil:
		return nil, "the version that made it did not keep what is needed", nil
	case found.hold.ClusterID != p.TargetClusterID:
		return nil, "it went into cluster " + found.hold.ClusterID, nil
	}
	if why, err := p.takePlaces(found, &result); err != nil || why != "" {
		return nil, why, err
	}
	return found, "", nil
}

// takePlaces takes the partitions that are asked for.
func (p *Plan) takePlaces(found *past, result *resultRecord) (why string, err error) {
	chosen, err := p.chosenOf(found.hold.Topics)
	if err != nil {
		return err.Error(), nil //nolint:nilerr // another restore may have the topics
	}
	places := slices.Concat(result.Places, result.PiecedPlaces)
	for i := range places {
		place := &places[i]
		if !chosen[place.Topic] || p.req.Partitions != nil && !slices.Contains(p.req.Partitions, place.Partition) {
			continue
		}
		for m := range p.req.Maps {
			if name, ok := p.req.Maps[m].Apply(place.Topic); ok && name != place.TargetTopic {
				return fmt.Sprintf("it restored topic %s into %s", place.Topic, place.TargetTopic), nil
			}
		}
		name := place.into().String()
		offsets := &pastMap{
			tp: place.into(), pieces: result.Pieces[name], offsetMap: offsetMap{runs: result.OffsetMaps[name], next: place.NextOffset},
		}
		if err := offsets.check(); err != nil {
			return "", fmt.Errorf("offset map of restore %s for %s: %w", found.id, place.into(), err)
		}
		tp := coldstream.TopicPartition{Topic: place.Topic, Partition: place.Partition}
		found.places[tp] = groupPlace{into: place.into(), past: offsets}
		found.topicIDs[place.TargetTopic] = place.TargetTopicID
	}
	if len(found.places) == 0 {
		return "none of the partitions came through", nil
	}
	return "", nil
}

// chosenOf says which topics of a restore are asked for. All that are must be there.
func (p *Plan) chosenOf(names []string) (map[string]bool, error) {
	var topics []coldstream.Topic
	for _, name := range names {
		topics = append(topics, coldstream.Topic{Name: name})
	}
	if p.req.Topics != nil {
		var err error
		if topics, err = p.req.Topics.SelectSaved(topics); err != nil {
			return nil, err
		}
	}
	chosen := map[string]bool{}
	for _, t := range topics {
		chosen[t.Name] = true
	}
	return chosen, nil
}

// check proves that a map that was stored can be searched.
func (m *offsetMap) check() error {
	at := mapped{}
	for _, r := range m.runs {
		if r.Count <= 0 || r.Source < at.Source+at.Count || r.Target < at.Target+at.Count || r.Target+r.Count > m.next {
			return fmt.Errorf("%w: %d records from offset %d are in no order", coldstream.ErrCorrupt, r.Count, r.Source)
		}
		at = r
	}
	return nil
}

// snapshotOfGroups is the snapshot whose groups are restored: that of the records, if no other
// is named, and no time.
func (p *Plan) snapshotOfGroups(ctx context.Context, catalog *vault.Catalog) (*vault.Snapshot, error) {
	was, err := p.past.hold.snapshot()
	if err != nil {
		return nil, err
	}
	choice := p.req.choice()
	choice.Topics = nil
	unnamed := choice.ID == "" && len(choice.Tags) == 0 && choice.At.IsZero()
	if unnamed {
		choice.ID = was
	}
	snapshot, _, err := catalog.Choose(ctx, choice)
	if err != nil && unnamed {
		return nil, fmt.Errorf("restore %s was of snapshot %s: %w", p.past.id, was, err)
	}
	return snapshot, err
}

// checkPlaces proves that the offset map is still true: that the partitions are there, are
// the same, and hold what was restored.
func (p *Plan) checkPlaces(ctx context.Context) error {
	refused := &RefusedError{Advice: Advice{Remedy: RemedyGroups}}
	var names []string
	for name := range p.past.topicIDs {
		names = append(names, name)
	}
	slices.Sort(names)
	cluster, err := p.target.Metadata(ctx, names)
	if err != nil {
		return fmt.Errorf("read the target's metadata: %w", err)
	}
	for _, t := range cluster.Topics {
		switch was := p.past.topicIDs[t.Name]; {
		case errors.Is(t.Err, coldstream.ErrUnknownTopic):
			refused.Reasons = append(refused.Reasons, fmt.Sprintf("topic %s, which restore %s made or filled, is not there any more", t.Name, p.past.id))
		case t.Err != nil:
			refused.Reasons = append(refused.Reasons, fmt.Sprintf("topic %s: %v", t.Name, t.Err))
		case t.ID.String() != was:
			refused.Reasons = append(refused.Reasons, fmt.Sprintf("topic %s was deleted and made again since restore %s", t.Name, p.past.id))
		}
	}
	if len(refused.Reasons) == 0 {
		err = p.checkEnds(ctx, refused)
	}
	if err == nil && len(refused.Reasons) > 0 {
		return refused
	}
	return err
}

func (p *Plan) checkEnds(ctx context.Context, refused *RefusedError) error {
	var tps []coldstream.TopicPartition
	for _, place := range p.past.places {
		tps = append(tps, place.into)
	}
	slices.SortFunc(tps, coldstream.TopicPartition.Compare)
	ends, err := p.target.LogOffsets(ctx, tps)
	if err != nil {
		return fmt.Errorf("read the target's log offsets: %w", err)
	}
	for _, place := range p.past.places {
		switch end := ends[place.into]; {
		case end.Err != nil:
			return fmt.Errorf("read log offsets of %s: %w", place.into, end.Err)
		case end.HighWatermark < place.past.next:
			refused.Reasons = append(refused.Reasons, fmt.Sprintf("%s ends at offset %d, and ended at %d after restore %s: it lost records",
				place.into, end.HighWatermark, place.past.next, p.past.id))
		}
	}
	slices.Sort(refused.Reasons)
	return nil
}

// executeGroups is [Plan.Execute] for groups alone.
func (x *execution) executeGroups(ctx context.Context) (*Result, error) {
	if err := x.hold(ctx); err != nil {
		return nil, err
	}
	x.commitGroups(ctx)
	result := x.result()
	err := x.record(context.WithoutCancel(ctx), recordResult, x.resultRecord(result))
	if err != nil {
		err = x.unrecorded(err)
	}
	return result, cmp.Or(ctx.Err(), err)
}
