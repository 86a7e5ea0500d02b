package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"filippo.io/age"
)

// Objects are those under keys/ of a vault.
type Objects interface {
	// Get reads the one of a key; one that is not there wraps fs.ErrNotExist.
	Get(ctx context.Context, id ID) ([]byte, error)
	// IDs lists all.
	IDs(ctx context.Context) ([]ID, error)
}

// WrongKeyError says why a vault does not open.
type WrongKeyError struct {
	// Need says which key opens the vault. Callers know how a key is given.
	Need Need
	err  error
	hint string
}

// Need is a key that would do.
type Need string

// The keys that are needed.
const (
	NeedAny      Need = "any key"
	NeedVaults   Need = "the key file of this vault"
	NeedPutBack  Need = "another key, or this one put back"
	NeedAdded    Need = "a key that somebody adds"
	NeedRecords  Need = "a key that opens records"
	NeedOperator Need = "the operator's key"
	NeedKeeper   Need = "the keeper's key, or none"
)

func need(n Need, format string, args ...any) error {
	return &WrongKeyError{Need: n, err: fmt.Errorf(format, args...)}
}

// Lacking is a [WrongKeyError] of who needs another key.
func Lacking(n Need, err error) error { return &WrongKeyError{Need: n, err: err} }

func (e *WrongKeyError) Error() string { return e.err.Error() }

// Unwrap is the cause.
func (e *WrongKeyError) Unwrap() error { return e.err }

// KeyHint says what to do, where that is no matter of the key.
func (e *WrongKeyError) KeyHint() string { return e.hint }

func wrong(hint, format string, args ...any) error {
	return &WrongKeyError{err: fmt.Errorf(format, args...), hint: hint}
}

// Wrong is a [WrongKeyError].
func Wrong(hint string, err error) error { return &WrongKeyError{err: err, hint: hint} }

// Key is what somebody opens a vault with.
type Key interface {
	// Open finds the vault's identities. That the key is another vault's, or was removed, is
	// a [*WrongKeyError].
	Open(ctx context.Context, of Public, objects Objects) (*Held, error)
}

// Open is [Key.Open].
func (f *File) Open(ctx context.Context, of Public, objects Objects) (*Held, error) {
	if f.VaultID != "" {
		return f.openPinned(ctx, of, objects)
	}
	if h := f.asVault(of); h != nil {
		return h, nil
	}
	return openAny(ctx, of, objects, f.others)
}

func (f *File) openPinned(ctx context.Context, of Public, objects Objects) (*Held, error) {
	if f.VaultID != of.VaultID {
		return nil, need(NeedVaults, "the key file is of vault %s, and this is vault %s", f.VaultID, of.VaultID)
	}
	if f.Public != of {
		return nil, wrong("somebody may have replaced vault.json. Store nothing there. Put vault.json back from a copy.",
			"vault.json has other public keys than the key file has pinned")
	}
	if f.Key == "" { // a recovery sheet
		return f.held()
	}
	object, err := objects.Get(ctx, f.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, need(NeedPutBack, "key %s was removed from the vault: keys/%s is not there", f.Key, f.Key)
	}
	if err != nil {
		return nil, err
	}
	own, err := parseNative(f.own)
	if err != nil {
		return nil, wrong("take the key file from a copy", "the key file lacks its own identity")
	}
	h, err := unseal(object, own)
	if err != nil {
		return nil, wrong("", "keys/%s does not open with the key file: %w", f.Key, err)
	}
	return h, h.mustBe(of)
}

// asVault is the vault's own identities, if a file of age has them.
func (f *File) asVault(of Public) *Held {
	h := &Held{Public: of}
	for _, i := range f.others {
		text, ok := i.(fmt.Stringer)
		if !ok {
			continue
		}
		switch recipient, err := recipientOf(text.String()); {
		case err != nil:
		case recipient == of.Catalog:
			h.catalog = text.String()
		case recipient == of.Data:
			h.data = text.String()
		}
	}
	if h.catalog == "" {
		return nil
	}
	return h
}

// openAny looks for keys that are sealed to one of the identities.
func openAny(ctx context.Context, of Public, objects Objects, identities []age.Identity) (*Held, error) {
	ids, err := objects.IDs(ctx)
	if err != nil {
		return nil, err
	}
	var best *Held
	for _, id := range ids {
		object, err := objects.Get(ctx, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		h, err := unseal(object, identities...)
		if err != nil || h.mustBe(of) != nil {
			continue // another's, or what somebody has put there
		}
		if best == nil || h.MayReadRecords() {
			best = h
		}
	}
	if best == nil {
		return nil, need(NeedAdded, "none of the vault's %d keys is sealed to this identity", len(ids))
	}
	return best, nil
}

// mustBe proves that keys are those of the vault that is opened.
func (h *Held) mustBe(of Public) error {
	if h.Public != of {
		return wrong("somebody may have replaced vault.json or an object under keys/. Store nothing there. Take them from a copy.",
			"vault.json has other public keys than the object under keys/")
	}
	return nil
}

// Passphrase opens a vault for those without files.
type Passphrase struct{ Ask Asker }

// Open is [Key.Open].
func (p *Passphrase) Open(ctx context.Context, of Public, objects Objects) (*Held, error) {
	ids, err := objects.IDs(ctx)
	if err != nil {
		return nil, err
	}
	var identity *age.ScryptIdentity
	for _, id := range ids {
		object, err := objects.Get(ctx, id)
		if err != nil || !IsPassphrase(object) {
			continue
		}
		if identity == nil { // ask once, and only if it is of use
			passphrase, err := p.Ask.secret("passphrase of vault " + of.VaultID)
			if err != nil {
				return nil, Lacking(NeedAny, err)
			}
			if identity, err = age.NewScryptIdentity(passphrase); err != nil {
				return nil, wrong("", "the passphrase is empty")
			}
			identity.SetMaxWorkFactor(maxWork)
		}
		if h, err := unseal(object, identity); err == nil {
			return h, h.mustBe(of)
		}
	}
	if identity == nil {
		return nil, need(NeedAny, "the vault is encrypted, and no key was given")
	}
	return nil, wrong("", "the passphrase is wrong")
}
