package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/backup"
	"coldstream/blob/elastio"
	"coldstream/internal/elastiolegacy"
	"coldstream/vault"
)

func newImportCommand(global *globalOptions, e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Bring what other tools saved into a vault",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImportLegacyCommand(global, e))
	return cmd
}

type importOptions struct {
	global *globalOptions
	vault  vaultOptions
	points []string
	allOf  string
	spool  string
	dryRun bool
}

func newImportLegacyCommand(global *globalOptions, e *env) *cobra.Command {
	o := &importOptions{global: global}
	cmd := &cobra.Command{
		Use:   "elastio-legacy",
		Short: "Bring recovery points of the Python original into a vault",
		Long: `Bring recovery points that the Python original of this tool wrote with "elastio stream
backup" into a vault. Topics, partitions, offsets, timestamps, keys and values stay what they are;
headers and null values the original had lost. What points have in common is stored once, what no
point has is a gap, and a line that fits nothing is named and left out. If a known offset has another
record, the topic was deleted and made again: it becomes another incarnation of the topic.

Name all points of a topic in one call: what is saved begins where it began, and older offsets
cannot be put before it. A second import of the same points stores nothing. The cluster is called
elastio-legacy.

Exit codes: 0 done; 2 wrong usage; 3 done, but lines were left out or offsets are missing; 10 no vault; 12
wrong or no key; 130 interrupted.`,
		Example: `  coldstream import elastio-legacy --all-of orders --vault /srv/kafka-vault
  coldstream import elastio-legacy --rp rp-01h8aaa,rp-01h8bbb --vault elastio:main`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runImport(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	f := cmd.Flags()
	f.StringSliceVar(&o.points, "rp", nil, "`ID` of a recovery point, repeatable, with commas between several")
	f.StringVar(&o.allOf, "all-of", "", "take all recovery points that carry the tag topic_name=`TOPIC`")
	f.StringVar(&o.spool, "spool", "", "keep what is read in this `FOLDER` while the command runs (default: among the temporary files)")
	f.BoolVar(&o.dryRun, "dry-run", false, "read the points, say what would be stored, and store nothing")
	return cmd
}

type importDocument struct {
	header
	RecoveryPoints []string            `json:"recovery_points"`
	RecordsRead    int64               `json:"records_read"`
	Snapshots      []string            `json:"snapshots"`
	VaultHash      string              `json:"vault_hash"`
	TopicCount     int                 `json:"topic_count"`
	PartitionCount int                 `json:"partition_count"`
	Records        int64               `json:"records"`
	OffsetsToRead  *int64              `json:"offsets_to_read,omitempty"`
	BytesStored    int64               `json:"bytes_stored"`
	ObjectsStored  int64               `json:"objects_stored"`
	Gaps           []gapDocument       `json:"gaps"`
	Incarnations   []rebornDocument    `json:"incarnations"`
	LeftOut        []leftOutDocument   `json:"left_out"`
	Lines          []badLineDocument   `json:"lines_left_out"`
	LinesCount     int64               `json:"lines_left_out_count"`
	Failed         []partitionDocument `json:"failed"`
}

type rebornDocument struct {
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

type leftOutDocument struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"first_offset"`
	Records     int64  `json:"records"`
	Reason      string `json:"reason"`
}

type badLineDocument struct {
	RecoveryPoint string `json:"recovery_point"`
	Line          int64  `json:"line"`
	Reason        string `json:"reason"`
}

func runImport(ctx context.Context, o *importOptions, e *env) error {
	d, err := o.perform(ctx, e)
	if err != nil {
		return err
	}
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, d)
	} else {
		err = printLines(e.stdout, d.lines())
	}
	d.warn(e)
	if err == nil && (len(d.Gaps)+len(d.LeftOut)+len(d.Failed) > 0 || d.LinesCount > 0) {
		return &incomplete{exitIncomplete}
	}
	return err
}

func (o *importOptions) perform(ctx context.Context, e *env) (*importDocument, error) {
	if len(o.points) == 0 && o.allOf == "" {
		return nil, usagef("name them with --rp, or a topic with --all-of", errors.New("no recovery points to import"))
	}
	for _, id := range o.points {
		if err := elastio.CheckID(id); err != nil {
			return nil, usagef("", fmt.Errorf("--rp: %w", err))
		}
	}
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.spool, "coldstream-import-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for what is read: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	im, points, err := o.read(ctx, e, dir)
	if err != nil {
		return nil, err
	}
	known, err := elastiolegacy.ReadKnown(ctx, v)
	if err != nil {
		return nil, err
	}
	plan, err := im.MakePlan(ctx, known.Existing)
	if err != nil {
		return nil, fmt.Errorf("compare the recovery points with the vault: %w", err)
	}
	d := newImportDocument(im, plan, points)
	d.DryRun = o.dryRun
	for _, source := range plan.Sources {
		if err := o.store(ctx, e, d, source, v); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// read brings all lines of the points into the spool.
func (o *importOptions) read(ctx context.Context, e *env, dir string) (*elastiolegacy.Import, []string, error) {
	reader := elastio.NewReader(e.getenv("COLDSTREAM_ELASTIO"))
	points := o.points
	if o.allOf != "" {
		tagged, err := reader.Tagged(ctx, "topic_name", o.allOf)
		if err != nil {
			return nil, nil, err
		}
		if len(tagged) == 0 {
			return nil, nil, usagef("name them with --rp: a point that was cut off has no tags", fmt.Errorf("no recovery point has the tag topic_name=%s", o.allOf))
		}
		points = append(points, tagged...)
	}
	im := elastiolegacy.New(dir)
	seen := map[string]bool{}
	var read []string
	for _, id := range points {
		if seen[id] {
			continue
		}
		seen[id] = true
		read = append(read, id)
		if !o.global.quiet && !o.global.noProgress {
			e.note("reading recovery point %s (%d of %d)", id, len(read), len(points))
		}
		r, err := reader.Open(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		if err := errors.Join(im.Add(ctx, id, r), r.Close()); err != nil {
			return nil, nil, err
		}
	}
	return im, read, nil
}

// store backs one source up, or finds out what that would be.
func (o *importOptions) store(ctx context.Context, e *env, d *importDocument, source *elastiolegacy.Source, v *vault.Vault) error {
	p := newProgress(e, o.global)
	defer p.finish()
	topics, err := source.Patterns()
	if err != nil {
		return err
	}
	options := backup.Options{Now: e.now, Observer: p, Topics: topics}
	var r *backup.Result
	if o.dryRun {
		var offsets int64
		r, offsets, err = backup.DryRun(ctx, source, v, options)
		if d.OffsetsToRead == nil {
			d.OffsetsToRead = new(int64)
		}
		*d.OffsetsToRead += offsets
		d.Gaps = append(d.Gaps, gapDocuments(source.Missing())...)
	} else {
		r, err = backup.Run(ctx, source, v, options)
	}
	if err != nil {
		return err
	}
	d.add(r)
	return nil
}

func newImportDocument(im *elastiolegacy.Import, plan *elastiolegacy.Plan, points []string) *importDocument {
	d := &importDocument{
		header: header{SchemaVersion: schemaVersion}, RecoveryPoints: points, RecordsRead: im.Records, Snapshots: []string{},
		Gaps: []gapDocument{}, Incarnations: []rebornDocument{}, LeftOut: []leftOutDocument{}, Lines: []badLineDocument{},
		LinesCount: int64(len(im.Problems)) + im.MoreProblems, Failed: []partitionDocument{},
	}
	for _, r := range plan.Reborn {
		d.Incarnations = append(d.Incarnations, rebornDocument{r.Topic, elastiolegacy.TopicID(r.Topic, r.Incarnation).String(), r.At.Partition, r.Offset})
	}
	for _, l := range plan.LeftOut {
		d.LeftOut = append(d.LeftOut, leftOutDocument{l.Topic, l.Partition, l.FirstOffset, l.Records, l.Reason})
	}
	for _, p := range im.Problems {
		d.Lines = append(d.Lines, badLineDocument{p.RecoveryPoint, p.Line, p.Reason})
	}
	return d
}

func (d *importDocument) add(r *backup.Result) {
	if r.HasSnapshot() {
		d.Snapshots = append(d.Snapshots, r.Snapshot.String())
	}
	d.VaultHash = r.VaultHash
	d.TopicCount += r.TopicCount
	d.PartitionCount += r.PartitionCount
	d.Records += r.Records
	d.BytesStored += r.BytesStored
	d.ObjectsStored += r.ObjectsStored
	d.Gaps = append(d.Gaps, gapDocuments(r.Gaps)...)
	d.Failed = append(d.Failed, partitionDocuments(r.Failed)...)
}

func (d *importDocument) lines() []string {
	read := fmt.Sprintf("read %s of %s", plural(d.RecordsRead, "record"), plural(int64(len(d.RecoveryPoints)), "recovery point"))
	where := fmt.Sprintf("%s of %s", plural(int64(d.PartitionCount), "partition"), plural(int64(d.TopicCount), "topic"))
	if d.OffsetsToRead != nil {
		return []string{read, fmt.Sprintf("would store %s of %s", plural(*d.OffsetsToRead, "offset"), where)}
	}
	lines := []string{
		read,
		fmt.Sprintf("stored %s of %s: %s in %s", plural(d.Records, "new record"), where, formatBytes(d.BytesStored), plural(d.ObjectsStored, "object")),
	}
	for _, id := range d.Snapshots {
		lines = append(lines, "snapshot "+id)
	}
	return append(lines, "vault hash "+d.VaultHash)
}

// shownLines is how many lines that fit nothing are named to people; -o json has more.
const shownLines = 20

func (d *importDocument) warn(e *env) {
	for _, r := range d.Incarnations {
		e.note("topic %s: partition %d has another record at offset %d than before, so the topic was made anew meanwhile; it is kept apart as %s@%s",
			r.Topic, r.Partition, r.Offset, r.Topic, r.TopicID)
	}
	for _, g := range d.Gaps {
		tp := coldstream.TopicPartition{Topic: g.Topic, Partition: g.Partition}
		e.note("%s: no recovery point has offsets [%d, %d)", tp, g.FirstOffset, g.NextOffset)
	}
	for _, l := range d.LeftOut {
		tp := coldstream.TopicPartition{Topic: l.Topic, Partition: l.Partition}
		e.note("%s: %s from offset %d on left out: %s", tp, plural(l.Records, "record"), l.FirstOffset, l.Reason)
	}
	if len(d.LeftOut) > 0 {
		e.hint("to have them too, import all recovery points in one call into a new vault")
	}
	for i, l := range d.Lines {
		if i == shownLines {
			break
		}
		e.note("recovery point %s, line %d left out: %s", l.RecoveryPoint, l.Line, l.Reason)
	}
	if d.LinesCount > shownLines {
		e.note("%s left out in all; -o json names the first %d", plural(d.LinesCount, "line"), len(d.Lines))
	}
}
