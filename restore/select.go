package restore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coldstream"
	"coldstream/vault"
)

const minPrefix = 4

// Choose is [SelectSnapshot] over a catalog. Where damage may be why nothing is found, the
// damage is the error.
func Choose(catalog *vault.Catalog, req *Request) (*vault.Snapshot, []coldstream.Topic, error) {
	snapshot, topics, err := SelectSnapshot(catalog.Snapshots(), req)
	if damage := catalog.Damage(); err != nil && len(damage) > 0 {
		return nil, nil, fmt.Errorf("%v; it may have been lost: %d objects of the catalog are damaged, the first: %w", err, len(damage), damage[0]) //nolint:errorlint // no longer an error of the command line
	}
	return snapshot, topics, err
}

// SelectSnapshot finds the snapshot that a command means: the one with the given ID or
// unique prefix, or else the newest that holds all topics asked for, of the one cluster
// in the vault. Snapshots are oldest first. Topics are those chosen, in order of name.
func SelectSnapshot(snapshots []vault.Snapshot, req *Request) (*vault.Snapshot, []coldstream.Topic, error) {
	if len(snapshots) == 0 {
		return nil, nil, &UsageError{Text: "the vault holds no snapshot", Next: "make one with: coldstream backup"}
	}
	candidates, err := candidates(snapshots, req)
	if err != nil {
		return nil, nil, err
	}
	var errs []error // of the newest first
	var all []coldstream.Topic
	for _, s := range slices.Backward(candidates) {
		topics := vault.TopicsOf(s.Views)
		if req.Topics == nil {
			return s, topics, nil
		}
		all = append(all, topics...)
	}
	if err := req.Topics.CheckExcludes(all); err != nil {
		return nil, nil, noneHoldsAll(candidates, req.Topics, []error{err})
	}
	for _, s := range slices.Backward(candidates) {
		topics := vault.TopicsOf(s.Views)
		chosen, err := req.Topics.Within(topics).SelectSaved(topics)
		if err == nil {
			return s, chosen, nil
		}
		errs = append(errs, err)
	}
	return nil, nil, noneHoldsAll(candidates, req.Topics, errs)
}

// OlderNotice says that an older snapshot than the newest of its cluster was chosen, because
// that lacks some of the topics asked for; it is empty if it does not.
func OlderNotice(snapshots []vault.Snapshot, chosen *vault.Snapshot, patterns *coldstream.Patterns) string {
	for i := range slices.Backward(snapshots) {
		newest := &snapshots[i]
		if newest.ClusterID != chosen.ClusterID {
			continue
		}
		if newest.ID == chosen.ID || patterns == nil {
			return ""
		}
		topics := vault.TopicsOf(newest.Views)
		_, err := patterns.Within(topics).SelectSaved(topics)
		if err == nil {
			return ""
		}
		return fmt.Sprintf("snapshot %s of %s is taken, and not the newest one, %s of %s, because that one does not hold all topics asked for: %v",
			chosen.ID, chosen.Time.UTC().Format(time.RFC3339), newest.ID, newest.Time.UTC().Format(time.RFC3339), err)
	}
	return ""
}

// leftBehind finds the newest snapshot with topics that were asked for by no name, as by
// --all-topics, and that the chosen one does not hold: it may be that of a backup of a part.
func leftBehind(snapshots []vault.Snapshot, chosen *vault.Snapshot, topics []coldstream.Topic, patterns *coldstream.Patterns) (*vault.Snapshot, []string) {
	has := map[string]bool{}
	for _, t := range topics {
		has[t.Name] = true
	}
	for i := range slices.Backward(snapshots) {
		s := &snapshots[i]
		if s.ClusterID != chosen.ClusterID {
			continue
		}
		there := vault.TopicsOf(s.Views)
		if patterns != nil {
			there, _ = patterns.SelectSaved(there) // where a name lacks, nothing is asked of it
		}
		var names []string
		for _, t := range there {
			if !has[t.Name] && !slices.Contains(names, t.Name) {
				names = append(names, t.Name)
			}
		}
		if len(names) > 0 {
			return s, names
		}
	}
	return nil, nil
}

// candidates are the snapshots that a request may mean. An ID says which cluster is meant.
func candidates(snapshots []vault.Snapshot, req *Request) ([]*vault.Snapshot, error) {
	if req.Snapshot == "" || req.ClusterID != "" {
		ofCluster, err := ofCluster(snapshots, req.ClusterID)
		if err != nil || req.Snapshot == "" {
			return ofCluster, err
		}
		return withID(ofCluster, req.Snapshot)
	}
	all := make([]*vault.Snapshot, len(snapshots))
	for i := range snapshots {
		all[i] = &snapshots[i]
	}
	return withID(all, req.Snapshot)
}

// noneHoldsAll says which snapshot holds which topic, where some do. The errors are those
// of the candidates, the newest first.
func noneHoldsAll(candidates []*vault.Snapshot, patterns *coldstream.Patterns, errs []error) error {
	var holds []string
	for _, text := range patterns.Texts() {
		one, err := coldstream.ParsePatterns([]string{text}, nil)
		if err != nil {
			return err
		}
		for _, s := range slices.Backward(candidates) {
			if _, err := one.SelectSaved(vault.TopicsOf(s.Views)); err == nil {
				holds = append(holds, fmt.Sprintf("%s is in %s", text, s.ID))
				break
			}
		}
	}
	usage := &UsageError{Text: errs[0].Error()}
	if len(candidates) > 1 {
		usage.Text = "no snapshot holds all topics asked for: " + errs[0].Error()
	}
	for _, err := range errs {
		var near interface{ UsageHint() string }
		if usage.Next == "" && errors.As(err, &near) {
			usage.Next = near.UsageHint()
		}
	}
	if len(holds) > 0 && len(candidates) > 1 {
		usage.Next = strings.Join(holds, ", ") + "; restore them one by one with --snapshot"
	}
	return usage
}

func ofCluster(snapshots []vault.Snapshot, clusterID string) ([]*vault.Snapshot, error) {
	var out []*vault.Snapshot
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
		return nil, &UsageError{
			Text: "the vault holds snapshots of several clusters: " + strings.Join(ids, ", "), Next: "choose one with --cluster-id",
		}
	}
	if clusterID != "" && len(out) == 0 {
		return nil, &UsageError{
			Text: fmt.Sprintf("the vault holds no snapshot of cluster %q", clusterID), Next: "it holds: " + strings.Join(ids, ", "),
		}
	}
	return out, nil
}

// FindSnapshot finds the one snapshot that an ID, or a unique prefix of one, names. Another
// one is a [*UsageError].
func FindSnapshot(snapshots []vault.Snapshot, prefix string) (*vault.Snapshot, error) {
	all := make([]*vault.Snapshot, len(snapshots))
	for i := range snapshots {
		all[i] = &snapshots[i]
	}
	found, err := withID(all, prefix)
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

func withID(snapshots []*vault.Snapshot, prefix string) ([]*vault.Snapshot, error) {
	prefix = strings.ToLower(prefix)
	if len(prefix) < minPrefix {
		return nil, &UsageError{Text: fmt.Sprintf("snapshot %q: give its ID, or at least its first %d digits", prefix, minPrefix), Next: "see: coldstream snapshots"}
	}
	var out []*vault.Snapshot
	for _, s := range snapshots {
		if strings.HasPrefix(s.ID.String(), prefix) {
			out = append(out, s)
		}
	}
	switch len(out) {
	case 1:
		return out, nil
	case 0:
		return nil, &UsageError{Text: fmt.Sprintf("no snapshot %q", prefix), Next: "see: coldstream snapshots"}
	}
	return nil, &UsageError{Text: fmt.Sprintf("%d snapshots begin with %q", len(out), prefix), Next: "give more digits; see: coldstream snapshots"}
}
