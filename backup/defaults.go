package backup

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"coldstream"
	"coldstream/vault"
)

// readDefaults asks what topics have from their brokers: without it nobody knows whether a
// topic without configs of its own was kept for a week or for ever. Who may not know saves
// the records all the same.
func (p *plan) readDefaults(ctx context.Context, source coldstream.Source, observer coldstream.Observer) error {
	defaults, err := source.TopicDefaults(ctx, fewestConfigsFirst(p.metadata.Topics))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		p.metadata.Missing[vault.SectionDefaults] = err.Error()
		observer.Observe(&coldstream.Warning{
			Text: fmt.Sprintf("the configs that topics have from their brokers are not saved: %v", err),
			Hint: "a restore sets the topics' own configs only",
		})
		return nil
	}
	for _, u := range defaults.Unanswered {
		observer.Observe(&coldstream.Warning{Text: fmt.Sprintf("broker %d did not tell the configs that topics have from it: %v", u.ID, u.Err)})
	}
	p.metadata.Defaults = defaults
	return nil
}

// fewestConfigsFirst orders topics so that the first hides least of its broker's defaults.
func fewestConfigsFirst(topics []coldstream.Topic) []string {
	var described []coldstream.Topic
	for _, t := range topics {
		if t.Err == nil && t.ConfigsErr == nil {
			described = append(described, t)
		}
	}
	slices.SortStableFunc(described, func(a, b coldstream.Topic) int { return cmp.Compare(len(a.Configs), len(b.Configs)) })
	names := make([]string, len(described))
	for i, t := range described {
		names[i] = t.Name
	}
	return names
}

// readAdministration asks what the cluster keeps beside topics and groups. What it does not
// tell is noted in the snapshot: records do not depend on it.
func (p *plan) readAdministration(ctx context.Context, source coldstream.Source) (err error) {
	if reader, can := source.(coldstream.AdministrationReader); can {
		p.metadata.Administration, err = reader.Administration(ctx)
	}
	return err
}
