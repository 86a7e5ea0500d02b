package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/internal/keyring"
	"coldstream/internal/stores"
	"coldstream/internal/terminal"
	"coldstream/vault"
)

// vaultOptions say where the vault is.
type vaultOptions struct {
	url       string
	spool     string
	keyFiles  []string
	isVerbose func() bool
	// catalogIsEnough says that the command needs no key that opens packs.
	catalogIsEnough bool
	// isOneOfTwo says that key files may be of the command's other vault.
	isOneOfTwo bool
}

func (o *vaultOptions) addFlags(cmd *cobra.Command, e *env) {
	o.addURLFlag(cmd, e)
	o.addKeyFlag(cmd)
}

func (o *vaultOptions) addURLFlag(cmd *cobra.Command, e *env) {
	cmd.Flags().StringVar(&o.url, "vault", e.getenv("COLDSTREAM_VAULT"),
		"the vault's `URL`: a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, azblob://CONTAINER/PREFIX, or elastio:NAME (environment: COLDSTREAM_VAULT)")
	o.noteVerbose(cmd)
}

// noteVerbose looks up --verbose once the command line has been read.
func (o *vaultOptions) noteVerbose(cmd *cobra.Command) {
	o.isVerbose = func() bool {
		verbose, err := cmd.Flags().GetBool("verbose")
		return err == nil && verbose
	}
}

// addSpoolFlag is for commands that read packs.
func (o *vaultOptions) addSpoolFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.spool, "spool", "", "keep what is read from a vault in Elastio in this `FOLDER` while the command runs (default: among the temporary files)")
}

// location reads where the vault is; nothing is opened.
func (o *vaultOptions) location(e *env) (*stores.Location, error) {
	if o.url == "" {
		return nil, usagef("name the vault with --vault or COLDSTREAM_VAULT", errors.New("no vault given"))
	}
	at, err := stores.Parse(o.url, e.getenv)
	if err != nil {
		return nil, err
	}
	if o.spool != "" && !at.SpoolIn(o.spool) {
		return nil, usagef("leave it out", fmt.Errorf("--spool is for vaults in Elastio; %s needs none", at))
	}
	return at, nil
}

// openCatalog opens a vault that must be there, and its catalog.
func (o *vaultOptions) openCatalog(ctx context.Context, e *env) (*vault.Vault, *vault.Catalog, error) {
	v, err := o.open(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	catalog, err := v.OpenCatalog(ctx)
	return v, catalog, err
}

// open opens a vault that must be there.
func (o *vaultOptions) open(ctx context.Context, e *env) (*vault.Vault, error) {
	at, err := o.location(e)
	if err != nil {
		return nil, err
	}
	store, err := at.Open(ctx, o.observer(e))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, o.noVault(at)
	}
	if err != nil {
		return nil, fmt.Errorf("open vault %s: %w", at, err)
	}
	e.keep(store)
	v, err := vault.Open(ctx, store, o.key(e))
	switch {
	case err != nil:
	case v.HasKeeper() && !v.IsEncrypted():
	case !v.IsEncrypted():
		err = o.refuseIfKeyed(v.ID(), e)
	case !o.catalogIsEnough:
		err = v.MayReadRecords()
	}
	if err == nil {
		v.Observer = o.observer(e)
	}
	var wrong *keyring.WrongKeyError
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, &wrong) {
		return nil, o.noVault(at)
	}
	if err != nil {
		err = fmt.Errorf("vault %s: %w", at, err)
	}
	if errors.Is(err, coldstream.ErrCorrupt) {
		return nil, &failure{exitDamage, err, "restore vault.json from a copy of the vault. The vault's other objects can be read with it. Do not run init."}
	}
	return v, err
}

// observer tells people of trouble with the storage.
func (o *vaultOptions) observer(e *env) coldstream.Observer {
	return storageObserver{e, o.isVerbose != nil && o.isVerbose()}
}

type storageObserver struct {
	*env
	verbose bool
}

// Observe is [coldstream.Observer].
func (o storageObserver) Observe(event coldstream.Event) {
	switch event := event.(type) {
	case *coldstream.Warning:
		o.note("%s", event.Text)
	case *coldstream.Detail:
		if o.verbose {
			o.note("%s", event.Text)
		}
	}
}

func (o *vaultOptions) noVault(at *stores.Location) error {
	return &failure{exitNoVault, fmt.Errorf("open vault %s: %w", at, errNoVault), "make one with: coldstream init --vault " + terminal.Quote(o.url)}
}
