package vault

import (
	"errors"
	"fmt"

	"coldstream"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
)

// errNoKeeper means that who wants to take something away of a vault with a keeper's key may not.
var errNoKeeper = errors.New("a removal is signed with the keeper's key, which this key does not have")

// mayRemove is an error where the vault has a keeper's key, and this process has not.
func (v *Vault) mayRemove() error {
	if v.signer != nil && v.signer.KeeperKey() == nil {
		return keyring.Lacking(keyring.NeedOperator, errNoKeeper)
	}
	return nil
}

// sign signs a base that takes something away, in a vault with a keeper's key. Others need no signature:
// a host that makes backups turns epochs, and has no keeper's key.
func (v *Vault) sign(base *format.Base) error {
	if v.signer == nil || !base.Removed {
		return nil
	}
	message, err := base.ToSign(v.info.ID)
	if err == nil {
		base.Signature, base.SignatureKey, err = v.signMessage(message)
	}
	return err
}

// signMessage signs with the keeper's key, which this process must have.
func (v *Vault) signMessage(message []byte) (signature []byte, key [8]byte, err error) {
	signature, key, ok := v.signer.Sign(message)
	if !ok {
		return nil, key, keyring.Lacking(keyring.NeedOperator, errNoKeeper)
	}
	return signature, key, nil
}

// proveSigned is an error if a message of an object is not signed with one of the keeper's keys.
func (v *Vault) proveSigned(object string, message, signature []byte, key [8]byte) error {
	if v.signer == nil || !v.signer.IsSigned(message, signature, key) {
		return &DamageError{Object: object, Kind: KindAltered, Cause: errors.New("its signature is not one of the keeper's key")}
	}
	return nil
}

// checkSignature proves that a base of a vault with a keeper's key that takes something away was made by who
// may do that.
func (v *Vault) checkSignature(key string, base *format.Base) error {
	signed := len(base.Signature) > 0
	switch {
	case v.signer == nil && signed:
		return fmt.Errorf("%s is signed: %w", key, coldstream.ErrUnsupported)
	case v.signer == nil || !signed && !base.Removed:
		return nil
	case !signed:
		return &DamageError{Object: key, Kind: KindAltered, Cause: errors.New("it takes something away, and is not signed with the keeper's key")}
	}
	message, err := base.ToSign(v.info.ID)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	return v.proveSigned(key, message, base.Signature, base.SignatureKey)
}
