package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coldstream/vault"
)

type compactOptions struct {
	global *globalOptions
	vault  vaultOptions
	dryRun bool
}

func newCompactCommand(global *globalOptions, e *env) *cobra.Command {
	o := &compactOptions{global: global}
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Put what small packs hold together, by topic and partition",
		Long: `Move records out of small packs into large ones, topic by topic and partition by partition. A continuous backup
makes a pack of all topics every few seconds. A restore of one topic then reads a little of each of them. After compact
it reads few large pieces. Packs of which less than half is still needed are emptied too, so that
their room is freed.

Records do not change, and every snapshot shows what it showed: what is moved is read, checked, stored, decoded and compared
before the old packs are given up. It may run beside backups, restores and other keepers, and may be cut
off at any time: the next one goes on. While it runs the vault takes room for both.

Exit codes: 0 done; 5 something is damaged, and stays where it is; 10 no vault; 12 wrong or no key (an encrypted vault needs
one that opens records).`,
		Example: `  coldstream compact --vault /srv/kafka-vault --dry-run
  coldstream compact --vault /srv/kafka-vault`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCompact(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be read, written and freed, and change nothing")
	return cmd
}

type compactDocument struct {
	header
	Rows       int   `json:"rows"`
	PacksRead  int   `json:"packs_read"`
	BytesRead  int64 `json:"bytes_read"`
	PacksMade  int   `json:"packs_made"`
	BytesMade  int64 `json:"bytes_made"`
	PacksFreed int   `json:"packs_freed"`
	BytesFreed int64 `json:"bytes_freed"`
	// Damaged is what stays where it is.
	Damaged []string `json:"damaged"`

	// What the vault has afterwards.
	ObjectsLeft int64 `json:"objects_left"`
	BytesLeft   int64 `json:"bytes_left"`
}

func runCompact(ctx context.Context, o *compactOptions, e *env) error {
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	if v.IsPermanent() {
		return &failure{exitFailed, errors.New("compact: the vault's storage takes nothing away"), "in Elastio there is one object for each backup, and nothing to put together; see docs/elastio.md"}
	}
	report, err := o.perform(ctx, v, e)
	if err != nil {
		return err
	}
	usage, err := v.Usage(ctx)
	if err != nil {
		return err
	}
	d := &compactDocument{
		header: header{SchemaVersion: schemaVersion, DryRun: o.dryRun}, Damaged: []string{},
		Rows: report.Rows, PacksRead: report.PacksRead, BytesRead: report.BytesRead, PacksMade: report.PacksMade, BytesMade: report.BytesMade,
		PacksFreed: report.PacksFreed, BytesFreed: report.BytesFreed, ObjectsLeft: usage.Objects, BytesLeft: usage.Bytes,
	}
	for _, damage := range report.Damaged {
		d.Damaged = append(d.Damaged, damage.Error())
	}
	if isMachineFormat(o.global.output) {
		err = writeDocument(e.stdout, o.global.output, d)
	} else {
		err = printLines(e.stdout, d.lines())
	}
	if err != nil {
		return err
	}
	return noteDamage(e, report.Damaged)
}

// perform carries the command out, and lets the old packs go.
func (o *compactOptions) perform(ctx context.Context, v *vault.Vault, e *env) (*vault.CompactReport, error) {
	if o.dryRun {
		return v.ForeseeCompaction(ctx)
	}
	p := newProgress(e, o.global)
	defer p.finish()
	report, err := v.Compact(ctx, vault.CompactOptions{Now: e.now, Observer: p})
	if err != nil || report.Rows == 0 {
		return report, err
	}
	for range turnsToFree - 1 {
		if err := v.Turn(ctx, vault.TurnOptions{}); err != nil {
			return nil, err
		}
	}
	return report, nil
}

func (d *compactDocument) lines() []string {
	if d.Rows == 0 && len(d.Damaged) == 0 {
		return []string{"nothing to put together"}
	}
	if d.DryRun {
		return []string{
			fmt.Sprintf("would read %s of %s, and write about as much", formatBytes(d.BytesRead), plural(int64(d.PacksRead), "pack")),
			fmt.Sprintf("would free %s in %s", formatBytes(d.BytesFreed), plural(int64(d.PacksFreed), "pack")),
		}
	}
	return []string{
		fmt.Sprintf("moved %s of %s into %s (%s)", formatBytes(d.BytesRead), plural(int64(d.PacksRead), "pack"), plural(int64(d.PacksMade), "new one"), formatBytes(d.BytesMade)),
		fmt.Sprintf("freed %s in %s", formatBytes(d.BytesFreed), plural(int64(d.PacksFreed), "pack")),
		fmt.Sprintf("left are %s in %s", formatBytes(d.BytesLeft), plural(d.ObjectsLeft, "object")),
	}
}
