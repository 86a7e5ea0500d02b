// Package keyring hides how the keys of an encrypted vault are written, found and proved: the
// vault's own identities, those of people and hosts, and the files and objects that hold them.
package keyring

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

// Public is what everybody may know of a vault's keys. Key files pin it, so that a vault.json
// that somebody has put in the place of the vault's own is refused.
type Public struct {
	VaultID string // 32 hex digits
	Data    string // recipient of packs
	Catalog string // recipient of all else
	Keeper  string // public key of who may take something away
}

// IsPostQuantum says that the vault's identities are hybrids, which a quantum computer does
// not break either.
func (p *Public) IsPostQuantum() bool { return strings.HasPrefix(p.Data, hybridRecipient) }

// Held is the vault's identities that somebody has: always the one of the catalog, and all
// else only for who may read records.
type Held struct {
	Public
	catalog, data string // as age writes identities; data may be empty
	keeper        ed25519.PrivateKey
}

const (
	hybridRecipient = "age1pq1"
	hybridIdentity  = "AGE-SECRET-KEY-PQ-1"
	nativeIdentity  = "AGE-SECRET-KEY-"
	keeperPrefix    = "ed25519:"
	keeperSecret    = "ed25519-secret:"
)

// ErrCatalogOnly means that a key may not read records.
var ErrCatalogOnly = errors.New("this key is for the catalog only: it does not open packs, and so no records")

// Kind is how the identities of a vault are made.
type Kind int

// The kinds of identities.
const (
	X25519 Kind = iota
	Hybrid
)

// New makes the identities of a vault, and the keeper's key.
func New(vaultID string, kind Kind) (*Held, error) {
	h := &Held{Public: Public{VaultID: vaultID}}
	var err error
	if h.data, h.Data, err = generate(kind); err != nil {
		return nil, err
	}
	if h.catalog, h.Catalog, err = generate(kind); err != nil {
		return nil, err
	}
	return h, h.makeKeeper()
}

// generate makes an identity and its recipient.
func generate(kind Kind) (identity, recipient string, err error) {
	if kind == Hybrid {
		i, err := age.GenerateHybridIdentity()
		if err != nil {
			return "", "", fmt.Errorf("make identity: %w", err)
		}
		return i.String(), i.Recipient().String(), nil
	}
	i, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", fmt.Errorf("make identity: %w", err)
	}
	return i.String(), i.Recipient().String(), nil
}

// CatalogIdentity opens all but packs.
func (h *Held) CatalogIdentity() (age.Identity, error) { return parseNative(h.catalog) }

// DataIdentity opens packs; without the right to that it is [ErrCatalogOnly].
func (h *Held) DataIdentity() (age.Identity, error) {
	if h.data == "" {
		return nil, ErrCatalogOnly
	}
	return parseNative(h.data)
}

// MayReadRecords says that the data identity is there.
func (h *Held) MayReadRecords() bool { return h.data != "" }

// KeeperKey is the key that signs removals; nil where it is not held.
func (h *Held) KeeperKey() ed25519.PrivateKey { return h.keeper }

// CatalogOnly is what a backup host gets.
func (h *Held) CatalogOnly() *Held {
	return &Held{Public: h.Public, catalog: h.catalog}
}

// NameKey is the key of names that are made of content: without it nobody can find out
// by trying whether an object holds something that can be guessed. Whoever has the catalog
// identity has it.
func (h *Held) NameKey() ([]byte, error) {
	key, err := hkdf.Key(sha256.New, []byte(h.catalog), nil, "coldstream names 1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key of names: %w", err)
	}
	return key, nil
}

// check proves that identities are those that the public keys say.
func (h *Held) check() error {
	if err := matches(h.catalog, h.Catalog); err != nil {
		return fmt.Errorf("catalog identity: %w", err)
	}
	if h.data != "" {
		if err := matches(h.data, h.Data); err != nil {
			return fmt.Errorf("data identity: %w", err)
		}
	}
	return h.checkKeeper()
}

func matches(identity, recipient string) error {
	got, err := recipientOf(identity)
	if err != nil {
		return err
	}
	if got != recipient {
		return errors.New("it is not the one of the vault")
	}
	return nil
}

// recipientOf is the public half of an identity of age's own kinds.
func recipientOf(identity string) (string, error) {
	i, err := parseNative(identity)
	if err != nil {
		return "", err
	}
	switch i := i.(type) {
	case *age.X25519Identity:
		return i.Recipient().String(), nil
	case *age.HybridIdentity:
		return i.Recipient().String(), nil
	}
	return "", errNoIdentity
}

// errNoIdentity does not repeat what it is about: that may be a secret.
var errNoIdentity = errors.New("a line is no identity of age")

func parseNative(s string) (age.Identity, error) {
	if strings.HasPrefix(s, hybridIdentity) {
		i, err := age.ParseHybridIdentity(s)
		if err != nil || i.String() != s {
			return nil, errNoIdentity
		}
		return i, nil
	}
	i, err := age.ParseX25519Identity(s)
	if err != nil || i.String() != s {
		return nil, errNoIdentity
	}
	return i, nil
}

func parseKeeper(s string) (ed25519.PrivateKey, error) {
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(s, keeperSecret))
	if err != nil || len(seed) != ed25519.SeedSize || formatKeeper(ed25519.NewKeyFromSeed(seed)) != s {
		return nil, errors.New("the line of the keeper's key cannot be read")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func formatKeeper(key ed25519.PrivateKey) string {
	return keeperSecret + base64.RawURLEncoding.EncodeToString(key.Seed())
}

// ID names one key of a vault: 16 hex digits.
type ID string

// NewID makes one.
func NewID() (ID, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make key ID: %w", err)
	}
	return ID(hex.EncodeToString(b[:])), nil
}

// ParseID reads what [NewID] makes.
func ParseID(s string) (ID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 8 || hex.EncodeToString(b) != s {
		return "", fmt.Errorf("%q is no ID of a key: 16 hex digits", s)
	}
	return ID(s), nil
}

// checkKeeper proves that the keeper's key is the one of the vault.
func (h *Held) checkKeeper() error {
	if h.keeper != nil && keeperPrefix+base64.RawURLEncoding.EncodeToString(h.keeper.Public().(ed25519.PublicKey)) != h.Keeper {
		return errors.New("the keeper's key is not the one of the vault")
	}
	return nil
}

// CatalogRecipient is whom all but packs is sealed to.
func (h *Held) CatalogRecipient() (age.Recipient, error) { return vaultRecipient(h.Catalog) }

// DataRecipient is whom packs are sealed to.
func (h *Held) DataRecipient() (age.Recipient, error) { return vaultRecipient(h.Data) }

// vaultRecipient reads a recipient of age's own kinds.
func vaultRecipient(s string) (age.Recipient, error) {
	if strings.HasPrefix(s, hybridRecipient) {
		return age.ParseHybridRecipient(s)
	}
	return age.ParseX25519Recipient(s)
}

// Sign signs with the keeper's key; name is the first 8 bytes of the SHA-256 of the public key as
// vault.json has it. It is not ok where that key is not held.
func (h *Held) Sign(message []byte) (signature []byte, name [8]byte, ok bool) {
	if h.keeper == nil {
		return nil, name, false
	}
	return ed25519.Sign(h.keeper, message), h.keeperName(), true
}

// IsSigned says that a signature is of the keeper's key.
func (p *Public) IsSigned(message, signature []byte, name [8]byte) bool {
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(p.Keeper, keeperPrefix))
	return err == nil && len(key) == ed25519.PublicKeySize && name == p.keeperName() && ed25519.Verify(key, message, signature)
}

func (p *Public) keeperName() (name [8]byte) {
	sum := sha256.Sum256([]byte(p.Keeper))
	copy(name[:], sum[:])
	return name
}
