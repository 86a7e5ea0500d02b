package vault

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"coldstream"
)

// notLater are snapshots of one cluster up to the time asked for, as the catalog orders them:
// none that stands behind a later one is among them, whatever its own time. A time ahead of this
// host's is that of a wrong clock: such a snapshot is left out, and those behind it are not.
func notLater(snapshots []*Snapshot, choice *Choice) []*Snapshot {
	var out []*Snapshot
	for _, s := range snapshots {
		if !choice.Now.IsZero() && s.Time.After(choice.Now.Add(clockTolerance)) {
			continue
		}
		if s.Time.After(choice.At) {
			break
		}
		out = append(out, s)
	}
	return out
}

// upTo is the same, and an error where there is none.
func upTo(snapshots []*Snapshot, choice *Choice) ([]*Snapshot, error) {
	out := notLater(snapshots, choice)
	if len(out) == 0 {
		oldest := snapshots[0]
		return nil, &ChoiceError{
			Reason: ChoiceTooEarly, Text: fmt.Sprintf("no snapshot is as old as %s: the oldest is %s of %s", utc(choice.At), oldest.ID, utc(oldest.Time)),
		}
	}
	return out, nil
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// noneHeldAll says that no snapshot up to a time holds all topics, and which snapshots hold them: for
// each pattern the newest up to the time, or else the oldest behind it.
func (c *Catalog) noneHeldAll(ctx context.Context, candidates []*Snapshot, choice *Choice, cause error) (failed error) {
	wrong := &ChoiceError{Text: fmt.Sprintf("no snapshot up to %s holds all topics asked for: %v", utc(choice.At), cause)}
	all, err := ofCluster(c.snapshots, choice.ClusterID)
	if err != nil {
		return err
	}
	last := candidates[len(candidates)-1].ID
	later := slices.Clone(all[slices.IndexFunc(all, func(s *Snapshot) bool { return s.ID == last })+1:])
	slices.Reverse(later)
	var holds []string
	for _, text := range choice.Topics.Texts() {
		one, err := coldstream.ParsePatterns([]string{text}, nil)
		if err != nil {
			return err
		}
		for s, topics := range readable(ctx, slices.Concat(later, candidates), &failed) {
			if _, err := one.SelectSaved(topics); err == nil {
				holds = append(holds, fmt.Sprintf("%s is in %s of %s", text, s.ID, utc(s.Time)))
				break
			}
		}
		if failed != nil {
			return failed
		}
	}
	wrong.Next = strings.Join(holds, ", ")
	return wrong
}

// OrderNotice says that times of snapshots around the time asked for are out of order, so that
// there is more than one answer to which snapshot is the last one not later; it is empty if they are not.
func (c *Catalog) OrderNotice(chosen *Snapshot, choice *Choice) string {
	if choice.At.IsZero() {
		return ""
	}
	passed := false
	var later *Snapshot
	for i := range c.snapshots {
		s := &c.snapshots[i]
		switch {
		case s.ClusterID != chosen.ClusterID || s.Time.After(choice.Now.Add(clockTolerance)):
		case s.ID == chosen.ID:
			passed = true
		case passed && later == nil && s.Time.After(choice.At):
			later = s
		case later != nil && s.Time.Before(choice.At) && s.Time.Before(later.Time.Add(-clockTolerance)):
			return fmt.Sprintf("the clocks of backups did not agree: snapshot %s of %s was taken before %s of %s, as the vault's own order says. "+
				"%s of %s is the last one before both, and is taken",
				later.ID, utc(later.Time), s.ID, utc(s.Time), chosen.ID, utc(chosen.Time))
		}
	}
	return ""
}
