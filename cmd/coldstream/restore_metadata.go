package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coldstream"
	"coldstream/internal/administration"
	"coldstream/kafka"
	"coldstream/vault"
)

// metadataOptions are those of a restore of what stands beside topics and groups.
type metadataOptions struct {
	parts        []string
	passwords    string
	newPasswords string
	given        func() []string // other flags that mean nothing beside it
}

func (o *metadataOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&o.parts, "metadata", nil,
		"restore these `PARTS` of the cluster's administration, and no topics: acls, configs, quotas, users; shows first what would change")
	f.StringVar(&o.passwords, "passwords", "", "with --metadata users: take passwords from this `FILE` of lines USER=PASSWORD")
	f.StringVar(&o.newPasswords, "new-passwords", "", "with --metadata users: make passwords for users who have none in --passwords, and write them to this new `FILE`")
	o.given = func() (names []string) {
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if slices.Contains(topicFlags(), f.Name) {
				names = append(names, "--"+f.Name)
			}
		})
		return names
	}
}

// topicFlags are those about topics and records.
func topicFlags() []string {
	return []string{
		"topic", "exclude", "all-topics", "map", "partitions", "offsets", "groups", "group", "groups-only", "restore", "state", "append",
		"put-back-retention", "strict", "configs", "config", "at", "archive", "since", "until", "resume",
	}
}

func (o *metadataOptions) asked() bool {
	return len(o.parts) > 0 || o.passwords != "" || o.newPasswords != ""
}

// validate reads which parts are meant.
func (o *metadataOptions) validate() ([]coldstream.AdministrationPart, error) {
	if names := o.given(); len(names) > 0 {
		return nil, usagef("restore topics and metadata one after the other", fmt.Errorf("--metadata restores no topics: it excludes %s", strings.Join(names, ", ")))
	}
	var parts []coldstream.AdministrationPart
	for _, name := range o.parts {
		part := coldstream.AdministrationPart(strings.TrimSpace(name))
		if !slices.Contains(administration.Restorable(), part) {
			return nil, usagef("use a list of: acls, configs, quotas, users", fmt.Errorf("unknown part %q of --metadata", name))
		}
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if !slices.Contains(parts, coldstream.PartUsers) && (o.passwords != "" || o.newPasswords != "") {
		return nil, usagef("say --metadata users", errors.New("--passwords and --new-passwords are for users"))
	}
	slices.Sort(parts)
	return parts, nil
}

type metadataDocument struct {
	header
	Snapshot     string                  `json:"snapshot"`
	Changes      []metadataChangeReport  `json:"changes"`
	LeftOut      []metadataLeftOutReport `json:"left_out"`
	OnlyInTarget []metadataExtraReport   `json:"only_in_target"`
	Same         int                     `json:"same"`
}

type metadataChangeReport struct {
	Part    string `json:"part"`
	What    string `json:"what"`
	Was     string `json:"was"`
	Becomes string `json:"becomes"`
	Status  string `json:"status"` // planned, applied, failed
	Error   string `json:"error,omitempty"`
}

type metadataLeftOutReport struct {
	Part   string `json:"part"`
	What   string `json:"what"`
	Reason string `json:"reason"`
}

type metadataExtraReport struct {
	Part string `json:"part"`
	What string `json:"what"`
}

func runRestoreMetadata(ctx context.Context, o *restoreOptions, e *env) error {
	parts, err := o.metadata.validate()
	if err != nil {
		return err
	}
	if err := o.cluster.validate(); err != nil {
		return err
	}
	if !o.dryRun && !o.yes && !e.stdinTerminal {
		return usagef("add --yes, or look first with --dry-run", errors.New("restore asks before it writes, and there is no terminal to ask on"))
	}
	known, err := readPasswords(o.metadata.passwords)
	if err != nil {
		return err
	}
	snapshot, saved, err := savedAdministration(ctx, o, e)
	if err != nil {
		return err
	}
	p := newProgress(e, o.global)
	defer p.finish()
	client, err := o.cluster.connect(ctx, p)
	if err != nil {
		return err
	}
	defer client.Close()
	plan, cluster, err := planMetadata(ctx, client, saved, parts)
	if err != nil {
		return err
	}
	m := &metadataRestore{
		env: e, plan: plan, passwords: known, leftOut: plan.LeftOut,
		document: &metadataDocument{header: header{SchemaVersion: schemaVersion, DryRun: o.dryRun}, Snapshot: snapshot.ID.String(), Same: plan.Same},
	}
	m.choosePasswords(o.metadata.newPasswords)
	if !o.dryRun && len(m.changes) > 0 {
		if err := m.confirm(o, cluster); err != nil {
			return err
		}
		if err := m.writePasswords(o.metadata.newPasswords); err != nil {
			return err
		}
		m.apply(ctx, client)
	}
	return m.report(ctx, o)
}

// savedAdministration is what a snapshot has of the administration.
func savedAdministration(ctx context.Context, o *restoreOptions, e *env) (*vault.Snapshot, *coldstream.Administration, error) {
	v, catalog, err := o.vault.openCatalog(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	snapshot, _, err := catalog.Choose(ctx, &vault.Choice{ID: o.snapshot, ClusterID: o.clusterID, Tags: o.tags.wanted()})
	if err != nil {
		return nil, nil, err
	}
	metadata, err := v.Metadata(ctx, snapshot)
	if err != nil {
		return nil, nil, err
	}
	if damage := metadata.Damaged[vault.SectionAdministration]; damage != nil {
		return nil, nil, damage
	}
	if metadata.Administration == nil {
		return nil, nil, usagef("back up again with this version", fmt.Errorf("snapshot %s has no ACLs, quotas, users and dynamic configs: an earlier version of coldstream made it", snapshot.ID))
	}
	return snapshot, metadata.Administration, nil
}

func planMetadata(ctx context.Context, client *kafka.Client, saved *coldstream.Administration, parts []coldstream.AdministrationPart) (*administration.Plan, *coldstream.Cluster, error) {
	there, err := client.Administration(ctx)
	if err != nil {
		return nil, nil, err
	}
	cluster, err := client.Metadata(ctx, []string{})
	if err != nil {
		return nil, nil, err
	}
	plan, err := administration.MakePlan(saved, there, cluster.Brokers, parts)
	return plan, cluster, err
}

// metadataRestore is a restore of metadata under way.
type metadataRestore struct {
	env       *env
	plan      *administration.Plan
	passwords map[string]string
	made      map[string]string // of them, those that were made here
	changes   []administration.Change
	leftOut   []administration.LeftOut
	document  *metadataDocument
	failed    int
}

// choosePasswords leaves users out who have no password, and makes one for each if there is a file to write it to.
func (m *metadataRestore) choosePasswords(newFile string) {
	m.made = map[string]string{}
	for _, c := range m.plan.Changes {
		if _, has := m.passwords[c.User]; c.User != "" && !has {
			if newFile == "" {
				m.leftOut = append(m.leftOut, administration.LeftOut{
					Part: c.Part, What: c.What,
					Reason: "brokers never tell passwords: give one with --passwords FILE, or have one made with --new-passwords FILE",
				})
				continue
			}
			m.made[c.User] = newPassword()
			m.passwords[c.User] = m.made[c.User]
		}
		m.changes = append(m.changes, c)
	}
}

func newPassword() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// confirm shows what would change, and asks.
func (m *metadataRestore) confirm(o *restoreOptions, cluster *coldstream.Cluster) error {
	m.env.note("into cluster %s at %s", cluster.ID, o.cluster.bootstrap)
	if o.yes {
		return nil
	}
	m.fill("planned")
	if err := table(m.env.stderr, m.rows("would change")); err != nil {
		return err
	}
	m.document.Changes = nil
	yes, err := m.env.ask("%s: apply this to cluster %s at %s?", plural(int64(len(m.changes)), "change"), cluster.ID, o.cluster.bootstrap)
	switch {
	case err != nil:
		return &failure{exitFailed, errors.New("no answer: nothing was changed"), ""}
	case !yes:
		return &failure{exitFailed, errors.New("nothing was changed"), ""}
	}
	return nil
}

// writePasswords stores the passwords that were made before any of them is set.
func (m *metadataRestore) writePasswords(path string) (err error) {
	if len(m.made) == 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write new passwords: %w", err)
	}
	var text bytes.Buffer
	for _, user := range slices.Sorted(maps.Keys(m.made)) {
		fmt.Fprintf(&text, "%s=%s\n", user, m.made[user])
	}
	_, err = f.Write(text.Bytes())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write new passwords to %s: %w", path, err)
	}
	m.env.note("new passwords are in %s", path)
	return nil
}

func (m *metadataRestore) apply(ctx context.Context, client *kafka.Client) {
	for i := range m.changes {
		c := &m.changes[i]
		err := ctx.Err()
		if err == nil {
			err = c.Apply(ctx, client, m.passwords[c.User])
		}
		report := changeReport(c, "applied")
		if err != nil {
			m.failed++
			report.Status, report.Error = "failed", err.Error()
		}
		m.document.Changes = append(m.document.Changes, report)
	}
}

func changeReport(c *administration.Change, status string) metadataChangeReport {
	return metadataChangeReport{Part: string(c.Part), What: c.What, Was: c.Was, Becomes: c.Becomes, Status: status}
}

func (m *metadataRestore) fill(status string) {
	for i := range m.changes {
		m.document.Changes = append(m.document.Changes, changeReport(&m.changes[i], status))
	}
}

// report prints what was done, or would be.
func (m *metadataRestore) report(ctx context.Context, o *restoreOptions) error {
	verb := "changed"
	if o.dryRun {
		m.fill("planned")
		verb = "would change"
	}
	d := m.document
	d.Changes = append([]metadataChangeReport{}, d.Changes...)
	d.LeftOut, d.OnlyInTarget = []metadataLeftOutReport{}, []metadataExtraReport{}
	for _, x := range m.leftOut {
		d.LeftOut = append(d.LeftOut, metadataLeftOutReport{string(x.Part), x.What, x.Reason})
	}
	for _, x := range m.plan.Extra {
		d.OnlyInTarget = append(d.OnlyInTarget, metadataExtraReport{string(x.Part), x.What})
	}
	var err error
	if isMachineFormat(o.global.output) {
		err = writeDocument(m.env.stdout, o.global.output, d)
	} else {
		err = table(m.env.stdout, m.rows(verb))
	}
	if err != nil {
		return err
	}
	for _, x := range d.LeftOut {
		m.env.note("left out: %s: %s", x.What, x.Reason)
	}
	for _, c := range d.Changes {
		if c.Error != "" {
			m.env.note("not changed: %s: %s", c.What, c.Error)
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case m.failed > 0 || len(d.LeftOut) > 0:
		return &incomplete{exitIncomplete}
	}
	return nil
}

func (m *metadataRestore) rows(verb string) []row {
	rows := []row{}
	if len(m.document.Changes) > 0 {
		rows = append(rows, row{"part", "what", "was", "becomes", "status"})
	}
	for _, c := range m.document.Changes {
		rows = append(rows, row{c.Part, c.What, orDash(c.Was), c.Becomes, c.Status})
	}
	for _, x := range m.plan.Extra {
		rows = append(rows, row{fmt.Sprintf("only in the cluster, and kept: %s: %s", x.Part, x.What)})
	}
	return append(rows, row{fmt.Sprintf("%s %s from snapshot %s; %s the same already", verb, plural(int64(len(m.document.Changes)-m.failed), "setting"), m.document.Snapshot, wasOrWere(int64(m.plan.Same), "setting"))})
}

// readPasswords reads lines of USER=PASSWORD.
func readPasswords(path string) (map[string]string, error) {
	out := map[string]string{}
	if path == "" {
		return out, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("", fmt.Errorf("read passwords: %w", err))
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, password, is := strings.Cut(line, "=")
		if !is || user == "" || password == "" {
			return nil, usagef("write lines of USER=PASSWORD", fmt.Errorf("%s, line %d: no user with a password", path, n))
		}
		out[user] = password
	}
	return out, lines.Err()
}
