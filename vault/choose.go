package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coldstream"
)

// Choice says which snapshot is meant.
type Choice struct {
	// ID is the snapshot's, or a unique prefix of it; empty takes the newest snapshot that holds
	// all topics asked for.
	ID string
	// ClusterID chooses among the clusters of a vault that has several.
	ClusterID string
	// Topics chooses among the snapshot's; nil takes all of them.
	Topics *coldstream.Patterns
	// Tags are those that the snapshot must have.
	Tags coldstream.TagFilter
	// At takes the newest snapshot that is not later, and of [Catalog.Show] also what was backed up
	// behind it and was there by then. It is zero for none. Now is this host's time: a
	// snapshot whose time is ahead of it says nothing of when it was taken. With an ID, that snapshot is
	// the one to go by.
	At, Now time.Time
	// Archive shows all that the vault holds of the topics, in place of what the snapshot does.
	Archive bool
}

// ChoiceReason says why a choice names no snapshot.
type ChoiceReason string

// The reasons.
const (
	// ChoiceNoMatch is that no snapshot has what is asked for.
	ChoiceNoMatch ChoiceReason = ""
	// ChoiceNoSnapshots is that the vault holds none.
	ChoiceNoSnapshots ChoiceReason = "no snapshots"
	// ChoiceUnknownID is that no snapshot has the ID, or that it has too few digits.
	ChoiceUnknownID ChoiceReason = "unknown ID"
	// ChoiceManyIDs is that several IDs begin with these digits.
	ChoiceManyIDs ChoiceReason = "several IDs"
	// ChoiceManyClusters is that snapshots are of several clusters.
	ChoiceManyClusters ChoiceReason = "several clusters"
	// ChoiceTagForm is that a tag is not written as one.
	ChoiceTagForm ChoiceReason = "form of a tag"
	// ChoiceTooEarly is that the time asked for lies before the first snapshot.
	ChoiceTooEarly ChoiceReason = "too early"
	// ChoiceScattered is that several snapshots together hold all topics asked for.
	ChoiceScattered ChoiceReason = "scattered"
)

// ChoiceError is a choice that no snapshot fits, or more than one.
type ChoiceError struct {
	Reason ChoiceReason
	Text   string
	Next   string // facts that help
}

func (e *ChoiceError) Error() string { return e.Text }

// MinIDPrefix is how many digits of an ID name a snapshot at least.
const MinIDPrefix = 4

// Choose finds the snapshot that is meant: the one with the given ID or unique prefix, or else the
// newest that holds all topics asked for, of the one cluster in the vault. Topics are those
// chosen, in order of name. Views are read of no more snapshots than that takes. A choice
// that fits none is a [*ChoiceError]; where damage may be why nothing is found, the damage is the error.
func (c *Catalog) Choose(ctx context.Context, choice *Choice) (*Snapshot, []coldstream.Topic, error) {
	snapshot, topics, err := c.choose(ctx, choice)
	if damage := c.Damage(); err != nil && len(damage) > 0 {
		return nil, nil, fmt.Errorf("%v; it may have been lost: %d objects of the catalog are damaged, the first: %w", err, len(damage), damage[0]) //nolint:errorlint // no longer an error of the command line
	}
	return snapshot, topics, err
}

func (c *Catalog) choose(ctx context.Context, choice *Choice) (*Snapshot, []coldstream.Topic, error) {
	snapshots := c.Snapshots()
	if len(snapshots) == 0 {
		return nil, nil, &ChoiceError{Reason: ChoiceNoSnapshots, Text: "the vault holds no snapshot"}
	}
	candidates, err := candidates(snapshots, choice)
	if err != nil {
		return nil, nil, err
	}
	if candidates, err = c.tagged(ctx, candidates, choice.Tags); err != nil {
		return nil, nil, err
	}
	if choice.Topics != nil {
		if err := c.checkExcludes(ctx, candidates, choice); err != nil {
			return nil, nil, err
		}
	}
	var errs []error // of the newest first
	for s, topics := range readable(ctx, candidates, &err) {
		if choice.Topics == nil {
			return s, topics, nil
		}
		chosen, err := choice.Topics.Within(topics).SelectSaved(topics)
		if err == nil {
			return s, chosen, nil
		}
		errs = append(errs, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(errs) == 0 {
		return nil, nil, errors.New("what the snapshots show cannot be read")
	}
	return nil, nil, c.noneHoldsAll(ctx, candidates, choice, errs)
}

// readable gives snapshots with their topics, the newest first. What snapshots are damaged, or
// were forgotten meanwhile, is left out. Any other error ends it.
func readable(ctx context.Context, snapshots []*Snapshot, failed *error) func(yield func(*Snapshot, []coldstream.Topic) bool) {
	return func(yield func(*Snapshot, []coldstream.Topic) bool) {
		for _, s := range slices.Backward(snapshots) {
			topics, err := s.Topics(ctx)
			switch {
			case errors.Is(err, coldstream.ErrCorrupt) || errors.Is(err, coldstream.ErrForgotten):
			case err != nil:
				*failed = err
				return
			case !yield(s, topics):
				return
			}
		}
	}
}

// checkExcludes refuses a pattern that excludes nothing in any of the snapshots.
func (c *Catalog) checkExcludes(ctx context.Context, candidates []*Snapshot, choice *Choice) (err error) {
	patterns := choice.Topics
	useless := patterns.CheckExcludes(nil)
	if useless == nil {
		return nil
	}
	var all []coldstream.Topic
	for _, topics := range readable(ctx, candidates, &err) {
		all = append(all, topics...)
		if useless = patterns.CheckExcludes(all); useless == nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return c.noneHoldsAll(ctx, candidates, choice, []error{useless})
}

// OlderNotice says that an older snapshot than the newest of its cluster, or the newest that is not
// later than [Choice].At, was chosen, because that lacks some of the topics asked for; it is empty if
// it does not.
func (c *Catalog) OlderNotice(ctx context.Context, chosen *Snapshot, choice *Choice) (string, error) {
	patterns := choice.Topics
	for _, newest := range slices.Backward(c.besides(chosen, choice)) {
		if newest.ID == chosen.ID || patterns == nil {
			return "", nil
		}
		topics, err := newest.Topics(ctx)
		if err == nil {
			_, err = patterns.Within(topics).SelectSaved(topics)
		}
		if err == nil || errors.Is(err, coldstream.ErrForgotten) {
			return "", nil
		}
		if !isAboutTopics(err) && !errors.Is(err, coldstream.ErrCorrupt) {
			return "", err
		}
		return fmt.Sprintf("snapshot %s of %s is taken, and not the newest one, %s of %s, because that one does not hold all topics asked for: %v",
			chosen.ID, chosen.Time.UTC().Format(time.RFC3339), newest.ID, newest.Time.UTC().Format(time.RFC3339), err), nil
	}
	return "", nil
}

func isAboutTopics(err error) bool {
	var about *coldstream.PatternError
	return errors.As(err, &about)
}

// LeftBehind finds the newest snapshot with topics that were asked for by no name, as by
// --all-topics, and that the chosen one does not hold: it may be that of a backup of a part.
// It is nil if there is none.
func (c *Catalog) LeftBehind(ctx context.Context, chosen *Snapshot, topics []coldstream.Topic, choice *Choice) (s *Snapshot, names []string, err error) {
	patterns := choice.Topics
	has := map[string]bool{}
	for _, t := range topics {
		has[t.Name] = true
	}
	lacks := func(there []coldstream.Topic) (names []string) {
		if patterns != nil {
			there, _ = patterns.SelectSaved(there) // where a name lacks, nothing is asked of it
		}
		for _, t := range there {
			if !has[t.Name] && !slices.Contains(names, t.Name) {
				names = append(names, t.Name)
			}
		}
		return names
	}
	// A snapshot shows what heads are of, unless its commit does not join.
	if len(c.damage) == 0 && len(lacks(c.topicsOfHeads(chosen.ClusterID))) == 0 {
		return nil, nil, nil
	}
	for s, there := range readable(ctx, c.besides(chosen, choice), &err) {
		if names := lacks(there); len(names) > 0 {
			return s, names, nil
		}
	}
	return nil, nil, err
}

// besides are the snapshots that might have been chosen of a chosen one's cluster.
func (c *Catalog) besides(chosen *Snapshot, choice *Choice) []*Snapshot {
	of := slices.DeleteFunc(pointers(c.snapshots), func(s *Snapshot) bool { return s.ClusterID != chosen.ClusterID })
	if choice.At.IsZero() {
		return of
	}
	return notLater(of, choice)
}

// topicsOfHeads are the topics of a cluster that the vault holds something of, or held.
func (c *Catalog) topicsOfHeads(clusterID string) []coldstream.Topic {
	seen := map[coldstream.Incarnation]bool{}
	var out []coldstream.Topic
	for s := range c.heads {
		if s.ClusterID == clusterID && !seen[s.Incarnation] {
			seen[s.Incarnation] = true
			out = append(out, coldstream.Topic{Name: s.Topic, ID: s.TopicID})
		}
	}
	return out
}

// candidates are the snapshots that may be meant. An ID says which cluster is meant.
func candidates(snapshots []Snapshot, choice *Choice) ([]*Snapshot, error) {
	if choice.ID == "" || choice.ClusterID != "" {
		ofCluster, err := ofCluster(snapshots, choice.ClusterID)
		switch {
		case err == nil && choice.ID == "" && !choice.At.IsZero():
			return upTo(ofCluster, choice)
		case err != nil || choice.ID == "":
			return ofCluster, err
		}
		return withID(ofCluster, choice.ID)
	}
	return withID(pointers(snapshots), choice.ID)
}

// Tagged are the snapshots with all tags that are asked for. If there are none the error is a
// [*ChoiceError].
func (c *Catalog) Tagged(ctx context.Context, filter coldstream.TagFilter) ([]*Snapshot, error) {
	return c.tagged(ctx, pointers(c.Snapshots()), filter)
}

// tagged are the snapshots with tags that are asked for.
func (c *Catalog) tagged(ctx context.Context, snapshots []*Snapshot, filter coldstream.TagFilter) ([]*Snapshot, error) {
	if len(filter) == 0 {
		return snapshots, nil
	}
	if err := filter.Check(); err != nil {
		return nil, &ChoiceError{Reason: ChoiceTagForm, Text: err.Error()}
	}
	tags, err := c.vault.ReadTags(ctx)
	if err != nil {
		return nil, err
	}
	var out []*Snapshot
	for _, s := range snapshots {
		said, err := tags.Of(ctx, s)
		if err != nil {
			return nil, err
		}
		if filter.Matches(&said) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, &ChoiceError{Text: fmt.Sprintf("no snapshot is tagged %s", strings.Join(filter, ", ")), Next: "see: coldstream snapshots"}
	}
	return out, nil
}

func pointers(snapshots []Snapshot) []*Snapshot {
	all := make([]*Snapshot, len(snapshots))
	for i := range snapshots {
		all[i] = &snapshots[i]
	}
	return all
}

// noneHoldsAll says which snapshot holds which topic, where some do. The errors are those
// of the candidates, the newest first.
func (c *Catalog) noneHoldsAll(ctx context.Context, candidates []*Snapshot, choice *Choice, errs []error) (failed error) {
	patterns := choice.Topics
	if !choice.At.IsZero() {
		return c.noneHeldAll(ctx, candidates, choice, errs[0])
	}
	var holds []string
	for _, text := range patterns.Texts() {
		one, err := coldstream.ParsePatterns([]string{text}, nil)
		if err != nil {
			return err
		}
		for s, topics := range readable(ctx, candidates, &failed) {
			if _, err := one.SelectSaved(topics); err == nil {
				holds = append(holds, fmt.Sprintf("%s is in %s", text, s.ID))
				break
			}
		}
		if failed != nil {
			return failed
		}
	}
	wrong := &ChoiceError{Text: errs[0].Error()}
	if len(candidates) > 1 {
		wrong.Text = "no snapshot holds all topics asked for: " + errs[0].Error()
	}
	for _, err := range errs {
		var near interface{ UsageHint() string }
		if wrong.Next == "" && errors.As(err, &near) {
			wrong.Next = near.UsageHint()
		}
	}
	if len(holds) > 0 && len(candidates) > 1 {
		wrong.Reason, wrong.Next = ChoiceScattered, strings.Join(holds, ", ")
	}
	return wrong
}

func ofCluster(snapshots []Snapshot, clusterID string) ([]*Snapshot, error) {
	var out []*Snapshot
	var ids []string
	for i := range snapshots {
		s := &snapshots[i]
		if !slices.Contains(ids, s.ClusterID) {
			ids = append(ids, s.ClusterID)
		}
		if clusterID == "" || s.ClusterID == clusterID {
			out = append(out, s)
		}
	}
	if clusterID == "" && len(ids) > 1 {
		return nil, &ChoiceError{
			Reason: ChoiceManyClusters, Text: "the vault holds snapshots of several clusters: " + strings.Join(ids, ", "),
		}
	}
	if clusterID != "" && len(out) == 0 {
		return nil, &ChoiceError{
			Text: fmt.Sprintf("the vault holds no snapshot of cluster %q", clusterID), Next: "it holds: " + strings.Join(ids, ", "),
		}
	}
	return out, nil
}

// SnapshotNamed finds the one snapshot that an ID, or a unique prefix of one, names. Another
// one is a [*ChoiceError].
func (c *Catalog) SnapshotNamed(prefix string) (*Snapshot, error) {
	found, err := withID(pointers(c.Snapshots()), prefix)
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

func withID(snapshots []*Snapshot, prefix string) ([]*Snapshot, error) {
	prefix = strings.ToLower(prefix)
	if len(prefix) < MinIDPrefix {
		return nil, &ChoiceError{Reason: ChoiceUnknownID, Text: fmt.Sprintf("snapshot %q: give its ID, or at least its first %d digits", prefix, MinIDPrefix)}
	}
	var out []*Snapshot
	for _, s := range snapshots {
		if strings.HasPrefix(s.ID.String(), prefix) {
			out = append(out, s)
		}
	}
	switch len(out) {
	case 1:
		return out, nil
	case 0:
		return nil, &ChoiceError{Reason: ChoiceUnknownID, Text: fmt.Sprintf("no snapshot %q", prefix)}
	}
	return nil, &ChoiceError{Reason: ChoiceManyIDs, Text: fmt.Sprintf("%d snapshots begin with %q", len(out), prefix)}
}
