package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"coldstream/internal/stores"
	"coldstream/internal/terminal"
	"coldstream/vault"
)

type initOptions struct {
	global *globalOptions
	vault  vaultOptions

	exclusive bool
}

func newInitCommand(global *globalOptions, e *env) *cobra.Command {
	o := &initOptions{global: global}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new, empty vault",
		Long: `Make a new, empty vault. A folder is made if it is missing, a bucket is not. A folder or
prefix that has something else in it, or a vault already, is refused and left as it is.`,
		Example: `  coldstream init --vault /srv/kafka-vault
  coldstream init --vault 's3://backups/kafka?region=eu-central-1'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInit(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	cmd.Flags().BoolVar(&o.exclusive, "exclusive", false,
		"for storage that cannot create objects on condition: one process at a time may write to the vault")
	return cmd
}

type initDocument struct {
	header
	Vault   string `json:"vault"`
	VaultID string `json:"vault_id"`
	// Exclusive says that one process at a time may write.
	Exclusive bool `json:"exclusive"`
}

func runInit(ctx context.Context, o *initOptions, e *env) error {
	at, err := o.vault.location(e)
	if err != nil {
		return err
	}
	if _, err := o.vault.open(ctx, e); err == nil {
		return errVaultExists(at)
	}
	store, err := at.Create(ctx, o.vault.observer(e))
	var occupied *stores.OccupiedError
	if errors.As(err, &occupied) {
		return &failure{exitFailed, fmt.Errorf("init %s: %w", at, err), "name an empty folder or prefix, or one that is not there yet"}
	}
	if err != nil {
		return fmt.Errorf("init %s: %w", at, err)
	}
	e.keep(store)
	v, err := vault.Init(ctx, store, vault.InitOptions{Now: e.now, Exclusive: o.exclusive})
	if errors.Is(err, fs.ErrExist) {
		return errVaultExists(at)
	}
	if !o.exclusive && (errors.Is(err, vault.ErrReplaces) || errors.Is(err, errors.ErrUnsupported)) {
		return &failure{exitFailed, fmt.Errorf("init %s: the storage does not create on condition: %w", at, err),
			"make a vault that one process at a time writes to, with: coldstream init --exclusive --vault " + terminal.Quote(o.vault.url)}
	}
	if err != nil {
		return fmt.Errorf("init %s: %w", at, err)
	}
	if v.IsExclusive() {
		e.note("one process at a time may write to this vault: never run two of backup, restore, forget and prune at once")
	}
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, initDocument{header{SchemaVersion: schemaVersion}, at.String(), v.ID(), v.IsExclusive()})
	}
	if err := printLines(e.stdout, []string{fmt.Sprintf("made vault %s in %s", v.ID(), at)}); err != nil {
		return err
	}
	if !o.global.quiet {
		e.hint(fmt.Sprintf("save a cluster into it with: coldstream backup -b HOST:PORT --vault %s", terminal.Quote(o.vault.url)))
	}
	return nil
}

func errVaultExists(at *stores.Location) error {
	return &failure{exitFailed, fmt.Errorf("init %s: there is a vault already", at), "use it as it is, or name another folder or prefix"}
}
