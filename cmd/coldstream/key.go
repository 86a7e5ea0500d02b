package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"coldstream/internal/keyring"
	"coldstream/internal/terminal"
	"coldstream/vault"
)

type keyOptions struct {
	global *globalOptions
	vault  vaultOptions
}

func newKeyCommand(global *globalOptions, e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Look after the keys of an encrypted vault",
		Long: `Look after the keys of an encrypted vault: who has one, add and remove them, and print the sheet
that opens the vault when everything else is lost.

Every person and host has a key of its own. A key either opens everything, or only the catalog: with
that a host makes backups, and can read no record, not even its own of yesterday.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("see: coldstream key --help", fmt.Errorf("unknown command %q", args[0]))
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(newKeyListCommand(global, e), newKeyAddCommand(global, e), newKeyRemoveCommand(global, e),
		newKeyTestCommand(global, e), newKeySheetCommand(global, e))
	return cmd
}

// openEncrypted opens a vault that has keys.
func (o *keyOptions) openEncrypted(ctx context.Context, e *env) (*vault.Vault, error) {
	v, err := o.vault.open(ctx, e)
	if err == nil && !v.IsEncrypted() {
		return nil, &failure{exitFailed, errors.New("the vault is not encrypted, and has no keys"),
			"make an encrypted one with: coldstream init --encrypt"}
	}
	return v, err
}

type keyDocument struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Recipient   string `json:"recipient"`
	CatalogOnly bool   `json:"catalog_only"`
	Added       string `json:"added"`
	Error       string `json:"error,omitempty"`
}

func newKeyListCommand(global *globalOptions, e *env) *cobra.Command {
	o := &keyOptions{global: global, vault: vaultOptions{catalogIsEnough: true}}
	cmd := &cobra.Command{
		Use: "list", Short: "List the keys that open a vault", Args: noArgs,
		Long:    `List the keys that open a vault: whose they are, and whether they open only the catalog.`,
		Example: "  coldstream key list --vault /srv/kafka-vault",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runKeyList(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	return cmd
}

func runKeyList(ctx context.Context, o *keyOptions, e *env) error {
	v, err := o.openEncrypted(ctx, e)
	if err != nil {
		return err
	}
	all, err := v.ListKeys(ctx)
	if err != nil {
		return err
	}
	doc := struct {
		header
		Keys []keyDocument `json:"keys"`
	}{header{SchemaVersion: schemaVersion}, []keyDocument{}}
	rows := []row{{"id", "name", "opens", "added", "public key"}}
	for _, k := range all {
		d := keyDocument{ID: string(k.ID), Name: k.Name, Recipient: k.Recipient, CatalogOnly: k.CatalogOnly, Added: timestamp(k.Added)}
		opens := "everything"
		switch {
		case k.Err != nil:
			d, opens = keyDocument{ID: string(k.ID), Error: k.Err.Error()}, "unknown: its label is damaged"
		case k.CatalogOnly:
			opens = "the catalog"
		}
		doc.Keys = append(doc.Keys, d)
		rows = append(rows, row{d.ID, d.Name, opens, d.Added, shorten(d.Recipient)})
	}
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, doc)
	}
	return table(e.stdout, rows)
}

// shorten cuts a public key so that a table has room for it.
func shorten(recipient string) string {
	if len(recipient) > 70 {
		return recipient[:67] + "…"
	}
	return recipient
}

type keyAddOptions struct {
	keyOptions
	name, out, recipient    string
	catalogOnly, passphrase bool
}

func newKeyAddCommand(global *globalOptions, e *env) *cobra.Command {
	o := &keyAddOptions{keyOptions: keyOptions{global: global, vault: vaultOptions{catalogIsEnough: true}}}
	cmd := &cobra.Command{
		Use: "add", Short: "Give somebody a key to a vault", Args: noArgs,
		Long: `Give somebody a key to a vault. With --out the key is made here, and written to a file for
its owner. With --recipient its owner has a key of age or SSH already, and opens the vault with that:
coldstream … --key-file ~/.ssh/id_ed25519. With --passphrase it is a passphrase.

A key for the catalog only is for hosts that make backups. Commands there: backup, run, snapshots,
ls, groups, status, verify without --deep. All others end with exit code 12.`,
		Example: `  coldstream key add --catalog-only --out backup-host-2.key --vault /srv/kafka-vault
  coldstream key add --recipient "$(cat id_ed25519.pub)" --name alice --vault /srv/kafka-vault`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runKeyAdd(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "make a new key, and write it to `FILE`, which must not be there")
	f.StringVar(&o.recipient, "recipient", "", "give the owner of this `PUBLIC-KEY` (age1…, ssh-ed25519 …, ssh-rsa …) access")
	f.BoolVar(&o.passphrase, "passphrase", false, "make a passphrase a key (environment: COLDSTREAM_PASSPHRASE)")
	f.BoolVar(&o.catalogOnly, "catalog-only", false, "the key opens only the catalog")
	f.StringVar(&o.name, "name", "", "whose key it is, as key list shows it: `NAME`")
	return cmd
}

func (o *keyAddOptions) validate() error {
	ways := 0
	for _, given := range []bool{o.out != "", o.recipient != "", o.passphrase} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return usagef("use one of --out FILE, --recipient PUBLIC-KEY and --passphrase", errors.New("say what kind of key it is"))
	}
	if o.name != "" {
		if err := keyring.CheckName(o.name); err != nil {
			return usagef("", err)
		}
	}
	return nil
}

// person is whom the key is for; identity is of a key that is made here.
func (o *keyAddOptions) person(held *keyring.Held, e *env) (p *keyring.Person, name, identity string, err error) {
	switch {
	case o.recipient != "":
		p, err = keyring.ParsePerson(o.recipient, &held.Public, e.asker())
		if err != nil {
			err = usagef("", err)
		}
		return p, nameOfRecipient(o.recipient), "", err
	case o.passphrase:
		passphrase, err := e.newPassphrase()
		if err != nil {
			return nil, "", "", err
		}
		p, err = keyring.WithPassphrase(passphrase)
		if err != nil {
			err = usagef("choose a longer one", err)
		}
		return p, keyring.PassphraseShown, "", err
	}
	p, identity, err = keyring.NewPerson(&held.Public)
	return p, strings.TrimSuffix(filepath.Base(o.out), ".key"), identity, err
}

func runKeyAdd(ctx context.Context, o *keyAddOptions, e *env) error {
	if err := o.validate(); err != nil {
		return err
	}
	v, err := o.openEncrypted(ctx, e)
	if err != nil {
		return err
	}
	held := v.Held()
	if o.catalogOnly {
		held = held.CatalogOnly()
	} else if err := v.MayReadRecords(); err != nil {
		return err
	}
	p, name, identity, err := o.person(held, e)
	if err != nil {
		return err
	}
	if o.name != "" {
		name = o.name
	}
	key, err := sealKey(held, p, keyring.Label{Name: name})
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := writeKeyFile(o.out, held.FileFor(key.Label, identity)); err != nil {
			return err
		}
	}
	if err := v.AddKey(ctx, e.now(), key); err != nil {
		return err
	}
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, struct {
			header
			keyDocument
			KeyFile string `json:"key_file"`
		}{header{SchemaVersion: schemaVersion}, keyDocument{string(key.ID), name, key.Recipient, key.CatalogOnly, timestamp(e.now()), ""}, o.out})
	}
	return printLines(e.stdout, o.lines(key))
}

func (o *keyAddOptions) lines(key *vault.NewKey) []string {
	opens := "everything"
	if key.CatalogOnly {
		opens = "the catalog, and no record"
	}
	out := []string{fmt.Sprintf("added key %s of %s: it opens %s", key.ID, terminal.Visible(key.Name), opens)}
	if o.out != "" {
		out = append(out, "wrote it to "+o.out+": move it to its owner, and keep no copy here")
	}
	return out
}

type keyRemoveOptions struct {
	keyOptions
	key string
}

func newKeyRemoveCommand(global *globalOptions, e *env) *cobra.Command {
	o := &keyRemoveOptions{keyOptions: keyOptions{global: global}}
	cmd := &cobra.Command{
		Use: "remove KEY", Short: "Take a key to a vault away",
		Long: `Take a key to a vault away: KEY is its ID, or its name. From then on no honest coldstream opens
the vault with it.

That is not more than changing the lock of a house whose owner may have copied what was inside. Whoever
had the key may have kept the vault's own identities, with which everything can be read that they can
get from the storage, and all that is stored later. To shut them out take their rights to the storage
away, and copy into a new vault, which has new identities: coldstream init --encrypt, coldstream copy.`,
		Example: "  coldstream key remove backup-host-2 --vault /srv/kafka-vault",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("see the keys with: coldstream key list", errors.New("name one key"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.key = args[0]
			return runKeyRemove(cmd.Context(), o, e)
		},
	}
	o.vault.addFlags(cmd, e)
	return cmd
}

func runKeyRemove(ctx context.Context, o *keyRemoveOptions, e *env) error {
	v, err := o.openEncrypted(ctx, e)
	if err != nil {
		return err
	}
	all, err := v.ListKeys(ctx)
	if err != nil {
		return err
	}
	var found []vault.KeyInfo
	full := 0
	for _, k := range all {
		if string(k.ID) == o.key || k.Name == o.key {
			found = append(found, k)
		} else if k.Err == nil && !k.CatalogOnly {
			full++
		}
	}
	switch {
	case len(found) != 1:
		return usagef("see the keys with: coldstream key list", fmt.Errorf("%d keys of the vault are called %q", len(found), o.key))
	case full == 0:
		return &failure{exitFailed, fmt.Errorf("key %s is the last one that opens records", found[0].ID), "add another one first: coldstream key add"}
	}
	if err := v.RemoveKey(ctx, found[0].ID); err != nil {
		return err
	}
	e.note("whoever had the key may have kept the vault's identities, which open all that is stored, and all that is stored later")
	e.hint("to shut them out, take their rights to the storage away, and copy into a new vault: coldstream init --encrypt, coldstream copy")
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, struct {
			header
			Removed string `json:"removed"`
		}{header{SchemaVersion: schemaVersion}, string(found[0].ID)})
	}
	return printLines(e.stdout, []string{fmt.Sprintf("removed key %s of %s", found[0].ID, terminal.Visible(found[0].Name))})
}

func newKeyTestCommand(global *globalOptions, e *env) *cobra.Command {
	o := &keyOptions{global: global, vault: vaultOptions{catalogIsEnough: true}}
	cmd := &cobra.Command{
		Use: "test", Short: "Say what a key opens", Args: noArgs,
		Long: `Open a vault with a key, and say what the key is good for. A pack is opened, too, if there is one
and the key may. Do this with a recovery sheet, typed off its paper, before it is needed.`,
		Example: "  coldstream key test --vault /srv/kafka-vault --key-file sheet.key",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runKeyTest(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	return cmd
}

func runKeyTest(ctx context.Context, o *keyOptions, e *env) error {
	v, err := o.openEncrypted(ctx, e)
	if err != nil {
		return err
	}
	if err := v.ProveKey(ctx); err != nil {
		return err
	}
	held := v.Held()
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, struct {
			header
			VaultID     string `json:"vault_id"`
			CatalogOnly bool   `json:"catalog_only"`
			MayRemove   bool   `json:"may_remove"`
			PostQuantum bool   `json:"post_quantum"`
		}{header{SchemaVersion: schemaVersion}, v.ID(), !held.MayReadRecords(), held.KeeperKey() != nil, held.IsPostQuantum()})
	}
	opens := "everything: the catalog, and records"
	if !held.MayReadRecords() {
		opens = "the catalog, and no record: it is for backups"
	}
	return printLines(e.stdout, []string{fmt.Sprintf("the key opens vault %s: %s", v.ID(), opens)})
}

func newKeySheetCommand(global *globalOptions, e *env) *cobra.Command {
	o := &keyOptions{global: global}
	cmd := &cobra.Command{
		Use: "sheet", Short: "Print what opens a vault when all else is lost", Args: noArgs,
		Long: `Print the recovery sheet of a vault: the vault's own identities, as a key file. It opens the vault
without any other key, and whatever becomes of the keys that the vault holds. Print it on paper, lock
it away, and keep it nowhere else: everything can be read with it, and it cannot be taken back. Typed
off the paper into a file, it is used with --key-file. Every secret on it has a checksum of its own,
so that a typing error is found.`,
		Example: "  coldstream key sheet --vault /srv/kafka-vault | lp",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runKeySheet(cmd.Context(), o, e) },
	}
	o.vault.addFlags(cmd, e)
	return cmd
}

func runKeySheet(ctx context.Context, o *keyOptions, e *env) error {
	v, err := o.openEncrypted(ctx, e)
	if err != nil {
		return err
	}
	sheet := append(v.Held().Sheet(), []byte("# This sheet opens the vault by itself. Type all lines above into a file that only you can read,\n"+
		"# and name it with --key-file. Prove it with: coldstream key test\n")...)
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, struct {
			header
			VaultID string `json:"vault_id"`
			Sheet   string `json:"sheet"`
		}{header{SchemaVersion: schemaVersion}, v.ID(), string(sheet)})
	}
	return printLines(e.stdout, strings.Split(strings.TrimSuffix(string(sheet), "\n"), "\n"))
}
