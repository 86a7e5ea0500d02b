package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	fsstore "coldstream/blob/fs"
	"coldstream/internal/terminal"
	"coldstream/vault"
)

type initOptions struct {
	global *globalOptions
	vault  vaultOptions
}

func newInitCommand(global *globalOptions, e *env) *cobra.Command {
	o := &initOptions{global: global}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new, empty vault",
		Long: `Make a new, empty vault. The folder is made if it is missing; a folder that has
something else in it, or a vault already, is refused and left as it is.`,
		Example: "  coldstream init --vault /srv/kafka-vault",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runInit(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	return cmd
}

type initDocument struct {
	header
	Vault   string `json:"vault"`
	VaultID string `json:"vault_id"`
}

func runInit(ctx context.Context, o *initOptions, e *env) error {
	path, err := o.vault.folder()
	if err != nil {
		return err
	}
	if _, err := o.vault.open(ctx); err == nil {
		return errVaultExists(path)
	}
	if err := refuseOccupied(path); err != nil {
		return err
	}
	store, err := fsstore.Create(path)
	if err != nil {
		return fmt.Errorf("init %s: %w", path, err)
	}
	v, err := vault.Init(ctx, store, vault.InitOptions{Now: e.now})
	if errors.Is(err, fs.ErrExist) {
		return errVaultExists(path)
	}
	if err != nil {
		return fmt.Errorf("init %s: %w", path, err)
	}
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, initDocument{header{SchemaVersion: schemaVersion}, path, v.ID()})
	}
	if err := printLines(e.stdout, []string{fmt.Sprintf("made vault %s in %s", v.ID(), path)}); err != nil {
		return err
	}
	if !o.global.quiet {
		e.hint(fmt.Sprintf("save a cluster into it with: coldstream backup -b HOST:PORT --vault %s", terminal.Quote(o.vault.url)))
	}
	return nil
}

func errVaultExists(path string) error {
	return &failure{exitFailed, fmt.Errorf("init %s: there is a vault already", path), "use it as it is, or name another folder"}
}

// refuseOccupied keeps a vault from being made among other files.
func refuseOccupied(path string) error {
	name, err := fsstore.Foreign(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("init %s: %w", path, err)
	case name == "":
		return nil
	}
	return &failure{exitFailed, fmt.Errorf("init %s: the folder is not empty: it has %q", path, name), "name an empty folder, or one that is not there yet"}
}
