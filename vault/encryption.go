package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"coldstream"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
)

// Encryption says with which identities a vault is made, and who gets them.
type Encryption struct {
	// Make makes the identities, once the vault's ID is known, and what to store of them.
	Make func(vaultID string) (*keyring.Held, []NewKey, error)

	made []NewKey
}

// NewKey is a key of a vault that is to be stored.
type NewKey struct {
	keyring.Label
	// Object is the vault's identities, sealed to the key's owner.
	Object []byte
	// Recipient is the owner's public key.
	Recipient   string
	CatalogOnly bool
}

// KeySource gives the key of a vault by its ID.
type KeySource func(ctx context.Context, vaultID string) (keyring.Key, error)

// encrypt makes the vault an encrypted one, before it is one at all: keys come first, so that
// no vault is ever there without them.
func (v *Vault) encrypt(ctx context.Context, e *Encryption) error {
	held, made, err := e.Make(v.ID())
	if err != nil {
		return err
	}
	v.info.DataRecipient, v.info.CatalogRecipient, v.info.KeeperKey = held.Data, held.Catalog, held.Keeper
	if !v.info.IsEncrypted() {
		v.signer = held
		return nil
	}
	if err := v.hold(held); err != nil {
		return err
	}
	e.made = made
	for i := range made {
		if err := v.AddKey(ctx, time.UnixMilli(v.info.CreatedMs), &made[i]); err != nil {
			return errors.Join(err, v.takeBack(ctx, e))
		}
	}
	return nil
}

// takeBack removes the keys of a vault that was not made.
func (v *Vault) takeBack(ctx context.Context, e *Encryption) (err error) {
	if e == nil {
		return nil
	}
	for i := range e.made {
		err = errors.Join(err, v.RemoveKey(ctx, e.made[i].ID))
	}
	return err
}

// hold seals and opens from now on with what is held of the vault's identities.
func (v *Vault) hold(held *keyring.Held) error {
	objects, err := v.objects.Encrypted(held)
	if err != nil {
		return err
	}
	v.objects, v.held, v.signer = objects, held, held
	return nil
}

// unlock opens the vault's identities with a key.
func (v *Vault) unlock(ctx context.Context, with []KeySource) error {
	if v.info.IsEncrypted() && (v.info.DataRecipient == "" || v.info.CatalogRecipient == "") {
		return fmt.Errorf("it has some keys of an encrypted vault, and not all: %w", coldstream.ErrUnsupported)
	}
	var key keyring.Key = &keyring.Passphrase{}
	for _, source := range with {
		var err error
		if key, err = source(ctx, v.ID()); err != nil {
			return err
		}
	}
	if !v.info.IsEncrypted() {
		var err error
		v.signer, err = keyring.OpenKeeper(key, v.public())
		return err
	}
	held, err := key.Open(ctx, v.public(), keyObjects{v})
	if err != nil {
		return err
	}
	return v.hold(held)
}

func (v *Vault) public() keyring.Public {
	return keyring.Public{VaultID: v.ID(), Data: v.info.DataRecipient, Catalog: v.info.CatalogRecipient, Keeper: v.info.KeeperKey}
}

// IsEncrypted says that the vault's objects are sealed.
func (v *Vault) IsEncrypted() bool { return v.held != nil }

// HasKeeper says that removal is signed with the keeper's key.
func (v *Vault) HasKeeper() bool { return v.signer != nil }

// Held is what this process holds of the vault's identities; nil without encryption.
func (v *Vault) Held() *keyring.Held { return v.held }

// MayReadRecords is an error wrapping [keyring.ErrCatalogOnly] where the key that the vault was
// opened with does not open packs.
func (v *Vault) MayReadRecords() error {
	if v.held != nil && !v.held.MayReadRecords() {
		return keyring.Lacking(keyring.NeedRecords, keyring.ErrCatalogOnly)
	}
	return nil
}

// keyObjects are the vault's objects under keys/.
type keyObjects struct{ vault *Vault }

const maxKeyObject = 64 << 10

// Get is [keyring.Objects.Get].
func (k keyObjects) Get(ctx context.Context, id keyring.ID) ([]byte, error) {
	body, err := k.vault.objects.Plain(ctx, format.KeysPrefix+string(id), maxKeyObject)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", id, err)
	}
	return body, nil
}

// IDs is [keyring.Objects.IDs].
func (k keyObjects) IDs(ctx context.Context) ([]keyring.ID, error) {
	var out []keyring.ID
	for entry, err := range k.vault.objects.List(ctx, format.KeysPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		if id, err := keyring.ParseID(strings.TrimPrefix(entry.Key, format.KeysPrefix)); err == nil {
			out = append(out, id)
		}
	}
	return out, nil
}

// KeyInfo tells whose a key is.
type KeyInfo struct {
	ID          keyring.ID
	Name        string
	Recipient   string
	CatalogOnly bool
	Added       time.Time
	// Err says why nothing but the ID is known.
	Err error
}

// AddKey stores a key: whoever it is sealed to can open the vault from then on.
func (v *Vault) AddKey(ctx context.Context, now time.Time, key *NewKey) error {
	label := format.Label{Name: key.Name, Recipient: key.Recipient, CatalogOnly: key.CatalogOnly, AddedMs: now.UnixMilli()}
	payload, err := label.Append(nil)
	if err != nil {
		return fmt.Errorf("encode label of key %s: %w", key.ID, err)
	}
	at := format.LabelsPrefix + string(key.ID)
	o, err := v.objects.Seal(format.KindLabel, at, payload)
	if err != nil {
		return err
	}
	if err := v.objects.Create(ctx, o); err != nil {
		return err
	}
	if err := v.objects.CreatePlain(ctx, format.KeysPrefix+string(key.ID), key.Object); err != nil {
		return err
	}
	return v.Flush(ctx)
}

// RemoveKey takes a key away. Whoever had it may have kept the vault's identities.
func (v *Vault) RemoveKey(ctx context.Context, id keyring.ID) error {
	for _, at := range []string{format.KeysPrefix + string(id), format.LabelsPrefix + string(id)} {
		if err := v.objects.Delete(ctx, at); err != nil {
			return fmt.Errorf("remove key %s: %w", id, err)
		}
	}
	return v.Flush(ctx)
}

// ListKeys lists the vault's keys by their IDs.
func (v *Vault) ListKeys(ctx context.Context) ([]KeyInfo, error) {
	ids, err := keyObjects{v}.IDs(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]KeyInfo, 0, len(ids))
	for _, id := range ids {
		info, err := v.keyInfo(ctx, id)
		var damage *DamageError
		switch {
		case errors.As(err, &damage), errors.Is(err, fs.ErrNotExist):
			info = &KeyInfo{ID: id, Err: err}
		case err != nil:
			return nil, err
		}
		out = append(out, *info)
	}
	return out, nil
}

func (v *Vault) keyInfo(ctx context.Context, id keyring.ID) (*KeyInfo, error) {
	at := format.LabelsPrefix + string(id)
	payload, _, err := v.objects.Load(ctx, format.KindLabel, at)
	if err != nil {
		return nil, err
	}
	l, err := format.DecodeLabel(payload)
	switch {
	case errors.Is(err, coldstream.ErrUnsupported):
		return nil, fmt.Errorf("decode %s: %w", at, err)
	case err != nil:
		return nil, &DamageError{Object: at, Kind: KindAltered, Cause: err}
	}
	return &KeyInfo{ID: id, Name: l.Name, Recipient: l.Recipient, CatalogOnly: l.CatalogOnly, Added: time.UnixMilli(l.AddedMs).UTC()}, nil
}

// ProveKey proves that what is held of the vault's identities opens its catalog, and a pack if it
// may and there is one.
func (v *Vault) ProveKey(ctx context.Context) error {
	if _, err := v.openCatalog(ctx, catalogOptions{reader: true}); err != nil {
		return err
	}
	if v.MayReadRecords() != nil {
		return nil
	}
	for entry, err := range v.objects.List(ctx, format.PacksPrefix, "") {
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
		id, err := format.ParsePackKey(entry.Key)
		if err != nil {
			continue
		}
		_, err = v.objects.PackRange(ctx, &format.Pack{ID: id, SizeBytes: entry.SizeBytes}, 0, min(entry.SizeBytes, 1))
		if err != nil {
			return fmt.Errorf("open %s: %w", entry.Key, err)
		}
		return nil
	}
	return nil
}
