package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"coldstream/internal/keyring"
	"coldstream/vault"
)

// encryptOptions say how a vault is encrypted, and whose keys open it.
type encryptOptions struct {
	encrypt, postQuantum, passphrase bool
	keeper                           bool
	recipients                       []string
	keyFile                          string

	wrote string // the key file
}

func (o *encryptOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.encrypt, "encrypt", false, "make an encrypted vault, and write its key to a file")
	f.BoolVar(&o.keeper, "keeper", false, "make a vault that is not encrypted, of which only who has the keeper's key may take something away, and write that key to a file")
	f.StringVar(&o.keyFile, "key-file", "", "write the key to `FILE`, which must not be there (default: coldstream/VAULT-ID.key in the user's configuration folder)")
	f.StringArrayVar(&o.recipients, "recipient", nil, "let the owner of this `PUBLIC-KEY` (age1…, ssh-ed25519 …, ssh-rsa …) open the vault too, repeatable")
	f.BoolVar(&o.passphrase, "passphrase", false, "make a passphrase the key, and no file but with --key-file (environment: COLDSTREAM_PASSPHRASE)")
	f.BoolVar(&o.postQuantum, "post-quantum", false, "use keys that a quantum computer cannot break either; all recipients must have such keys")
}

func (o *encryptOptions) validate() error {
	if o.encrypt && o.keeper {
		return usagef("leave --keeper out", errors.New("--encrypt makes a keeper's key, too"))
	}
	if !o.encrypt && (o.postQuantum || o.passphrase || len(o.recipients) > 0 || o.keyFile != "" && !o.keeper) {
		return usagef("add --encrypt", errors.New("--recipient, --passphrase, --post-quantum and --key-file are for encrypted vaults"))
	}
	return nil
}

// encryption makes the vault's keys once its ID is known. The key file is written first: no
// vault is ever there without it.
func (o *encryptOptions) encryption(e *env) (*vault.Encryption, error) {
	if o.keeper {
		return &vault.Encryption{Make: func(vaultID string) (*keyring.Held, []vault.NewKey, error) {
			held, err := keyring.NewKeeper(vaultID)
			if err != nil {
				return nil, nil, err
			}
			return held, nil, o.write(held.VaultID, held.KeeperFile(), e)
		}}, nil
	}
	if !o.encrypt {
		return nil, nil //nolint:nilnil // a plain vault
	}
	var passphrase string
	if o.passphrase {
		var err error
		if passphrase, err = e.newPassphrase(); err != nil {
			return nil, err
		}
	}
	return &vault.Encryption{Make: func(vaultID string) (*keyring.Held, []vault.NewKey, error) {
		kind := keyring.X25519
		if o.postQuantum {
			kind = keyring.Hybrid
		}
		held, err := keyring.New(vaultID, kind)
		if err != nil {
			return nil, nil, err
		}
		made, err := o.keys(held, passphrase, e)
		return held, made, err
	}}, nil
}

func (o *encryptOptions) keys(held *keyring.Held, passphrase string, e *env) ([]vault.NewKey, error) {
	var made []vault.NewKey
	add := func(p *keyring.Person, label keyring.Label) error {
		key, err := sealKey(held, p, label)
		if err == nil {
			made = append(made, *key)
		}
		return err
	}
	for _, recipient := range o.recipients {
		p, err := keyring.ParsePerson(recipient, &held.Public, e.asker())
		if err != nil {
			return nil, usagef("give a public key: age1…, ssh-ed25519 …, or ssh-rsa …", err)
		}
		if err := add(p, keyring.Label{Name: nameOfRecipient(recipient)}); err != nil {
			return nil, err
		}
	}
	if o.passphrase {
		p, err := keyring.WithPassphrase(passphrase)
		if err != nil {
			return nil, usagef("choose a longer one: five words that have nothing to do with each other", err)
		}
		if err := add(p, keyring.Label{Name: keyring.PassphraseShown}); err != nil {
			return nil, err
		}
	}
	if o.passphrase && o.keyFile == "" {
		return made, nil
	}
	return made, o.writeOperator(held, add, e, &made)
}

// writeOperator makes the key of who makes the vault, and writes its file.
func (o *encryptOptions) writeOperator(held *keyring.Held, add func(*keyring.Person, keyring.Label) error, e *env, made *[]vault.NewKey) error {
	p, identity, err := keyring.NewPerson(&held.Public)
	if err != nil {
		return err
	}
	if err := add(p, keyring.Label{Name: "operator"}); err != nil {
		return err
	}
	return o.write(held.VaultID, held.FileFor((*made)[len(*made)-1].Label, identity), e)
}

// write makes the key file.
func (o *encryptOptions) write(vaultID string, text []byte, e *env) error {
	path := o.keyFile
	if path == "" {
		var err error
		if path, err = defaultKeyPath(vaultID, e); err != nil {
			return err
		}
	}
	if err := writeKeyFile(path, text); err != nil {
		return err
	}
	o.wrote = path
	return nil
}

// takeBack removes the key file of a vault that was certainly not made.
func (o *encryptOptions) takeBack(e *env) {
	if o.wrote == "" {
		return
	}
	if err := os.Remove(o.wrote); err != nil {
		e.note("the key file %s is of no use: %v", o.wrote, err)
	}
	o.wrote = ""
}

// sealKey seals a vault's identities to a person.
func sealKey(held *keyring.Held, p *keyring.Person, label keyring.Label) (*vault.NewKey, error) {
	id, err := keyring.NewID()
	if err != nil {
		return nil, err
	}
	label.ID = id
	object, err := held.SealTo(p, label)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return &vault.NewKey{Label: label, Object: object, Recipient: p.String(), CatalogOnly: !held.MayReadRecords()}, nil
}

// nameOfRecipient is a name for a key that was given none: the remark of a key of SSH, or the
// beginning of another.
func nameOfRecipient(recipient string) string {
	if fields := strings.Fields(recipient); len(fields) > 2 {
		return fields[2]
	}
	return recipient[:min(len(recipient), 20)]
}
