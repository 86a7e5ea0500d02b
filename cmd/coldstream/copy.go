package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/internal/vaultcopy"
	"coldstream/vault"
)

type copyOptions struct {
	global    *globalOptions
	from, to  vaultOptions
	topics    topicOptions
	snapshots []string
	memory    memoryOptions
	dryRun    bool
	tags      tagFilter
}

// copyMemory is what the buffers of a copy take by default: pieces that wait, two packs
// that are made of them, and frames that are read.
const copyMemory = 160 << 20

func newCopyCommand(global *globalOptions, e *env) *cobra.Command {
	o := &copyOptions{global: global, from: vaultOptions{isOneOfTwo: true}, to: vaultOptions{isOneOfTwo: true, catalogIsEnough: true}, memory: newMemoryOptions(copyMemory)}
	cmd := &cobra.Command{
		Use:   "copy",
		Short: "Copy snapshots from one vault into another",
		Long: `Copy snapshots, and all that they show, from one vault into another, in any pair of
storages. Snapshots keep their IDs. A second copy stores only what is new. The target must be made
with "coldstream init" first; it is a vault like any other, and a backup can go on in it.

All that is read is checked on the way. A copy that was cut off is started again with the same
command, and goes on where it stopped.

Exit codes: 0 done; 2 wrong usage or unknown topic or snapshot; 3 done, but a snapshot could not be copied
as it was asked; 5 a vault is damaged; 10 no vault; 12 wrong or no key; 130 interrupted.`,
		Example: `  coldstream copy --from /srv/kafka-vault --to 's3://backups/kafka?region=eu-central-1'
  coldstream copy --from /srv/kafka-vault --to elastio:main -t orders --snapshot 62db6e9e`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCopy(cmd.Context(), o, e) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from.url, "from", "", "read the vault with this `URL`: a folder, s3://BUCKET/PREFIX, gs://…, azblob://…, or elastio:NAME")
	f.StringVar(&o.to.url, "to", "", "copy into the vault with this `URL`")
	o.from.addKeyFlag(cmd)
	f.StringArrayVar(&o.snapshots, "snapshot", nil, "copy only the snapshot with this `ID` or unique prefix, repeatable")
	o.tags.addFlag(cmd)
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be copied, and copy nothing")
	o.topics.addFlags(cmd)
	o.from.noteVerbose(cmd)
	o.to.noteVerbose(cmd)
	o.from.addSpoolFlag(cmd)
	o.memory.addFlag(cmd)
	return cmd
}

type copyDocument struct {
	header
	Snapshots     []string      `json:"snapshots"`
	Present       int           `json:"snapshots_present"`
	Partial       []string      `json:"snapshots_partial"`
	VaultHash     string        `json:"vault_hash"`
	Offsets       int64         `json:"offsets"`
	Batches       int64         `json:"batches"`
	Records       int64         `json:"records"`
	BytesRead     int64         `json:"bytes_read"`
	BytesStored   int64         `json:"bytes_stored"`
	ObjectsStored int64         `json:"objects_stored"`
	Gaps          []gapDocument `json:"gaps"`
}

func runCopy(ctx context.Context, o *copyOptions, e *env) error {
	started := e.now()
	result, err := o.perform(ctx, e)
	if errors.Is(err, vaultcopy.ErrBelow) {
		err = &failure{exitFailed, err, "copy into a new vault: what is saved begins where it began, and does not change"}
	}
	if err != nil {
		if result != nil && result.Batches > 0 {
			e.note("%s copied before the copy stopped. The next copy goes on from there.", wasOrWere(result.Records, "record"))
		}
		return err
	}
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, o.document(result))
	} else {
		err = printLines(e.stdout, o.lines(result, formatDuration(e.now().Sub(started))))
	}
	for _, id := range result.Partial {
		e.note("snapshot %s is in the target with fewer topics, and saved snapshots do not change", id)
	}
	if len(result.Partial) > 0 {
		e.hint("to have them whole, copy into a new vault")
		return errors.Join(err, &incomplete{exitIncomplete})
	}
	return err
}

// perform carries the command out up to its result.
func (o *copyOptions) perform(ctx context.Context, e *env) (*vaultcopy.Result, error) {
	if o.from.url == "" || o.to.url == "" {
		return nil, usagef("say: coldstream copy --from VAULT --to VAULT", errors.New("--from and --to are both needed"))
	}
	budget, err := o.memory.budget()
	if err != nil {
		return nil, err
	}
	patterns, err := o.topics.patterns()
	if err != nil {
		return nil, err
	}
	if len(o.topics.include)+len(o.topics.exclude) == 0 {
		patterns = nil // all that snapshots have, internal topics too
	}
	o.to.keyFiles = o.from.keyFiles
	from, err := o.from.open(ctx, e)
	if err != nil {
		return nil, err
	}
	to, err := o.to.open(ctx, e)
	if err != nil {
		return nil, err
	}
	if from.ID() == to.ID() {
		return nil, usagef("name another vault with --to", errors.New("--from and --to are the same vault"))
	}
	chosen, err := o.choose(ctx, from)
	if err != nil {
		return nil, err
	}
	p := newProgress(e, o.global)
	defer p.finish()
	to.Describe("copy", "of", from.ID()[:8])
	return vaultcopy.Copy(ctx, from, to, vaultcopy.Options{
		Topics: patterns, Snapshots: chosen, BufferBytes: int(budget / 10), DryRun: o.dryRun, Now: e.now, Observer: p,
	})
}

// choose finds the snapshots that are named; nil takes all.
func (o *copyOptions) choose(ctx context.Context, from *vault.Vault) (func(vault.SnapshotID) bool, error) {
	if len(o.snapshots) == 0 && len(o.tags) == 0 {
		return nil, nil //nolint:nilnil // nil takes all snapshots
	}
	c, err := from.OpenCatalog(ctx)
	if err != nil {
		return nil, err
	}
	chosen := map[vault.SnapshotID]bool{}
	for _, text := range o.snapshots {
		s, err := c.SnapshotNamed(text)
		if err != nil {
			return nil, err
		}
		chosen[s.ID] = true
	}
	if err := o.addTagged(ctx, c, chosen); err != nil {
		return nil, err
	}
	return func(id vault.SnapshotID) bool { return chosen[id] }, nil
}

// addTagged chooses those with tags that are asked for.
func (o *copyOptions) addTagged(ctx context.Context, c *vault.Catalog, chosen map[vault.SnapshotID]bool) error {
	if len(o.tags) == 0 {
		return nil
	}
	tagged, err := c.Tagged(ctx, o.tags.wanted())
	for _, s := range tagged {
		chosen[s.ID] = true
	}
	return err
}

func (o *copyOptions) document(r *vaultcopy.Result) copyDocument {
	d := copyDocument{
		header:    header{SchemaVersion: schemaVersion, DryRun: o.dryRun},
		Snapshots: []string{}, Present: r.Present, Partial: []string{}, VaultHash: r.VaultHash,
		Offsets: r.Offsets, Batches: r.Batches, Records: r.Records,
		BytesRead: r.BytesRead, BytesStored: r.BytesStored, ObjectsStored: r.ObjectsStored, Gaps: gapDocuments(r.Gaps),
	}
	for _, id := range r.Copied {
		d.Snapshots = append(d.Snapshots, id.String())
	}
	for _, id := range r.Partial {
		d.Partial = append(d.Partial, id.String())
	}
	return d
}

func gapDocuments(gaps []coldstream.Gap) []gapDocument {
	out := []gapDocument{}
	for _, g := range gaps {
		out = append(out, gapDocument{g.Topic, g.Partition, g.FirstOffset, g.NextOffset, string(g.Cause)})
	}
	return out
}

func (o *copyOptions) lines(r *vaultcopy.Result, took string) []string {
	n := int64(len(r.Copied))
	switch {
	case n == 0:
		return []string{fmt.Sprintf("nothing new: the target has %s already", plural(int64(r.Present), "snapshot"))}
	case o.dryRun:
		return []string{fmt.Sprintf("would copy %s with at most %s that the target lacks", plural(n, "snapshot"), plural(r.Offsets, "offset"))}
	}
	return []string{
		fmt.Sprintf("copied %s with %s (%s) in %s", plural(n, "snapshot"), plural(r.Records, "new record"), formatBytes(r.BytesRead), took),
		fmt.Sprintf("stored %s in %s", formatBytes(r.BytesStored), plural(r.ObjectsStored, "object")),
		"vault hash " + r.VaultHash,
	}
}
