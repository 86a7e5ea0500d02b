package vault

import (
	"context"
	"errors"
	"maps"
	"slices"

	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// objectFacts are the facts of one object of the catalog.
type objectFacts struct {
	object string
	*format.Facts
}

// withFacts opens the catalog and looks at its rows, all of it again where the catalog turned
// meanwhile: each attempt begins with nothing.
func (v *Vault) withFacts(ctx context.Context, opts catalogOptions, attempt func(*Catalog) error) (*Catalog, error) {
	for {
		c, err := v.openCatalog(ctx, opts)
		if err != nil {
			return nil, err
		}
		if err = attempt(c); !errors.Is(err, errTurned) {
			return c, err
		}
	}
}

// eachFacts shows the facts of the tables of some topics, and those of all commits of the epoch
// that were taken, in this order. A table that cannot be read is damage, and costs what only its
// rows told. If the catalog turned meanwhile, nothing that was seen is to be relied on: then
// the error is errTurned.
func (c *Catalog) eachFacts(ctx context.Context, topics func(string) bool, visit func(object string, facts *format.Facts) error) error {
	before := len(c.damage)
	err := c.eachTable(ctx, topics, visit)
	if err == nil && len(c.damage) > before { // it may only be retired
		now, lookErr := c.vault.look(ctx, c.found.newest)
		switch {
		case lookErr != nil:
			return lookErr
		case !now.isStill(&c.found):
			return errTurned
		}
		c.sortDamage()
		err = c.readAccepted(ctx, c.vault)
	}
	if err == nil {
		err = c.readFacts()
	}
	if err != nil {
		return err
	}
	for _, of := range c.facts {
		if err := visit(of.object, of.Facts); err != nil {
			return err
		}
	}
	return nil
}

// eachFactsOf shows the facts about one topic, likewise.
func (c *Catalog) eachFactsOf(ctx context.Context, topic string, visit func(object string, facts *format.Facts) error) error {
	return c.eachFacts(ctx, func(other string) bool { return other == topic }, func(object string, facts *format.Facts) error {
		return visit(object, facts.OfTopic(topic))
	})
}

// topics are those that rows and views of streams may be of.
func (c *Catalog) topics() []string {
	topics := map[string]bool{}
	for i := range c.tables {
		topics[c.tables[i].Topic] = true
	}
	for s := range c.heads {
		topics[s.Topic] = true
	}
	for _, of := range c.facts {
		for _, in := range of.Incarnations {
			topics[in.Topic] = true
		}
	}
	return slices.Sorted(maps.Keys(topics))
}

// eachTable shows the facts of the tables of some topics.
func (c *Catalog) eachTable(ctx context.Context, topics func(string) bool, visit func(object string, facts *format.Facts) error) error {
	var refs []*format.TableRef
	var objects []blob.Entry
	for i := range c.tables {
		if ref := &c.tables[i]; topics(ref.Topic) {
			refs = append(refs, ref)
			objects = append(objects, blob.Entry{Key: ref.Table.Key(), SizeBytes: ref.SizeBytes})
		}
	}
	v, stop := c.vault.ahead(ctx, objects)
	defer stop()
	for _, ref := range refs {
		facts, err := v.loadTable(ctx, ref)
		if err = c.takeDamage(err); err != nil {
			return err
		}
		if facts == nil {
			continue
		}
		if err := visit(ref.Table.Key(), facts); err != nil {
			return err
		}
	}
	return nil
}

// eachCommit shows the commits that were taken, in this order.
func (c *Catalog) eachCommit(visit func(*format.Commit) error) error {
	for _, id := range c.taken {
		commit, err := format.DecodeCommit(c.state(id).payload) // it was decoded before
		if err == nil {
			err = visit(commit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readFacts takes what commits tell of rows out of them, once.
func (c *Catalog) readFacts() error {
	if c.facts != nil {
		return nil
	}
	c.facts = []objectFacts{}
	return c.eachCommit(func(commit *format.Commit) error {
		if f := &commit.Facts; len(f.Rows)+len(f.Gaps)+len(f.Scans)+len(f.Packs) > 0 {
			c.facts = append(c.facts, objectFacts{commit.ID.Key(), f.OfUsedStreams()})
		}
		return nil
	})
}

// takeDamage keeps err as damage, if that is what it is. What is known already is damaged once.
func (c *Catalog) takeDamage(err error) error {
	var damage *DamageError
	if !errors.As(err, &damage) {
		return err
	}
	if !slices.ContainsFunc(c.damage, func(d *DamageError) bool { return d.Object == damage.Object && d.Kind == damage.Kind }) {
		c.damage = append(c.damage, damage)
	}
	return nil
}
