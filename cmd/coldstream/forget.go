package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/internal/retention"
	"coldstream/vault"
)

type forgetOptions struct {
	global  *globalOptions
	vault   vaultOptions
	topics  topicOptions
	tags    tagFilter
	policy  retention.Policy
	within  string
	restore string
	dryRun  bool
}

func newForgetCommand(global *globalOptions, e *env) *cobra.Command {
	o := &forgetOptions{global: global}
	cmd := &cobra.Command{
		Use:   "forget [SNAPSHOT]...",
		Short: "Drop snapshots by a policy, or by their IDs",
		Long: `Drop snapshots: those that no rule of a policy keeps, or those that are named. No data goes
with them; "coldstream prune" frees what no snapshot needs any more. Look first with --dry-run.

Rules count for each topic of each cluster, and a snapshot stays while one of its topics needs it: so a
backup of a few topics never pushes out one of all. --keep-daily 7 keeps the newest snapshot of each of
the newest 7 days that have one; the other rules do the same for their periods, in this host's time
zone. --keep-within 30d keeps what is at most so much older than the newest snapshot. With -t the
policy is for these topics alone, and a snapshot that has others as well stays. With --tag the policy is
for snapshots with these tags alone, and all others stay. A pinned snapshot stays: see coldstream tag.

A snapshot that a restore in progress needs stays; so does one whose time lies in the future, until it is
named. --restore ID ends what a restore holds that was cut off and will not go on.

Exit codes: 0 done; 2 wrong usage; 3 done, but a snapshot stays that should have gone; 10 no vault; 12 wrong
or no key.`,
		Example: `  coldstream forget --vault /srv/kafka-vault --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  coldstream forget --vault /srv/kafka-vault 62db6e9e`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runForget(cmd.Context(), o, args, e) },
	}
	o.vault.addFlags(cmd, e)
	o.topics.addFlags(cmd)
	o.tags.addFlag(cmd)
	f := cmd.Flags()
	f.IntVar(&o.policy.Last, "keep-last", 0, "keep the newest `N` snapshots")
	f.IntVar(&o.policy.Hourly, "keep-hourly", 0, "keep the newest snapshot of `N` hours")
	f.IntVar(&o.policy.Daily, "keep-daily", 0, "keep the newest snapshot of `N` days")
	f.IntVar(&o.policy.Weekly, "keep-weekly", 0, "keep the newest snapshot of `N` weeks")
	f.IntVar(&o.policy.Monthly, "keep-monthly", 0, "keep the newest snapshot of `N` months")
	f.IntVar(&o.policy.Yearly, "keep-yearly", 0, "keep the newest snapshot of `N` years")
	f.StringVar(&o.within, "keep-within", "", "keep what is at most this `TIME` older than the newest, as 36h or 30d")
	f.StringVar(&o.restore, "restore", "", "end what the restore with this `ID` holds: it was cut off, and will not go on")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would go, and change nothing")
	return cmd
}

type forgetDocument struct {
	header
	Forgotten []forgetLine `json:"forgotten"`
	Kept      []forgetLine `json:"kept"`
	// Held are those that should have gone, and stay: a restore needs them.
	Held []forgetLine `json:"held"`
	// Freed is what the next prune would free.
	PrunePacks int   `json:"prune_packs"`
	PruneBytes int64 `json:"prune_bytes"`
}

type forgetLine struct {
	ID         string   `json:"id"`
	Time       string   `json:"time"`
	ClusterID  string   `json:"cluster_id"`
	TopicCount int      `json:"topic_count"`
	Reasons    []string `json:"reasons"`
}

func runForget(ctx context.Context, o *forgetOptions, ids []string, e *env) error {
	if err := o.validate(ids); err != nil {
		return err
	}
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	if v.IsPermanent() {
		return &failure{exitFailed, errors.New("forget: the vault's storage takes nothing away"), "Elastio removes recovery points by a retention of its own; see docs/elastio.md"}
	}
	if o.restore != "" {
		return o.endRestore(ctx, v, e)
	}
	catalog, err := v.OpenCatalog(ctx)
	if err != nil {
		return err
	}
	tags, err := v.ReadTags(ctx)
	if err != nil {
		return err
	}
	goes, d, err := o.decide(ctx, catalog, decision{ids, e.now(), tags})
	if err != nil {
		return err
	}
	if err := o.carryOut(ctx, v, goes, d); err != nil {
		return err
	}
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, d)
	} else {
		err = table(e.stdout, d.rows())
	}
	for _, line := range d.Held {
		e.note("snapshot %s stays: a restore needs it", line.ID)
	}
	if err == nil && len(d.Held) > 0 {
		e.hint("if that restore was cut off and will not go on, end it with: coldstream forget --restore ID")
		return &incomplete{exitIncomplete}
	}
	return err
}

func (o *forgetOptions) validate(ids []string) error {
	if o.within != "" {
		within, err := parseDays(o.within)
		if err != nil {
			return usagef("write it as 36h, 30d or 8w", fmt.Errorf("--keep-within: %w", err))
		}
		o.policy.Within = within
	}
	byTopic := len(o.topics.include)+len(o.topics.exclude)+len(o.tags) > 0
	if err := o.tags.check(); err != nil {
		return err
	}
	switch {
	case o.policy.Check() != nil:
		return usagef("", o.policy.Check())
	case o.restore != "" && (len(ids) > 0 || !o.policy.IsZero() || byTopic || o.dryRun):
		return usagef("", errors.New("--restore stands alone"))
	case len(ids) > 0 && (!o.policy.IsZero() || byTopic):
		return usagef("", errors.New("name snapshots, or give a policy, not both"))
	case len(ids) == 0 && o.policy.IsZero() && o.restore == "":
		return usagef("give a policy, such as --keep-daily 7, or the IDs of snapshots", errors.New("nothing says which snapshots to keep"))
	}
	return nil
}

// parseDays reads a duration that may be in days or weeks.
func parseDays(text string) (time.Duration, error) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, is := strings.CutSuffix(text, unit); is {
			hours, err := time.ParseDuration(number + "h")
			if err != nil || hours <= 0 || hours > 1e6*time.Hour {
				return 0, fmt.Errorf("%q is no length of time", text)
			}
			return time.Duration(hours.Hours() * float64(length)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no length of time", text)
	}
	return d, nil
}

func (o *forgetOptions) endRestore(ctx context.Context, v *vault.Vault, e *env) error {
	id, err := vault.ParseRestoreID(o.restore)
	if err != nil {
		return usagef("its ID was printed when it began", fmt.Errorf("--restore: %w", err))
	}
	if err := v.EndRestore(ctx, id); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return usagef("its ID was printed when it began", fmt.Errorf("the vault knows no restore %s", id))
		}
		return err
	}
	return printLines(e.stdout, []string{fmt.Sprintf("restore %s holds nothing any more", id)})
}

// decision is what says which snapshots go: their IDs, or rules as of now.
type decision struct {
	ids  []string
	now  time.Time
	tags *vault.TagReader
}

// decide says which snapshots go.
func (o *forgetOptions) decide(ctx context.Context, catalog *vault.Catalog, by decision) (map[vault.SnapshotID]bool, *forgetDocument, error) {
	goes := map[vault.SnapshotID]bool{}
	d := &forgetDocument{header: header{SchemaVersion: schemaVersion, DryRun: o.dryRun}, Forgotten: []forgetLine{}, Kept: []forgetLine{}, Held: []forgetLine{}}
	for _, text := range by.ids {
		s, err := catalog.SnapshotNamed(text)
		if err != nil {
			return nil, nil, err
		}
		said, err := by.tags.Of(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		if said.Pinned {
			return nil, nil, usagef("unpin it first, with: coldstream tag --unpin "+s.ID.String(), fmt.Errorf("snapshot %s is pinned", s.ID))
		}
		goes[s.ID] = true
	}
	snapshots := catalog.Snapshots()
	said := make([]coldstream.Tags, len(snapshots))
	for i := range snapshots {
		var err error
		if said[i], err = by.tags.Of(ctx, &snapshots[i]); err != nil {
			return nil, nil, err
		}
	}
	topics, err := topicsOfEach(ctx, catalog)
	if err != nil {
		return nil, nil, err
	}
	reasons, err := o.reasons(snapshots, topics, saidOf{said, by.now})
	if err != nil {
		return nil, nil, err
	}
	for i := range snapshots {
		s := &snapshots[i]
		line := forgetLine{s.ID.String(), timestamp(s.Time), s.ClusterID, len(topics[i]), []string{}}
		if len(by.ids) == 0 {
			line.Reasons = append(line.Reasons, reasons[i]...)
			goes[s.ID] = len(reasons[i]) == 0
		}
		if goes[s.ID] {
			d.Forgotten = append(d.Forgotten, line)
		} else {
			d.Kept = append(d.Kept, line)
		}
	}
	return goes, d, nil
}

// topicsOfEach are the topics of all snapshots.
func topicsOfEach(ctx context.Context, catalog *vault.Catalog) ([][]coldstream.Topic, error) {
	var all [][]coldstream.Topic
	err := catalog.EachSnapshot(ctx, func(s *vault.Snapshot) error {
		topics, err := s.Topics(ctx)
		all = append(all, topics)
		return err
	})
	return all, err
}

// saidOf is what people say of snapshots, and the time.
type saidOf struct {
	tags []coldstream.Tags
	now  time.Time
}

// reasons are the rules that keep each snapshot.
func (o *forgetOptions) reasons(snapshots []vault.Snapshot, topics [][]coldstream.Topic, by saidOf) ([][]string, error) {
	patterns, err := o.topics.patterns()
	if err != nil {
		return nil, err
	}
	all := len(o.topics.include)+len(o.topics.exclude) == 0
	in := make([]retention.Snapshot, len(snapshots))
	out := make([][]string, len(snapshots))
	matched, tagged := map[string]bool{}, false
	for i := range snapshots {
		s := &snapshots[i]
		in[i] = retention.Snapshot{Time: s.Time, ClusterID: s.ClusterID}
		if by.tags[i].Pinned {
			out[i] = append(out[i], "pinned")
		}
		if !o.tags.wanted().Matches(&by.tags[i]) {
			out[i] = append(out[i], "other tags")
			continue
		}
		tagged = true
		for _, t := range topics[i] {
			if !all {
				if chosen, _ := patterns.SelectSaved([]coldstream.Topic{t}); len(chosen) == 0 { // which patterns match nothing at all is told below
					out[i] = append(out[i], "other topics")
					continue
				}
				matched[t.Name] = true
			}
			in[i].Topics = append(in[i].Topics, t.Name)
		}
	}
	if len(o.tags) > 0 && len(snapshots) > 0 && !tagged {
		return nil, usagef("see: coldstream snapshots", fmt.Errorf("no snapshot is tagged %s", strings.Join(o.tags, ", ")))
	}
	if !all && len(matched) == 0 {
		return nil, usagef("see: coldstream ls", errors.New("the topics that are named are in no snapshot"))
	}
	for i, d := range retention.Decide(o.policy, in, by.now) {
		if d.Future {
			out[i] = append(out[i], "its time is in the future")
		}
		out[i] = append(out[i], d.Reasons...)
	}
	return out, nil
}

// carryOut drops what goes, and sees what stayed all the same.
func (o *forgetOptions) carryOut(ctx context.Context, v *vault.Vault, goes map[vault.SnapshotID]bool, d *forgetDocument) error {
	forget := func(s *vault.Snapshot) bool { return goes[s.ID] }
	freed, err := v.Foresee(ctx, vault.TurnOptions{Forget: forget, Release: true})
	if err != nil {
		return err
	}
	d.PrunePacks, d.PruneBytes = freed.Packs, freed.Bytes
	if o.dryRun || len(d.Forgotten) == 0 {
		return nil
	}
	if err := v.Turn(ctx, vault.TurnOptions{Forget: forget}); err != nil {
		return err
	}
	catalog, err := v.OpenCatalog(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, s := range catalog.Snapshots() {
		there[s.ID.String()] = true
	}
	forgotten := []forgetLine{}
	for _, line := range d.Forgotten {
		if there[line.ID] {
			d.Held = append(d.Held, line)
			continue
		}
		forgotten = append(forgotten, line)
	}
	d.Forgotten = forgotten
	return nil
}

func (d *forgetDocument) rows() []row {
	rows := []row{{"id", "time", "cluster", "topics", "kept by"}}
	add := func(lines []forgetLine, without string) {
		for _, l := range lines {
			reasons := strings.Join(l.Reasons, ", ")
			if reasons == "" {
				reasons = without
			}
			rows = append(rows, row{l.ID, l.Time, l.ClusterID, formatCount(int64(l.TopicCount)), reasons})
		}
	}
	goes, did := "forgotten", "forgot"
	if d.DryRun {
		goes, did = "would be forgotten", "would forget"
	}
	add(d.Forgotten, goes)
	add(d.Held, "a restore")
	add(d.Kept, "not named")
	return append(rows,
		row{fmt.Sprintf("%s %s, %s left", did, plural(int64(len(d.Forgotten)), "snapshot"), formatCount(int64(len(d.Kept)+len(d.Held))))},
		row{fmt.Sprintf("then coldstream prune frees %s of packs that nothing needs", formatBytes(d.PruneBytes))})
}
