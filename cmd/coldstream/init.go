package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"coldstream/internal/keyring"
	"coldstream/internal/stores"
	"coldstream/internal/terminal"
	"coldstream/vault"
)

type initOptions struct {
	global *globalOptions
	vault  vaultOptions

	exclusive bool
	ifMissing bool
	encrypt   encryptOptions
	lock      lockOptions
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
	o.vault.addURLFlag(cmd, e)
	o.encrypt.addFlags(cmd)
	o.lock.addFlags(cmd)
	cmd.Flags().BoolVar(&o.exclusive, "exclusive", false,
		"for storage that cannot create objects on condition: one process at a time may write to the vault")
	cmd.Flags().BoolVar(&o.ifMissing, "if-missing", false, "where there is a vault already, leave it as it is and end well")
	return cmd
}

type initDocument struct {
	header
	Vault   string `json:"vault"`
	VaultID string `json:"vault_id"`
	// Exclusive says that one process at a time may write.
	Exclusive bool `json:"exclusive"`
	// Encrypted says that the vault's objects are sealed; KeyFile is what was written.
	Encrypted bool `json:"encrypted"`
	// Keeper says that removal is signed with the keeper's key.
	Keeper  bool   `json:"keeper"`
	KeyFile string `json:"key_file,omitempty"`
	// LockMode and LockSeconds are how objects are locked; empty if they are not.
	LockMode    string `json:"lock_mode,omitempty"`
	LockSeconds int64  `json:"lock_seconds,omitempty"`
}

func runInit(ctx context.Context, o *initOptions, e *env) error {
	at, err := o.vault.location(e)
	if err != nil {
		return err
	}
	if err := o.encrypt.validate(); err != nil {
		return err
	}
	lock, err := o.lock.lock(at)
	if err != nil {
		return err
	}
	var wrong *keyring.WrongKeyError
	if v, err := o.vault.open(ctx, e); err == nil || errors.As(err, &wrong) {
		return o.exists(e, at, v)
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
	encryption, err := o.encrypt.encryption(e)
	if err != nil {
		return err
	}
	v, err := vault.Init(ctx, store, vault.InitOptions{Now: e.now, Exclusive: o.exclusive, Encryption: encryption, Lock: lock})
	var failed *failure
	if errors.As(err, &failed) { // of the key file
		return err
	}
	if errors.Is(err, fs.ErrExist) {
		o.encrypt.takeBack(e)
		return o.exists(e, at, nil)
	}
	if errors.Is(err, vault.ErrReplaces) || errors.Is(err, vault.ErrNoLocks) {
		o.encrypt.takeBack(e)
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
		return writeDocument(e.stdout, o.global.output, o.document(v, at))
	}
	if err := printLines(e.stdout, o.lines(v, at)); err != nil {
		return err
	}
	if !o.global.quiet {
		e.hint(fmt.Sprintf("save a cluster into it with: coldstream backup -b HOST:PORT --vault %s", terminal.Quote(o.vault.url)))
	}
	return nil
}

func (o *initOptions) document(v *vault.Vault, at *stores.Location) initDocument {
	d := initDocument{
		header: header{SchemaVersion: schemaVersion}, Vault: at.String(), VaultID: v.ID(),
		Exclusive: v.IsExclusive(), Encrypted: v.IsEncrypted(), Keeper: v.HasKeeper(), KeyFile: o.encrypt.wrote,
	}
	if lock := v.Lock(); lock.For > 0 {
		d.LockMode, d.LockSeconds = o.lock.mode, int64(lock.For/time.Second)
	}
	return d
}

func (o *initOptions) lines(v *vault.Vault, at *stores.Location) []string {
	out := o.keyLines(v, at)
	if lock := v.Lock(); lock.For > 0 {
		out = append(out, fmt.Sprintf("each object is locked for %s (%s): run prune at least twice in that time, so that locks of what is needed are made longer",
			o.lock.last, o.lock.mode))
	}
	return out
}

func (o *initOptions) keyLines(v *vault.Vault, at *stores.Location) []string {
	if !v.IsEncrypted() {
		out := []string{fmt.Sprintf("made vault %s in %s", v.ID(), at)}
		if o.encrypt.wrote != "" {
			out = append(out, fmt.Sprintf("wrote the keeper's key to %s: forget and prune need it. Keep a copy, and move it off the hosts that make backups", o.encrypt.wrote))
		}
		return out
	}
	out := []string{fmt.Sprintf("made encrypted vault %s in %s", v.ID(), at)}
	if o.encrypt.wrote != "" {
		out = append(out, fmt.Sprintf("wrote its key, and the keeper's, to %s", o.encrypt.wrote))
	}
	sheet := "coldstream key sheet --vault " + terminal.Quote(o.vault.url)
	if o.encrypt.keyFile != "" {
		sheet += " --key-file " + terminal.Quote(o.encrypt.keyFile)
	}
	return append(out, "without a key nobody can read the vault: print a recovery sheet with: "+sheet)
}

// exists is for a vault that is there already; v is nil where it could not be opened.
func (o *initOptions) exists(e *env, at *stores.Location, v *vault.Vault) error {
	if o.ifMissing {
		e.note("there is a vault already at %s, which stays as it is", at)
		if v != nil && isMachineFormat(o.global.output) {
			return writeDocument(e.stdout, o.global.output, o.document(v, at))
		}
		return nil
	}
	return &failure{exitFailed, fmt.Errorf("init %s: there is a vault already", at), "use it as it is, or name another folder or prefix"}
}
