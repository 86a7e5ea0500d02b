package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"coldstream"
	"coldstream/blob"
	fsstore "coldstream/blob/fs"
	"coldstream/internal/terminal"
	"coldstream/vault"
)

// vaultOptions say where the vault is.
type vaultOptions struct {
	url string
}

func (o *vaultOptions) addFlags(cmd *cobra.Command, e *env) {
	cmd.Flags().StringVar(&o.url, "vault", e.getenv("COLDSTREAM_VAULT"),
		"the vault: a folder (environment: COLDSTREAM_VAULT)")
}

var urlScheme = regexp.MustCompile(`^([a-z][a-z0-9+.-]+):`)

// folder checks that the vault's URL is one that this version can open: a folder.
func (o *vaultOptions) folder() (string, error) {
	if o.url == "" {
		return "", usagef("name the vault with --vault or COLDSTREAM_VAULT", errors.New("no vault given"))
	}
	if m := urlScheme.FindStringSubmatch(o.url); m != nil {
		if m[1] == "file" {
			return "", usagef("write the path alone", fmt.Errorf("vault %q: a folder has no scheme", o.url))
		}
		return "", usagef("this version keeps vaults in folders",
			fmt.Errorf("vault %q: storage %q: %w", o.url, m[1], coldstream.ErrUnsupported))
	}
	path, err := filepath.Abs(o.url)
	if err != nil {
		return "", fmt.Errorf("vault %q: %w", o.url, err)
	}
	return path, nil
}

// open opens a vault that must be there.
func (o *vaultOptions) open(ctx context.Context) (*vault.Vault, error) {
	path, err := o.folder()
	if err != nil {
		return nil, err
	}
	store, err := fsstore.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, o.noVault(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open vault %s: %w", path, err)
	}
	v, err := vault.Open(ctx, blob.Store(store))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, o.noVault(path)
	}
	if err != nil {
		err = fmt.Errorf("vault %s: %w", path, err)
	}
	if errors.Is(err, coldstream.ErrCorrupt) {
		return nil, &failure{exitDamage, err, "put vault.json back from a copy of the vault: all else can be read with it"}
	}
	return v, err
}

func (o *vaultOptions) noVault(path string) error {
	return &failure{exitNoVault, fmt.Errorf("open vault %s: %w", path, errNoVault), "make one with: coldstream init --vault " + terminal.Quote(o.url)}
}
