package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
)

// NewKeeper makes the keeper's key of a vault that is not encrypted.
func NewKeeper(vaultID string) (*Held, error) {
	h := &Held{Public: Public{VaultID: vaultID}}
	return h, h.makeKeeper()
}

func (h *Held) makeKeeper() error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make keeper's key: %w", err)
	}
	h.keeper, h.Keeper = private, keeperPrefix+base64.RawURLEncoding.EncodeToString(public)
	return nil
}

// KeeperFile is the key file of a vault that is not encrypted.
func (h *Held) KeeperFile() []byte {
	return (&File{Public: h.Public, keeper: formatKeeper(h.keeper)}).Append(nil)
}

// isKeeperOnly says that a file is one of [Held.KeeperFile].
func (f *File) isKeeperOnly() bool {
	return f.Keeper != "" && f.keeper != "" && f.Data == "" && f.Catalog == "" && f.own == "" && f.Key == ""
}

// OpenKeeper finds the keeper's key of a vault that is not encrypted. Who has none can do all but take
// something away. A file of another vault, or one that has other public keys pinned, is a [*WrongKeyError].
func OpenKeeper(key Key, of Public) (*Held, error) {
	f, isFile := key.(*File)
	switch {
	case !isFile:
		return &Held{Public: of}, nil
	case f.VaultID != "" && f.VaultID != of.VaultID:
		return nil, need(NeedVaults, "the key file is of vault %s, and this is vault %s", f.VaultID, of.VaultID)
	case f.Public == of && f.isKeeperOnly():
		return f.heldKeeper()
	case f.VaultID == "":
		return nil, Lacking(NeedKeeper, errors.New("the vault is not encrypted, and the key file has no keeper's key"))
	}
	return nil, Wrong("somebody may have replaced vault.json. Store nothing there. Put vault.json back from a copy.",
		errors.New("vault.json has other public keys than the key file has pinned"))
}

func (f *File) heldKeeper() (*Held, error) {
	key, err := parseKeeper(f.keeper)
	if err != nil {
		return nil, err
	}
	h := &Held{Public: f.Public, keeper: key}
	return h, h.checkKeeper()
}
