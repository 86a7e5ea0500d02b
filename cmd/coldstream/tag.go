package main

import (
	"context"
	"errors"
	"maps"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/vault"
)

// tagFilter asks for snapshots with tags.
type tagFilter []string

func (f *tagFilter) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar((*[]string)(f), "tag", nil, "only snapshots with this tag, `KEY=VALUE`, or KEY for any value; repeatable: then with all of them")
}

func (f tagFilter) wanted() coldstream.TagFilter { return coldstream.TagFilter(f) }

func (f tagFilter) check() error {
	if err := f.wanted().Check(); err != nil {
		return usagef("write it as --tag KEY=VALUE", err)
	}
	return nil
}

// tagsDocument is what people say of a snapshot.
type tagsDocument struct {
	Tags   map[string]string `json:"tags"`
	Pinned bool              `json:"pinned"`

	said coldstream.Tags
}

func newTagsDocument(t *coldstream.Tags) tagsDocument {
	d := tagsDocument{Tags: maps.Clone(t.Values), Pinned: t.Pinned, said: *t}
	if d.Tags == nil {
		d.Tags = map[string]string{}
	}
	return d
}

func (d *tagsDocument) words() string { return d.said.String() }

type tagOptions struct {
	global     *globalOptions
	vault      vaultOptions
	add        []string
	remove     []string
	pin, unpin bool
}

func newTagCommand(global *globalOptions, e *env) *cobra.Command {
	o := &tagOptions{global: global}
	cmd := &cobra.Command{
		Use:   "tag SNAPSHOT...",
		Short: "Tag snapshots, and pin those that must stay",
		Long: `Change the tags of snapshots, and pin or unpin them. A tag is a key with a value: it can be asked for
wherever a snapshot is chosen, with --tag KEY=VALUE. A pinned snapshot stays whatever policy "coldstream forget"
is given, until it is unpinned.

Snapshots get their first tags from "coldstream backup --tag KEY=VALUE --pin". To unpin a snapshot of an
encrypted vault, or of one made with "coldstream init --keeper", takes the keeper's key.

Exit codes: 0 done; 2 wrong usage or unknown snapshot; 5 the vault is damaged; 10 no vault; 12 wrong or no key.`,
		Example: `  coldstream tag 62db6e9e --add release=4.2 --pin --vault /srv/kafka-vault
  coldstream tag 62db6e9e --unpin --vault /srv/kafka-vault`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runTag(cmd.Context(), o, args, e) },
	}
	o.vault.catalogIsEnough = true
	o.vault.addFlags(cmd, e)
	f := cmd.Flags()
	f.StringArrayVar(&o.add, "add", nil, "set the tag `KEY=VALUE`, repeatable")
	f.StringArrayVar(&o.remove, "remove", nil, "take away the tag with this `KEY`, repeatable")
	f.BoolVar(&o.pin, "pin", false, "no policy forgets the snapshot")
	f.BoolVar(&o.unpin, "unpin", false, "policies count for the snapshot again")
	return cmd
}

type tagDocument struct {
	header
	Snapshots []taggedSnapshot `json:"snapshots"`
}

type taggedSnapshot struct {
	ID string `json:"id"`
	tagsDocument
}

func runTag(ctx context.Context, o *tagOptions, ids []string, e *env) error {
	add, err := coldstream.ParseTags(o.add)
	switch {
	case err != nil:
		return usagef("write it as --add KEY=VALUE", err)
	case len(ids) == 0:
		return usagef("see: coldstream snapshots", errors.New("name the snapshots"))
	case o.pin && o.unpin:
		return usagef("", errors.New("--pin and --unpin exclude each other"))
	case !o.pin && !o.unpin && len(add)+len(o.remove) == 0:
		return usagef("use --add, --remove, --pin or --unpin; what snapshots have says: coldstream snapshots", errors.New("nothing to change"))
	}
	v, catalog, err := o.vault.openCatalog(ctx, e)
	if err != nil {
		return err
	}
	var snapshots []*vault.Snapshot
	for _, text := range ids {
		s, err := catalog.SnapshotNamed(text)
		if err != nil {
			return err
		}
		snapshots = append(snapshots, s)
	}
	d := tagDocument{header: header{SchemaVersion: schemaVersion}}
	rows := []row{{"id", "tags"}}
	for _, s := range snapshots {
		now, err := v.ChangeTags(ctx, s.ID, func(t *coldstream.Tags) { o.change(t, add) })
		if err != nil {
			return err
		}
		d.Snapshots = append(d.Snapshots, taggedSnapshot{s.ID.String(), newTagsDocument(&now)})
		rows = append(rows, row{s.ID.String(), orDash(now.String())})
	}
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, d)
	}
	return table(e.stdout, rows)
}

func (o *tagOptions) change(t *coldstream.Tags, add map[string]string) {
	for _, key := range o.remove {
		delete(t.Values, key)
	}
	maps.Copy(t.Values, add)
	t.Pinned = (t.Pinned || o.pin) && !o.unpin
}
