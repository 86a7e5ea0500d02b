package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coldstream/vault"
)

type pruneOptions struct {
	global *globalOptions
	vault  vaultOptions
	dryRun bool
}

func newPruneCommand(global *globalOptions, e *env) *cobra.Command {
	o := &pruneOptions{global: global}
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Free what no snapshot needs any more",
		Long: `Delete packs in which nothing is left that a snapshot shows, that a restore in progress needs, or
that was saved after the newest snapshot. Where every snapshot of a partition begins behind offsets
that the vault holds, these offsets are released: the vault will not fetch them again.

It may run beside backups and restores on other hosts, and may be cut off at any time: the next one
goes on. A pack goes as a whole, once nothing in it is needed.

In a vault with a lock (see "coldstream init --help"), locks of what is needed are made to last their
whole time again once half of it is over: run prune more often than that. What nothing needs and is
locked still is left, and a later prune frees it.

Exit codes: 0 done; 5 the vault is damaged, and nothing was freed; 10 no vault; 12 wrong or no key.`,
		Example: "  coldstream prune --vault /srv/kafka-vault --dry-run",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runPrune(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be freed, and free nothing")
	return cmd
}

type pruneDocument struct {
	header
	ObjectsFreed int64 `json:"objects_freed"`
	BytesFreed   int64 `json:"bytes_freed"`
	PacksFreed   int   `json:"packs_freed"`
	// Left is what the vault has afterwards.
	ObjectsLeft int64 `json:"objects_left"`
	BytesLeft   int64 `json:"bytes_left"`
	// Locked are objects that nothing needs, among those that are left: a later prune frees them.
	ObjectsLocked int   `json:"objects_locked"`
	BytesLocked   int64 `json:"bytes_locked"`
	// LocksExtended counts objects that are needed, and whose locks would have ended soon.
	LocksExtended int `json:"locks_extended"`
}

// turnsToFree is how many turns pass until an object goes that nothing needs.
const turnsToFree = 3

func runPrune(ctx context.Context, o *pruneOptions, e *env) error {
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	if v.IsPermanent() {
		return &failure{exitFailed, errors.New("prune: the vault's storage takes nothing away"), "Elastio removes recovery points by a retention of its own; see docs/elastio.md"}
	}
	before, err := v.Usage(ctx)
	if err != nil {
		return err
	}
	freed, err := v.Foresee(ctx, vault.TurnOptions{Release: true})
	if err != nil {
		return err
	}
	d := pruneDocument{header: header{SchemaVersion: schemaVersion, DryRun: o.dryRun}, PacksFreed: freed.Packs, BytesFreed: freed.Bytes, ObjectsFreed: int64(freed.Packs)}
	after := before
	if !o.dryRun {
		if err := d.turn(ctx, v); err != nil {
			return err
		}
		if after, err = v.Usage(ctx); err != nil {
			return err
		}
		// Others may have stored something meanwhile.
		d.ObjectsFreed, d.BytesFreed = max(0, before.Objects-after.Objects), max(0, before.Bytes-after.Bytes)
	}
	d.ObjectsLeft, d.BytesLeft = after.Objects, after.Bytes
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, d)
	}
	return printLines(e.stdout, d.lines())
}

func (d *pruneDocument) lines() []string {
	if d.DryRun {
		return []string{fmt.Sprintf("would free %s in %s of %s (%s)", formatBytes(d.BytesFreed), plural(int64(d.PacksFreed), "pack"),
			plural(d.ObjectsLeft, "object"), formatBytes(d.BytesLeft))}
	}
	out := []string{
		fmt.Sprintf("freed %s in %s", formatBytes(d.BytesFreed), plural(d.ObjectsFreed, "object")),
		fmt.Sprintf("left are %s in %s", formatBytes(d.BytesLeft), plural(d.ObjectsLeft, "object")),
	}
	if d.LocksExtended > 0 {
		out = append(out, fmt.Sprintf("extended the locks of %s", plural(int64(d.LocksExtended), "object")))
	}
	if d.ObjectsLocked > 0 {
		out = append(out, fmt.Sprintf("%s (%s) are locked still, and nothing needs them: a later prune frees them", plural(int64(d.ObjectsLocked), "object"), formatBytes(d.BytesLocked)))
	}
	return out
}

// turn turns the catalog until what nothing needs is gone. The first turn sees to the locks of what is
// needed, and the last one knows what is left.
func (d *pruneDocument) turn(ctx context.Context, v *vault.Vault) error {
	for i := range turnsToFree {
		report := vault.LockReport{}
		if err := v.Turn(ctx, vault.TurnOptions{Release: true, KeepLocks: i == 0, Locks: &report}); err != nil {
			return err
		}
		d.LocksExtended += report.Extended
		d.ObjectsLocked, d.BytesLocked = report.Left, report.LeftBytes
	}
	return nil
}
