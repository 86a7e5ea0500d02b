package backup

import (
	"context"
	"errors"
	"fmt"

	"coldstream"
	"coldstream/vault"
)

// readGroups reads the committed offsets of all groups. What is not known of them goes into the
// snapshot and the result: it must not look like "no groups".
func (p *plan) readGroups(ctx context.Context, source coldstream.Source, observer coldstream.Observer) error {
	groups, err := source.Groups(ctx)
	switch {
	case errors.Is(err, coldstream.ErrDenied):
		p.metadata.Missing[vault.SectionGroups] = err.Error()
		p.deny(fmt.Errorf("read consumer groups: %w", err))
		return nil
	case errors.Is(err, coldstream.ErrNotOffered):
		p.metadata.Missing[vault.SectionGroups] = err.Error()
		observer.Observe(&coldstream.Warning{Text: fmt.Sprintf("the offsets of consumer groups are not saved: %v", err)})
		return nil
	case err != nil:
		return fmt.Errorf("read consumer groups: %w", err)
	}
	p.metadata.Groups = groups.List
	missing := groups.Missing
	for _, g := range groups.List {
		// Brokers before 4.1 have share groups, and do not tell where they start.
		if g.Err != nil && !errors.Is(g.Err, coldstream.ErrNotOffered) {
			missing = append(missing, coldstream.MissingGroups{Group: &g.Name, Err: fmt.Errorf("read its offsets: %w", g.Err)})
		}
	}
	p.metadata.GroupsMissing = missing
	for _, m := range missing {
		if errors.Is(m.Err, coldstream.ErrDenied) {
			p.deny(errors.New(m.String()))
		}
		if m.Group != nil || m.CoordinatorPartition != nil {
			p.groupsMissing = append(p.groupsMissing, m)
		}
	}
	return nil
}

// deny keeps a right that is missing to read groups.
func (p *plan) deny(err error) {
	p.denied = append(p.denied, PartitionError{TopicPartition: coldstream.TopicPartition{Partition: -1}, Err: err})
}
